// Instructions that invalidate translations and caches: INVLPG, INVPCID, INVD, WBINVD.

import { CR4 } from '../../x86/names/registers.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { EXIT } from '../exit.ts';
import { raise } from '../fault.ts';
import { INVPCID } from '../memory/mmu.ts';
import { leaveGuest } from '../vmexit.ts';
import { linearAfter, operandAccess, operandAddress, requireRing0, truncate } from './checks.ts';
import type { Microcode } from './microcode.ts';

/** No limit is checked (SDM vol. 2, INVLPG). */
export const invlpg: Microcode = ({ state, controls, mmu }, insn) => {
  requireRing0(state);
  if (controls.invlpgExiting) return leaveGuest(state, EXIT.INVLPG, insn.length, insn.address);
  mmu.invlpg(insn.address);
  return 'next';
};

const PCID_BITS = 12n;
const DESCRIPTOR_BYTES = 16;

/** The descriptor in memory: a PCID in the first word, an address in the second. */
export const invpcid: Microcode = (cpu, insn) => {
  const { state, mmu } = cpu;
  requireRing0(state);
  const type = truncate(state.gpr(insn.reg0), insn.width);
  if (type > BigInt(INVPCID.ALL_BUT_GLOBAL)) raise.gp(0);
  const access = operandAccess(insn);
  const at = operandAddress(cpu, insn, DESCRIPTOR_BYTES, 'read');
  const pcid = mmu.read(at, 8, access);
  const address = mmu.read(linearAfter(state, at, 8), 8, access);
  if (pcid >> PCID_BITS !== 0n) raise.gp(0);
  const isSelective = type <= BigInt(INVPCID.CONTEXT);
  if (isSelective && pcid !== 0n && (state.cr4 & CR4.PCIDE) === 0n) raise.gp(0);
  if (type === BigInt(INVPCID.ADDRESS) && !isCanonicalAddress(address)) raise.gp(0);
  mmu.invpcid(Number(type), Number(pcid), address);
  return 'next';
};

/** There are no caches to write back or drop. */
export const wbinvd: Microcode = ({ state, controls }, insn) => {
  requireRing0(state);
  if (controls.wbinvdExiting) return leaveGuest(state, EXIT.WBINVD, insn.length);
  return 'next';
};

export const invd: Microcode = ({ state, controls }, insn) => {
  requireRing0(state);
  if (controls.invdExiting) return leaveGuest(state, EXIT.INVD, insn.length);
  return 'next';
};
