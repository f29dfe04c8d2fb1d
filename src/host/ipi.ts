// Interrupts that CPUs send each other: their vectors (Linux arch/x86/include/asm/irq_vectors.h), and functions that are
// called on another CPU (kernel/smp.c). `Host.sendIpi` is what carries them.
//
// Theory: who waits for a function on another CPU must take interrupts meanwhile: with interrupts off, two CPUs that call
// each other would wait for ever. So that is an error, even where nobody calls back.

import type { Cell } from './cells.ts';
import type { PhysicalCpu } from './cpu.ts';
import { spinUntil } from './compute.ts';
import type { Host } from './host.ts';
import { HostEvent, type EventOwner } from './queue.ts';
import type { Sleep } from './sleep.ts';

/** Vector of each kind of interrupt that the host sends itself. */
export const HOST_VECTORS = {
  reschedule: 0xfd,
  'call function': 0xfb,
  'posted interrupt': 0xf2,
  'local timer': 0xec,
} as const;

/** The vector by which an event arrives: whatever is no IPI, the scheduler's tick too, comes from the local timer. */
export function vectorOf({ kind }: HostEvent): number {
  return Object.hasOwn(HOST_VECTORS, kind)
    ? HOST_VECTORS[kind as keyof typeof HOST_VECTORS]
    : HOST_VECTORS['local timer'];
}

/** Whoever has something called on another CPU: in hard interrupt context there, so it must not sleep. */
export interface CallOwner {
  readonly name: string;
  onCall(call: CrossCall): void;
}

/** call_single_data_t: one function to be called elsewhere, as data. */
export class CrossCall implements EventOwner {
  readonly owner: CallOwner;
  readonly args: readonly number[];
  /** CSD_FLAG_LOCK: sent and not called yet. */
  outstanding: Cell<boolean> = false;
  /** Position at which the call ended. */
  endedAt: Cell<number> = 0;
  readonly #host: Host;
  readonly #event: HostEvent;

  constructor(host: Host, owner: CallOwner, args: readonly number[] = []) {
    this.#host = host;
    this.owner = owner;
    this.args = args;
    this.#event = new HostEvent(this, 'call function');
  }

  get name(): string {
    return this.owner.name;
  }

  /** smp_call_function_single(cpu, func, info, 1): returns when the call has ended there. On the own CPU it is called at once. */
  *callAndWait(target: PhysicalCpu): Sleep<void> {
    const cpu = this.#host.thisCpu;
    if (!cpu.interruptsEnabled || cpu.hardirq !== null) {
      throw new Error(
        `${cpu.describe()}: waits for a call of ${this.name} on CPU ${target.id} without taking interrupts`,
      );
    }
    if (target === cpu) {
      cpu.disableInterrupts();
      this.owner.onCall(this);
      cpu.enableInterrupts();
      return;
    }
    this.outstanding = true;
    this.#host.sendIpi(target, this.#event);
    // csd_lock_wait(): it keeps the CPU.
    cpu.disablePreemption();
    yield* spinUntil(this.#host, Infinity, () => !this.outstanding);
    if (cpu.now < this.endedAt) cpu.now = this.endedAt;
    cpu.enablePreemption();
  }

  onEvent(): void {
    this.owner.onCall(this);
    this.endedAt = this.#host.thisCpu.now;
    this.outstanding = false;
  }
}
