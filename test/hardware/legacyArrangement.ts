// What instructions of 16- and 32-bit code must find in registers and memory: targets of near branches within the code segment, bounds.
import type { Decoded } from '../../src/x86/decoder.ts';
import { isBranch, put, putOnStack, type Stage } from './arrangement.ts';

const [RSP, FIRST_HIGH_BYTE] = [4, 16];
const U32 = 0xffff_ffffn;

export interface NearStage extends Stage {
  /** Where code may go on without leaving its segment. */
  nearTarget(): bigint;
}

/** As often as not a near return or indirect branch finds a target in the code segment. */
export function arrangeTarget(stage: NearStage, decoded: Decoded, operand: bigint | null): void {
  const { row, random, gpr } = stage;
  if (!isBranch(row) || row.microcode !== undefined || random.oneIn(2)) return;
  const size = decoded.width / 8;
  if (row.mnemonic === 'ret') putOnStack(stage, size, [stage.nearTarget()]);
  else if (row.operands.some(({ memory }) => memory === 'or')) {
    if (operand !== null) put(stage, operand, size, stage.nearTarget());
    else if (decoded.reg0 !== RSP) gpr[decoded.reg0] = stage.nearTarget();
  }
}

/** As often as not BOUND finds bounds close to its index. */
export function arrangeBounds(stage: Stage, decoded: Decoded, operand: bigint | null): void {
  const { row, random, gpr } = stage;
  if (row.mnemonic !== 'bound' || operand === null || decoded.reg0 >= FIRST_HIGH_BYTE || random.oneIn(2)) return;
  const size = decoded.width / 8;
  const index = gpr[decoded.reg0]!;
  put(stage, operand, size, (index - BigInt(random.below(4)) + 1n) & U32);
  put(stage, operand + BigInt(size), size, (index + BigInt(random.below(4)) - 1n) & U32);
}
