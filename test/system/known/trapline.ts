// trapline itself: what is left open.

import type { Disagreement } from '../disagreements.ts';

export const TRAPLINE: readonly Disagreement[] = [
  {
    because:
      'RF is not pushed between the iterations of a REP (vol. 3, 17.3.1.1): all that it does is hold off instruction breakpoints, which trapline does not have',
    cases: { step: { 'a step over an iteration of REP': '#DB, rcx=2, rflags=102' } },
  },
  {
    because:
      'a direct branch goes to an address that is not canonical, and faults there (vol. 2, Jcc, JMP, CALL): only code within 2 GiB of the hole can do that',
    cases: { canonical: { 'a short jump into the hole': '#GP(0) at =800000000010' } },
  },
];
