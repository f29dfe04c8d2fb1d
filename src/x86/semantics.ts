// How instructions say what they do. A row's semantics is a function over `Op`, which reads like the manual's Operation
// section and builds typed expressions; a `BackEnd` turns these into WebAssembly, or evaluates them.
//
// What semantics must keep to: memory is written at most once, faults are raised before, and nothing is assumed about where
// registers live or when results are stored (backEnd.ts).

import { constant, i64, select, type Expr } from '../wasm/expr.ts';
import type { Int, Type } from '../wasm/types.ts';
import * as arithmetic from './flags.ts';
import type { Width } from './flags.ts';
import type { BackEnd, FaultName, MemoryCell, Place, Register, Segment, StateField } from './backEnd.ts';
import { GPR, IOPL_SHIFT, PROCESSOR_CONTROLS } from './names/registers.ts';

/** What an instruction does. Generic in the type that holds its operands: i32 for 8 to 32 bits, i64 for 64. */
export type Semantics = <T extends Int>(op: Op<T>) => void;

/** Operand positions, in the manual's (Intel's) order. */
export const dst = 0;
export const src = 1;
export const src2 = 2;

/** Register numbers, for operands that an instruction names by itself. */
export const { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI } = GPR;
/** The second byte of RAX. */
export const AH = 16;

/** What a form tells its semantics. */
export interface OpShape {
  /** Operation width in bits. */
  readonly width: Width;
  /** Condition number of the encoding; -1 if it has none. */
  readonly cc: number;
  readonly places: readonly Place[];
  /** The repeat prefix that the form was decoded with. */
  readonly rep: 'none' | 'rep' | 'repne';
  /** Operand positions that the row writes; a memory operand among them is probed for writing when it is read. */
  readonly writes: ReadonlySet<number>;
}

/** An instruction being described: its operands, flags and effects at one width. */
export class Op<T extends Int> {
  readonly type: T;
  /** Operation width in bits. */
  readonly width: Width;
  /** Condition number of the encoding; -1 if it has none. */
  readonly cc: number;
  readonly #rep: OpShape['rep'];
  readonly #places: readonly Place[];
  readonly #writes: ReadonlySet<number>;
  readonly #backEnd: BackEnd;
  readonly #cells = new Map<number, MemoryCell>();
  #displaced: Expr<'i64'> | null = null;

  constructor(type: T, shape: OpShape, backEnd: BackEnd) {
    const { width, cc, places, writes } = shape;
    this.type = type;
    this.width = width;
    this.cc = cc;
    this.#rep = shape.rep;
    this.#places = places;
    this.#writes = writes;
    this.#backEnd = backEnd;
  }

  /** A constant of the operation's type. */
  k(value: number | bigint): Expr<T> {
    return constant(this.type, value);
  }
  let<U extends Type>(value: Expr<U>): Expr<U> {
    return this.#backEnd.let(value);
  }
  /** Cuts to the operation's width, zero-extended. */
  cut(value: Expr<T>): Expr<T> {
    return this.width < 32 ? value.and(this.k((1 << this.width) - 1)) : value;
  }
  /** A 64-bit value cut to the operation's width. */
  low(value: Expr<'i64'>): Expr<T> {
    return this.cut(this.type === 'i64' ? (value as Expr<Int> as Expr<T>) : (value.wrap() as Expr<Int> as Expr<T>));
  }
  /** A value of a narrower type (0/1, an 8-bit register) in the operation's type. */
  fit(value: Expr<Int>): Expr<T> {
    return (this.type === 'i64' ? value.zext() : value.wrap()) as Expr<Int> as Expr<T>;
  }
  signed(value: Expr<T>): Expr<'i64'> {
    return arithmetic.signed(this.width, value);
  }

  // Operands

  /** An operand at the operation's width (immediates too), zero-extended in its type. */
  read(position: number): Expr<T> {
    return this.let(this.fit(this.#read(position, this.width)));
  }
  /** An operand of another width, zero-extended. */
  readZext(position: number): Expr<T> {
    return this.let(this.fit(this.#read(position, this.#widthOf(position))));
  }
  /** An operand of another width, sign-extended. */
  readSext(position: number): Expr<T> {
    const width = this.#widthOf(position);
    const value = this.#read(position, width);
    return this.let(this.low(arithmetic.signed(width, value)));
  }
  write(position: number, value: Expr<T>): void {
    const place = this.#places[position]!;
    if (place.kind === 'register') this.#backEnd.setRegister(place.register, place.width, value);
    else if (place.kind === 'immediate') throw new Error('an immediate operand cannot be written');
    else {
      const cell = this.#cells.get(position);
      if (cell) cell.store(value);
      else this.#backEnd.store(this.#address(position), this.width / 8, this.#segment(position), value);
    }
  }
  /** The number of an operand that is a register, but no general one. */
  number(position: number): Expr<'i32'> {
    const place = this.#places[position]!;
    if (place.kind !== 'register' || !('slot' in place.register)) throw new Error('only a register has a number');
    return this.#backEnd.registerNumber(place.register.slot);
  }
  /** The immediate, sign-extended to 64 bits. */
  immediate(): Expr<'i64'> {
    return this.#backEnd.immediate();
  }
  immediate2(): Expr<'i32'> {
    return this.#backEnd.immediate2();
  }
  isMemory(position: number): boolean {
    return this.#places[position]!.kind === 'memory';
  }
  isImmediate(position: number): boolean {
    return this.#places[position]!.kind === 'immediate';
  }
  /** The effective address of the memory operand, as LEA sees it. */
  address(): Expr<'i64'> {
    return this.#backEnd.effectiveAddress();
  }
  /** 1 if the memory operand's base register is RSP (POP m counts its address after the increment). */
  baseIsStackPointer(): Expr<'i32'> {
    return this.#backEnd.baseIsStackPointer();
  }
  /** Moves the memory operand by a distance in bytes that is known only at run time (bit strings). */
  displace(bytes: Expr<'i64'>): void {
    this.#displaced = bytes;
  }

  /** Bits of an operand of another width than the operation's. */
  sourceWidth(position: number): Width {
    return this.#widthOf(position);
  }
  #widthOf(position: number): Width {
    const place = this.#places[position]!;
    return place.kind === 'immediate' ? this.width : place.width;
  }
  #segment(position: number): Segment {
    const place = this.#places[position]!;
    return place.kind === 'memory' && place.address === 'rdi' ? 'es' : 'operand';
  }
  #address(position: number): Expr<'i64'> {
    const place = this.#places[position]!;
    if (place.kind !== 'memory') throw new Error('only a memory operand has an address');
    const b = this.#backEnd;
    switch (place.address) {
      case 'modrm':
        return b.let(this.#displaced ? b.wrapAddress(b.effectiveAddress().add(this.#displaced)) : b.effectiveAddress());
      case 'immediate':
        return b.immediate();
      case 'rsi':
        return b.let(b.wrapAddress(this.reg64(RSI)));
      case 'rdi':
        return b.let(b.wrapAddress(this.reg64(RDI)));
    }
  }
  #read(position: number, width: Width): Expr<Int> {
    const place = this.#places[position]!;
    const b = this.#backEnd;
    if (place.kind === 'register') return b.register(place.register, width);
    if (place.kind === 'immediate') {
      const value = place.value === undefined ? b.immediate() : i64(place.value);
      return width === 64 ? value : value.wrap().and(constant('i32', width === 32 ? -1 : (1 << width) - 1));
    }
    const open = this.#cells.get(position);
    if (open) return open.value;
    if (!this.#writes.has(position)) return b.load(this.#address(position), width / 8, this.#segment(position));
    const cell = b.open(this.#address(position), width / 8, this.#segment(position));
    this.#cells.set(position, cell);
    return cell.value;
  }

  // Registers that the instruction names by itself

  reg(number: number): Expr<T> {
    return this.let(this.fit(this.#backEnd.register({ fixed: number }, this.width)));
  }
  setReg(number: number, value: Expr<T>): void {
    this.#backEnd.setRegister({ fixed: number }, this.width, value);
  }
  /** A register at a width of its own up to 32, zero-extended; 16 to 19 are AH to BH. */
  narrow(number: number, width: 8 | 16 | 32): Expr<'i32'> {
    return this.let(this.#backEnd.register({ fixed: number }, width) as Expr<'i32'>);
  }
  setReg8(number: number, value: Expr<'i32'>): void {
    this.#backEnd.setRegister({ fixed: number }, 8, value);
  }
  setReg16(number: number, value: Expr<'i32'>): void {
    this.#backEnd.setRegister({ fixed: number }, 16, value);
  }
  reg64(number: number): Expr<'i64'> {
    return this.let(this.#backEnd.register({ fixed: number }, 64) as Expr<'i64'>);
  }
  /** Writes the operand or named register only if `when`; otherwise all 64 bits stay. */
  setRegIf(when: Expr<'i32'>, target: number | { readonly position: number }, value: Expr<T>): void {
    const register = typeof target === 'number' ? { fixed: target } : this.#registerAt(target.position);
    const before = this.#backEnd.register(register, this.width < 32 ? this.width : 64);
    if (this.width < 32)
      this.#backEnd.setRegister(register, this.width, select(when, value, before as Expr<Int> as Expr<T>));
    else this.#backEnd.setRegister(register, 64, select(when, value.zext(), before as Expr<'i64'>));
  }
  #registerAt(position: number): Register {
    const place = this.#places[position]!;
    if (place.kind !== 'register') throw new Error('not a register operand');
    return place.register;
  }

  // Flags

  /** Single flags as 0 or 1. */
  readonly flag = {
    cf: (): Expr<'i32'> => this.let(arithmetic.flag.cf(this.#backEnd.flags())),
    zf: (): Expr<'i32'> => this.let(arithmetic.flag.zf(this.#backEnd.flags())),
    af: (): Expr<'i32'> => this.let(arithmetic.flag.af(this.#backEnd.flags())),
    of: (): Expr<'i32'> => this.let(arithmetic.flag.of(this.#backEnd.flags())),
    df: (): Expr<'i32'> => this.#backEnd.systemFlags().shrU(constant('i32', 10)).and(constant('i32', 1)),
  };
  /** The condition of the encoding (Jcc, SETcc, CMOVcc) as 0 or 1. */
  condition(): Expr<'i32'> {
    return arithmetic.condition(this.#backEnd.flags(), this.cc);
  }
  /** The six arithmetic flags in RFLAGS positions. */
  packedFlags(): Expr<'i32'> {
    return arithmetic.packFlags(this.#backEnd.flags());
  }
  /** Loads the six arithmetic flags from RFLAGS positions. */
  setPackedFlags(image: Expr<'i32'>): void {
    this.#backEnd.setFlags(arithmetic.unpackFlags(this.let(image)));
  }
  systemFlags(): Expr<'i32'> {
    return this.#backEnd.systemFlags();
  }
  setSystemFlags(value: Expr<'i32'>): void {
    this.#backEnd.setSystemFlags(value);
  }

  /** Operations that give a result and leave its flags behind. */
  readonly flags = {
    add: (a: Expr<T>, b: Expr<T>, carry?: Expr<'i32'>): Expr<T> => {
      const sum = carry ? a.add(b).add(this.fit(carry)) : a.add(b);
      const r = this.let(sum);
      this.#backEnd.setFlags(arithmetic.addFlags(this.width, a, b, r, carry));
      return r;
    },
    sub: (a: Expr<T>, b: Expr<T>, borrow?: Expr<'i32'>): Expr<T> => {
      const difference = borrow ? a.sub(b).sub(this.fit(borrow)) : a.sub(b);
      const r = this.let(difference);
      this.#backEnd.setFlags(arithmetic.subFlags(this.width, a, b, r, borrow));
      return r;
    },
    logic: (value: Expr<T>): Expr<T> => {
      const r = this.let(value);
      this.#backEnd.setFlags(arithmetic.logicFlags(this.width, r));
      return r;
    },
    step: (a: Expr<T>, by: 1 | -1): Expr<T> => {
      const r = this.let(a.add(this.k(by)));
      this.#backEnd.setFlags(arithmetic.stepFlags(this.width, a, r, by, this.flag.cf()));
      return r;
    },
    /** Result flags with CF and OF given; only if `when`. */
    shift: (r: Expr<T>, cf: Expr<'i32'>, of: Expr<'i32'>, when?: Expr<'i32'>): void =>
      this.#backEnd.setFlags(arithmetic.shiftFlags(this.width, r, this.let(cf), of), when),
    /** Result flags with CF and AF given, OF = 0. */
    decimal: (r: Expr<T>, cf: Expr<'i32'>, af: Expr<'i32'>): void =>
      this.#backEnd.setFlags(arithmetic.decimalFlags(this.width, r, this.let(cf), af)),
    /** ZF changes, the others stay. */
    zero: (zf: Expr<'i32'>): void =>
      this.setPackedFlags(
        this.packedFlags()
          .and(constant('i32', ~arithmetic.ZF))
          .or(zf.shl(constant('i32', 6))),
      ),
    /** CF and OF change, the others stay; only if `when`. */
    carryOverflow: (cf: Expr<'i32'>, of: Expr<'i32'>, when?: Expr<'i32'>): void =>
      this.#backEnd.setFlags(arithmetic.carryOverflowOnly(this.#backEnd.flags(), this.let(cf), of), when),
  };

  // Stack

  /** Pushes at the operation's width. */
  push(value: Expr<T>): void {
    const bytes = this.width / 8;
    const top = this.#stackOffset(this.reg64(RSP).sub(i64(bytes)));
    this.#backEnd.store(top, bytes, 'stack', value);
    this.#backEnd.setStackPointer(top);
  }
  /** Pops at the operation's width, and `extra` bytes more. */
  pop(extra: Expr<'i64'> = i64(0)): Expr<T> {
    return this.popAt(RSP, extra);
  }
  /** Pops from where a register points (LEAVE: RBP), which is where the stack then goes on. */
  popAt(register: typeof RSP | typeof RBP, extra: Expr<'i64'> = i64(0)): Expr<T> {
    const bytes = this.width / 8;
    const top = this.#stackOffset(this.reg64(register));
    const value = this.let(this.fit(this.#backEnd.load(top, bytes, 'stack')));
    this.#backEnd.setStackPointer(this.#stackOffset(top.add(i64(bytes)).add(extra)));
    return value;
  }
  #stackOffset(offset: Expr<'i64'>): Expr<'i64'> {
    return this.let(this.#backEnd.wrapStack(offset));
  }
  /** Loads at the operation's width from an address of one's own, in the segment of the memory operand (XLAT). */
  loadAt(address: Expr<'i64'>): Expr<T> {
    const b = this.#backEnd;
    return this.let(this.fit(b.load(this.let(b.wrapAddress(address)), this.width / 8, 'operand')));
  }
  // Control

  nextRip(): Expr<'i64'> {
    return this.#backEnd.nextRip();
  }
  /** Where the relative branch goes. */
  relativeTarget(): Expr<'i64'> {
    return this.let(this.#backEnd.relativeTarget());
  }
  tsc(): Expr<'i64'> {
    return this.let(this.#backEnd.tsc());
  }
  stateField(name: StateField): Expr<'i64'> {
    return this.let(this.#backEnd.stateField(name));
  }
  setStateField(name: StateField, value: Expr<'i64'>): void {
    this.#backEnd.setStateField(name, value);
  }
  /** 1 outside of ring 0 while these bits of CR4 are set. */
  isUserUnder(cr4: bigint): Expr<'i32'> {
    const inForce = this.stateField('cr4').and(i64(cr4)).ne(i64(0));
    return this.stateField('cpl').ne(i64(0)).and(inForce);
  }
  /** 1 where IOPL keeps IF from being changed. */
  isInterruptFlagForbidden(): Expr<'i32'> {
    const iopl = this.systemFlags().shrU(constant('i32', IOPL_SHIFT)).and(constant('i32', 3));
    return this.stateField('cpl').wrap().gtU(iopl);
  }
  /** 1 if something waits for IF: an interrupt window, a virtual interrupt. */
  isInterruptAwaited(): Expr<'i32'> {
    const window = this.stateField('processorControls')
      .wrap()
      .and(constant('i32', PROCESSOR_CONTROLS.INTERRUPT_WINDOW));
    return window.or(this.stateField('rvi').wrap()).ne(constant('i32', 0));
  }
  microcodeIf(when: Expr<'i32'>): void {
    this.#backEnd.microcodeIf(when);
  }
  atHand(address: Expr<'i64'>, bytes: number, segment: 'stack' | 'system'): (offset: number) => Expr<'i64'> {
    return this.#backEnd.atHand(this.let(address), bytes, segment);
  }
  shadowIf(when: Expr<'i32'>): void {
    this.#backEnd.shadowIf(when);
  }
  attendsLater(): Expr<'i32'> {
    return this.#backEnd.attendsLater();
  }
  attendIf(when: Expr<'i32'>): void {
    this.#backEnd.attendIf(when);
  }
  /** The row's microcode exits, with nothing done yet, if the hypervisor has set this one of PROCESSOR_CONTROLS. */
  exitUnder(control: number): void {
    this.#backEnd.microcodeIf(this.stateField('processorControls').wrap().and(constant('i32', control)));
  }
  faultIf(when: Expr<'i32'>, fault: FaultName): void {
    this.#backEnd.faultIf(when, fault);
  }
  checkTarget(target: Expr<'i64'>): void {
    this.#backEnd.checkTarget(target);
  }
  jump(target: Expr<'i64'>, attends?: Expr<'i32'>): void {
    this.#backEnd.jump(target, attends);
  }
  branch(when?: Expr<'i32'>): void {
    this.#backEnd.branch(when);
  }

  // Strings and REP

  /** Steps RSI or RDI by the operand size, in DF's direction, within the address size. */
  stepPointer(number: typeof RSI | typeof RDI): void {
    const bytes = this.width / 8;
    const step = select(this.flag.df(), i64(-bytes), i64(bytes));
    this.setCounter(number, this.counter(number).add(step));
  }
  /** A register at the address size, zero-extended: RCX, ECX of REP, LOOP and JRCXZ. */
  counter(number: number): Expr<'i64'> {
    const { addressWidth } = this.#backEnd;
    return this.let(this.#backEnd.register({ fixed: number }, addressWidth).zext());
  }
  setCounter(number: number, value: Expr<'i64'>): void {
    const { addressWidth } = this.#backEnd;
    this.#backEnd.setRegister({ fixed: number }, addressWidth, addressWidth === 64 ? value : value.wrap());
  }
  /** A counter after one more round, cut to the address size. */
  countedDown(number: number): Expr<'i64'> {
    const left = this.counter(number).sub(i64(1));
    return this.let(
      this.#backEnd.addressWidth === 64 ? left : left.and(i64((1n << BigInt(this.#backEnd.addressWidth)) - 1n)),
    );
  }
  /**
   * A string instruction that stores: MOVS what RSI points at, STOS a register. Without a flag to look at, a repeated one may
   * do many iterations at once.
   */
  storingString(step: () => void, value?: () => Expr<T>): void {
    this.string(step, () => this.#backEnd.repeatAtOnce?.(this.width / 8, value?.()));
  }
  /**
   * A string instruction: `step` does one iteration. Under a repeat prefix it runs only while the count lasts; a `step`
   * that compares returns whether the elements were equal, and then REPE and REPNE look at that too.
   */
  string(step: () => Expr<'i32'> | void, atOnce = () => {}): void {
    if (this.#rep === 'none') {
      step();
      return;
    }
    const count = this.counter(RCX);
    this.#backEnd.skipIf(count.eqz());
    atOnce();
    const equal = step();
    const left = this.countedDown(RCX);
    this.setCounter(RCX, left);
    const more = left.ne(i64(0));
    if (!equal) this.#backEnd.repeatIf(more);
    else this.#backEnd.repeatIf(more.and(this.#rep === 'rep' ? equal : equal.eqz()));
  }
}
