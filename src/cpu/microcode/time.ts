// RDTSC and RDTSCP where they exit; their semantics (x86/system.ts) have come before.

import { EXIT, type ExitReason } from '../exit.ts';
import { leaveGuest } from '../vmexit.ts';
import type { Microcode } from './microcode.ts';

const exits =
  (reason: ExitReason): Microcode =>
  ({ state }, insn) =>
    leaveGuest(state, reason, insn.length);

export const rdtsc = exits(EXIT.RDTSC);
export const rdtscp = exits(EXIT.RDTSCP);
