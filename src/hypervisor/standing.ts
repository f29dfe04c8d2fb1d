// How a vCPU stands as regards its interrupts: all that writes of its LAPIC and the injection of an event look at and change,
// while no request waits and nothing else is under way (recurrence.ts). What the guest changes by itself is not among it: IF, and whether
// the injected event was delivered.

import { APIC } from './lapic/registers.ts';
import { ICR_HIGH } from './lapic/icr.ts';
import type { Vcpu } from './vcpu.ts';

const FILE_WORDS = 8;
const file = (offset: number): number[] => Array.from({ length: FILE_WORDS }, (_, i) => offset + 16 * i);

/** Words of the register page. */
const REGISTERS = Int32Array.from(
  [APIC.TASKPRI, APIC.PROCPRI, APIC.SPIV, APIC.ICR, ICR_HIGH, ...file(APIC.ISR), ...file(APIC.TMR), ...file(APIC.IRR)],
  (offset) => offset >> 2,
);

/** What is no register: flags, the vector that was taken last, and the one that was injected last. */
const FLAGS = REGISTERS.length;
const LAST_TAKEN = FLAGS + 1;
const INJECTED = FLAGS + 2;

const FLAG = { WINDOW: 1, INJECTED: 2, SOFT: 4, X2APIC: 8, DEADLINE: 16 } as const;

function flagsOf({ guest, events, lapic, hvTimer }: Vcpu): number {
  const { interrupt } = events;
  return (
    (guest.controls.interruptWindow ? FLAG.WINDOW : 0) |
    (interrupt.injected ? FLAG.INJECTED : 0) |
    (interrupt.soft ? FLAG.SOFT : 0) |
    (lapic.x2apic ? FLAG.X2APIC : 0) |
    (hvTimer !== null && hvTimer.armed ? FLAG.DEADLINE : 0)
  );
}

export class Standing {
  readonly #words: number[] = [];

  /** As a vCPU stands now. */
  static of(vcpu: Vcpu): Standing {
    const standing = new Standing();
    const { lapic } = vcpu;
    const words = standing.#words;
    for (let i = 0; i < REGISTERS.length; i++) words.push(lapic.regs[REGISTERS[i]!]! | 0);
    words.push(flagsOf(vcpu), lapic.lastTaken, vcpu.events.interrupt.vector);
    return standing;
  }

  equals(other: Standing): boolean {
    for (let i = 0; i < this.#words.length; i++) if (this.#words[i] !== other.#words[i]) return false;
    return true;
  }

  /** Whether a vCPU stands so now. */
  isOf(vcpu: Vcpu): boolean {
    const words = this.#words;
    const { lapic } = vcpu;
    if (words[FLAGS] !== flagsOf(vcpu) || words[LAST_TAKEN] !== lapic.lastTaken) return false;
    if (words[INJECTED] !== vcpu.events.interrupt.vector) return false;
    for (let i = 0; i < REGISTERS.length; i++) if (words[i] !== (lapic.regs[REGISTERS[i]!]! | 0)) return false;
    return true;
  }

  /** What has to be done to a vCPU that stands as `before` says so that it stands so. */
  since(before: Standing): Change {
    const words = this.#words;
    const changed = [...words.keys()].filter((i) => words[i] !== before.#words[i]);
    const registers = changed.filter((i) => i < REGISTERS.length);
    return {
      registers: registers.map((i) => REGISTERS[i]!),
      values: registers.map((i) => words[i]!),
      flags: words[FLAGS]!,
      lastTaken: words[LAST_TAKEN]!,
      injected: words[INJECTED]!,
    };
  }
}

/** From one standing to another. No flags but those of the window and of the injection differ. */
export interface Change {
  /** Words of the register page, and what they become. */
  readonly registers: readonly number[];
  readonly values: readonly number[];
  readonly flags: number;
  readonly lastTaken: number;
  readonly injected: number;
}

export function change(vcpu: Vcpu, { registers, values, flags, lastTaken, injected }: Change): void {
  const { lapic, events, guest } = vcpu;
  for (let i = 0; i < registers.length; i++) lapic.regs[registers[i]!] = values[i]!;
  lapic.lastTaken = lastTaken;
  guest.controls.interruptWindow = (flags & FLAG.WINDOW) !== 0;
  const { interrupt } = events;
  interrupt.injected = (flags & FLAG.INJECTED) !== 0;
  interrupt.soft = (flags & FLAG.SOFT) !== 0;
  interrupt.vector = injected;
}
