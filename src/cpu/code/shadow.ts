// The interrupt shadow that STI casts in running code, which nobody looks at before that leaves: by the units left it is known
// whether the instruction that it covers has retired.

import { SHADOW_TIMED, type CpuState } from '../state.ts';

/** Ends a shadow whose instruction has retired when `left` units are left. */
export function ageShadow(state: CpuState, left: number): void {
  if ((state.shadow & SHADOW_TIMED) !== 0 && left < state.shadowEnd) state.shadow = 0;
}
