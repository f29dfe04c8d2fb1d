// Software interrupts: INT n, INT1, INT3, INTO. Returns: interruptReturn.ts.

import { RFLAGS } from '../../x86/names/registers.ts';
import { VECTOR } from '../../x86/names/vectors.ts';
import { deliverSoftwareEvent } from '../events/delivery.ts';
import { EVENT_TYPE } from '../events/interruption.ts';
import { readRflags } from '../rflags.ts';
import type { Microcode } from './microcode.ts';

export const int: Microcode = (cpu, insn) => {
  deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_INTERRUPT, insn.immediateNumber & 0xff, insn.length);
  return 'jump';
};

export const int1: Microcode = (cpu, insn) => {
  deliverSoftwareEvent(cpu, EVENT_TYPE.PRIVILEGED_SOFT_EXCEPTION, VECTOR.DB, insn.length);
  return 'jump';
};

export const int3: Microcode = (cpu, insn) => {
  deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_EXCEPTION, VECTOR.BP, insn.length);
  return 'jump';
};

export const into: Microcode = (cpu, insn) => {
  if ((readRflags(cpu.state) & RFLAGS.OF) === 0) return 'next';
  deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_EXCEPTION, VECTOR.OF, insn.length);
  return 'jump';
};
