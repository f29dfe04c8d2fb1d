// One logical CPU: enters guest mode, runs blocks, delivers what they raise, and leaves with an exit. It knows no
// hypervisor; what exits is said by its controls.

import { CR0, EFER, RFLAGS, SEGMENT } from '../x86/names/registers.ts';
import { VECTOR } from '../x86/names/vectors.ts';
import type { Arena } from './arena.ts';
import type { Blocks } from './blocks.ts';
import { Controls } from './controls.ts';
import { deliverEntryEvent, deliverFault, deliverSingleStep } from './delivery.ts';
import { STATUS } from './emit.ts';
import { EXIT, type Exit, type ExitReason } from './exit.ts';
import { exitSignal, guestFault, setFault, stopSignal } from './fault.ts';
import { Fetch } from './fetch.ts';
import { featuresOf, type CpuidResult, type Features } from './features.ts';
import { EVENT_TYPE, interruption, isValid } from './interruption.ts';
import type { MemoryContext } from './memoryContext.ts';
import type { MicrocodeCpu } from './microcode/microcode.ts';
import { Mmu } from './mmu.ts';
import { readMsr, writeMsr } from './msrs.ts';
import { nameInstruction } from './nameInstruction.ts';
import { microcodeShape, readOperands, RecordOperands } from './operands.ts';
import { RECORD } from './records.ts';
import type { SecondStage } from './secondStage.ts';
import { is64BitCode, segmentAttributes } from './segments.ts';
import { OFFSET, SEGMENT_SIZE, SEGMENTS, stateAt, type CpuState } from './state.ts';
import type { Views } from './layout.ts';
import { readExit } from './vmexit.ts';

/** An event for the next entry (SDM vol. 3, 26.6). */
export interface Injection {
  readonly type: 'external' | 'nmi' | 'exception' | 'soft';
  readonly vector: number;
  readonly errorCode: number | null;
}

/** What the CPUs of a VM share. */
export interface Shared {
  readonly views: Views;
  readonly arena: Arena;
  readonly secondStage: SecondStage;
  readonly blocks: Blocks;
  /** Runs generated code from a record on until it leaves. */
  run(cpu: Cpu, record: number): void;
}

/** Why the machine stopped by name. */
interface Stopped {
  readonly what: string;
  readonly hint: string;
}

/** `shadow`: the instruction that the shadow covers is being executed; it ends when that retires. */
const SHADOW_AGEING = 0x40;
const STACK_SEGMENT = OFFSET.segments + SEGMENT_SIZE * SEGMENTS.indexOf('ss');
const EVENT_TYPES = {
  external: EVENT_TYPE.EXTERNAL,
  nmi: EVENT_TYPE.NMI,
  exception: EVENT_TYPE.EXCEPTION,
  soft: EVENT_TYPE.SOFT_INTERRUPT,
} as const;

/** What running goes on with. */
const CONTINUE = null;
/** Generated code left because something was raised: see `keep`. No exit reason. */
const RAISED = 'raised';
type Step = ExitReason | typeof RAISED | null;

export class Cpu implements MicrocodeCpu, MemoryContext {
  readonly id: number;
  readonly state: CpuState;
  readonly arena: Arena;
  readonly secondStage: SecondStage;
  controls = new Controls();
  readonly mmu: Mmu;
  /** Units used by the last `enter`. */
  used = 0;
  /** Why `enter` last returned STOPPED. */
  stopped: Stopped | null = null;
  /** The record under execution, while a slow path or microcode runs. */
  record = 0;
  /** Answers CPUID where it does not exit. */
  cpuid: (leaf: number, subleaf: number) => CpuidResult = () => ({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
  readonly #shared: Shared;
  readonly #operands: RecordOperands;
  readonly #u32: Uint32Array;
  readonly #fetch: Fetch;
  #features: Features = featuresOf([]);
  #running = false;
  /** What `keep` was given last. */
  #raised: unknown = null;
  /** The mode that the host has put the CPU into, when it is one that is not executed. */
  #unrunnable: string | null = null;

  constructor(id: number, base: number, shared: Shared) {
    this.id = id;
    this.#shared = shared;
    this.arena = shared.arena;
    this.secondStage = shared.secondStage;
    this.state = stateAt(shared.views, base);
    this.#operands = new RecordOperands(this.state);
    this.#u32 = shared.views.u32;
    const { state } = this;
    state.pageUnit = 4096n;
    [~0n, 0xffff_ffffn, 0xffffn].forEach(
      (mask, i) => (shared.views.u64[(state.at('addressMask') >> 3) + i] = BigInt.asUintN(64, mask)),
    );
    state.rflags = RFLAGS.FIXED;
    this.mmu = new Mmu(this);
    this.#fetch = new Fetch(this.state, this.mmu, shared.blocks);
  }

  get features(): Features {
    return this.#features;
  }
  /** What CPUID offers decides which instructions exist: all decoded code is dropped. */
  set features(features: Features) {
    this.#features = features;
    this.#shared.blocks.dropAll();
  }
  get fragments(): Mmu['fragments'] {
    return this.mmu.fragments;
  }
  usesStackSegment(record: number): boolean {
    return this.state.views.u16[(record + RECORD.segment) >> 1] === STACK_SEGMENT;
  }

  // What a hypervisor does with it

  /**
   * Runs guest code until exactly `budget` units are used, a VM exit, or (AHEAD) an instruction that observes time once more
   * than `horizon` units are used. Returns the reason; `used` and `state.tsc` tell the units.
   */
  enter(budget: number, horizon: number): ExitReason {
    const { state } = this;
    if (this.#unrunnable !== null) return this.#refuse(this.#unrunnable);
    state.budget = budget;
    state.aheadBelow = Math.max(budget - horizon, -0x8000_0000);
    this.#addUnits(OFFSET.tscEnd, OFFSET.tsc, budget);
    this.mmu.fragments.resetReplay();
    state.vectoringEvent = 0;
    let reason: ExitReason | null = CONTINUE;
    while (reason === CONTINUE) {
      try {
        const step = this.#advance();
        reason = step === RAISED ? this.#caught(this.#raised) : step;
      } catch (thrown) {
        reason = this.#caught(thrown);
      }
    }
    this.used = budget - state.budget;
    this.#addUnits(OFFSET.tsc, OFFSET.tscEnd, -state.budget);
    state.exitReason = reason;
    return reason;
  }

  /** The host has put the CPU into a mode that is not executed: nothing runs. */
  #refuse(mode: string): ExitReason {
    this.stopped = { what: `${mode} is not implemented`, hint: 'let the guest enter and stay in 64-bit mode' };
    this.used = 0;
    return EXIT.STOPPED;
  }

  exit(): Exit {
    return readExit(this.state);
  }

  /** Steps over the exited instruction: RIP, interrupt shadow, one unit of time (KVM: kvm_skip_emulated_instruction). */
  skip(): void {
    const { state } = this;
    this.#addUnits(OFFSET.rip, OFFSET.rip, state.exitLength);
    this.#addUnits(OFFSET.tsc, OFFSET.tsc, 1);
    state.shadow = 0;
    if (state.rflags & RFLAGS.TF) state.pendingDb = 1;
    this.mmu.fragments.drop();
  }

  /** Answers the access that exited; the next entry executes its instruction again with it. */
  complete(value: bigint): void {
    this.mmu.fragments.complete(value);
  }

  /** Delivers an event at the next entry. */
  inject({ type, vector, errorCode }: Injection): void {
    const { state } = this;
    state.entryEvent = interruption(EVENT_TYPES[type], vector, errorCode !== null);
    state.entryErrorCode = errorCode ?? 0;
    state.entryLength = state.exitLength;
  }

  /** An external interrupt could be delivered now. */
  interruptible(): boolean {
    const { state } = this;
    return (
      (state.rflags & RFLAGS.IF) !== 0 &&
      state.shadow === 0 &&
      state.pendingDb === 0 &&
      !isValid(state.entryEvent) &&
      !this.mmu.fragments.pending
    );
  }

  /** Goes on elsewhere: what the abandoned instruction had begun is forgotten. */
  setRip(rip: bigint): void {
    this.state.rip = rip;
    this.mmu.fragments.drop();
  }

  /** The host has written registers of the state block: views and translations follow, and fragments are forgotten. */
  registersReplaced(): void {
    this.#unrunnable = unrunnableMode(this.state);
    this.mmu.fragments.drop();
    this.mmu.translation.flushAll(false);
    this.mmu.selectViews();
  }

  readMsr(index: number): bigint | null {
    return readMsr(this, index);
  }
  writeMsr(index: number, value: bigint): boolean {
    return writeMsr(this, index, value);
  }

  /** to = from + units, for 64-bit fields by offset, without a bigint; units are fewer than 2^32 either way. */
  #addUnits(to: number, from: number, units: number): void {
    const u32 = this.#u32;
    const source = (this.state.base + from) >>> 2;
    const target = (this.state.base + to) >>> 2;
    const low = u32[source]! + units;
    const high = u32[source + 1]!;
    u32[target] = low;
    u32[target + 1] = low < 0 ? high - 1 : low > 0xffff_ffff ? high + 1 : high;
  }

  // Running

  /** One step of the run loop: an event, or generated code until it leaves. */
  #advance(): Step {
    const { state, controls } = this;
    if (state.activity !== 0) return EXIT.HLT;
    if (state.budget <= 0) return EXIT.BUDGET;
    const fragments = this.mmu.fragments.pending;
    // Fragments beside an event are those of its delivery, which exited and now goes on.
    if (isValid(state.entryEvent)) return this.#deliver(() => void deliverEntryEvent(this));
    if (!fragments) {
      if (state.pendingDb !== 0) return this.#deliver(() => deliverSingleStep(this));
      if (controls.interruptWindow && this.interruptible()) return this.#window(EXIT.INTERRUPT_WINDOW);
      if (controls.nmiWindow && state.nmiBlocked === 0 && state.shadow === 0) return this.#window(EXIT.NMI_WINDOW);
    }
    const block = this.#fetch.find();
    if (fragments || state.shadow !== 0 || (state.rflags & RFLAGS.TF) !== 0) return this.#runOne();
    return this.#runBlock(block);
  }

  #window(reason: ExitReason): ExitReason {
    this.state.exitLength = 0;
    return reason;
  }

  /** Delivers an event, which costs a unit. */
  #deliver(event: () => void): null {
    event();
    if (this.mmu.fragments.pending) this.mmu.fragments.drop();
    this.state.budget--;
    this.state.shadow = 0;
    return CONTINUE;
  }

  #remaining(record: number): number {
    return this.state.views.u16[(record + RECORD.remaining) >> 1]!;
  }

  #runBlock(found: number): Step {
    const { state } = this;
    const left = state.budget;
    const block = this.#remaining(found) > left ? this.#fetch.scratch(left) : found;
    state.budget = left - this.#remaining(block);
    return this.#run(block);
  }

  /** Exactly one instruction (one iteration of a REP), then what is due behind it. */
  #runOne(): Step {
    const { state } = this;
    const rest = state.budget - 1;
    const trap = (state.rflags & RFLAGS.TF) !== 0;
    state.shadow |= SHADOW_AGEING;
    if (trap) state.pendingDb = 1; // a delivery clears it: INT n does not trap
    this.#setRest(rest);
    let left: Step;
    try {
      state.budget = 0;
      left = this.#run(this.#fetch.scratch(1));
    } finally {
      this.#setRest(-rest);
      state.budget += rest;
      if (state.budget > rest) {
        state.shadow &= ~SHADOW_AGEING;
        state.pendingDb = 0;
      }
    }
    if (left !== CONTINUE) return left;
    if ((state.shadow & SHADOW_AGEING) !== 0) state.shadow = 0;
    this.mmu.fragments.drop();
    return CONTINUE;
  }

  /** Keeps `rest` units out of the budget, which generated code reckons time from. */
  #setRest(rest: number): void {
    this.#addUnits(OFFSET.tscEnd, OFFSET.tscEnd, -rest);
    this.state.aheadBelow = Math.max(this.state.aheadBelow - rest, -0x8000_0000);
  }

  #run(record: number): Step {
    const { state } = this;
    this.#fetch.enterPage();
    this.#running = true;
    this.#shared.run(this, record);
    this.#running = false;
    switch (state.status) {
      case STATUS.JUMP:
        this.#fetch.link(state.lastRecord);
        return CONTINUE;
      case STATUS.AHEAD:
        this.#undo(state.lastRecord);
        return EXIT.AHEAD;
      case STATUS.EXIT:
        state.budget += this.#remaining(state.lastRecord); // RIP is the record's already
        return state.exitReason as ExitReason;
      case STATUS.RESYNC:
        this.#undo(state.lastRecord);
        return CONTINUE;
      case STATUS.RAISED:
        state.pendingDb = 0;
        this.#undo(state.lastRecord);
        return RAISED;
      default:
        return CONTINUE;
    }
  }

  /** Takes back what was paid for a record and those behind it; RIP is the record's. */
  #undo(record: number): void {
    this.state.budget += this.#remaining(record);
    this.#fetch.setRip(record, 0);
  }

  #caught(thrown: unknown): ExitReason | null {
    const { state } = this;
    if (this.#running) {
      this.#running = false;
      state.pendingDb = 0;
      this.#undo(this.record);
    }
    if (thrown === guestFault) {
      if (state.budget <= 0) return EXIT.BUDGET; // delivery costs a unit: the instruction will fault again
      try {
        this.mmu.fragments.drop();
        return this.#deliver(() => deliverFault(this));
      } catch (second) {
        return this.#caught(second);
      }
    }
    state.shadow &= ~SHADOW_AGEING;
    if (thrown === exitSignal) return state.exitReason as ExitReason;
    if (thrown !== stopSignal) throw thrown;
    this.stopped = { what: stopSignal.what, hint: stopSignal.hint };
    return EXIT.STOPPED;
  }

  /** Keeps a signal that was thrown below generated code until that has left, with STATUS.RAISED. Always 0. */
  keep(thrown: unknown): 0 {
    if (thrown !== guestFault && thrown !== exitSignal && thrown !== stopSignal) throw thrown;
    this.#raised = thrown;
    return 0;
  }

  /** An exception without memory access: #DE, #UD or #GP(0). */
  raise(vector: number, record: number): void {
    this.record = record;
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
    const { state } = this;
    this.record = record;
    this.#fetch.setRip(record, 0);
    const shape = microcodeShape(state.views.u16[record >> 1]!);
    if (shape === null) return nameInstruction(state, this.mmu);
    if (shape.observesTime) this.#addUnits(OFFSET.tsc, OFFSET.tscEnd, -(state.budget + this.#remaining(record)));
    const operands = readOperands(state, record, shape, this.#operands);
    const outcome = shape.run(this, operands);
    if (outcome === 'next') return 0;
    if (outcome === 'exit') return STATUS.EXIT;
    if (outcome === 'end') this.#fetch.setRip(record, operands.length);
    state.budget += this.#remaining(record) - 1;
    return STATUS.MICROCODE;
  }
}

/** The operating mode by name when it is not 64-bit mode (SDM vol. 3, 2.2); null when it is. */
function unrunnableMode(state: CpuState): string | null {
  if ((state.cr0 & CR0.PE) === 0n) return 'real mode';
  if ((state.cr0 & CR0.PG) === 0n) return 'protected mode without paging';
  if ((state.efer & EFER.LMA) === 0n) return 'protected mode outside of long mode';
  return is64BitCode(segmentAttributes(state, SEGMENT.CS)) ? null : 'compatibility mode';
}
