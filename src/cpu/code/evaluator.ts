// The slow back end: runs records as generated code does, but evaluates the semantics with bigints, one instruction at a
// time, and reaches memory through the MMU's microcode entrance. It shares nothing with emit.ts but the protocol of records
// and state, and so is the debugger of what is generated (`npm run lockstep`).

import { constant, i32, i64, type Expr } from '../../wasm/expr.ts';
import type { Int, Type } from '../../wasm/types.ts';
import type { Flags, Width } from '../../x86/flags.ts';
import { describe } from '../../x86/places.ts';
import type { BackEnd, FaultName, MemoryCell, Register, Segment, StateField } from '../../x86/backEnd.ts';
import { PROCESSOR_CONTROLS, RFLAGS, SEGMENT, SHADOW } from '../../x86/names/registers.ts';
import { RSP } from '../../x86/semantics.ts';
import { ACCESS, type AccessKind } from '../memory/access.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { isRealMode } from '../segments/codeMode.ts';
import type { Cpu } from '../cpu.ts';
import { STATUS } from './status.ts';
import { evaluate } from './evaluate.ts';
import { raise } from '../fault.ts';
import { CLOSING, HANDLERS, SPECIAL, type Closing, type Handler } from './handlers.ts';
import { RECORD, RECORD_SIZE, SLOT_OFFSETS, registerOffset } from './records.ts';
import { STATE_FIELDS } from './stateFields.ts';
import { linearAddress } from '../segments/segmentation.ts';
import { segmentBase, segmentLimit } from '../segments/segments.ts';
import { JUMP_ENTRIES, LEGACY_JUMP, OFFSET, SEGMENT_SIZE, SHADOW_TIMED } from '../state.ts';
import { highWord, lowWord } from '../words.ts';

const LEAVE = 0;
/** Thrown where an instruction ends before its description does: `#next` is set. */
const ended = {};
const PAGE_MASK = 0xfffn;
const MASK32 = 0xffff_ffffn;

/** A memory operand. */
interface Place {
  readonly gva: bigint;
  readonly kind: AccessKind;
}

/**
 * Runs from a record on until something leaves: the counterpart of the generated `run`. `seen` is told the index of each
 * handler that is executed (`npm run profile`).
 */
export function evaluateRun(cpu: Cpu, from: number, seen?: (handler: number) => void): void {
  try {
    for (let record = from; record !== LEAVE; ) {
      const handler = cpu.state.views.u16[record >> 1]!;
      seen?.(handler);
      cpu.record = record;
      record = new Evaluator(cpu, record, HANDLERS[handler]!).step();
    }
  } catch (thrown) {
    cpu.guestMode.calls.keep(thrown);
    cpu.state.status = STATUS.RAISED;
    cpu.state.lastRecord = cpu.record;
  }
}

class Evaluator implements BackEnd {
  readonly addressWidth: Width;
  readonly #cpu: Cpu;
  readonly #record: number;
  readonly #handler: Handler;
  readonly #pending: (() => void)[] = [];
  #next: number | null = null;

  constructor(cpu: Cpu, record: number, handler: Handler) {
    this.#cpu = cpu;
    this.#record = record;
    this.#handler = handler;
    this.addressWidth = handler.addressWidth;
  }

  /** Executes the record; the record that follows, or 0 to leave. */
  step(): number {
    const { form } = this.#handler;
    if (form === null) return this.#special(this.#u16(0));
    if (form.row.observesTime && this.#unitsLeft() < this.#cpu.state.aheadBelow) return this.#leave(STATUS.AHEAD);
    if (!form.row.semantics) return this.#microcode();
    if (form.row.encoding.vex && isRealMode(this.#cpu.state)) raise.ud();
    try {
      describe(form, this);
    } catch (thrown) {
      if (thrown !== ended) throw thrown;
      return this.#next!;
    }
    if (this.#next !== null) return this.#next;
    this.#commit();
    return this.#record + RECORD_SIZE;
  }

  #special(handler: number): number {
    switch (handler) {
      case SPECIAL.RESYNC:
        return this.#leave(STATUS.RESYNC);
      case SPECIAL.SPIN:
        return this.#record + RECORD_SIZE;
      case this.#closing.FALL_THROUGH:
        return this.#follow(this.#i32(RECORD.taken), this.#rip(0));
      case this.#closing.ATTEND:
        if (this.#isInterruptDue()) return this.#cpu.guestMode.calls.attend(this.#record);
        return this.#follow(this.#i32(RECORD.taken), this.#rip(0));
      case this.#closing.STOP:
        return this.#leaveAt(STATUS.BUDGET, this.#rip(0));
      case SPECIAL.INVALID_OPCODE:
        return raise.ud();
      case SPECIAL.TOO_LONG:
        return raise.gp(0);
      default:
        return this.#microcode();
    }
  }
  #isInterruptDue(): boolean {
    const { processorControls, rvi, rflags } = this.#cpu.state;
    const isAwaited = (processorControls & PROCESSOR_CONTROLS.INTERRUPT_WINDOW) !== 0 || rvi !== 0;
    return isAwaited && (rflags & RFLAGS.IF) !== 0;
  }
  #microcode(): number {
    return this.#cpu.guestMode.calls.microcode(this.#record);
  }

  // Record and state

  #u16(offset: number): number {
    return this.#cpu.state.views.u16[(this.#record + offset) >> 1]!;
  }
  #i32(offset: number): number {
    return this.#cpu.state.views.i32[(this.#record + offset) >> 2]!;
  }
  #field(offset: number): bigint {
    return this.#cpu.state.views.data.getBigUint64(this.#cpu.state.base + offset, true);
  }
  #byte(offset: number): number {
    return this.#cpu.state.views.u8[this.#record + offset]!;
  }
  get #closing(): Readonly<Record<Closing, number>> {
    return CLOSING[this.#handler.environment];
  }
  #rip(extra: number): bigint {
    return BigInt.asUintN(
      this.#isLong ? 64 : 32,
      this.#cpu.state.ripPage + BigInt(this.#u16(RECORD.ripOffset) + extra),
    );
  }
  get #isLong(): boolean {
    return this.#handler.environment === 'long';
  }
  #unitsLeft(): number {
    return this.#cpu.state.budget + this.#u16(RECORD.remaining);
  }

  let<T extends Type>(value: Expr<T>): Expr<T> {
    return constant(value.type as Int, evaluate(value)) as Expr<Type> as Expr<T>;
  }

  #offsetOf(register: Register): number {
    return 'fixed' in register ? registerOffset(register.fixed) : this.#u16(SLOT_OFFSETS[register.slot]!);
  }
  register(register: Register, width: Width): Expr<Int> {
    const value = BigInt.asUintN(width, this.#field(this.#offsetOf(register)));
    return width === 64 ? i64(value) : constant('i32', value);
  }
  setRegister(register: Register, width: Width, value: Expr<Int>): void {
    this.#hold(this.#offsetOf(register), width >= 32 ? 8 : width / 8, BigInt.asUintN(width, evaluate(value)));
  }
  /** Stores the low bytes of a value in the state block, once the instruction commits. */
  #hold(offset: number, bytes: number, value: bigint): void {
    const { views, base } = this.#cpu.state;
    const at = base + offset;
    this.#pending.push(() => {
      for (let byte = 0; byte < bytes; byte++) views.u8[at + byte] = Number((value >> BigInt(8 * byte)) & 0xffn);
    });
  }
  immediate(): Expr<'i64'> {
    return i64(this.#cpu.state.views.data.getBigUint64(this.#record + RECORD.imm, true));
  }
  registerNumber(slot: number): Expr<'i32'> {
    return i32(this.#u16(SLOT_OFFSETS[slot]!));
  }
  immediate2(): Expr<'i32'> {
    return i32(this.#u16(RECORD.slot2));
  }
  stateField(name: StateField): Expr<'i64'> {
    const { offset, bytes } = STATE_FIELDS[name];
    return i64(BigInt.asUintN(8 * bytes, this.#field(offset)));
  }
  setStateField(name: StateField, value: Expr<'i64'>): void {
    const { offset, bytes } = STATE_FIELDS[name];
    this.#hold(offset, bytes, evaluate(value));
  }

  // Memory

  effectiveAddress(): Expr<'i64'> {
    const index = this.#field(this.#u16(RECORD.index)) << BigInt(this.#byte(RECORD.scale) & 3);
    const address = this.#field(this.#u16(RECORD.base)) + index + BigInt(this.#i32(RECORD.disp));
    return i64(this.#wrap(BigInt.asUintN(64, address)));
  }
  wrapAddress(address: Expr<'i64'>): Expr<'i64'> {
    return i64(this.#wrap(evaluate(address)));
  }
  #wrap(address: bigint): bigint {
    return address & this.#field(OFFSET.addressMask + 8 * (this.#byte(RECORD.scale) >> 6));
  }
  baseIsStackPointer(): Expr<'i32'> {
    return i32(this.#u16(RECORD.base) === registerOffset(RSP) ? 1 : 0);
  }
  wrapStack(offset: Expr<'i64'>): Expr<'i64'> {
    const value = evaluate(offset);
    return i64(this.#isLong ? value : value & this.#cpu.state.stackMask);
  }
  setStackPointer(top: Expr<'i64'>): void {
    const kept = this.#isLong ? 0n : this.#field(registerOffset(RSP)) & (this.#cpu.state.stackMask ^ MASK32);
    this.setRegister({ fixed: RSP }, 64, i64(kept | evaluate(top)));
  }

  #place(address: Expr<'i64'>, bytes: number, segment: Segment, intent: 'read' | 'write'): Place {
    const kind = segment === 'stack' ? 'stack' : 'data';
    const offset = evaluate(address);
    if (this.#isLong) {
      const segmented = this.#handler.memory === 's' && segment === 'operand';
      const base = segmented ? this.#field(this.#u16(RECORD.segment)) : 0n;
      return { gva: BigInt.asUintN(64, offset + base), kind };
    }
    const own = (this.#u16(RECORD.segment) - OFFSET.segments) / SEGMENT_SIZE;
    const register = { operand: own, es: SEGMENT.ES, stack: SEGMENT.SS }[segment];
    return { gva: linearAddress(this.#cpu.state, register, offset, bytes, intent), kind };
  }
  #read(gva: bigint, bytes: number, kind: AccessKind): Expr<Int> {
    this.#watch(gva, bytes);
    return constant(bytes === 8 ? 'i64' : 'i32', this.#cpu.mmu.read(gva, bytes, kind));
  }
  load(address: Expr<'i64'>, bytes: number, segment: Segment): Expr<Int> {
    const { gva, kind } = this.#place(address, bytes, segment, 'read');
    return this.#read(gva, bytes, kind);
  }
  open(address: Expr<'i64'>, bytes: number, segment: Segment): MemoryCell {
    const { gva, kind } = this.#place(address, bytes, segment, 'write');
    this.#watch(gva, bytes | ACCESS.WRITE);
    this.#cpu.mmu.probe(gva, bytes, 'write', kind);
    return {
      value: this.#read(gva, bytes, kind),
      store: (value) => this.#cpu.mmu.write(gva, bytes, evaluate(value), kind),
    };
  }
  store(address: Expr<'i64'>, bytes: number, segment: Segment, value: Expr<Int>): void {
    const { gva, kind } = this.#place(address, bytes, segment, 'write');
    this.#watch(gva, bytes | ACCESS.WRITE);
    this.#cpu.mmu.write(gva, bytes, evaluate(value), kind);
  }
  #watch(gva: bigint, access: number): void {
    const { breakpoints } = this.#cpu;
    if (breakpoints.watching) breakpoints.checkAccess(lowWord(gva), highWord(gva), access);
  }

  // Flags

  flags(): Flags {
    const { flagCarry, flagResult, flagAux } = this.#cpu.state;
    return { carry: i32(flagCarry), result: i64(flagResult), aux: i64(flagAux) };
  }
  setFlags(flags: Flags, when?: Expr<'i32'>): void {
    if (when && evaluate(when) === 0n) return;
    const carry = Number(evaluate(flags.carry));
    const result = evaluate(flags.result);
    const aux = evaluate(flags.aux);
    this.#pending.push(() => Object.assign(this.#cpu.state, { flagCarry: carry, flagResult: result, flagAux: aux }));
  }
  systemFlags(): Expr<'i32'> {
    return i32(this.#cpu.state.rflags);
  }
  setSystemFlags(value: Expr<'i32'>): void {
    const stored = Number(evaluate(value));
    this.#pending.push(() => (this.#cpu.state.rflags = stored));
  }

  // Time, faults, control

  tsc(): Expr<'i64'> {
    return i64(this.#cpu.state.tscEnd - BigInt(this.#unitsLeft()));
  }
  microcodeIf(when: Expr<'i32'>): void {
    if (evaluate(when) === 0n) return;
    this.#next = this.#microcode();
    throw ended;
  }
  /** Nothing is: so lockstep compares microcode with what goes without it. */
  atHand(): never {
    this.#next = this.#microcode();
    throw ended;
  }
  shadowIf(when: Expr<'i32'>): void {
    if (evaluate(when) === 0n) return;
    const { state } = this.#cpu;
    this.#pending.push(() => {
      state.shadow |= SHADOW.STI | SHADOW_TIMED;
      state.shadowEnd = this.#unitsLeft() - 1;
    });
  }
  attendsLater(): Expr<'i32'> {
    return i32(this.#byte(RECORD.attendsLater));
  }
  attendIf(when: Expr<'i32'>): void {
    const attends = evaluate(when) !== 0n;
    this.#commit();
    this.#next = attends ? this.#leave(STATUS.END) : this.#record + RECORD_SIZE;
  }
  faultIf(when: Expr<'i32'>, fault: FaultName): void {
    if (evaluate(when) === 0n) return;
    if (fault === 'de') raise.de();
    if (fault === 'br') raise.br();
    if (fault === 'ud') raise.ud();
    raise.gp(0);
  }
  checkTarget(target: Expr<'i64'>): void {
    const rip = evaluate(target);
    const refused = this.#isLong ? !isCanonicalAddress(rip) : rip > segmentLimit(this.#cpu.state, SEGMENT.CS);
    if (refused) raise.gp(0);
  }
  nextRip(): Expr<'i64'> {
    return i64(this.#rip(this.#byte(RECORD.length)));
  }
  relativeTarget(): Expr<'i64'> {
    const target = this.#rip(this.#byte(RECORD.length) + this.#i32(RECORD.imm));
    return i64(!this.#isLong && this.#handler.form!.width === 16 ? target & 0xffffn : target);
  }
  jump(target: Expr<'i64'>, attends?: Expr<'i32'>): void {
    const rip = evaluate(target);
    const leaves = attends !== undefined && evaluate(attends) !== 0n;
    this.#commit();
    this.#next = leaves ? this.#leaveAt(STATUS.JUMP, rip) : this.#jump(rip);
  }
  branch(when?: Expr<'i32'>): void {
    const taken = when === undefined || evaluate(when) !== 0n;
    const target = evaluate(taken ? this.relativeTarget() : this.nextRip());
    if (taken && !this.#isLong) this.checkTarget(i64(target));
    this.#commit();
    this.#next = this.#follow(this.#i32(taken ? RECORD.taken : RECORD.fallThrough), target);
  }
  repeatIf(when: Expr<'i32'>): void {
    const again = evaluate(when) !== 0n;
    this.#commit();
    if (!again) this.#next = this.#record + RECORD_SIZE;
    else if (this.#cpu.state.budget <= 0) this.#next = this.#leaveAt(STATUS.BUDGET, this.#rip(0));
    else {
      this.#cpu.state.budget--;
      this.#next = this.#record;
    }
  }
  skipIf(when: Expr<'i32'>): void {
    if (evaluate(when) === 0n) return;
    this.#next = this.#record + RECORD_SIZE;
    throw ended;
  }

  #commit(): void {
    for (const store of this.#pending) store();
  }
  #leave(status: number): number {
    this.#cpu.state.status = status;
    this.#cpu.state.lastRecord = this.#record;
    return LEAVE;
  }
  #leaveAt(status: number, rip: bigint): number {
    this.#cpu.state.rip = rip;
    return this.#leave(status);
  }
  #follow(block: number, target: bigint): number {
    if (block !== 0) return this.#enter(block, target);
    const distance = BigInt.asUintN(this.#isLong ? 64 : 32, target - this.#cpu.state.ripPage);
    if (distance <= PAGE_MASK) return this.#leaveAt(STATUS.JUMP, target);
    return this.#jump(target);
  }
  #jump(target: bigint): number {
    const { views, jumpCache } = this.#cpu.state;
    const entry = jumpCache + Number(target & BigInt(JUMP_ENTRIES - 1)) * 16;
    const tag = this.#isLong ? target : target | LEGACY_JUMP;
    if (views.data.getBigUint64(entry, true) !== tag) return this.#leaveAt(STATUS.JUMP, target);
    const base = this.#isLong ? 0n : segmentBase(this.#cpu.state, SEGMENT.CS);
    this.#cpu.state.ripPage = BigInt.asUintN(this.#isLong ? 64 : 32, target - ((target + base) & PAGE_MASK));
    return this.#enter(views.i32[(entry + 8) >> 2]!, target);
  }
  #enter(block: number, target: bigint): number {
    const left = this.#cpu.state.budget - this.#cpu.state.views.u16[(block + RECORD.remaining) >> 1]!;
    if (left < 0) return this.#leaveAt(STATUS.BUDGET, target);
    this.#cpu.state.budget = left;
    return block;
  }
}
