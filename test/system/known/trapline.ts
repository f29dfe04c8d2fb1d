// trapline itself: what is left open.

import type { Disagreement } from '../disagreements.ts';

export const TRAPLINE: readonly Disagreement[] = [
  {
    because:
      'RF is not pushed between the iterations of a REP (vol. 3, 17.3.1.1): all that it does is hold off instruction breakpoints, which trapline does not have',
    cases: { step: { 'a step over an iteration of REP': '#DB, rcx=2, rflags=102' } },
  },
];
