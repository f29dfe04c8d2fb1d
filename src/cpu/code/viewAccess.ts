// Emits guest memory accesses through a TLB view: one compare of the tag, which also catches page crossing, and one add.
// Whatever the tag does not say is the slow path's. Entry layout: views.ts.

import { i32, i64, load, select, type Expr } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import { call, type Callable } from '../../wasm/module.ts';
import type { Int } from '../../wasm/types.ts';
import type { MemoryCell, Segment } from '../../x86/backEnd.ts';
import { ACCESS } from '../memory/access.ts';
import type { HandlerImports } from './imports.ts';
import { OFFSET, VIEW_ENTRIES } from '../state.ts';

const VIEW_SHIFT = 12 - 5; // page number times the entry size of 32
const VIEW_MASK = (VIEW_ENTRIES - 1) << 5;
const PAGE_MASK = -4096n;
/** Byte offsets in a view entry. */
export const VIEW_TAG = { READ: 0, WRITE: 8, CODE: 16, ADDEND: 24 } as const;

export class ViewAccess {
  readonly #fn: FunctionBuilder;
  readonly #imports: HandlerImports;
  readonly #record: Expr<'i32'>;
  readonly #state: Expr<'i32'>;
  readonly #leave: () => void;

  /** `leave`: how generated code leaves when a slow path has raised something. */
  constructor(
    fn: FunctionBuilder,
    imports: HandlerImports,
    record: Expr<'i32'>,
    state: Expr<'i32'>,
    leave: () => void,
  ) {
    this.#leave = leave;
    this.#fn = fn;
    this.#imports = imports;
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
  #host(linear: Expr<'i64'>, entry: Expr<'i32'>): Expr<'i32'> {
    return linear.wrap().add(load('i32', 4, entry, VIEW_TAG.ADDEND));
  }
  #place(linear: Expr<'i64'>, bytes: number, segment: Segment): Expr<'i32'>[] {
    const high = linear.shrU(i64(32)).wrap();
    return [linear.wrap(), high, i32(bytes | (segment === 'stack' ? ACCESS.STACK : 0)), this.#record];
  }
  /** Sets `host` to what a slow path answers, unless it has raised something. */
  #slowly(host: Expr<'i32'>, path: Callable, place: readonly Expr<'i32'>[]): void {
    this.#fn.set(host, call(path, 'i32', place));
    this.#fn.if(host.eqz(), this.#leave);
  }
  load(linear: Expr<'i64'>, bytes: number, segment: Segment): Expr<Int> {
    const fn = this.#fn;
    const entry = this.#entry(linear);
    const host = fn.local('i32');
    fn.if(
      this.#hits(linear, bytes, entry, VIEW_TAG.READ),
      () => fn.set(host, this.#host(linear, entry)),
      () => this.#slowly(host, this.#imports.slowRead, this.#place(linear, bytes, segment)),
    );
    return this.#fn.let(load(bytes === 8 ? 'i64' : 'i32', bytes, host));
  }

  open(linear: Expr<'i64'>, bytes: number, segment: Segment): MemoryCell {
    const fn = this.#fn;
    const host = this.#writable(linear, bytes);
    const slow = fn.let(host.eqz());
    fn.if(slow, () => this.#slowly(host, this.#imports.slowOpen, this.#place(linear, bytes, segment)));
    const value = this.#fn.let(load(bytes === 8 ? 'i64' : 'i32', bytes, host));
    const store = (stored: Expr<Int>): void => {
      const held = this.#fn.let(stored);
      fn.if(
        slow,
        () => this.#storeSlowly(linear, bytes, segment, held),
        () => fn.store(bytes, host, held),
      );
    };
    return { value, store };
  }

  store(linear: Expr<'i64'>, bytes: number, segment: Segment, value: Expr<Int>): void {
    const fn = this.#fn;
    const held = this.#fn.let(value);
    const entry = this.#entry(linear);
    fn.if(
      this.#hits(linear, bytes, entry, VIEW_TAG.WRITE),
      () => fn.store(bytes, this.#host(linear, entry), held),
      () => {
        const host = fn.let(call(this.#imports.storeBesideCode, 'i32', [linear, i32(bytes), entry]));
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

  /** Host address where `bytes` may be written at once, or 0. */
  #writable(linear: Expr<'i64'>, bytes: number): Expr<'i32'> {
    const fn = this.#fn;
    const entry = this.#entry(linear);
    const host = fn.local('i32');
    fn.if(
      this.#hits(linear, bytes, entry, VIEW_TAG.WRITE),
      () => fn.set(host, this.#host(linear, entry)),
      () => fn.set(host, call(this.#imports.storeBesideCode, 'i32', [linear, i32(bytes), entry])),
    );
    return host;
  }

  #storeSlowly(linear: Expr<'i64'>, bytes: number, segment: Segment, value: Expr<Int>): void {
    const high = value.type === 'i64' ? value.zext().shrU(i64(32)).wrap() : i32(0);
    const args = [...this.#place(linear, bytes, segment), value.wrap(), high];
    this.#fn.if(call(this.#imports.slowWrite, 'i32', args).eqz(), this.#leave);
  }
}
