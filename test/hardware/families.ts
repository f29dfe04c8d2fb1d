// Families of rows, as src/x86 has files: one file of vectors each.
import { AMX } from '../../src/x86/amx.ts';
import { ARITH } from '../../src/x86/arith.ts';
import { AVX } from '../../src/x86/avx.ts';
import { AVX2 } from '../../src/x86/avx2.ts';
import { BIT } from '../../src/x86/bit.ts';
import type { Bits } from './bits.ts';
import { BRANCH } from '../../src/x86/branch.ts';
import { CRYPTO } from '../../src/x86/crypto.ts';
import { DATA } from '../../src/x86/data.ts';
import { DECIMAL } from '../../src/x86/decimal.ts';
import { FLAGOPS } from '../../src/x86/flagops.ts';
import { FMA } from '../../src/x86/fma.ts';
import { FMA4 } from '../../src/x86/fma4.ts';
import { HINT } from '../../src/x86/hint.ts';
import { IO } from '../../src/x86/io.ts';
import { LOGIC } from '../../src/x86/logic.ts';
import { MASK } from '../../src/x86/mask.ts';
import { MMX } from '../../src/x86/mmx.ts';
import { RARE } from '../../src/x86/rare.ts';
import type { Row } from '../../src/x86/row.ts';
import { SEGMENT_ROWS } from '../../src/x86/segment.ts';
import { SHIFT } from '../../src/x86/shift.ts';
import { SSE } from '../../src/x86/sse.ts';
import { SSE2 } from '../../src/x86/sse2.ts';
import { SSE3 } from '../../src/x86/sse3.ts';
import { SSE4 } from '../../src/x86/sse4.ts';
import { STACK } from '../../src/x86/stack.ts';
import { STRING } from '../../src/x86/string.ts';
import { SYSTEM } from '../../src/x86/system.ts';
import { X87 } from '../../src/x86/x87.ts';
import { XSAVE } from '../../src/x86/xsave.ts';

// prettier-ignore
export const FAMILIES: Readonly<Record<string, readonly Row[]>> = {
  data: DATA, stack: STACK, arith: ARITH, decimal: DECIMAL, logic: LOGIC, shift: SHIFT, bit: BIT, string: STRING, branch: BRANCH, flagops: FLAGOPS,
  io: IO, hint: HINT, segment: SEGMENT_ROWS, system: SYSTEM, xsave: XSAVE, x87: X87, mmx: MMX, sse: SSE, sse2: SSE2, sse3: SSE3, sse4: SSE4,
  crypto: CRYPTO, avx: AVX, avx2: AVX2, fma: FMA, fma4: FMA4, mask: MASK, amx: AMX, rare: RARE,
};

/** The file of short programs stands beside the families'. */
export const PROGRAMS = 'programs';

/** A family's file of vectors of code of so many bits. */
export const fileOf = (family: string, bits: Bits): string => (bits === 64 ? family : `${family}.${bits}`);

/** What names a row in a file of vectors. */
export const rowKey = ({ text, mnemonic, operands }: Row): string =>
  `${text} ${mnemonic} ${operands.map(({ notation }) => notation).join(',')}`;
