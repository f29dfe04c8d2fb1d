// The second opinion: trapline's own decoder reads back what the encoder produced. What does not decode here could not be
// executed either, so nothing else needs to agree.

import { Decoded, MODE } from '../x86/decoded.ts';
import { decode } from '../x86/decoder.ts';
import { textOf } from '../x86/text.ts';
import type { Mode } from './encoder.ts';

export interface ReadBack {
  /** Bytes. */
  length: number;
  /** With its prefixes, as `lock xadd`. */
  mnemonic: string;
  operands: string;
  /** Bits of the operation; 0 if it has no width. */
  width: number;
}

/** The decoder's name for a mode. */
export const CODE_MODE = { 16: MODE.CODE16, 32: MODE.CODE32, 64: MODE.CODE64 } as const;
const PREFIXED = /^((?:(?:lock|rep|repz|repnz) )*\S+)(?: ([^#]*))?/;

const scratch = new Decoded();

/** The instruction at the start of `bytes`, or null when there is none. */
export function readBack(bytes: Uint8Array, mode: Mode): ReadBack | null {
  const length = decode(bytes, 0, bytes.length, CODE_MODE[mode], scratch);
  if (length <= 0) return null;
  const [, mnemonic, operands = ''] = PREFIXED.exec(textOf(scratch, 0n)) ?? ['', ''];
  return { length, mnemonic, operands: operands.trim(), width: scratch.width };
}
