// Emits how a handler passes control on: to the next record, along links and jump caches to other blocks, or out of generated
// code. RIP is ripPage + the record's offset: in 64-bit code the address of its page, elsewhere what must be added to an
// offset in the page to give EIP, modulo 2^32 (fetch.ts).

import { i32, i64, load, select, type Expr } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import { SEGMENT } from '../../x86/names/registers.ts';
import type { Environment } from '../segments/codeMode.ts';
import { RECORD, RECORD_SIZE } from './records.ts';
import { JUMP_ENTRIES, LEGACY_JUMP, OFFSET, SEGMENT_SIZE } from '../state.ts';
import { STATUS } from './status.ts';

/** How a handler passes control on: as a function's result, or by a branch within the dispatcher. */
export interface Flow {
  go(record: Expr<'i32'>): void;
  leave(): void;
}

const PAGE_MASK = -4096n;
const MASK32 = i64(0xffff_ffffn);
const MASK16 = i64(0xffffn);
const LINEAR_BITS = 48n;
const CS = OFFSET.segments + SEGMENT_SIZE * SEGMENT.CS;
const CS_LIMIT = CS + 8;

export class ControlEmitter {
  readonly #fn: FunctionBuilder;
  readonly #flow: Flow;
  readonly #environment: Environment;
  readonly #operandWidth: number;
  readonly #lastBlock: number;
  readonly #record: Expr<'i32'>;
  readonly #state: Expr<'i32'>;

  /** `operandWidth`: bits that a near branch cuts EIP to, outside 64-bit mode. */
  constructor(
    fn: FunctionBuilder,
    flow: Flow,
    environment: Environment,
    operandWidth: number,
    lastBlock: number,
    record: Expr<'i32'>,
    state: Expr<'i32'>,
  ) {
    this.#fn = fn;
    this.#flow = flow;
    this.#environment = environment;
    this.#operandWidth = operandWidth;
    this.#lastBlock = lastBlock;
    this.#record = record;
    this.#state = state;
  }

  #field<T extends 'i32' | 'i64'>(type: T, bytes: number, offset: number): Expr<T> {
    return load(type, bytes, this.#state, offset);
  }

  // Addresses of code

  ripAfter(length: Expr<'i32'>): Expr<'i64'> {
    const offset = load('i32', 2, this.#record, RECORD.ripOffset).add(length).zext();
    const rip = this.#field('i64', 8, OFFSET.ripPage).add(offset);
    return this.#environment === 'long' ? rip : rip.and(MASK32);
  }
  nextRip(): Expr<'i64'> {
    return this.ripAfter(load('i32', 1, this.#record, RECORD.length));
  }
  relativeTarget(): Expr<'i64'> {
    const target = this.nextRip().add(load('i32', 4, this.#record, RECORD.imm).sext());
    if (this.#environment === 'long') return target;
    return target.and(this.#operandWidth === 16 ? MASK16 : MASK32);
  }
  /** 1 if #GP(0) is due for a jump there: not canonical, or beyond the limit of CS. Null: never. */
  isRefused(target: Expr<'i64'>): Expr<'i32'> | null {
    if (this.#environment === 'flat') return null;
    if (this.#environment === 'segmented') return target.wrap().gtU(this.#field('i32', 4, CS_LIMIT));
    const unused = i64(64n - LINEAR_BITS);
    return target.shl(unused).shrS(unused).ne(target);
  }

  // Out of generated code

  leave(status: number | Expr<'i32'>): void {
    this.#fn.store(4, this.#state, typeof status === 'number' ? i32(status) : status, OFFSET.status);
    this.#fn.store(4, this.#state, this.#record, OFFSET.lastRecord);
    this.#flow.leave();
  }
  leaveAt(status: number, rip: Expr<'i64'>): void {
    this.#fn.store(8, this.#state, rip, OFFSET.rip);
    this.leave(status);
  }

  // On to other records

  /** To a record that TypeScript has found; 0: out, with the status that it has set. */
  goOrLeave(record: Expr<'i32'>): void {
    const next = this.#fn.let(record);
    this.#fn.if(next.eqz(), () => this.#flow.leave());
    this.#flow.go(next);
  }
  next(): void {
    this.#flow.go(this.#record.add(i32(RECORD_SIZE)));
  }
  /** Pays for a whole block and goes there; `rip` is where it starts. */
  #enter(block: Expr<'i32'>, rip: () => Expr<'i64'>): void {
    const fn = this.#fn;
    const left = fn.let(this.#field('i32', 4, OFFSET.budget).sub(load('i32', 2, block, RECORD.remaining)));
    fn.if(left.ltS(i32(0)), () => this.leaveAt(STATUS.BUDGET, rip()));
    fn.store(4, this.#state, left, OFFSET.budget);
    this.#flow.go(block);
  }

  /** Goes to an address by the jump cache, or leaves for it if `leaves`. */
  jump(target: Expr<'i64'>, leaves?: Expr<'i32'>): void {
    const fn = this.#fn;
    const slot = target
      .wrap()
      .and(i32(JUMP_ENTRIES - 1))
      .shl(i32(4));
    const entry = fn.let(this.#field('i32', 4, OFFSET.jumpCache).add(slot));
    const tag = this.#environment === 'long' ? target : target.or(i64(LEGACY_JUMP));
    const misses = load('i64', 8, entry).ne(tag);
    fn.if(leaves ? misses.or(leaves) : misses, () => this.leaveAt(STATUS.JUMP, target));
    fn.store(8, this.#state, this.#pageOf(target), OFFSET.ripPage);
    this.#enter(this.#guessed(fn.let(load('i32', 4, entry, 8))), () => target);
  }
  /**
   * The same block by another way: where this record went last time. What follows then need not wait for the target to be
   * loaded and looked up, as a processor that guesses the branch goes on at once.
   */
  #guessed(block: Expr<'i32'>): Expr<'i32'> {
    const fn = this.#fn;
    const next = fn.local('i32');
    const last = fn.let(load('i32', 4, this.#record, this.#lastBlock));
    fn.if(
      last.eq(block),
      () => fn.set(next, last),
      () => {
        fn.store(4, this.#record, block, this.#lastBlock);
        fn.set(next, block);
      },
    );
    return next;
  }
  #pageOf(target: Expr<'i64'>): Expr<'i64'> {
    if (this.#environment !== 'segmented') return target.and(i64(PAGE_MASK));
    const inPage = target.add(this.#field('i64', 8, CS)).and(i64(~PAGE_MASK));
    return target.sub(inPage).and(MASK32);
  }

  /** Goes to the relative target if `taken` (always, if absent), else behind the record. */
  branch(taken?: Expr<'i32'>): void {
    const fn = this.#fn;
    const link = load('i32', 4, this.#record, RECORD.taken);
    const other = load('i32', 4, this.#record, RECORD.fallThrough);
    const block = fn.let(taken ? select(taken, link, other) : link);
    this.#follow(block, () => this.#branchTarget(taken));
  }
  #branchTarget(taken: Expr<'i32'> | undefined): Expr<'i64'> {
    if (!taken) return this.relativeTarget();
    if (this.#environment !== 'long') return select(taken, this.relativeTarget(), this.nextRip());
    return this.nextRip().add(select(taken, load('i32', 4, this.#record, RECORD.imm).sext(), i64(0)));
  }
  /** Goes to a linked block. Links stay within a page, so a missing one is made by TypeScript; other pages are jumped to. */
  #follow(block: Expr<'i32'>, target: () => Expr<'i64'>): void {
    const fn = this.#fn;
    fn.if(block.eqz(), () => {
      const rip = fn.let(target());
      fn.if(this.#isInPage(rip), () => this.leaveAt(STATUS.JUMP, rip));
      this.jump(rip);
    });
    this.#enter(block, target);
  }
  #isInPage(rip: Expr<'i64'>): Expr<'i32'> {
    const distance = rip.sub(this.#field('i64', 8, OFFSET.ripPage));
    return (this.#environment === 'long' ? distance : distance.and(MASK32)).and(i64(PAGE_MASK)).eqz();
  }
  /** The end of a block that no branch ended: goes on at the record's own address, as a jump does. */
  fallThrough(): void {
    const block = this.#fn.let(load('i32', 4, this.#record, RECORD.taken));
    this.#follow(block, () => this.ripAfter(i32(0)));
  }
  /** One more unit for the record itself, or out if there is none. */
  again(): void {
    const fn = this.#fn;
    const left = fn.let(this.#field('i32', 4, OFFSET.budget).sub(i32(1)));
    fn.if(left.ltS(i32(0)), () => this.leaveAt(STATUS.BUDGET, this.ripAfter(i32(0))));
    fn.store(4, this.#state, left, OFFSET.budget);
    this.#flow.go(this.#record);
  }
}
