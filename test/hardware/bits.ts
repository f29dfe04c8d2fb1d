// The modes of code that cases run in, by the default size of their operands.
import { MODE, type Mode } from '../../src/x86/decoder.ts';
import type { Row } from '../../src/x86/row.ts';
import { CS, segmentAt } from './localSegments.ts';
import type { NativeCase } from './nativeCase.ts';

export const BITS = [64, 32, 16] as const;
export type Bits = (typeof BITS)[number];

export const DECODED_AS: Readonly<Record<Bits, Mode>> = { 64: MODE.CODE64, 32: MODE.CODE32, 16: MODE.CODE16 };

/** Of the code segment that a case begins in. */
export const bitsOf = ({ selectors }: Pick<NativeCase, 'selectors'>): Bits =>
  selectors === undefined ? 64 : segmentAt(selectors[CS]!)!.big ? 32 : 16;

/** Whether code of so many bits can have the row at all. */
export const existsIn = ({ modes, encoding }: Row, bits: Bits): boolean =>
  bits === 64 ? modes !== 'no64' : modes !== 'only64' && !(encoding.w === 1 && !encoding.vex);
