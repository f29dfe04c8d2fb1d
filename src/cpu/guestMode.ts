// Guest mode: what happens between VM entry and exit. Events are delivered, blocks of generated code run, what they raise is
// delivered or leaves. Cpu (cpu.ts) is what a hypervisor sees of it.
//
// Theory. A block is paid for at its head: `budget` is what is left behind it, and a record's `remaining` what it and those
// behind it in the block cost. Whoever leaves in the middle gives back the record's `remaining`. What generated code calls
// meanwhile, and what that throws, is in code/calls.ts.

import { ACTIVITY, DR6, RFLAGS, SHADOW } from '../x86/names/registers.ts';
import type { Breakpoints } from './breakpoints.ts';
import type { Blocks } from './code/blocks.ts';
import type { Caller } from './code/caller.ts';
import { Calls } from './code/calls.ts';
import { Fetch } from './code/fetch.ts';
import { HANDLERS } from './code/handlers.ts';
import { giveBack, remaining } from './code/payment.ts';
import { RECORD } from './code/records.ts';
import { ageShadow } from './code/shadow.ts';
import { STATUS } from './code/status.ts';
import { deliverDebugTrap, deliverEntryEvent, deliverFault, deliverVirtualInterrupt } from './events/delivery.ts';
import { isValid } from './events/interruption.ts';
import { EXIT, type ExitReason } from './exit.ts';
import { exitSignal, guestFault, raise, resumedSignal, servedSignal, stopSignal, watchSignal } from './fault.ts';
import { OFFSET, SHADOW_TIMED } from './state.ts';
import { addUnits } from './units.ts';
import { isVirtualInterruptPending, takeVirtualInterrupt, type VirtualApic } from './virtualApic.ts';

/** `shadow`: the instruction that the shadow covers is being executed; it ends when that retires. */
const SHADOW_AGEING = 0x40;
const SINGLE_STEP = Number(DR6.BS);
/** Handlers that a REP prefix repeats. */
const IS_REPEATED = Uint8Array.from(HANDLERS, ({ form }) => (form !== null && form.rep !== '' ? 1 : 0));
/** What running goes on with. */
const CONTINUE = null;
/** Generated code left because something was raised: `calls.raised`. No exit reason. */
const RAISED = 'raised';
type Step = ExitReason | typeof RAISED | null;

/** Why the machine stopped by name. */
export interface Stopped {
  readonly what: string;
  readonly hint: string;
}

/** The CPU that runs. */
export interface Runnable extends Caller {
  /** Why it last left with STOPPED. */
  stopped: Stopped | null;
}

export class GuestMode {
  readonly calls: Calls;
  readonly #cpu: Runnable;
  readonly #engine: (record: number) => void;
  readonly #fetch: Fetch;
  readonly #breakpoints: Breakpoints;
  /** The next instruction meets a data breakpoint, and is to be run by itself. */
  #watched = false;

  /** `engine` runs the CPU's records from one on, until they leave. */
  constructor(cpu: Runnable, blocks: Blocks, engine: (record: number) => void) {
    this.#cpu = cpu;
    this.#engine = engine;
    this.#fetch = new Fetch(cpu.state, cpu.mmu, blocks);
    this.calls = new Calls(cpu, this.#fetch);
    this.#breakpoints = cpu.mmu.breakpoints;
  }

  /** Runs until the budget is used up, or something leaves that is not served here. */
  run(): ExitReason {
    for (;;) {
      const reason = this.#leave();
      if (!this.#isServedHere(reason)) return reason;
      if (!this.calls.serveOutside(reason)) return EXIT.SERVED;
    }
  }

  /** Runs up to the next thing that leaves. */
  #leave(): ExitReason {
    let reason: ExitReason | null = CONTINUE;
    while (reason === CONTINUE) {
      try {
        const step = this.#advance();
        reason = step === RAISED ? this.#caught(this.calls.raised) : step;
      } catch (thrown) {
        reason = this.#caught(thrown);
      }
    }
    return reason;
  }

  /** A VM exit, but that of a guest whose CPU halts without one. */
  #isServedHere(reason: ExitReason): boolean {
    return reason >= 0 && this.#cpu.serveExit !== null && this.#cpu.state.activity === ACTIVITY.ACTIVE;
  }

  /** One step of the run loop: an event, or generated code until it leaves. */
  #advance(): Step {
    const { state, controls, mmu } = this.#cpu;
    if (state.activity !== 0 && !this.#wakesUp()) return EXIT.HLT;
    if (state.budget <= 0) return EXIT.BUDGET;
    const fragments = mmu.fragments.pending;
    // Fragments beside an event are those of its delivery, which exited and now goes on.
    if (isValid(state.entryEvent)) {
      deliverEntryEvent(this.#cpu);
      return this.#delivered();
    }
    if (!fragments) {
      if (state.pendingDb !== 0 && (state.shadow & SHADOW.MOV_SS) === 0) {
        state.pendingDb |= this.#breakpointHere(); // one #DB tells of all
        deliverDebugTrap(this.#cpu);
        return this.#delivered();
      }
      if (this.#interruptWindowOpens()) return this.#window(EXIT.INTERRUPT_WINDOW);
      if (this.#nmiWindowOpens()) return this.#window(EXIT.NMI_WINDOW);
      const apic = controls.virtualApic;
      if (apic !== null && this.#takesVirtualInterrupt(apic)) {
        deliverVirtualInterrupt(this.#cpu, takeVirtualInterrupt(state, apic));
        return this.#delivered();
      }
    }
    if (this.#breakpoints.executing) {
      const causes = fragments ? 0 : this.#breakpointHere();
      this.#fetch.locate();
      if (causes !== 0) raise.db(BigInt(causes));
      if (this.#breakpoints.inPage(this.#fetch.low, this.#fetch.high)) return this.#runOne();
    }
    const block = this.#fetch.find();
    const flags = state.rflags & (RFLAGS.TF | RFLAGS.RF);
    if (block === 0 || fragments || state.shadow !== 0 || (flags & RFLAGS.TF) !== 0 || this.#watched)
      return this.#runOne();
    return this.#runBlock(block, flags);
  }

  /** B0 to B3 for the instruction at RIP, unless RF or MOV SS holds its breakpoints off (SDM vol. 3, 17.3.1.1 and 6.8.3). */
  #breakpointHere(): number {
    const { state } = this.#cpu;
    if (!this.#breakpoints.executing) return 0;
    if ((state.rflags & RFLAGS.RF) !== 0 || (state.shadow & SHADOW.MOV_SS) !== 0) return 0;
    this.#fetch.locate();
    return this.#breakpoints.atInstruction(this.#fetch.low, this.#fetch.high);
  }

  #interruptWindowOpens(): boolean {
    return this.#cpu.controls.interruptWindow && this.#cpu.interruptible();
  }
  #nmiWindowOpens(): boolean {
    const { state, controls } = this.#cpu;
    return controls.nmiWindow && state.nmiBlocked === 0 && state.shadow === 0;
  }

  /** A pending virtual interrupt is delivered at this boundary (SDM vol. 3, 29.2.2). */
  #takesVirtualInterrupt(apic: VirtualApic): boolean {
    const { state, controls } = this.#cpu;
    return isVirtualInterruptPending(state, apic) && !controls.interruptWindow && this.#cpu.interruptible();
  }

  /** Something ends HLT: its own debug trap, an event that the hypervisor injects, a virtual interrupt, or a window for the other kind. */
  #wakesUp(): boolean {
    const { state, controls } = this.#cpu;
    if (state.activity !== ACTIVITY.HALTED) return false;
    if (state.pendingDb !== 0 || isValid(state.entryEvent)) return true;
    if (this.#interruptWindowOpens() || this.#nmiWindowOpens()) return true;
    return controls.virtualApic !== null && this.#takesVirtualInterrupt(controls.virtualApic);
  }

  #window(reason: ExitReason): ExitReason {
    this.#cpu.state.exitLength = 0;
    return reason;
  }

  /** An event was delivered, which costs a unit. */
  #delivered(): null {
    this.#breakpoints.noteHits();
    if (this.#cpu.mmu.fragments.pending) this.#cpu.mmu.fragments.drop();
    this.#cpu.state.budget--;
    this.#cpu.state.shadow = 0;
    return CONTINUE;
  }

  /** `resume`: RF, which is for the first instruction alone. */
  #runBlock(found: number, resume: number): Step {
    const { state } = this.#cpu;
    const left = state.budget;
    const block = remaining(state, found) > left ? this.#fetch.scratch(left) : found;
    state.budget = left - remaining(state, block);
    if (resume === 0) {
      this.calls.inBlock = true;
      const step = this.#run(block);
      this.calls.inBlock = false;
      return step;
    }
    state.rflags &= ~RFLAGS.RF;
    const step = this.#run(block);
    if (state.budget === left) state.rflags |= RFLAGS.RF;
    return step;
  }

  /** Exactly one instruction (one iteration of a REP), then what is due behind it. */
  #runOne(): Step {
    const { state, mmu } = this.#cpu;
    const one = this.#fetch.scratch(1);
    const rest = state.budget - 1;
    const held = state.pendingDb; // by MOV SS
    const resume = state.rflags & RFLAGS.RF;
    this.#watched = false;
    this.calls.inBlock = false;
    state.rflags &= ~RFLAGS.RF;
    if (state.shadow !== 0) state.shadow |= SHADOW_AGEING;
    if ((state.rflags & RFLAGS.TF) !== 0) state.pendingDb |= SINGLE_STEP; // a delivery clears it: INT n does not trap
    this.#setRest(rest);
    state.budget = 0;
    this.#breakpoints.alone = true;
    const left = this.#run(one);
    this.#breakpoints.alone = false;
    this.#setRest(-rest);
    state.budget += rest;
    if (state.budget > rest) {
      state.shadow &= ~SHADOW_AGEING;
      state.pendingDb = held;
      state.rflags |= resume;
    }
    // What leaves has not retired, but for a trap.
    if (left !== CONTINUE && state.status !== STATUS.TRAP) return left;
    if ((state.shadow & SHADOW_AGEING) !== 0) state.shadow = 0;
    this.#breakpoints.noteHits();
    mmu.fragments.drop();
    return left;
  }

  /** Keeps `rest` units out of the budget, which generated code reckons time from. */
  #setRest(rest: number): void {
    addUnits(this.#cpu.state, OFFSET.tscEnd, OFFSET.tscEnd, -rest);
    this.#cpu.state.aheadBelow = Math.max(this.#cpu.state.aheadBelow - rest, -0x8000_0000);
  }

  #run(record: number): Step {
    const { state } = this.#cpu;
    this.#fetch.enterPage();
    this.calls.enter();
    this.#engine(record);
    try {
      return this.#left();
    } finally {
      if (state.shadow !== 0) {
        ageShadow(state, state.budget);
        state.shadow &= ~SHADOW_TIMED;
      }
    }
  }

  /** Generated code has left: what for? */
  #left(): Step {
    const { state, mmu } = this.#cpu;
    switch (state.status) {
      case STATUS.JUMP:
        this.#fetch.link(state.lastRecord);
        return CONTINUE;
      case STATUS.AHEAD:
        this.#undo(state.lastRecord);
        return EXIT.AHEAD;
      case STATUS.EXIT:
        this.#giveBack(state.lastRecord); // RIP is the record's already
        return state.exitReason as ExitReason;
      case STATUS.TRAP:
        return state.exitReason as ExitReason;
      case STATUS.SERVED:
        return EXIT.SERVED;
      case STATUS.END:
        state.budget += remaining(state, state.lastRecord) - 1;
        this.#fetch.setRip(state.lastRecord, state.views.u8[state.lastRecord + RECORD.length]!);
        mmu.selectViews();
        return CONTINUE;
      case STATUS.RESYNC:
        this.#undo(state.lastRecord);
        return CONTINUE;
      case STATUS.RAISED:
        this.#undo(state.lastRecord);
        return RAISED;
      case STATUS.BUDGET:
        // Between two iterations RF is set, for frames and for breakpoints on the REP (SDM vol. 3, 17.3.1.1).
        if (IS_REPEATED[state.views.u16[state.lastRecord >> 1]!] !== 0) state.rflags |= RFLAGS.RF;
        return CONTINUE;
      default:
        return CONTINUE;
    }
  }

  /** Takes back what was paid for a record and those behind it; RIP is the record's. */
  #undo(record: number): void {
    this.#giveBack(record);
    this.#fetch.setRip(record, 0);
  }

  #giveBack(record: number): void {
    giveBack(this.#cpu.state, record);
    this.#breakpoints.hits = 0;
  }

  #caught(thrown: unknown): ExitReason | null {
    const { state } = this.#cpu;
    this.#breakpoints.hits = 0;
    if (thrown === guestFault) {
      if (state.budget <= 0) return EXIT.BUDGET; // delivery costs a unit: the instruction will fault again
      try {
        this.#cpu.mmu.fragments.drop();
        deliverFault(this.#cpu);
        return this.#delivered();
      } catch (second) {
        return this.#caught(second);
      }
    }
    state.shadow &= ~SHADOW_AGEING;
    if (thrown === exitSignal) return state.exitReason as ExitReason;
    if (thrown === servedSignal) return EXIT.SERVED;
    if (thrown === resumedSignal) return CONTINUE;
    if (thrown === watchSignal) {
      this.#watched = true;
      return CONTINUE;
    }
    if (thrown !== stopSignal) throw thrown;
    this.#cpu.stopped = { what: stopSignal.what, hint: stopSignal.hint };
    return EXIT.STOPPED;
  }
}
