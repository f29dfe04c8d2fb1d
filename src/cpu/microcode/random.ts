// RDRAND and RDSEED: chance that is the same in every run. Each vCPU has a stream of its own, whose whole state is one word
// of the state block: what the others do, and when, does not change it, and snapshots carry it along.
//
// Theory: Steele, Lea and Flood's SplitMix64 (2014). The word goes on by an odd constant, and what comes out is the word
// mixed. Not for secrets.

import { RFLAGS } from '../../x86/names/registers.ts';
import type { CpuState } from '../state.ts';
import { changeFlags, writeGpr } from './checks.ts';
import type { Microcode } from './microcode.ts';

const STEP = 0x9e37_79b9_7f4a_7c15n;
const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);

function next(state: CpuState): bigint {
  let z = (state.entropy = u64(state.entropy + STEP));
  z = u64((z ^ (z >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
  z = u64((z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn);
  return z ^ (z >> 31n);
}

const ARITHMETIC = RFLAGS.OF | RFLAGS.SF | RFLAGS.ZF | RFLAGS.AF | RFLAGS.PF | RFLAGS.CF;

/** There is always a number at hand: CF is set (SDM vol. 2, RDRAND). */
const draw: Microcode = ({ state }, insn) => {
  writeGpr(state, insn.reg0, insn.width, next(state));
  changeFlags(state, RFLAGS.CF, ARITHMETIC & ~RFLAGS.CF);
  return 'next';
};

export const rdrand = draw;
export const rdseed = draw;
