// From an offset in a segment to a linear address, with the checks of segmentation (SDM vol. 3, 5.3 and 5.5): for microcode, and for
// what generated code found beyond a segment's plain bounds (codeMode.ts). In 64-bit mode only the bases of FS and GS are
// left, and nothing is checked here.

import { MODE } from '../../x86/decoder.ts';
import { SEGMENT, SEGMENT_ATTRIBUTE, SEGMENT_TYPE } from '../../x86/names/registers.ts';
import type { AccessKind } from '../memory/access.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { DECODED_AS, is64BitMode, isLongMode, isRealMode } from './codeMode.ts';
import type { CodePlace } from '../exit.ts';
import { raise } from '../fault.ts';
import { readSegment, isUsable, segmentBase, type Segment } from './segments.ts';
import type { CpuState } from '../state.ts';

const TOP32 = 0xffff_ffff;
const TOP16 = 0xffff;

/** How an access through a segment is named to the MMU: through SS, a non-canonical address is #SS. */
export const accessThrough = (segment: number): AccessKind => (segment === SEGMENT.SS ? 'stack' : 'data');

/**
 * Linear address of `bytes` bytes at an offset of a segment register; raises #SS(0) or #GP(0) if the segment does not hold
 * them, or not for this intent. The offset is within the address size.
 */
export function linearAddress(
  state: CpuState,
  segment: number,
  offset: bigint,
  bytes: number,
  intent: 'read' | 'write',
): bigint {
  if (is64BitMode(state)) {
    const based = segment === SEGMENT.FS || segment === SEGMENT.GS;
    return based ? BigInt.asUintN(64, offset + segmentBase(state, segment)) : offset;
  }
  const register = readSegment(state, segment);
  if (!admits(state, register, Number(offset), bytes, intent)) {
    return segment === SEGMENT.SS ? raise.ss(0) : raise.gp(0);
  }
  return BigInt.asUintN(32, register.base + offset);
}

/** Linear address of an instruction at RIP, which outside 64-bit mode is an offset in CS. */
export const linearRip = (state: CpuState, rip: bigint): bigint =>
  is64BitMode(state) ? rip : BigInt.asUintN(32, segmentBase(state, SEGMENT.CS) + rip);

const BITS = { [MODE.CODE16]: 16, [MODE.CODE32]: 32, [MODE.CODE64]: 64 } as const;

/** The code at RIP, in the CS that the CPU has now. */
export const codeAt = (state: CpuState, rip: bigint): CodePlace => ({
  linear: linearRip(state, rip),
  bits: BITS[DECODED_AS[state.mode]!],
});

/**
 * Whether a segment of 16- or 32-bit code holds these bytes, and may be accessed so. Where it ends with the address space,
 * accesses go on at 0, which the manual leaves open (SDM vol. 3, 5.3): so flat code need not look.
 */
export function admits(
  state: CpuState,
  { attributes, limit }: Segment,
  offset: number,
  bytes: number,
  intent: 'read' | 'write',
): boolean {
  const kind = attributes & SEGMENT_ATTRIBUTE.TYPE;
  const isCode = (kind & SEGMENT_TYPE.CODE) !== 0;
  const last = offset + bytes - 1;
  const fits = last <= limit || limit === TOP32;
  if (isRealMode(state)) return fits;
  if (!isUsable(attributes) || (attributes & SEGMENT_ATTRIBUTE.P) === 0) return false;
  if (
    intent === 'write' ? isCode || (kind & SEGMENT_TYPE.WRITABLE) === 0 : isCode && (kind & SEGMENT_TYPE.READABLE) === 0
  )
    return false;
  const expandsDown = !isCode && (kind & SEGMENT_TYPE.EXPAND_DOWN) !== 0;
  if (!expandsDown) return fits;
  const top = (attributes & SEGMENT_ATTRIBUTE.DB) !== 0 ? TOP32 : TOP16;
  return offset > limit && last <= top;
}

type CodeSegment = Pick<Segment, 'attributes' | 'limit'>;

/** Whether code of this segment runs in 64-bit mode. */
export const leadsTo64Bit = (state: CpuState, { attributes }: CodeSegment): boolean =>
  (attributes & SEGMENT_ATTRIBUTE.L) !== 0 && isLongMode(state);

/** #GP(error) unless a transfer may lead to this offset: canonical in 64-bit code, within the limit in other code. */
export function requireWithin(state: CpuState, code: CodeSegment, offset: bigint, error = 0): void {
  const reachable = leadsTo64Bit(state, code) ? isCanonicalAddress(offset) : offset <= BigInt(code.limit);
  if (!reachable) raise.gp(error);
}
