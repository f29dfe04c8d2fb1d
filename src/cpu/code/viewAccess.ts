// Emits guest memory accesses through a TLB view: one compare of the tag, which also catches page crossing, and one add.
// Whatever the tag does not say is the slow path's. Entry layout: views.ts.

import { i32, i64, load, select, type Expr } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import { call } from '../../wasm/module.ts';
import type { Int } from '../../wasm/types.ts';
import type { MemoryCell, Segment } from '../../x86/backEnd.ts';
import { ACCESS } from '../memory/access.ts';
import { CODE_BITMAP } from '../memory/memoryMap.ts';
import type { Rare } from './imports.ts';
import { OFFSET, VIEW_ENTRIES } from '../state.ts';

const VIEW_SHIFT = 12 - 5; // page number times the entry size of 32
const VIEW_MASK = (VIEW_ENTRIES - 1) << 5;
const PAGE_MASK = -4096n;
/** Byte offsets in a view entry. */
export const VIEW_TAG = { READ: 0, WRITE: 8, CODE: 16, ADDEND: 24 } as const;

const LINE_SHIFT = 6;

/**
 * Where a store that missed tagWrite may be made at once after all: on a page that is writable but holds decoded code, if the
 * lines it touches hold none; `otherwise` does not go on.
 */
export function placeBesideCode(
  fn: FunctionBuilder,
  linear: Expr<'i64'>,
  bytes: Expr<'i32'>,
  entry: Expr<'i32'>,
  otherwise: () => void,
): Expr<'i32'> {
  const last = fn.let(linear.add(bytes.sub(i32(1)).zext()));
  fn.if(last.and(i64(PAGE_MASK)).ne(load('i64', 8, entry, VIEW_TAG.CODE)), otherwise);
  const host = fn.let(linear.wrap().add(load('i32', 4, entry, VIEW_TAG.ADDEND)));
  const bitmap = load('i64', 8, host.shrU(i32(12)).shl(i32(3)), CODE_BITMAP);
  const line = (address: Expr<'i64'>): Expr<'i64'> => i64(1).shl(address.shrU(i64(LINE_SHIFT)));
  fn.if(bitmap.and(line(linear).or(line(last))).ne(i64(0)), otherwise);
  return host;
}

export class ViewAccess {
  readonly #fn: FunctionBuilder;
  readonly #rare: Rare;
  readonly #record: Expr<'i32'>;
  readonly #state: Expr<'i32'>;
  readonly #leave: () => void;
  #written = false;

  /** `leave`: how generated code leaves when a slow path has raised something. */
  constructor(fn: FunctionBuilder, rare: Rare, record: Expr<'i32'>, state: Expr<'i32'>, leave: () => void) {
    this.#leave = leave;
    this.#fn = fn;
    this.#rare = rare;
    this.#record = record;
    this.#state = state;
  }

  /** `view`: the state field that says which view is used. */
  #entry(linear: Expr<'i64'>, view = OFFSET.dataView): Expr<'i32'> {
    const slot = linear.shrU(i64(VIEW_SHIFT)).wrap().and(i32(VIEW_MASK));
    return this.#fn.let(load('i32', 4, this.#state, view).add(slot));
  }
  #hits(linear: Expr<'i64'>, bytes: number, entry: Expr<'i32'>, tag: number): Expr<'i32'> {
    const last = bytes === 1 ? linear : linear.add(i64(bytes - 1));
    return last.and(i64(PAGE_MASK)).eq(load('i64', 8, entry, tag));
  }
  /** With the usual addend, the access need not wait for the entry, which then is only compared. */
  #host(linear: Expr<'i64'>, entry: Expr<'i32'>): Expr<'i32'> {
    const fn = this.#fn;
    const host = fn.local('i32');
    const addend = fn.let(load('i32', 4, entry, VIEW_TAG.ADDEND));
    const usual = fn.let(load('i32', 4, this.#state, OFFSET.usualAddend));
    fn.if(
      addend.eq(usual),
      () => fn.set(host, linear.wrap().add(usual)),
      () => fn.set(host, linear.wrap().add(addend)),
    );
    return host;
  }
  #place(linear: Expr<'i64'>, bytes: number, segment: Segment): Expr<'i32'>[] {
    const high = linear.shrU(i64(32)).wrap();
    return [linear.wrap(), high, i32(bytes | (segment === 'stack' ? ACCESS.STACK : 0)), this.#record];
  }
  /** Sets `host` to what a slow path answers, unless it has raised something. */
  #slowly(host: Expr<'i32'>, path: 'slowRead' | 'slowOpen', place: readonly Expr<'i32'>[]): void {
    if (typeof this.#rare === 'function') return this.#rare();
    this.#fn.set(host, call(this.#rare[path], 'i32', place));
    this.#fn.if(host.eqz(), this.#leave);
  }
  /** What is left undone is done from its beginning: an access may not come behind a store. */
  #notWritten(): void {
    if (this.#written && typeof this.#rare === 'function')
      throw new Error('an access behind a store, in a form that is inlined');
  }
  load(linear: Expr<'i64'>, bytes: number, segment: Segment): Expr<Int> {
    this.#notWritten();
    const fn = this.#fn;
    const entry = this.#entry(linear);
    const host = fn.local('i32');
    fn.if(
      this.#hits(linear, bytes, entry, VIEW_TAG.READ),
      () => fn.set(host, this.#host(linear, entry)),
      () => this.#slowly(host, 'slowRead', this.#place(linear, bytes, segment)),
    );
    return this.#fn.let(load(bytes === 8 ? 'i64' : 'i32', bytes, host));
  }

  open(linear: Expr<'i64'>, bytes: number, segment: Segment): MemoryCell {
    const fn = this.#fn;
    this.#notWritten();
    const host = this.#writable(linear, bytes);
    const slow = typeof this.#rare === 'function' ? null : fn.let(host.eqz());
    if (slow) fn.if(slow, () => this.#slowly(host, 'slowOpen', this.#place(linear, bytes, segment)));
    const value = this.#fn.let(load(bytes === 8 ? 'i64' : 'i32', bytes, host));
    const store = (stored: Expr<Int>): void => {
      const held = this.#fn.let(stored);
      const directly = (): void => fn.store(bytes, host, held);
      this.#written = true;
      if (slow) fn.if(slow, () => this.#storeSlowly(linear, bytes, segment, held), directly);
      else directly();
    };
    return { value, store };
  }

  store(linear: Expr<'i64'>, bytes: number, segment: Segment, value: Expr<Int>): void {
    const fn = this.#fn;
    this.#notWritten();
    this.#written = true;
    const held = this.#fn.let(value);
    const rare = this.#rare;
    if (typeof rare === 'function') return fn.store(bytes, this.#writable(linear, bytes), held);
    const entry = this.#entry(linear);
    fn.if(
      this.#hits(linear, bytes, entry, VIEW_TAG.WRITE),
      () => fn.store(bytes, this.#host(linear, entry), held),
      () => {
        const host = fn.let(call(rare.storeBesideCode, 'i32', [linear, i32(bytes), entry]));
        fn.if(
          host,
          () => fn.store(bytes, host, held),
          () => this.#storeSlowly(linear, bytes, segment, held),
        );
      },
    );
  }

  /** Host address of bytes of one page which may be read, or written, at once, as all of it; or 0. */
  direct(linear: Expr<'i64'>, bytes: number, intent: 'read' | 'write', view = OFFSET.dataView): Expr<'i32'> {
    const entry = this.#entry(linear, view);
    const hits = this.#hits(linear, bytes, entry, intent === 'read' ? VIEW_TAG.READ : VIEW_TAG.WRITE);
    return this.#fn.let(select(hits, this.#host(linear, entry), i32(0)));
  }

  /** Host address where `bytes` may be written at once, or 0; never 0 where what is rare is done elsewhere. */
  #writable(linear: Expr<'i64'>, bytes: number): Expr<'i32'> {
    const fn = this.#fn;
    const entry = this.#entry(linear);
    const host = fn.local('i32');
    const rare = this.#rare;
    const besideCode = (): Expr<'i32'> =>
      typeof rare === 'function'
        ? placeBesideCode(fn, linear, i32(bytes), entry, rare)
        : call(rare.storeBesideCode, 'i32', [linear, i32(bytes), entry]);
    fn.if(
      this.#hits(linear, bytes, entry, VIEW_TAG.WRITE),
      () => fn.set(host, this.#host(linear, entry)),
      () => fn.set(host, besideCode()),
    );
    return host;
  }

  #storeSlowly(linear: Expr<'i64'>, bytes: number, segment: Segment, value: Expr<Int>): void {
    if (typeof this.#rare === 'function') return this.#rare();
    const high = value.type === 'i64' ? value.zext().shrU(i64(32)).wrap() : i32(0);
    const args = [...this.#place(linear, bytes, segment), value.wrap(), high];
    this.#fn.if(call(this.#rare.slowWrite, 'i32', args).eqz(), this.#leave);
  }
}
