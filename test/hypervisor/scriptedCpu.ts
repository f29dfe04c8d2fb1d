// A logical CPU that follows a script instead of executing guest code: it spends units and exits as told, with the budget,
// horizon and event contracts of the real one.

import { Controls } from '../../src/cpu/controls.ts';
import { EXIT, type Exit, type ExitReason } from '../../src/cpu/exit.ts';
import { EVENT_TYPE, interruption, isValid } from '../../src/cpu/events/interruption.ts';
import { Views } from '../../src/cpu/layout.ts';
import { STATE_SIZE, stateAt, type CpuState } from '../../src/cpu/state.ts';
import {
  isVirtualInterruptPending,
  takeVirtualInterrupt,
  virtualizePpr,
  writeVirtualMsr,
} from '../../src/cpu/virtualApic.ts';
import { readExit } from '../../src/cpu/vmexit.ts';
import { Settling } from '../../src/cpu/settling.ts';
import type { GuestCpu, Injection } from '../../src/hypervisor/guestCpu.ts';
import { GPR, RFLAGS } from '../../src/x86/names/registers.ts';

/** One thing that the guest does. */
export type Step =
  /** Executes `units` ordinary instructions. */
  | { readonly run: number }
  /** Reads the TSC, which observes time. */
  | { readonly rdtsc: (tsc: bigint) => void }
  /** Calls the test back; takes no time. */
  | { readonly then: (cpu: ScriptedCpu) => void }
  /** Exits; `set` fills in the registers and exit fields that the reason has. */
  | { readonly exit: ExitReason; readonly set?: (state: CpuState) => void };

const TYPES = { external: EVENT_TYPE.EXTERNAL, nmi: EVENT_TYPE.NMI, exception: EVENT_TYPE.EXCEPTION, soft: EVENT_TYPE.SOFT_INTERRUPT } as const; // prettier-ignore

export class ScriptedCpu implements GuestCpu {
  readonly state: CpuState = stateAt(new Views(new ArrayBuffer(STATE_SIZE)), 0);
  readonly controls = new Controls();
  physicalMsrs: GuestCpu['physicalMsrs'] = null;
  /** Exits of a script are never served in place. */
  serveExit = null;
  watched = false;
  trip = null;
  recurred = 0;
  recurredAt = 0;
  readonly settling = new Settling();
  used = 0;
  #budget = 0;
  #horizon = 0;
  stopped: { what: string; hint: string } | null = null;
  halfway = false;
  /** What is left of the script; when it is empty the guest spins for ever. */
  readonly script: Step[];
  /** Events that the guest took. */
  readonly delivered: Injection[] = [];
  /** Answers of the host to port and MMIO accesses. */
  readonly completed: bigint[] = [];
  /** How often the next delivery exits with EPT_VIOLATION instead. */
  failDeliveries = 0;
  #queued: Injection | null = null;

  /** What stands at RIP. */
  code: Uint8Array | null = null;
  codeAtRip(length: number): Uint8Array | null {
    return this.code?.slice(0, length) ?? null;
  }
  patchCodeAtRip(bytes: Uint8Array): null {
    this.code = bytes;
    return null;
  }

  /** Linear addresses are guest physical ones. */
  translate(linear: bigint): bigint {
    return linear;
  }

  constructor(script: Step[]) {
    this.script = script;
  }

  grant(budget: number, horizon: number): void {
    this.#budget = budget;
    this.#horizon = horizon;
  }

  run(): ExitReason {
    this.used = 0;
    this.state.vectoringEvent = 0;
    if (this.controls.virtualApic !== null) virtualizePpr(this.state, this.controls.virtualApic);
    const reason = this.#run(this.#budget, this.#horizon);
    this.state.tsc += BigInt(this.used);
    this.state.exitReason = reason;
    return reason;
  }

  #run(budget: number, horizon: number): ExitReason {
    for (;;) {
      if (this.used >= budget) return EXIT.BUDGET;
      if (isValid(this.state.entryEvent)) {
        if (!this.#deliver()) return EXIT.EPT_VIOLATION;
        continue;
      }
      if (this.controls.interruptWindow && this.interruptible()) return EXIT.INTERRUPT_WINDOW;
      if (this.#takesVirtualInterrupt()) continue;
      const step = this.script[0];
      if (step === undefined) {
        this.used = budget;
      } else if ('run' in step) {
        const units = Math.min(step.run, budget - this.used);
        this.used += units;
        this.script[0] = { run: step.run - units };
        if (units === step.run) this.script.shift();
      } else if ('rdtsc' in step) {
        if (this.used > horizon) return EXIT.AHEAD;
        step.rdtsc(this.state.tsc + BigInt(this.used));
        this.used++;
        this.script.shift();
      } else if ('then' in step) {
        this.script.shift();
        step.then(this);
      } else {
        this.script.shift();
        this.state.exitLength = 2;
        step.set?.(this.state);
        if (step.exit !== EXIT.MSR_WRITE || !this.#writesVirtualMsr()) return step.exit;
        if (this.state.exitReason !== EXIT.BUDGET) return this.state.exitReason as ExitReason;
      }
    }
  }

  #takesVirtualInterrupt(): boolean {
    const { virtualApic } = this.controls;
    if (virtualApic === null || !this.interruptible()) return false;
    if (!isVirtualInterruptPending(this.state, virtualApic)) return false;
    this.delivered.push({ type: 'external', vector: takeVirtualInterrupt(this.state, virtualApic), errorCode: null });
    this.state.rflags &= ~RFLAGS.IF;
    this.used++;
    return true;
  }

  /** False: the MSR exits. Else it is written, and `exitReason` is BUDGET unless that exits behind the instruction. */
  #writesVirtualMsr(): boolean {
    const { state, controls } = this;
    const index = state.gpr32(GPR.RCX);
    if (controls.virtualApic === null || controls.msrWriteExits(index)) return false;
    state.exitReason = EXIT.BUDGET;
    writeVirtualMsr(state, controls.virtualApic, index);
    state.rip += 2n;
    this.used++;
    return true;
  }

  #deliver(): boolean {
    if (this.failDeliveries > 0) {
      this.failDeliveries--;
      this.state.vectoringEvent = this.state.entryEvent;
      this.state.entryEvent = 0;
      this.state.exitQualification = 1n;
      return false;
    }
    this.delivered.push(this.#queued!);
    this.state.entryEvent = 0;
    this.state.rflags &= ~RFLAGS.IF;
    this.used++;
    return true;
  }

  exit(): Exit {
    return readExit(this.state);
  }
  skip(): void {
    this.state.rip += BigInt(this.state.exitLength);
    this.state.shadow = 0;
    this.state.tsc++;
  }
  complete(value: bigint): void {
    this.completed.push(value);
  }
  inject(event: Injection): void {
    this.#queued = event;
    this.state.entryEvent = interruption(TYPES[event.type], event.vector, event.errorCode !== null);
    this.state.entryErrorCode = event.errorCode ?? 0;
  }
  interruptible(): boolean {
    const { rflags, shadow, entryEvent } = this.state;
    return (rflags & RFLAGS.IF) !== 0 && shadow === 0 && !isValid(entryEvent);
  }
  registersReplaced(): void {}
  /** How often the host has flushed the TLB. */
  flushes = 0;
  flushTlb(): void {
    this.flushes++;
  }
  readMsr(): bigint | null {
    return null;
  }
  writeMsr(): boolean {
    return false;
  }
}

// Steps in the words of the guest

export const wrmsr = (index: number, value: bigint): Step => ({
  exit: EXIT.MSR_WRITE,
  set: (state) => {
    state.setGpr32(GPR.RCX, index);
    state.setGpr32(GPR.RAX, Number(value & 0xffff_ffffn));
    state.setGpr32(GPR.RDX, Number(value >> 32n));
  },
});
export const rdmsr = (index: number): Step => ({
  exit: EXIT.MSR_READ,
  set: (state) => state.setGpr32(GPR.RCX, index),
});
export const hlt: Step = { exit: EXIT.HLT };
export const sti: Step = { then: ({ state }) => void (state.rflags |= RFLAGS.IF) };
export const cli: Step = { then: ({ state }) => void (state.rflags &= ~RFLAGS.IF) };
