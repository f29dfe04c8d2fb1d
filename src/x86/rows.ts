// The instruction set: all rows of all family files.
//
// Outside, and so invalid encodings here, because the CPUID bits that would offer them are never set:
//   EVEX (62 in 64-bit mode)   AVX-512 and AVX10: needs mask registers and 512-bit state, which the state block has no place for
//   VEX with 0F-map opcodes that work on mask registers (KMOV ...)   the same
//   XOP (8F with map >= 8)     AMD's, gone since Zen; so are FMA4, LWP and TBM
//   3DNow! (0F 0F)             AMD's, gone since Bulldozer; its PREFETCHW lives on in hint.ts
//   VEX map 7, REX2, EVEX map 4   USER_MSR and APX: no released processor that guests expect has them

import { ARITH } from './arith.ts';
import { BIT } from './bit.ts';
import { BRANCH } from './branch.ts';
import { DATA } from './data.ts';
import { FLAGOPS } from './flagops.ts';
import { HINT } from './hint.ts';
import { IO } from './io.ts';
import { LOGIC } from './logic.ts';
import type { Row } from './row.ts';
import { SEGMENT_ROWS } from './segment.ts';
import { SHIFT } from './shift.ts';
import { STACK } from './stack.ts';
import { STRING } from './string.ts';
import { SYSTEM } from './system.ts';

export const ROWS: readonly Row[] = [
  ...DATA,
  ...STACK,
  ...ARITH,
  ...LOGIC,
  ...SHIFT,
  ...BIT,
  ...STRING,
  ...BRANCH,
  ...FLAGOPS,
  ...IO,
  ...HINT,
  ...SEGMENT_ROWS,
  ...SYSTEM,
];
