// The interpreter's back end: semantics become the WebAssembly body of a handler. It knows where records and the state
// block keep things, how an access goes through a TLB view, and how a handler passes control on.

import { type Expr, i32, i64, load, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import { call } from '../wasm/module.ts';
import type { Int, Type } from '../wasm/types.ts';
import type { Flags, Width } from '../x86/flags.ts';
import type { BackEnd, FaultName, MemoryCell, Register, Segment } from '../x86/backEnd.ts';
import { RSP } from '../x86/semantics.ts';
import { VECTOR } from '../x86/names/vectors.ts';
import type { HandlerImports } from './imports.ts';
import { RECORD, RECORD_SIZE, SLOT_OFFSETS, registerOffset } from './records.ts';
import { JUMP_ENTRIES, OFFSET } from './state.ts';
import { emitManyIterations } from './manyIterations.ts';
import { ViewAccess } from './viewAccess.ts';

/** Why generated code returned to TypeScript: `state.status`. */
export const STATUS = {
  /** The budget is used up; RIP is stored. */
  BUDGET: 1,
  /** Control goes to the stored RIP, whose block is not at hand; `lastRecord` is the branch. */
  JUMP: 2,
  /** The record observes time and stands past the horizon. */
  AHEAD: 3,
  /** Microcode has set everything. */
  MICROCODE: 4,
  /** The record's block is no longer valid, or something waits to be done before it: look the block up again. */
  RESYNC: 5,
  /** The record's microcode exits: the exit fields are filled. */
  EXIT: 6,
  /** The record's microcode is done, and then exits: the exit fields are filled. */
  TRAP: 8,
  /** What the record, or a call of it, raised is kept in the CPU: an exception, an exit or a stop. */
  RAISED: 7,
} as const;

/** How a handler passes control on: as a function's result, or by a branch within the dispatcher. */
export interface Flow {
  go(record: Expr<'i32'>): void;
  leave(): void;
}

const PAGE_MASK = -4096n;
const LINEAR_BITS = 48n;

/** What the backend must know of a form: how its memory operand is addressed. */
export type MemoryShape = 'm' | 'm32' | 's';

export class HandlerBackEnd implements BackEnd {
  readonly addressWidth: Width;
  readonly #fn: FunctionBuilder;
  readonly #imports: HandlerImports;
  readonly #flow: Flow;
  readonly #shape: MemoryShape;
  readonly #record: Expr<'i32'>;
  readonly #state: Expr<'i32'>;
  readonly #memory: ViewAccess;
  #pending: (() => void)[] = [];
  #committed = false;
  #ended = false;
  #ea: Expr<'i64'> | null = null;

  constructor(
    fn: FunctionBuilder,
    imports: HandlerImports,
    flow: Flow,
    shape: MemoryShape,
    addressWidth: Width,
    record: Expr<'i32'>,
    state: Expr<'i32'>,
  ) {
    this.#fn = fn;
    this.#imports = imports;
    this.#flow = flow;
    this.#shape = shape;
    this.addressWidth = addressWidth;
    this.#record = record;
    this.#state = state;
    this.#memory = new ViewAccess(fn, imports, record, state, () => this.#leave(STATUS.RAISED));
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
  immediate(): Expr<'i64'> {
    return load('i64', 8, this.#record, RECORD.imm);
  }
  immediate2(): Expr<'i32'> {
    return this.#u16(RECORD.slot2);
  }
  stateField(name: 'tscAux'): Expr<'i64'> {
    return this.#field('i64', 8, OFFSET[name]);
  }

  // Addresses

  effectiveAddress(): Expr<'i64'> {
    if (this.#ea) return this.#ea;
    const base = load('i64', 8, this.#state.add(this.#u16(RECORD.base)));
    const index = load('i64', 8, this.#state.add(this.#u16(RECORD.index)));
    // Shift counts are modulo 64: the bits above the scale that select the mask do not matter.
    const scaled = index.shl(load('i64', 1, this.#record, RECORD.scale));
    const disp = load('i32', 4, this.#record, RECORD.disp).sext();
    return (this.#ea = this.let(this.wrapAddress(base.add(scaled).add(disp))));
  }
  wrapAddress(address: Expr<'i64'>): Expr<'i64'> {
    if (this.#shape === 'm') return address;
    if (this.#shape === 'm32') return address.and(i64(0xffff_ffffn));
    const select = load('i32', 1, this.#record, RECORD.scale).shrU(i32(6)).shl(i32(3));
    return address.and(load('i64', 8, this.#state.add(select), OFFSET.addressMask));
  }
  baseIsStackPointer(): Expr<'i32'> {
    return this.#u16(RECORD.base).eq(i32(registerOffset(RSP)));
  }
  #linear(address: Expr<'i64'>, segment: Segment): Expr<'i64'> {
    if (this.#shape !== 's' || segment !== 'operand') return this.let(address);
    return this.let(address.add(load('i64', 8, this.#state.add(this.#u16(RECORD.segment)))));
  }

  // Memory

  load(address: Expr<'i64'>, bytes: number, segment: Segment): Expr<Int> {
    this.#notCommitted();
    return this.#memory.load(this.#linear(address, segment), bytes, segment);
  }
  open(address: Expr<'i64'>, bytes: number, segment: Segment): MemoryCell {
    this.#notCommitted();
    const { value, store } = this.#memory.open(this.#linear(address, segment), bytes, segment);
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
    this.#memory.store(this.#linear(address, segment), bytes, segment, value);
  }
  #notCommitted(): void {
    if (this.#committed) throw new Error('a memory access after results were stored');
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
  /** An instruction that observes time leaves, undone, once past the horizon. First. */
  leaveIfAhead(): void {
    const ahead = this.#unitsLeft().ltS(this.#field('i32', 4, OFFSET.aheadBelow));
    this.#fn.if(ahead, () => this.#leave(STATUS.AHEAD));
  }
  faultIf(when: Expr<'i32'>, fault: FaultName): void {
    const vector = { de: VECTOR.DE, ud: VECTOR.UD, gp: VECTOR.GP }[fault];
    this.#fn.if(when, () => this.#raise(vector));
  }
  checkTarget(target: Expr<'i64'>): void {
    const unused = i64(64n - LINEAR_BITS);
    this.faultIf(target.shl(unused).shrS(unused).ne(target), 'gp');
  }

  // Control

  nextRip(): Expr<'i64'> {
    return this.#ripAfter(load('i32', 1, this.#record, RECORD.length));
  }
  relativeTarget(): Expr<'i64'> {
    return this.nextRip().add(load('i32', 4, this.#record, RECORD.imm).sext());
  }
  #ripAfter(length: Expr<'i32'>): Expr<'i64'> {
    return this.#field('i64', 8, OFFSET.ripPage).add(this.#u16(RECORD.ripOffset).add(length).zext());
  }
  #commit(): void {
    this.#committed = true;
    const pending = this.#pending;
    this.#pending = [];
    for (const store of pending) store();
  }
  #next(): void {
    this.#flow.go(this.#record.add(i32(RECORD_SIZE)));
  }
  #leave(status: number | Expr<'i32'>): void {
    this.#fn.store(4, this.#state, typeof status === 'number' ? i32(status) : status, OFFSET.status);
    this.#fn.store(4, this.#state, this.#record, OFFSET.lastRecord);
    this.#flow.leave();
  }
  #leaveAt(status: number, rip: Expr<'i64'>): void {
    this.#fn.store(8, this.#state, rip, OFFSET.rip);
    this.#leave(status);
  }
  /** Pays for a whole block and goes there; `rip` is where it starts. */
  #enter(block: Expr<'i32'>, rip: () => Expr<'i64'>): void {
    const fn = this.#fn;
    const left = fn.let(this.#field('i32', 4, OFFSET.budget).sub(load('i32', 2, block, RECORD.remaining)));
    fn.if(left.ltS(i32(0)), () => this.#leaveAt(STATUS.BUDGET, rip()));
    fn.store(4, this.#state, left, OFFSET.budget);
    this.#flow.go(block);
  }

  jump(target: Expr<'i64'>): void {
    this.#commit();
    this.#ended = true;
    this.#jump(this.let(target));
  }
  #jump(target: Expr<'i64'>): void {
    const fn = this.#fn;
    const slot = target
      .wrap()
      .and(i32(JUMP_ENTRIES - 1))
      .shl(i32(4));
    const entry = fn.let(this.#field('i32', 4, OFFSET.jumpCache).add(slot));
    fn.if(load('i64', 8, entry).ne(target), () => this.#leaveAt(STATUS.JUMP, target));
    fn.store(8, this.#state, target.and(i64(PAGE_MASK)), OFFSET.ripPage);
    this.#enter(fn.let(load('i32', 4, entry, 8)), () => target);
  }

  branch(when?: Expr<'i32'>): void {
    const fn = this.#fn;
    const taken = when && this.let(when);
    this.#commit();
    this.#ended = true;
    const link = load('i32', 4, this.#record, RECORD.taken);
    const other = load('i32', 4, this.#record, RECORD.fallThrough);
    const block = fn.let(taken ? select(taken, link, other) : link);
    const relative = load('i32', 4, this.#record, RECORD.imm).sext();
    const target = (): Expr<'i64'> => this.nextRip().add(taken ? select(taken, relative, i64(0)) : relative);
    this.#follow(block, target);
  }
  /** Goes to a linked block. Links stay within a page, so a missing one is made by TypeScript; other pages are jumped to. */
  #follow(block: Expr<'i32'>, target: () => Expr<'i64'>): void {
    const fn = this.#fn;
    fn.if(block.eqz(), () => {
      const rip = fn.let(target());
      const samePage = rip
        .xor(this.#field('i64', 8, OFFSET.ripPage))
        .and(i64(PAGE_MASK))
        .eqz();
      fn.if(samePage, () => this.#leaveAt(STATUS.JUMP, rip));
      this.#jump(rip);
    });
    this.#enter(block, target);
  }
  /** The end of a block that no branch ended: goes on at the record's own address, as a jump does. */
  fallThrough(): void {
    this.#ended = true;
    const block = this.#fn.let(load('i32', 4, this.#record, RECORD.taken));
    this.#follow(block, () => this.#ripAfter(i32(0)));
  }

  repeatIf(when: Expr<'i32'>): void {
    const again = this.let(when);
    this.#commit();
    this.#ended = true;
    this.#repeatOrGoOn(again);
  }
  #repeatOrGoOn(again: Expr<'i32'>): void {
    const fn = this.#fn;
    fn.if(again, () => {
      const left = fn.let(this.#field('i32', 4, OFFSET.budget).sub(i32(1)));
      fn.if(left.ltS(i32(0)), () => this.#leaveAt(STATUS.BUDGET, this.#ripAfter(i32(0))));
      fn.store(4, this.#state, left, OFFSET.budget);
      this.#flow.go(this.#record);
    });
    this.#next();
  }
  repeatAtOnce(bytes: number, value?: Expr<Int>): void {
    if (this.#shape !== 'm') return;
    emitManyIterations(this.#fn, this.#state, this.#memory, bytes, value, (more) => this.#repeatOrGoOn(more));
  }
  skipIf(when: Expr<'i32'>): void {
    this.#fn.if(when, () => this.#next());
  }

  // Handlers without semantics of their own

  /** Runs the row's microcode in TypeScript. */
  microcode(): void {
    this.#ended = true;
    const status = this.#fn.let(call(this.#imports.microcode, 'i32', [this.#record]));
    this.#fn.if(status, () => this.#leave(status));
    this.#next();
  }
  resync(): void {
    this.#ended = true;
    this.#leave(STATUS.RESYNC);
  }
  stopHere(): void {
    this.#ended = true;
    this.#leaveAt(STATUS.BUDGET, this.#ripAfter(i32(0)));
  }
  raise(vector: number): void {
    this.#ended = true;
    this.#raise(vector);
  }
  #raise(vector: number): void {
    this.#fn.evaluate(call(this.#imports.raise, 'i32', [i32(vector), this.#record]), false);
    this.#leave(STATUS.RAISED);
  }

  /** Stores what is held and goes on, unless control was already passed. */
  finish(): void {
    if (this.#ended) return;
    this.#commit();
    this.#next();
  }
}
