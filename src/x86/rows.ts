// The instruction set: all rows of all family files.
//
// Outside, and so invalid encodings here, because the CPUID bits that would offer them are never set:
//   EVEX (62 in 64-bit mode)       AVX-512 and AVX10: 512-bit state, which the state block has no place for
//   XOP (8F with map 8 and above)  AMD's, gone since Zen; LWP and TBM with it
//   3DNow! (0F 0F, 0F 0E)          AMD's, gone since Bulldozer; its PREFETCHW lives on in hint.ts
//   0F A6, 0F A7                   VIA's PadLock
//   TDCALL, SEAMCALL ..            only inside TDX; RMPADJUST, PVALIDATE .. only inside SEV-SNP; PBNDKB: total storage encryption
//   VEX map 7, REX2, EVEX map 4    USER_MSR and APX: processors later than those that are modelled
//   MPX (0F 1A, 0F 1B)             gone since Ice Lake: NOPs, as on processors without it

import { AMX } from './amx.ts';
import { ARITH } from './arith.ts';
import { AVX } from './avx.ts';
import { AVX2 } from './avx2.ts';
import { BIT } from './bit.ts';
import { BRANCH } from './branch.ts';
import { CRYPTO } from './crypto.ts';
import { DATA } from './data.ts';
import { DECIMAL } from './decimal.ts';
import { FLAGOPS } from './flagops.ts';
import { FMA } from './fma.ts';
import { FMA4 } from './fma4.ts';
import { HINT } from './hint.ts';
import { IO } from './io.ts';
import { LOGIC } from './logic.ts';
import { MASK } from './mask.ts';
import { MMX } from './mmx.ts';
import { RARE } from './rare.ts';
import type { Row } from './row.ts';
import { SEGMENT_ROWS } from './segment.ts';
import { SHIFT } from './shift.ts';
import { SSE } from './sse.ts';
import { SSE2 } from './sse2.ts';
import { SSE3 } from './sse3.ts';
import { SSE4 } from './sse4.ts';
import { STACK } from './stack.ts';
import { STRING } from './string.ts';
import { SYSTEM } from './system.ts';
import { X87 } from './x87.ts';
import { XSAVE } from './xsave.ts';

export const ROWS: readonly Row[] = [
  ...DATA,
  ...STACK,
  ...ARITH,
  ...DECIMAL,
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
  ...XSAVE,
  ...X87,
  ...MMX,
  ...SSE,
  ...SSE2,
  ...SSE3,
  ...SSE4,
  ...CRYPTO,
  ...AVX,
  ...AVX2,
  ...FMA,
  ...FMA4,
  ...MASK,
  ...AMX,
  ...RARE,
];
