// Units, as a block and its records are paid for them: at the head of the block, for all of it.

import type { CpuState } from '../state.ts';
import { RECORD } from './records.ts';

/** What a record and those behind it in its block cost. */
export const remaining = (state: CpuState, record: number): number =>
  state.views.u16[(record + RECORD.remaining) >> 1]!;

/** Takes back what was paid for them. */
export function giveBack(state: CpuState, record: number): void {
  state.budget += remaining(state, record);
}
