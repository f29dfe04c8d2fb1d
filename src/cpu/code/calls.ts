// What generated code calls while it runs: microcode, and what accesses throw. Nothing is thrown through WebAssembly: a signal is
// kept here, generated code leaves with STATUS.RAISED, and guest mode (guestMode.ts) acts on it.
//
// Theory. Most exits need not leave generated code at all: while that waits for such a call to return, `serveExit` does what the
// hypervisor does between an exit and the next entry, and grants units anew. The instruction is then done, or runs again with
// the answer; and where that is not all (an event waits, RIP is elsewhere, too few units) generated code is left as at any other
// point, and RIP is looked up. Not for an instruction that is run by itself. Where an exit need not even be served, an event that
// waits behind it may be delivered here, too, and generated code goes on at its handler (boundary.ts).

import { RFLAGS } from '../../x86/names/registers.ts';
import { VECTOR } from '../../x86/names/vectors.ts';
import { operandsOf } from '../../x86/forms.ts';
import type { Breakpoints } from '../breakpoints.ts';
import { isValid } from '../events/interruption.ts';
import { EXIT, type ExitReason } from '../exit.ts';
import { exitSignal, guestFault, resumedSignal, servedSignal, setFault, stopSignal, watchSignal } from '../fault.ts';
import { ACCESS } from '../memory/access.ts';
import type { Operands, Outcome } from '../microcode/microcode.ts';
import { OFFSET } from '../state.ts';
import { addUnits } from '../units.ts';
import { EXIT_INFO } from '../vmexit.ts';
import { Boundary } from './boundary.ts';
import type { Caller } from './caller.ts';
import type { Fetch } from './fetch.ts';
import { HANDLERS } from './handlers.ts';
import { KnownExits, type KnownExit } from './knownExits.ts';
import { nameInstruction } from './nameInstruction.ts';
import { microcodeShape, readOperands, RecordOperands, type MicrocodeShape } from './operands.ts';
import { giveBack, remaining } from './payment.ts';
import { RECORD, RECORD_SIZE } from './records.ts';
import { Recurrence } from './recurrence.ts';
import { ageShadow } from './shadow.ts';
import { STATUS } from './status.ts';

/** An operand of two elements, which are read one by one: BOUND's. */
const PAIR = 'a';
/** Handlers that touch memory in one piece, if it does not cross a page. */
const ACCESSES_ONCE = Uint8Array.from(HANDLERS, ({ form }) => {
  if (form === null || form.rep !== '' || form.row.stack === true) return 0;
  const [accessed, another] = operandsOf(form).filter(({ kind }) => kind === 'memory');
  if (accessed === undefined || another !== undefined) return 0;
  return accessed.operand.access !== 'rw' && accessed.operand.memorySize !== PAIR ? 1 : 0;
});

export class Calls {
  /** The block under execution was entered as a whole, so that its exits can be served in place. */
  inBlock = false;
  /** What `keep` was given last. */
  raised: unknown = null;
  readonly #cpu: Caller;
  readonly #fetch: Fetch;
  readonly #recurrence: Recurrence;
  readonly #known: KnownExits;
  readonly #operands: RecordOperands;
  readonly #breakpoints: Breakpoints;
  readonly #boundary: Boundary;

  constructor(cpu: Caller, fetch: Fetch) {
    this.#cpu = cpu;
    this.#fetch = fetch;
    this.#recurrence = new Recurrence(cpu.state);
    this.#known = new KnownExits(cpu);
    this.#operands = new RecordOperands(cpu.state);
    this.#breakpoints = cpu.mmu.breakpoints;
    this.#boundary = new Boundary(cpu, fetch, this.#known);
  }

  /** Generated code is about to be entered. */
  enter(): void {
    this.#cpu.state.spinRecord = 0;
    this.#recurrence.forget();
  }

  /** Microcode, as generated code calls it: the record to go on with; 0: leave, the status is set. */
  microcode(record: number): number {
    try {
      return this.#microcode(record);
    } catch (thrown) {
      this.keep(thrown);
      return this.#leaveWith(STATUS.RAISED, record);
    }
  }

  #microcode(record: number): number {
    const { state } = this.#cpu;
    this.#recurrence.forget();
    if (state.shadow !== 0) ageShadow(state, state.budget + remaining(state, record));
    if (this.#servesInPlace() && this.#breakpoints.hits === 0 && state.cpl === 0) {
      const known = this.#known.repeat(record);
      if (known !== null) return this.#goOnPaid(record, known);
    }
    this.#cpu.record = record;
    this.#fetch.setRip(record, 0);
    const shape = microcodeShape(state.views.u16[record >> 1]!);
    if (shape === null) return this.#leaveWith(nameInstruction(state, this.#cpu.mmu), record);
    if (shape.observesTime) addUnits(state, OFFSET.tsc, OFFSET.tscEnd, -(state.budget + remaining(state, record)));
    const operands = readOperands(state, record, shape, this.#operands);
    let outcome = shape.run(this.#cpu, operands);
    if (outcome === 'next' && this.#breakpoints.hits === 0) return record + RECORD_SIZE;
    if (outcome === 'exit' && this.#haltsAgain(record)) return this.#goOnElsewhere(record);
    while (outcome === 'exit') {
      if (!this.#servesInPlace()) return this.#leaveWith(STATUS.EXIT, record);
      if (!this.#serve(record)) return this.#leaveWith(STATUS.SERVED, record);
      if (!this.#cpu.mmu.fragments.pending) return this.#goOnBehind(record, operands.length);
      if (!this.#payAgain(record)) return this.#leaveWith(STATUS.MICROCODE, record);
      outcome = this.#again(shape, operands);
      if (outcome === 'next' && this.#breakpoints.hits === 0 && !this.#somethingWaits()) {
        this.#learn(0);
        return this.#answered(record, 0);
      }
    }
    this.#breakpoints.noteHits();
    if (outcome !== 'jump') this.#fetch.setRip(record, operands.length);
    else if (shape.rep) state.rflags |= RFLAGS.RF; // between two iterations (guestMode.ts)
    state.budget += remaining(state, record) - 1;
    return this.#leaveWith(outcome === 'trap' ? STATUS.TRAP : STATUS.MICROCODE, record);
  }

  /** A block that ends with the instruction in the shadow of STI is over, at its closing record, and something waits for IF. */
  attend(closing: number): number {
    const { state } = this.#cpu;
    this.#recurrence.forget();
    this.#fetch.setRip(closing, 0);
    ageShadow(state, state.budget);
    return this.#goOnElsewhere(closing);
  }

  /** HLT exits where an event waits, and its trip was made again, in the shadow of STI, too. */
  #haltsAgain(record: number): boolean {
    const { state, serveExit } = this.#cpu;
    if (state.exitReason !== EXIT.HLT || !this.inBlock || serveExit === null) return false;
    giveBack(state, record);
    if (this.#known.repeatOutside(EXIT.HLT)) return true;
    state.budget -= remaining(state, record);
    return false;
  }

  /** At a boundary whose RIP is stored, and behind which nothing is paid for. */
  #goOnElsewhere(record: number): number {
    const block = this.inBlock ? this.#boundary.cross() : 0;
    return block === 0 ? this.#leaveWith(STATUS.MICROCODE, record) : block;
  }

  #leaveWith(status: number, record: number): 0 {
    const { state } = this.#cpu;
    state.status = status;
    state.lastRecord = record;
    return 0;
  }

  /** An access of generated code threw: true, its exit was served in place and it is to be tried again; false, it is kept. */
  triesAgain(thrown: unknown, access: number, record: number): boolean {
    const { state } = this.#cpu;
    const { fragments } = this.#cpu.mmu;
    // An instruction with several accesses has to find all of their fragments when one of them is not served in place.
    const isWhole = (state.exitInfo & EXIT_INFO.SIZE) === (access & ACCESS.SIZE);
    const isAlone = !fragments.pending || (isWhole && ACCESSES_ONCE[state.views.u16[record >> 1]!] !== 0);
    if (state.shadow !== 0) ageShadow(state, state.budget + remaining(state, record));
    if (thrown !== exitSignal || !isAlone || !this.#servesInPlace()) {
      this.keep(thrown);
      return false;
    }
    this.#fetch.setRip(record, 0);
    const goesOn = this.#serve(record);
    if (goesOn && !this.#somethingWaits() && this.#fetch.standsAt(record, 0) && this.#payAgain(record)) {
      fragments.once = fragments.pending;
      return true;
    }
    this.raised = goesOn ? resumedSignal : servedSignal;
    state.budget -= remaining(state, record); // leaving gives it back
    return false;
  }

  /** An instruction observes time beyond the horizon. 0: it may by now; else the status to leave with, the instruction undone. */
  ahead(record: number): number {
    const { state } = this.#cpu;
    this.#recurrence.forget();
    if (!this.#servesInPlace()) return STATUS.AHEAD;
    this.#breakpoints.hits = 0;
    giveBack(state, record);
    if (!this.#somethingWaits() && this.#cpu.settleAgain(remaining(state, record))) return 0;
    this.#fetch.setRip(record, 0);
    this.#leave(EXIT.AHEAD);
    if (!this.#cpu.serveExit!(EXIT.AHEAD)) return STATUS.SERVED;
    return this.#somethingWaits() || !this.#payAgain(record) ? STATUS.MICROCODE : 0;
  }

  /** An exception without memory access: #DE, #UD or #GP(0). */
  raise(vector: number, record: number): void {
    this.#cpu.record = record;
    this.keep(setFault(vector, vector === VECTOR.GP ? 0 : null));
  }

  /** Keeps a signal that was thrown below generated code until that has left, with STATUS.RAISED. Always 0. */
  keep(thrown: unknown): 0 {
    const isSignal = thrown === guestFault || thrown === exitSignal || thrown === stopSignal || thrown === watchSignal;
    if (!isSignal) throw thrown;
    this.raised = thrown;
    return 0;
  }

  /** An exit can be served in place: its instruction is one of a block's, and nothing is special about it. */
  #servesInPlace(): boolean {
    return this.inBlock && this.#cpu.serveExit !== null && this.#cpu.state.shadow === 0;
  }

  /** Has an exit at a record served in place: RIP is the record's, and what was paid for the rest of the block given back. */
  #serve(record: number): boolean {
    const { state } = this.#cpu;
    giveBack(state, record);
    this.#breakpoints.hits = 0;
    this.#leave(state.exitReason as ExitReason);
    this.#recurrence.asked(record);
    this.#cpu.watched = this.#known.asked(record);
    return this.#cpu.serveExit!(state.exitReason as ExitReason);
  }

  #leave(reason: ExitReason): void {
    this.#cpu.leave(reason);
    if (this.#cpu.recurred > 0) this.#known.recurred();
  }

  /** Serves an exit for which generated code was left: guest mode goes on (true), or ends. */
  serveOutside(reason: ExitReason): boolean {
    if (this.#known.repeatOutside(reason)) return true;
    this.#leave(reason);
    this.#cpu.watched = this.#known.askedOutside(reason);
    if (!this.#cpu.serveExit!(reason)) return false;
    this.#learn(0);
    return true;
  }

  /** The hypervisor has said what became of the exit that was served. `paid`: its instruction's unit was, by the block. */
  #learn(paid: 0 | 1): void {
    const { trip } = this.#cpu;
    if (trip !== null && trip.repeats) this.#known.served(trip, paid);
  }

  /** Microcode whose access was served: with the answer. */
  #again({ run }: MicrocodeShape, operands: Operands): Outcome {
    const outcome = run(this.#cpu, operands);
    if (outcome !== 'exit') this.#cpu.mmu.fragments.drop();
    return outcome;
  }

  /** Pays for a record and those behind it, for the first time since units were granted; false: there are too few. */
  #payAgain(record: number): boolean {
    const { state } = this.#cpu;
    const left = state.budget - remaining(state, record);
    if (left < 0) return false;
    state.budget = left;
    return true;
  }

  /** Behind a record whose exit was a trip made again. What follows was paid for. */
  #goOnPaid(record: number, known: KnownExit): number {
    const { state } = this.#cpu;
    if (!this.#somethingWaits()) {
      // What has recurred since units were granted is one exit.
      if (known.trip!.recurs && state.recurCount === 0) this.#recurrence.again(record, known, this.#cpu.granted);
      return record + RECORD_SIZE;
    }
    this.#fetch.setRip(record, state.views.u8[record + RECORD.length]!);
    state.budget += remaining(state, record) - 1;
    return this.#goOnElsewhere(record);
  }

  /** Behind a microcoded instruction whose exit was served. */
  #goOnBehind(record: number, length: number): number {
    const { state } = this.#cpu;
    if (!this.#fetch.standsAt(record, length)) return this.#leaveWith(STATUS.MICROCODE, record);
    this.#learn(1);
    const left = state.budget - remaining(state, record) + 1;
    if (left < 0 || this.#somethingWaits()) return this.#leaveWith(STATUS.MICROCODE, record);
    state.budget = left;
    return this.#answered(record, 1);
  }

  /** An exit was served, and what follows its record goes on. `stepped`: the round trip includes the unit of its instruction. */
  #answered(record: number, stepped: 0 | 1): number {
    const { trip } = this.#cpu;
    if (trip !== null && trip.recurs) this.#recurrence.answered(record, trip, trip.units - stepped, this.#cpu.granted);
    return record + RECORD_SIZE;
  }

  /** An event is due, or may be due, before the next instruction. */
  #somethingWaits(): boolean {
    const { state, controls } = this.#cpu;
    if (isValid(state.entryEvent) || state.activity !== 0 || state.pendingDb !== 0) return true;
    // Who sets IF attends to a window by itself (`attendIf`).
    if (controls.interruptWindow && (state.rflags & RFLAGS.IF) !== 0) return true;
    return controls.nmiWindow || controls.virtualApic !== null || this.#breakpoints.executing;
  }
}
