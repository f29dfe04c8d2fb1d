// How wide an immediate operand is: from the mnemonic's class, its suffix, or the register beside it.

import type { Mode } from './encoder.ts';
import { gprSize, type Operand } from './operand.ts';

export interface ImmediateWidth {
  /** Bytes of the operation that the immediate takes part in. */
  bytes: 1 | 2 | 4 | 8;
  /** The field has 32 bits and is sign-extended to 64. */
  extended: boolean;
}

/** Shift counts, bit numbers, ports and vectors: one byte whatever the operand size. */
const BYTE = /^(?:(?:ro[lr]|rc[lr]|s[ah][lr]|sh[lr]d|bt[src]?|in|out)[bwlq]?|rorx[lq]?|int|aam|aad|xabort)$/;
/** Stack adjustments and frame sizes. */
const WORD = /^(?:l?ret[wlq]?|enter[wq]?)$/;
const SUFFIX: Record<string, 1 | 2 | 4 | 8> = { b: 1, w: 2, l: 4, q: 8 };
/** Mnemonics whose last letter is a size when it is one of b, w, l, q. */
const SIZED = /^(?:mov|add|or|adc|sbb|and|sub|xor|cmp|test|push|imul)([bwlq])$/;

/** The width of the immediate at `index` of an operand list. */
export function immediateWidth(
  mnemonic: string,
  operands: readonly Operand[],
  index: number,
  mode: Mode,
): ImmediateWidth {
  const fixed = (bytes: 1 | 2 | 4 | 8): ImmediateWidth => ({ bytes, extended: false });
  if (/^movabsq?$/.test(mnemonic)) return fixed(8);
  if (BYTE.test(mnemonic)) return fixed(1);
  if (WORD.test(mnemonic)) return fixed(index === 0 ? 2 : 1);
  const registers = operands.filter((operand) => operand.kind === 'register').map((operand) => operand.name);
  if (registers.some((name) => /^([xyz]?mm|k\d)/.test(name))) return fixed(1);
  const suffix = SIZED.exec(mnemonic)?.[1];
  const fromRegister = registers.map(gprSize).findLast((size) => size !== null);
  const native = mode === 64 && !mnemonic.startsWith('push') ? 4 : ((mode / 8) as 2 | 4 | 8);
  const bytes = suffix !== undefined ? SUFFIX[suffix] : (fromRegister ?? native);
  return { bytes, extended: bytes === 8 };
}
