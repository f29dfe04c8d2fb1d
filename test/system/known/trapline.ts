// trapline itself: what is left open.

import type { Disagreement } from '../disagreements.ts';

export const TRAPLINE: readonly Disagreement[] = [
  {
    because:
      'a direct branch goes to an address that is not canonical, and faults there (vol. 2, Jcc, JMP, CALL): only code within 2 GiB of the hole can do that',
    cases: { canonical: { 'a short jump into the hole': '#GP(0) at =800000000010' } },
  },
];
