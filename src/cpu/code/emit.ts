// The interpreter's back end: semantics become the WebAssembly body of a handler. It knows where records and the state
// block keep things, how an access goes through a TLB view, and how a handler passes control on.

import { type Expr, i32, load, select } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import { call } from '../../wasm/module.ts';
import type { Int, Type } from '../../wasm/types.ts';
import type { Flags, Width } from '../../x86/flags.ts';
import type { Form } from '../../x86/forms.ts';
import type { BackEnd, FaultName, MemoryCell, Register, Segment, StateField } from '../../x86/backEnd.ts';
import { RSP } from '../../x86/semantics.ts';
import { CR0, PROCESSOR_CONTROLS, RFLAGS, SHADOW } from '../../x86/names/registers.ts';
import { VECTOR } from '../../x86/names/vectors.ts';
import type { Environment } from '../segments/codeMode.ts';
import { AddressEmitter, type MemoryShape } from './emitAddress.ts';
import { ControlEmitter, type Flow } from './emitControl.ts';
import { emitRecurrence } from './emitRecurrence.ts';
import type { ByCall, Rare } from './imports.ts';
import { RECORD, SLOT_OFFSETS, registerOffset } from './records.ts';
import { OFFSET, SHADOW_TIMED } from '../state.ts';
import { STATE_FIELDS } from './stateFields.ts';
import { STATUS } from './status.ts';
import { emitManyIterations } from './manyIterations.ts';
import { ViewAccess } from './viewAccess.ts';

/** What generated code of a handler takes for granted, and what it is given to work with. */
export interface HandlerSite {
  readonly environment: Environment;
  readonly memory: MemoryShape;
  readonly addressWidth: Width;
  /** Bits of the operation: outside 64-bit mode, near branches cut EIP to them. */
  readonly operandWidth: number;
  /** Place in the record for the block that a jump went to last. */
  readonly lastBlock: number;
  readonly record: Expr<'i32'>;
  readonly state: Expr<'i32'>;
}

export class HandlerBackEnd implements BackEnd {
  readonly addressWidth: Width;
  readonly #fn: FunctionBuilder;
  readonly #rare: Rare;
  readonly #site: HandlerSite;
  readonly #record: Expr<'i32'>;
  readonly #state: Expr<'i32'>;
  readonly #addresses: AddressEmitter;
  readonly #memory: ViewAccess;
  readonly #control: ControlEmitter;
  #pending: (() => void)[] = [];
  #committed = false;
  #ended = false;

  constructor(fn: FunctionBuilder, rare: Rare, flow: Flow, site: HandlerSite) {
    const { environment, memory, operandWidth, record, state } = site;
    this.#fn = fn;
    this.#rare = rare;
    this.#site = site;
    this.addressWidth = site.addressWidth;
    this.#record = record;
    this.#state = state;
    const leave = (): void => this.#control.leave(STATUS.RAISED);
    this.#control = new ControlEmitter(fn, flow, environment, operandWidth, site.lastBlock, record, state);
    this.#addresses = new AddressEmitter(fn, rare, environment, memory, record, state, leave);
    this.#memory = new ViewAccess(fn, rare, record, state, leave);
  }

  let<T extends Type>(value: Expr<T>): Expr<T> {
    return value.node.kind === 'local' ? value : this.#fn.let(value);
  }

  // Record and state

  #u16(offset: number): Expr<'i32'> {
    return load('i32', 2, this.#record, offset);
  }
  #field<T extends Int>(type: T, bytes: number, offset: number): Expr<T> {
    return load(type, bytes, this.#state, offset);
  }
  #slotAddress(slot: number): Expr<'i32'> {
    return this.#state.add(this.#u16(SLOT_OFFSETS[slot]!));
  }
  register(register: Register, width: Width): Expr<Int> {
    const bytes = width / 8;
    const type = width === 64 ? 'i64' : 'i32';
    return 'fixed' in register
      ? this.#field(type, bytes, registerOffset(register.fixed))
      : load(type, bytes, this.#slotAddress(register.slot));
  }
  setRegister(register: Register, width: Width, value: Expr<Int>): void {
    const held = this.let(width === 32 ? value.wrap().zext() : value);
    const bytes = width >= 32 ? 8 : width / 8;
    this.#pending.push(() => {
      if ('fixed' in register) this.#fn.store(bytes, this.#state, held, registerOffset(register.fixed));
      else this.#fn.store(bytes, this.#slotAddress(register.slot), held);
    });
  }
  registerNumber(slot: number): Expr<'i32'> {
    return this.#u16(SLOT_OFFSETS[slot]!);
  }
  immediate(): Expr<'i64'> {
    return load('i64', 8, this.#record, RECORD.imm);
  }
  immediate2(): Expr<'i32'> {
    return this.#u16(RECORD.slot2);
  }
  stateField(name: StateField): Expr<'i64'> {
    const { offset, bytes } = STATE_FIELDS[name];
    return this.#field('i64', bytes, offset);
  }
  setStateField(name: StateField, value: Expr<'i64'>): void {
    const { offset, bytes } = STATE_FIELDS[name];
    const held = this.let(value);
    this.#pending.push(() => this.#fn.store(bytes, this.#state, held, offset));
  }

  // Addresses and memory

  effectiveAddress(): Expr<'i64'> {
    return this.#addresses.effective();
  }
  wrapAddress(address: Expr<'i64'>): Expr<'i64'> {
    return this.#addresses.wrap(address);
  }
  baseIsStackPointer(): Expr<'i32'> {
    return this.#u16(RECORD.base).eq(i32(registerOffset(RSP)));
  }
  wrapStack(offset: Expr<'i64'>): Expr<'i64'> {
    return this.#addresses.wrapStack(offset);
  }
  setStackPointer(top: Expr<'i64'>): void {
    this.setRegister({ fixed: RSP }, 64, this.#addresses.stackPointer(top));
  }

  load(address: Expr<'i64'>, bytes: number, segment: Segment): Expr<Int> {
    this.#notCommitted();
    return this.#memory.load(this.#addresses.linear(address, bytes, segment, 'read'), bytes, segment);
  }
  open(address: Expr<'i64'>, bytes: number, segment: Segment): MemoryCell {
    this.#notCommitted();
    const linear = this.#addresses.linear(address, bytes, segment, 'write');
    const { value, store } = this.#memory.open(linear, bytes, segment);
    return {
      value,
      store: (stored) => {
        this.#notCommitted();
        store(stored);
      },
    };
  }
  store(address: Expr<'i64'>, bytes: number, segment: Segment, value: Expr<Int>): void {
    this.#notCommitted();
    this.#memory.store(this.#addresses.linear(address, bytes, segment, 'write'), bytes, segment, value);
  }
  #notCommitted(): void {
    if (this.#committed) throw new Error('a memory access or a way out after results were stored');
  }

  // Flags

  flags(): Flags {
    return {
      carry: this.#field('i32', 4, OFFSET.flagCarry),
      result: this.#field('i64', 8, OFFSET.flagResult),
      aux: this.#field('i64', 8, OFFSET.flagAux),
    };
  }
  setFlags(flags: Flags, when?: Expr<'i32'>): void {
    const carry = this.let(flags.carry);
    const result = this.let(flags.result);
    const aux = this.let(flags.aux);
    const condition = when && this.let(when);
    this.#pending.push(() => {
      const store = (): void => {
        this.#fn.store(4, this.#state, carry, OFFSET.flagCarry);
        this.#fn.store(8, this.#state, result, OFFSET.flagResult);
        this.#fn.store(8, this.#state, aux, OFFSET.flagAux);
      };
      if (condition) this.#fn.if(condition, store);
      else store();
    });
  }
  systemFlags(): Expr<'i32'> {
    return this.#field('i32', 4, OFFSET.rflags);
  }
  setSystemFlags(value: Expr<'i32'>): void {
    const held = this.let(value);
    this.#pending.push(() => this.#fn.store(4, this.#state, held, OFFSET.rflags));
  }

  // Time and faults

  #unitsLeft(): Expr<'i32'> {
    return this.#field('i32', 4, OFFSET.budget).add(this.#u16(RECORD.remaining));
  }
  tsc(): Expr<'i64'> {
    return this.#field('i64', 8, OFFSET.tscEnd).sub(this.#unitsLeft().zext());
  }
  /** An instruction that observes time past the horizon leaves, undone, unless it may do so after all. First. */
  leaveIfAhead(): void {
    const ahead = this.#unitsLeft().ltS(this.#field('i32', 4, OFFSET.aheadBelow));
    this.#fn.if(ahead, () => {
      if (typeof this.#rare === 'function') return this.#leaveUndone(this.#rare);
      const status = this.#fn.let(call<'i32'>(this.#rare.ahead, 'i32', [this.#record]));
      this.#fn.if(status, () => this.#control.leave(status));
    });
  }
  /** #UD in real mode, which does not know VEX (SDM vol. 2, ANDN and 2.5.1). First. */
  requireProtectedMode(): void {
    const protectedMode = this.#field('i32', 4, OFFSET.cr0).and(i32(Number(CR0.PE)));
    this.faultIf(protectedMode.eqz(), 'ud');
  }
  microcodeIf(when: Expr<'i32'>): void {
    this.#fn.if(when, () => this.#callMicrocode());
  }
  atHand(address: Expr<'i64'>, bytes: number, segment: 'stack' | 'system'): (offset: number) => Expr<'i64'> {
    this.#notCommitted();
    const linear = segment === 'system' ? address : this.#addresses.linear(address, bytes, segment, 'read');
    const host = this.#memory.direct(linear, bytes, 'read', segment === 'system' ? OFFSET.systemView : OFFSET.dataView);
    this.microcodeIf(host.eqz());
    return (offset) => this.#fn.let(load('i64', 8, host, offset));
  }
  shadowIf(when: Expr<'i32'>): void {
    const held = this.let(when);
    const shadow = this.#field('i32', 1, OFFSET.shadow).or(i32(SHADOW.STI | SHADOW_TIMED));
    this.#pending.push(() =>
      this.#fn.if(held, () => {
        this.#fn.store(1, this.#state, shadow, OFFSET.shadow);
        this.#fn.store(4, this.#state, this.#unitsLeft().sub(i32(1)), OFFSET.shadowEnd);
      }),
    );
  }
  attendsLater(): Expr<'i32'> {
    return load('i32', 1, this.#record, RECORD.attendsLater);
  }
  attendIf(when: Expr<'i32'>): void {
    const held = this.let(when);
    this.#commit();
    this.#ended = true;
    this.#fn.if(held, () => this.#control.leave(STATUS.END));
    this.#control.next();
  }
  faultIf(when: Expr<'i32'>, fault: FaultName): void {
    const vector = { de: VECTOR.DE, br: VECTOR.BR, ud: VECTOR.UD, gp: VECTOR.GP }[fault];
    this.#fn.if(when, () => this.#raise(vector));
  }
  checkTarget(target: Expr<'i64'>): void {
    const refused = this.#control.isRefused(target);
    if (refused) this.faultIf(refused, 'gp');
  }

  // Control

  nextRip(): Expr<'i64'> {
    return this.#control.nextRip();
  }
  relativeTarget(): Expr<'i64'> {
    return this.#control.relativeTarget();
  }
  #commit(): void {
    this.#committed = true;
    const pending = this.#pending;
    this.#pending = [];
    for (const store of pending) store();
  }

  jump(target: Expr<'i64'>, attends?: Expr<'i32'>): void {
    const held = attends && this.let(attends);
    this.#commit();
    this.#ended = true;
    this.#control.jump(this.let(target), held);
  }
  branch(when?: Expr<'i32'>): void {
    const taken = when && this.let(when);
    if (this.#site.environment === 'segmented') {
      const refused = this.#control.isRefused(this.let(this.relativeTarget()))!;
      this.faultIf(taken ? refused.and(taken) : refused, 'gp');
    }
    this.#commit();
    this.#ended = true;
    this.#control.branch(taken);
  }
  /** The end of a block that no branch ended. */
  fallThrough(): void {
    this.#ended = true;
    this.#control.fallThrough();
  }

  repeatIf(when: Expr<'i32'>): void {
    const again = this.let(when);
    this.#commit();
    this.#ended = true;
    this.#repeatOrGoOn(again);
  }
  #repeatOrGoOn(again: Expr<'i32'>): void {
    this.#fn.if(again, () => this.#control.again());
    this.#control.next();
  }
  repeatAtOnce(bytes: number, value?: Expr<Int>): void {
    if (this.#site.memory === 's') return;
    const wrap = (address: Expr<'i64'>): Expr<'i64'> => this.wrapAddress(address);
    emitManyIterations(this.#fn, this.#state, this.#memory, wrap, bytes, value, (more) => this.#repeatOrGoOn(more));
  }
  skipIf(when: Expr<'i32'>): void {
    this.#fn.if(when, () => this.#control.next());
  }

  // Handlers without semantics of their own

  /** Answers an exit that recurs; else the handler goes on. */
  recur(form: Form): void {
    emitRecurrence(this.#fn, form, this.#state, this.#record, () => this.#control.next());
  }
  /** Runs the row's microcode in TypeScript. */
  microcode(): void {
    this.#ended = true;
    this.#callMicrocode();
  }
  #callMicrocode(): void {
    if (typeof this.#rare === 'function') return this.#leaveUndone(this.#rare);
    this.#control.goOrLeave(call(this.#rare.microcode, 'i32', [this.#record]));
  }
  /** The end of a block behind an instruction in the shadow of STI. */
  attendOrFallThrough(): void {
    const window = this.stateField('processorControls').wrap().and(i32(PROCESSOR_CONTROLS.INTERRUPT_WINDOW));
    const isAwaited = window.or(this.stateField('rvi').wrap());
    const isEnabled = this.systemFlags().and(i32(RFLAGS.IF));
    this.#fn.if(select(isAwaited, isEnabled, i32(0)), () => {
      if (typeof this.#rare === 'function') return this.#leaveUndone(this.#rare);
      this.#control.goOrLeave(call(this.#rare.attend, 'i32', [this.#record]));
    });
    this.fallThrough();
  }
  /** The head of a loop that waits: pays for all that is left of it, behind one iteration with nothing in between. */
  spin(): void {
    const left = this.#fn.let(this.#field('i32', 4, OFFSET.budget));
    const units = this.#fn.let(this.#u16(RECORD.remaining));
    const isSame = this.#field('i32', 4, OFFSET.spinRecord).eq(this.#record);
    const isNext = this.#field('i32', 4, OFFSET.spinLeft).sub(units).eq(left);
    this.#fn.if(
      isSame.and(isNext),
      () => this.#fn.store(4, this.#state, left.remU(units), OFFSET.budget),
      () => {
        this.#fn.store(4, this.#state, this.#record, OFFSET.spinRecord);
        this.#fn.store(4, this.#state, left, OFFSET.spinLeft);
      },
    );
  }
  resync(): void {
    this.#ended = true;
    this.#control.leave(STATUS.RESYNC);
  }
  stopHere(): void {
    this.#ended = true;
    this.#control.leaveAt(STATUS.BUDGET, this.#control.ripAfter(i32(0)));
  }
  raise(vector: number): void {
    this.#ended = true;
    this.#raise(vector);
  }
  #leaveUndone(byCall: ByCall): void {
    this.#notCommitted();
    byCall();
  }
  #raise(vector: number): void {
    if (typeof this.#rare === 'function') return this.#leaveUndone(this.#rare);
    this.#fn.evaluate(call(this.#rare.raise, 'i32', [i32(vector), this.#record]), false);
    this.#control.leave(STATUS.RAISED);
  }

  /** Stores what is held and goes on, unless control was already passed. */
  finish(): void {
    if (this.#ended) return;
    this.#commit();
    this.#control.next();
  }
}
