// The legacy prefixes of a case: those that its row wants or allows, and now and then some that ought to change nothing.
import { PREFIX } from '../../src/x86/encoding.ts';
import type { Row } from '../../src/x86/row.ts';
import { WIDTH_RULE, shapeOf } from '../../src/x86/shapes.ts';
import type { SegmentNumber } from './arrangement.ts';
import type { Bits } from './bits.ts';
import { LOCK } from './formOf.ts';
import type { Random } from './random.ts';

export interface Override {
  readonly byte: number;
  readonly segment: SegmentNumber;
}

export interface LegacyPrefixes {
  readonly bytes: readonly number[];
  /** Address size is the other one. */
  readonly otherAddress: boolean;
  readonly override: Override | null;
}

const OPERAND_SIZE = 0x66;
export const ADDRESS_SIZE = 0x67;
const FS: Override = { byte: 0x64, segment: 4 };
const GS: Override = { byte: 0x65, segment: 5 };
/** Those of ES, CS, SS and DS: 64-bit mode ignores them, even behind one of FS or GS. */
const IGNORED = [0x26, 0x2e, 0x36, 0x3e];
const ALL = [...IGNORED.map((byte, segment) => ({ byte, segment: segment as SegmentNumber })), FS, GS];
const OF_LONG_MODE = [GS, GS, FS];
/** With so many of them most instructions become longer than 15 bytes. */
const MANY = 13;

export function drawPrefixes(row: Row, bits: Bits, random: Random, isMemory: boolean, free: boolean): LegacyPrefixes {
  const { lock, rep, addressed, operands, encoding } = row;
  const bytes: number[] = [];
  const addresses = isMemory || addressed !== undefined || operands.some((o) => o.addressing !== '');
  const otherAddress = addresses && random.oneIn(3);
  const overrides = bits === 64 ? OF_LONG_MODE : ALL;
  const override = addresses && addressed !== 'count' && random.oneIn(3) ? random.pick(overrides) : null;
  if (!encoding.vex) {
    const illegal = !free && !row.ignoresMod && random.oneIn(24); // LOCK MOV CR is AMD's way to CR8
    if (illegal || (lock && isMemory && random.oneIn(4))) bytes.push(LOCK);
  }
  if (otherAddress) bytes.push(ADDRESS_SIZE);
  if (override) bytes.push(override.byte);
  if (!encoding.vex) {
    bytes.push(...operandPrefixes(row, random));
    if (rep && !random.oneIn(3)) bytes.push(random.pick([0xf3, 0xf2]));
  }
  const idle = bits === 64 ? IGNORED : idleOverrides(addresses, override);
  if (!free && idle.length > 0 && random.oneIn(12))
    for (let left = random.oneIn(6) ? MANY : 1 + random.below(3); left > 0; left--)
      bytes.splice(random.below(bytes.length + 1), 0, random.pick(idle));
  return { bytes, otherAddress, override };
}

/** Overrides that change nothing in 16- and 32-bit code: any where nothing is addressed, else the same once more. */
function idleOverrides(addresses: boolean, override: Override | null): readonly number[] {
  if (!addresses) return IGNORED;
  return override ? [override.byte] : [];
}

function operandPrefixes(row: Row, random: Random): number[] {
  const { prefixes } = row.encoding;
  const { rule } = shapeOf(row);
  const sized = rule === WIDTH_RULE.V || rule === WIDTH_RULE.Z;
  const mayShrink = (prefixes & PREFIX.X66) !== 0 || prefixes === PREFIX.F3 || prefixes === PREFIX.F2;
  const found: number[] = [];
  if (prefixes === PREFIX.X66 || (sized && mayShrink && random.oneIn(2))) found.push(OPERAND_SIZE);
  if (prefixes === PREFIX.F3) found.push(0xf3);
  if (prefixes === PREFIX.F2) found.push(0xf2);
  return found;
}
