// Emits how an exit that recurs is answered (recurrence.ts): is it the same question, do the units reach, what is the answer.

import { i32, load, type Expr } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Form } from '../../x86/forms.ts';
import { OFFSET } from '../state.ts';
import { placesOfForm } from './exitPlaces.ts';

/** Goes on behind the record (`next`) with the answer that it was given last, if it is asked the same and the units reach. */
export function emitRecurrence(
  fn: FunctionBuilder,
  form: Form,
  state: Expr<'i32'>,
  record: Expr<'i32'>,
  next: () => void,
): void {
  const places = placesOfForm(form);
  if (places === null) return;
  const word = (offset: number): Expr<'i32'> => load('i32', 4, state, offset);
  const long = (offset: number): Expr<'i64'> => load('i64', 8, state, offset);
  const address = (place: number): Expr<'i32'> => (place < 0 ? state.add(load('i32', 2, record, -place)) : state);
  const inAddress = (place: number): number => Math.max(place, 0);
  const unsigned = (offset: number): Expr<'i64'> => word(offset).zext();
  /** counter.ts */
  const counted = (before: Expr<'i32'>): Expr<'i64'> => {
    const units = word(OFFSET.recurReadEnd).sub(before).zext();
    const parts = units.mul(unsigned(OFFSET.recurTicks)).add(unsigned(OFFSET.recurRest));
    const ticks = parts.divU(unsigned(OFFSET.recurCycles)).wrap();
    return ticks.add(word(OFFSET.recurBase)).and(word(OFFSET.recurMask)).zext();
  };
  fn.if(word(OFFSET.recurRecord).eq(record), () => {
    const before = fn.let(word(OFFSET.budget));
    const left = fn.let(before.sub(word(OFFSET.recurUnits)));
    const reaches = left.ltS(word(OFFSET.recurFloor)).eqz();
    const same = places.from.reduce(
      (all, place, i) => all.and(load('i64', 8, address(place), inAddress(place)).eq(long(OFFSET.recurFrom + 8 * i))),
      reaches,
    );
    fn.if(same, () => {
      fn.store(4, state, left, OFFSET.budget);
      fn.store(4, state, before, OFFSET.recurLast);
      fn.store(4, state, word(OFFSET.recurCount).add(i32(1)), OFFSET.recurCount);
      for (const [i, place] of places.to.entries())
        fn.store(8, address(place), long(OFFSET.recurTo + 8 * i), inAddress(place));
      if (form.row.answer?.counts === true && form.width === 32)
        fn.if(word(OFFSET.recurTicks), () =>
          fn.store(8, address(places.to[0]!), counted(before), inAddress(places.to[0]!)),
        );
      next();
    });
  });
}
