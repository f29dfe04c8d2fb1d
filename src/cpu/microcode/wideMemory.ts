// Instructions whose memory operand is wider than a register: CMPXCHG16B, MOVDIR64B.

import { GPR, RFLAGS, SEGMENT } from '../../x86/names/registers.ts';
import { raise } from '../fault.ts';
import { linearAddress } from '../segments/segmentation.ts';
import { changeFlags, linearAfter, operandAccess, operandAddress } from './checks.ts';
import type { Microcode } from './microcode.ts';

const WORD = 8;

/** #GP(0) unless aligned to 16 bytes, which also keeps it within a page. Memory is written in any case, as the bus sees it. */
export const cmpxchg16b: Microcode = ({ state, mmu }, insn) => {
  const { address } = insn;
  if ((address & 15n) !== 0n) raise.gp(0);
  const access = operandAccess(insn);
  mmu.probe(address, 2 * WORD, 'write', access);
  const low = mmu.read(address, WORD, access);
  const high = mmu.read(address + 8n, WORD, access);
  const equal = low === state.gpr(GPR.RAX) && high === state.gpr(GPR.RDX);
  mmu.write(address, WORD, equal ? state.gpr(GPR.RBX) : low, access);
  mmu.write(address + 8n, WORD, equal ? state.gpr(GPR.RCX) : high, access);
  if (equal) changeFlags(state, RFLAGS.ZF, 0);
  else {
    changeFlags(state, 0, RFLAGS.ZF);
    state.setGpr(GPR.RAX, low);
    state.setGpr(GPR.RDX, high);
  }
  return 'next';
};

const LINE = 64;

/** The destination is at ES:reg. */
export const movdir64b: Microcode = (cpu, insn) => {
  const { state, mmu } = cpu;
  const offset = BigInt.asUintN(8 * insn.addressSize, state.gpr(insn.reg0));
  const to = linearAddress(state, SEGMENT.ES, offset, LINE, 'write');
  if ((to & BigInt(LINE - 1)) !== 0n) raise.gp(0);
  const from = operandAddress(cpu, insn, LINE, 'read');
  const access = operandAccess(insn);
  mmu.probe(from, LINE, 'read', access);
  mmu.probe(to, LINE, 'write', 'data');
  const line = Array.from({ length: LINE / WORD }, (_, i) =>
    mmu.read(linearAfter(state, from, WORD * i), WORD, access),
  );
  line.forEach((value, i) => mmu.write(linearAfter(state, to, WORD * i), WORD, value, 'data'));
  return 'next';
};
