// ENTER: a stack frame for a procedure, with pointers to the frames of the procedures around it.

import { GPR } from '../../x86/names/registers.ts';
import { writeGpr } from './checks.ts';
import type { Microcode } from './microcode.ts';

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const DEEPEST = 31;

/**
 * SDM vol. 2, ENTER, with a stack of 64 bits. All that will be read and written is probed before, in the order of the accesses,
 * and so is the last place of the new frame, which is not written.
 */
export const enter: Microcode = ({ state, mmu }, insn) => {
  const bytes = BigInt(insn.width);
  const level = insn.immediate2 & DEEPEST;
  const size = BigInt.asUintN(16, insn.immediate);
  const rsp = state.gpr(GPR.RSP);
  const rbp = state.gpr(GPR.RBP);
  const frame = u64(rsp - bytes);
  const end = u64(rsp - bytes * BigInt(1 + level) - size);
  const outer = level === 0 ? 0 : level - 1;
  for (let i = 0; i <= level; i++) {
    if (i > 0 && i <= outer) mmu.probe(u64(rbp - bytes * BigInt(i)), insn.width, 'read', 'stack');
    mmu.probe(u64(frame - bytes * BigInt(i)), insn.width, 'write', 'stack');
  }
  mmu.probe(end, insn.width, 'write', 'stack');

  let top = rsp;
  const push = (value: bigint): void => mmu.write((top = u64(top - bytes)), insn.width, value, 'stack');
  push(rbp);
  for (let i = 1; i <= outer; i++) push(mmu.read(u64(rbp - bytes * BigInt(i)), insn.width, 'stack'));
  if (level > 0) push(frame);
  writeGpr(state, GPR.RBP, insn.width, frame);
  state.setGpr(GPR.RSP, end);
  return 'next';
};
