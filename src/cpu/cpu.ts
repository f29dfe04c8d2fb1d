// One logical CPU, as a hypervisor handles it: entry and exit, injection, registers. It knows no hypervisor; what exits is said
// by its controls. What happens in guest mode: guestMode.ts.

import { DR6, RFLAGS } from '../x86/names/registers.ts';
import { VECTOR } from '../x86/names/vectors.ts';
import type { Arena } from './memory/arena.ts';
import type { Blocks } from './code/blocks.ts';
import { selectCodeMode } from './segments/codeMode.ts';
import { Controls } from './controls.ts';
import { EXIT, type Exit, type ExitReason } from './exit.ts';
import { guestFault } from './fault.ts';
import { featuresOf, type CpuidResult, type Features } from './features.ts';
import { GuestMode, type Runnable, type Stopped } from './guestMode.ts';
import { EVENT_TYPE, interruption, isValid, type EventType } from './events/interruption.ts';
import type { MemoryContext } from './memory/memoryContext.ts';
import type { PhysicalMsrs } from './microcode/microcode.ts';
import { Mmu } from './memory/mmu.ts';
import { ACCESS } from './memory/access.ts';
import { codeAt, linearAddress } from './segments/segmentation.ts';
import { readMsr, writeMsr } from './msrs.ts';
import type { Trip } from './code/knownExits.ts';
import { RECORD } from './code/records.ts';
import type { SecondStage } from './memory/secondStage.ts';
import { OFFSET, SEGMENT_SIZE, SEGMENTS, stateAt, type CpuState } from './state.ts';
import type { Views } from './layout.ts';
import { Settling } from './settling.ts';
import { addUnits } from './units.ts';
import { virtualizePpr } from './virtualApic.ts';
import { readExit, stepOver } from './vmexit.ts';
import { highWord, lowWord } from './words.ts';

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

const SINGLE_STEP = Number(DR6.BS);
const STACK_SEGMENT = OFFSET.segments + SEGMENT_SIZE * SEGMENTS.indexOf('ss');
/** A look-up by name would be one of many names, which V8 does not inline. */
function eventType(type: Injection['type']): EventType {
  if (type === 'external') return EVENT_TYPE.EXTERNAL;
  if (type === 'exception') return EVENT_TYPE.EXCEPTION;
  return type === 'nmi' ? EVENT_TYPE.NMI : EVENT_TYPE.SOFT_INTERRUPT;
}

export class Cpu implements Runnable, MemoryContext {
  readonly id: number;
  readonly state: CpuState;
  readonly arena: Arena;
  readonly secondStage: SecondStage;
  controls = new Controls();
  readonly mmu: Mmu;
  readonly guestMode: GuestMode;
  /** Units of the last `grant`. */
  granted = 0;
  /** Units used since the last `grant`, as `run` and an exit in place tell them. */
  used = 0;
  /** Serves exits in place (code/calls.ts); null: each ends `run`. */
  serveExit: ((reason: ExitReason) => boolean) | null = null;
  trip: Trip | null = null;
  watched = false;
  /** How often an exit recurred since the last `grant`, and the units used when the last of them happened. */
  recurred = 0;
  recurredAt = 0;
  readonly settling = new Settling();
  /** Why `run` last returned STOPPED. */
  stopped: Stopped | null = null;
  /** The record under execution, while a slow path or microcode runs. */
  record = 0;
  /** What guest code reaches of the physical CPU, where the MSR bitmaps let it. */
  physicalMsrs: PhysicalMsrs | null = null;
  /** Answers CPUID where it does not exit. */
  cpuid: (leaf: number, subleaf: number) => CpuidResult = () => ({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
  readonly #shared: Shared;
  #features: Features = featuresOf([]);

  constructor(id: number, base: number, shared: Shared) {
    this.id = id;
    this.#shared = shared;
    this.arena = shared.arena;
    this.secondStage = shared.secondStage;
    const state = (this.state = stateAt(shared.views, base));
    state.pageUnit = 4096n;
    [~0n, 0xffff_ffffn, 0xffffn].forEach(
      (mask, i) => (shared.views.u64[(state.at('addressMask') >> 3) + i] = BigInt.asUintN(64, mask)),
    );
    state.rflags = RFLAGS.FIXED;
    this.mmu = new Mmu(this);
    this.guestMode = new GuestMode(this, shared.blocks, (record) => shared.run(this, record));
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
  get breakpoints(): Mmu['breakpoints'] {
    return this.mmu.breakpoints;
  }
  usesStackSegment(record: number): boolean {
    return this.state.views.u16[(record + RECORD.segment) >> 1] === STACK_SEGMENT;
  }

  /** What generated code asks of an access beyond a segment's plain bounds: 1, or raises. `register`: its state offset. */
  checkSegment(register: number, offset: number, access: number, record: number): 1 {
    this.record = record;
    const segment = (register - OFFSET.segments) / SEGMENT_SIZE;
    const intent = (access & ACCESS.WRITE) !== 0 ? 'write' : 'read';
    linearAddress(this.state, segment, BigInt(offset >>> 0), access & ACCESS.SIZE, intent);
    return 1;
  }

  // What a hypervisor does with it

  /** `grant` and `run`. */
  enter(budget: number, horizon: number): ExitReason {
    this.grant(budget, horizon);
    return this.run();
  }

  /** VM entry: `run` may use `budget` units, and observe time until more than `horizon` of them are used. */
  grant(budget: number, horizon: number): void {
    const { state } = this;
    this.granted = budget;
    this.settling.forbid();
    state.budget = budget;
    state.aheadBelow = Math.max(budget - horizon, -0x8000_0000);
    addUnits(state, OFFSET.tscEnd, OFFSET.tsc, budget);
    this.mmu.fragments.resetReplay();
    state.vectoringEvent = 0;
    state.spinRecord = 0;
    state.recurRecord = 0;
    state.recurCount = 0;
    state.processorControls = this.controls.processorControls;
    const { virtualApic } = this.controls;
    if (virtualApic !== null) virtualizePpr(state, virtualApic);
  }

  /**
   * Runs guest code until exactly the units granted are used, a VM exit, or (AHEAD) an instruction that observes time past
   * the horizon. Returns the reason; `used` and `state.tsc` tell the units.
   */
  run(): ExitReason {
    const reason = this.guestMode.run();
    if (reason === EXIT.SERVED) this.used = this.recurred = 0;
    else this.leave(reason);
    return reason;
  }

  /** Makes a trip again from where so many units are left; false: it would be another one. */
  repeat(trip: Trip, left: number): boolean {
    if (!trip.repeat(this.granted - left)) return false;
    this.settling.forbid();
    this.state.processorControls = this.controls.processorControls;
    return true;
  }

  /**
   * An instruction observes time past the horizon, with `rest` units to pay up to the end of its block, which were given back. True:
   * the others would only be brought up to it, so it may, and `rest` is paid again; nothing else than a grant is different.
   */
  settleAgain(rest: number): boolean {
    const { state, settling } = this;
    const used = this.granted - state.budget;
    if (used > settling.until || state.recurCount !== 0) return false;
    const horizon = used + settling.lead;
    const end = Math.min(settling.end, horizon + settling.quantum);
    if (end - used < rest) return false;
    addUnits(state, OFFSET.tscEnd, OFFSET.tscEnd, end - this.granted);
    this.granted = end;
    state.spinRecord = 0;
    state.budget = end - used - rest;
    state.aheadBelow = end - Math.min(horizon, end);
    this.mmu.fragments.resetReplay();
    state.vectoringEvent = 0;
    settling.at = used;
    return true;
  }

  /** Guest mode ends here: tells the units used since `grant`. */
  leave(reason: ExitReason): void {
    const { state } = this;
    this.used = this.granted - state.budget;
    this.recurred = state.recurCount;
    this.recurredAt = this.granted - state.recurLast - 1;
    addUnits(state, OFFSET.tsc, OFFSET.tscEnd, -state.budget);
    state.exitReason = reason;
  }

  exit(): Exit {
    return readExit(this.state);
  }

  /** Steps over the exited instruction: RIP, interrupt shadow, one unit of time (KVM: kvm_skip_emulated_instruction). */
  skip(): void {
    const { state } = this;
    stepOver(state);
    addUnits(state, OFFSET.tsc, OFFSET.tsc, 1);
    const { rflags } = state;
    if ((rflags & RFLAGS.RF) !== 0) state.rflags = rflags & ~RFLAGS.RF;
    if ((rflags & RFLAGS.TF) !== 0) state.pendingDb |= SINGLE_STEP;
    this.mmu.fragments.drop();
  }

  /** Answers the access that exited; the next entry executes its instruction again with it. */
  complete(value: bigint | number): void {
    this.mmu.fragments.complete(value);
  }

  /** An instruction waits for the rest of its device accesses, or for being executed again with all of them. */
  get halfway(): boolean {
    return this.mmu.fragments.pending;
  }

  /** Code at RIP, as an onlooker reads it; null where that many bytes cannot be fetched. */
  codeAtRip(length: number): Uint8Array | null {
    return this.mmu.peek(codeAt(this.state, this.state.rip).linear, length);
  }

  /** The guest physical address of a linear one, by the page tables as they stand; null where they have none. */
  translate(linear: bigint): bigint | null {
    return this.mmu.translation.peek(lowWord(linear), highWord(linear));
  }

  /** Overwrites code at RIP as a store of the guest would; the #PF that it raises instead. */
  patchCodeAtRip(bytes: Uint8Array): { readonly address: bigint; readonly errorCode: number } | null {
    const { linear } = codeAt(this.state, this.state.rip);
    try {
      this.mmu.probe(linear, bytes.length, 'write', 'data');
      for (const [i, byte] of bytes.entries()) this.mmu.write(linear + BigInt(i), 1, BigInt(byte), 'data');
      return null;
    } catch (thrown) {
      if (thrown !== guestFault || guestFault.vector !== VECTOR.PF) throw thrown;
      return { address: guestFault.address, errorCode: guestFault.errorCode ?? 0 };
    }
  }

  /** Delivers an event at the next entry. */
  inject({ type, vector, errorCode }: Injection): void {
    const { state } = this;
    state.entryEvent = interruption(eventType(type), vector, errorCode !== null);
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
    selectCodeMode(this.state);
    this.mmu.fragments.drop();
    this.mmu.breakpointsChanged();
    this.mmu.translation.flushAll(false);
    this.mmu.selectViews();
  }

  flushTlb(): void {
    this.mmu.translation.flushAll(false);
  }

  readMsr(index: number): bigint | null {
    return readMsr(this, index);
  }
  writeMsr(index: number, value: bigint): boolean {
    return writeMsr(this, index, value);
  }
}
