// Guest mode: what happens between VM entry and exit. Events are delivered, blocks of generated code run, what they raise is
// delivered or leaves. Cpu (cpu.ts) is what a hypervisor sees of it.
//
// Theory. A block is paid for at its head: `budget` is what is left behind it, and a record's `remaining` what it and those
// behind it in the block cost. Whoever leaves in the middle gives back the record's `remaining`. Nothing is thrown through
// WebAssembly: signals are kept (`keep`), generated code leaves with STATUS.RAISED, and then they are acted on here.
//
// Most exits need not leave generated code at all: while that waits for the call of microcode or of a slow access to return,
// `serveExit` does what the hypervisor does between an exit and the next entry, and grants units anew. The instruction is then
// done, or runs again with the answer; and where that is not all (an event waits, RIP is elsewhere, too few units) generated
// code is left as at any other point, and RIP is looked up. An instruction that runs by itself (`#runOne`) exits in the old way.

import { ACTIVITY, DR6, RFLAGS, SHADOW } from '../x86/names/registers.ts';
import { VECTOR } from '../x86/names/vectors.ts';
import type { Blocks } from './code/blocks.ts';
import type { Breakpoints } from './breakpoints.ts';
import { deliverDebugTrap, deliverEntryEvent, deliverFault, deliverVirtualInterrupt } from './events/delivery.ts';
import { ACCESS } from './memory/access.ts';
import { EXIT_INFO } from './vmexit.ts';
import { operandsOf } from '../x86/forms.ts';
import { STATUS } from './code/status.ts';
import { EXIT, type ExitReason } from './exit.ts';
import {
  exitSignal,
  guestFault,
  raise,
  resumedSignal,
  servedSignal,
  setFault,
  stopSignal,
  watchSignal,
} from './fault.ts';
import { Fetch } from './code/fetch.ts';
import { HANDLERS } from './code/handlers.ts';
import { isValid } from './events/interruption.ts';
import type { MicrocodeCpu } from './microcode/microcode.ts';
import type { Mmu } from './memory/mmu.ts';
import { nameInstruction } from './code/nameInstruction.ts';
import { microcodeShape, readOperands, RecordOperands } from './code/operands.ts';
import { RECORD } from './code/records.ts';
import { OFFSET, SHADOW_TIMED } from './state.ts';
import { addUnits } from './units.ts';
import { isVirtualInterruptPending, takeVirtualInterrupt, type VirtualApic } from './virtualApic.ts';

/** `shadow`: the instruction that the shadow covers is being executed; it ends when that retires. */
const SHADOW_AGEING = 0x40;
const SINGLE_STEP = Number(DR6.BS);
/** Handlers that a REP prefix repeats. */
const IS_REPEATED = Uint8Array.from(HANDLERS, ({ form }) => (form !== null && form.rep !== '' ? 1 : 0));
/** Handlers that touch memory in one piece, if it does not cross a page. */
const ACCESSES_ONCE = Uint8Array.from(HANDLERS, ({ form }) => {
  if (form === null || form.rep !== '' || form.row.stack === true) return 0;
  const accessed = operandsOf(form).filter(({ kind }) => kind === 'memory');
  return accessed.length === 1 && accessed[0]!.operand.access !== 'rw' ? 1 : 0;
});
/** What running goes on with. */
const CONTINUE = null;
/** Generated code left because something was raised: see `keep`. No exit reason. */
const RAISED = 'raised';
type Step = ExitReason | typeof RAISED | null;

/** Why the machine stopped by name. */
export interface Stopped {
  readonly what: string;
  readonly hint: string;
}

/** The CPU that runs. */
export interface Runnable extends MicrocodeCpu {
  readonly mmu: Mmu;
  /** The record under execution, while a slow path or microcode runs. */
  record: number;
  /** Why it last left with STOPPED. */
  stopped: Stopped | null;
  /** Serves an exit in place: true when units were granted anew. */
  serveExit: ((reason: ExitReason) => boolean) | null;
  /** Guest mode ends for an exit in place. */
  leave(reason: ExitReason): void;
  /** An external interrupt could be delivered now. */
  interruptible(): boolean;
}

export class GuestMode {
  readonly #cpu: Runnable;
  readonly #engine: (record: number) => void;
  readonly #fetch: Fetch;
  readonly #operands: RecordOperands;
  readonly #breakpoints: Breakpoints;
  /** The next instruction meets a data breakpoint, and is to be run by itself. */
  #watched = false;
  /** The block under execution was entered as a whole, so that its exits can be served in place. */
  #inBlock = false;
  /** What `keep` was given last. */
  #raised: unknown = null;

  /** `engine` runs the CPU's records from one on, until they leave. */
  constructor(cpu: Runnable, blocks: Blocks, engine: (record: number) => void) {
    this.#cpu = cpu;
    this.#engine = engine;
    this.#fetch = new Fetch(cpu.state, cpu.mmu, blocks);
    this.#operands = new RecordOperands(cpu.state);
    this.#breakpoints = cpu.mmu.breakpoints;
  }

  /** Runs until the budget is used up, or something leaves. */
  run(): ExitReason {
    let reason: ExitReason | null = CONTINUE;
    while (reason === CONTINUE) {
      try {
        const step = this.#advance();
        reason = step === RAISED ? this.#caught(this.#raised) : step;
      } catch (thrown) {
        reason = this.#caught(thrown);
      }
    }
    return reason;
  }

  /** One step of the run loop: an event, or generated code until it leaves. */
  #advance(): Step {
    const { state, controls, mmu } = this.#cpu;
    if (state.activity !== 0 && !this.#wakesUp()) return EXIT.HLT;
    if (state.budget <= 0) return EXIT.BUDGET;
    const fragments = mmu.fragments.pending;
    // Fragments beside an event are those of its delivery, which exited and now goes on.
    if (isValid(state.entryEvent)) return this.#deliver(() => void deliverEntryEvent(this.#cpu));
    if (!fragments) {
      if (state.pendingDb !== 0 && (state.shadow & SHADOW.MOV_SS) === 0) {
        state.pendingDb |= this.#breakpointHere(); // one #DB tells of all
        return this.#deliver(() => deliverDebugTrap(this.#cpu));
      }
      if (this.#interruptWindowOpens()) return this.#window(EXIT.INTERRUPT_WINDOW);
      if (this.#nmiWindowOpens()) return this.#window(EXIT.NMI_WINDOW);
      const apic = controls.virtualApic;
      if (apic !== null && this.#takesVirtualInterrupt(apic)) {
        return this.#deliver(() => deliverVirtualInterrupt(this.#cpu, takeVirtualInterrupt(state, apic)));
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

  /** Delivers an event, which costs a unit. */
  #deliver(event: () => void): null {
    event();
    this.#noteHits();
    if (this.#cpu.mmu.fragments.pending) this.#cpu.mmu.fragments.drop();
    this.#cpu.state.budget--;
    this.#cpu.state.shadow = 0;
    return CONTINUE;
  }

  #remaining(record: number): number {
    return this.#cpu.state.views.u16[(record + RECORD.remaining) >> 1]!;
  }

  /** `resume`: RF, which is for the first instruction alone. */
  #runBlock(found: number, resume: number): Step {
    const { state } = this.#cpu;
    const left = state.budget;
    const block = this.#remaining(found) > left ? this.#fetch.scratch(left) : found;
    state.budget = left - this.#remaining(block);
    if (resume === 0) {
      this.#inBlock = true;
      const step = this.#run(block);
      this.#inBlock = false;
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
    this.#inBlock = false;
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
    this.#noteHits();
    mmu.fragments.drop();
    return left;
  }

  /** What was met of data and I/O breakpoints becomes a trap. */
  #noteHits(): void {
    if (this.#breakpoints.hits === 0) return;
    this.#cpu.state.pendingDb |= this.#breakpoints.hits;
    this.#breakpoints.hits = 0;
  }

  /** Keeps `rest` units out of the budget, which generated code reckons time from. */
  #setRest(rest: number): void {
    addUnits(this.#cpu.state, OFFSET.tscEnd, OFFSET.tscEnd, -rest);
    this.#cpu.state.aheadBelow = Math.max(this.#cpu.state.aheadBelow - rest, -0x8000_0000);
  }

  #run(record: number): Step {
    const { state } = this.#cpu;
    this.#fetch.enterPage();
    this.#engine(record);
    try {
      return this.#left();
    } finally {
      if (state.shadow !== 0) {
        this.#ageShadow(state.budget);
        state.shadow &= ~SHADOW_TIMED;
      }
    }
  }

  /** A shadow that was cast in running code is over once its instruction has retired. */
  #ageShadow(left: number): void {
    const { state } = this.#cpu;
    if ((state.shadow & SHADOW_TIMED) !== 0 && left < state.shadowEnd) state.shadow = 0;
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
        state.budget += this.#remaining(state.lastRecord) - 1;
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
    this.#cpu.state.budget += this.#remaining(record);
    this.#breakpoints.hits = 0;
  }

  #caught(thrown: unknown): ExitReason | null {
    const { state } = this.#cpu;
    this.#breakpoints.hits = 0;
    if (thrown === guestFault) {
      if (state.budget <= 0) return EXIT.BUDGET; // delivery costs a unit: the instruction will fault again
      try {
        this.#cpu.mmu.fragments.drop();
        return this.#deliver(() => deliverFault(this.#cpu));
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

  /** An exit can be served in place: its instruction is one of a block's, and nothing is special about it. */
  get #servesInPlace(): boolean {
    return this.#inBlock && this.#cpu.serveExit !== null && this.#cpu.state.shadow === 0;
  }

  /** Has an exit at a record served in place: RIP is the record's, and what was paid for the rest of the block given back. */
  #serve(record: number): boolean {
    const { state } = this.#cpu;
    this.#giveBack(record);
    this.#cpu.leave(state.exitReason as ExitReason);
    return this.#cpu.serveExit!(state.exitReason as ExitReason);
  }

  /** Pays for a record and those behind it, for the first time since units were granted; false: there are too few. */
  #payAgain(record: number): boolean {
    const { state } = this.#cpu;
    const left = state.budget - this.#remaining(record);
    if (left < 0) return false;
    state.budget = left;
    return true;
  }

  /** Behind a microcoded instruction whose exit was served: 0, the next record follows; else a status to leave with. */
  #goOnBehind(record: number, length: number): number {
    const { state } = this.#cpu;
    const left = state.budget - this.#remaining(record) + 1;
    if (left < 0 || this.#somethingWaits() || !this.#fetch.standsAt(record, length)) return STATUS.MICROCODE;
    state.budget = left;
    return 0;
  }

  /** An event is due, or may be due, before the next instruction. */
  #somethingWaits(): boolean {
    const { state, controls } = this.#cpu;
    if (isValid(state.entryEvent) || state.activity !== 0 || state.pendingDb !== 0) return true;
    return (
      controls.interruptWindow || controls.nmiWindow || controls.virtualApic !== null || this.#breakpoints.executing
    );
  }

  /** An access of generated code threw: true, its exit was served in place and it is to be tried again; false, it is kept. */
  triesAgain(thrown: unknown, access: number, record: number): boolean {
    const { fragments } = this.#cpu.mmu;
    const { state } = this.#cpu;
    // An instruction with several accesses has to find all of their fragments when one of them is not served in place.
    const isWhole = (state.exitInfo & EXIT_INFO.SIZE) === (access & ACCESS.SIZE);
    const isAlone = !fragments.pending || (isWhole && ACCESSES_ONCE[state.views.u16[record >> 1]!] !== 0);
    if (state.shadow !== 0) this.#ageShadow(state.budget + this.#remaining(record));
    if (thrown !== exitSignal || !isAlone || !this.#servesInPlace) {
      this.keep(thrown);
      return false;
    }
    this.#fetch.setRip(record, 0);
    const goesOn = this.#serve(record);
    if (goesOn && !this.#somethingWaits() && this.#fetch.standsAt(record, 0) && this.#payAgain(record)) {
      fragments.once = true;
      return true;
    }
    this.#raised = goesOn ? resumedSignal : servedSignal;
    this.#cpu.state.budget -= this.#remaining(record); // leaving gives it back
    return false;
  }

  /** Keeps a signal that was thrown below generated code until that has left, with STATUS.RAISED. Always 0. */
  keep(thrown: unknown): 0 {
    const isSignal = thrown === guestFault || thrown === exitSignal || thrown === stopSignal || thrown === watchSignal;
    if (!isSignal) throw thrown;
    this.#raised = thrown;
    return 0;
  }

  /** An exception without memory access: #DE, #UD or #GP(0). */
  raise(vector: number, record: number): void {
    this.#cpu.record = record;
    this.keep(setFault(vector, vector === VECTOR.GP ? 0 : null));
  }

  /** Microcode, as generated code calls it. 0: the next record follows; else the status to leave with. */
  microcode(record: number): number {
    try {
      return this.#microcode(record);
    } catch (thrown) {
      this.keep(thrown);
      return STATUS.RAISED;
    }
  }

  #microcode(record: number): number {
    const { state } = this.#cpu;
    this.#cpu.record = record;
    this.#fetch.setRip(record, 0);
    const shape = microcodeShape(state.views.u16[record >> 1]!);
    if (state.shadow !== 0) this.#ageShadow(state.budget + this.#remaining(record));
    if (shape === null) return nameInstruction(state, this.#cpu.mmu);
    if (shape.observesTime)
      addUnits(this.#cpu.state, OFFSET.tsc, OFFSET.tscEnd, -(state.budget + this.#remaining(record)));
    const operands = readOperands(state, record, shape, this.#operands);
    let outcome = shape.run(this.#cpu, operands);
    if (outcome === 'next' && this.#breakpoints.hits === 0) return 0;
    while (outcome === 'exit') {
      if (!this.#servesInPlace) return STATUS.EXIT;
      if (!this.#serve(record)) return STATUS.SERVED;
      if (!this.#cpu.mmu.fragments.pending) return this.#goOnBehind(record, operands.length);
      if (!this.#payAgain(record)) return STATUS.MICROCODE;
      outcome = shape.run(this.#cpu, operands);
      if (outcome !== 'exit') this.#cpu.mmu.fragments.drop();
    }
    this.#noteHits();
    if (outcome !== 'jump') this.#fetch.setRip(record, operands.length);
    else if (shape.rep) state.rflags |= RFLAGS.RF; // as above, in `#run`
    state.budget += this.#remaining(record) - 1;
    return outcome === 'trap' ? STATUS.TRAP : STATUS.MICROCODE;
  }
}
