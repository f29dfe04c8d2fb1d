// REP MOVS and STOS, many iterations at once: as far as both ends stay in their pages and the budget pays, by WebAssembly's bulk
// operations. Whatever is not that simple is left to the handler, which goes on with one iteration.
//
// Theory: what makes it invisible. Every iteration is a unit, and no more are done than the budget has left, so a timer or an
// interrupt comes between the same two. A page with decoded code, a page that is logged or belongs to a device has no tag in
// the view, so stores there are made one by one. DF = 1 is left alone. A target that lies above the source and within its
// reach would read what was just written: memory.copy does not, so that is left alone too.

import { i32, i64, load, select, type Expr } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Int } from '../../wasm/types.ts';
import { RFLAGS } from '../../x86/names/registers.ts';
import { RCX, RDI, RSI } from '../../x86/semantics.ts';
import { registerOffset } from './records.ts';
import { OFFSET } from '../state.ts';
import type { ViewAccess } from './viewAccess.ts';

/** Bytes from which a bulk operation is faster than iterations. */
const WORTHWHILE = 64;
const PAGE_SIZE = 4096n;

/** Stores `value` (STOS), or what RSI points at; `wrap` cuts to the address size. `goOn` is told whether iterations are left, and passes control on. */
export function emitManyIterations(
  fn: FunctionBuilder,
  state: Expr<'i32'>,
  memory: ViewAccess,
  wrap: (address: Expr<'i64'>) => Expr<'i64'>,
  bytes: number,
  value: Expr<Int> | undefined,
  goOn: (more: Expr<'i32'>) => void,
): void {
  const size = i64(Math.log2(bytes));
  const read = (register: number): Expr<'i64'> => fn.let(wrap(load('i64', 8, state, registerOffset(register))));
  const write = (register: number, result: Expr<'i64'>): void =>
    fn.store(8, state, wrap(result), registerOffset(register));
  const smaller = (a: Expr<'i64'>, b: Expr<'i64'>): Expr<'i64'> => fn.let(select(a.ltU(b), a, b));
  /** Elements from an address to the end of its page. */
  const room = (address: Expr<'i64'>): Expr<'i64'> =>
    fn.let(i64(PAGE_SIZE).sub(address.and(i64(PAGE_SIZE - 1n))).shrU(size)); // prettier-ignore

  fn.block('oneByOne', (oneByOne) => {
    fn.brIf(load('i32', 4, state, OFFSET.rflags).and(i32(RFLAGS.DF)), oneByOne);
    const count = read(RCX);
    const to = read(RDI);
    const from = value ? to : read(RSI);
    const budget = fn.let(load('i32', 4, state, OFFSET.budget));
    // The iteration that is due is paid for already.
    let times = smaller(smaller(count, budget.zext().add(i64(1))), room(to));
    if (!value) times = smaller(times, room(from));
    const length = fn.let(times.shl(size).wrap());
    fn.brIf(length.ltU(i32(WORTHWHILE)), oneByOne);

    const target = memory.direct(to, 1, 'write');
    fn.brIf(target.eqz(), oneByOne);
    if (value) fillWith(fn, target, value, bytes, length);
    else {
      const source = memory.direct(from, 1, 'read');
      fn.brIf(source.eqz(), oneByOne);
      fn.brIf(target.sub(source).ltU(length), oneByOne);
      fn.copy(target, source, length);
      write(RSI, from.add(length.zext()));
    }
    write(RDI, to.add(length.zext()));
    const left = fn.let(count.sub(times));
    write(RCX, left);
    fn.store(4, state, budget.add(i32(1)).sub(times.wrap()), OFFSET.budget);
    goOn(fn.let(left.ne(i64(0))));
  });
}

function fillWith(
  fn: FunctionBuilder,
  target: Expr<'i32'>,
  value: Expr<Int>,
  bytes: number,
  length: Expr<'i32'>,
): void {
  if (bytes === 1) return fn.fill(target, value.wrap(), length);
  const at = fn.local('i32');
  const end = fn.let(target.add(length));
  fn.set(at, target);
  fn.loop('store', (again) => {
    fn.store(bytes, at, value);
    fn.set(at, at.add(i32(bytes)));
    fn.brIf(at.ltU(end), again);
  });
}
