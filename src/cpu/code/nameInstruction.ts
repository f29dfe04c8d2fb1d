// Stops the machine at an instruction that is decoded but not executed, and says which.

import { Decoded, decode } from '../../x86/decoder.ts';
import { FORMS } from '../../x86/tables.ts';
import { DECODED_AS } from '../segments/codeMode.ts';
import { stop } from '../fault.ts';
import type { Mmu } from '../memory/mmu.ts';
import { linearRip } from '../segments/segmentation.ts';
import type { CpuState } from '../state.ts';

const LONGEST = 15;
const PAGE_SIZE = 4096;

/** Decodes the instruction at RIP again for its name. */
export function nameInstruction(state: CpuState, mmu: Mmu): never {
  const rip = linearRip(state, state.rip);
  const inPage = PAGE_SIZE - Number(rip & 0xfffn);
  const bytes = mmu.peek(rip, LONGEST) ?? mmu.peek(rip, Math.min(inPage, LONGEST)) ?? new Uint8Array();
  const insn = new Decoded();
  const length = decode(bytes, 0, bytes.length, DECODED_AS[state.mode]!, insn);
  const form = length > 0 ? FORMS[insn.form] : undefined;
  const text = [...bytes.subarray(0, Math.max(length, 1))].map((b) => b.toString(16).padStart(2, '0')).join(' ');
  return stop(
    `${form?.name ?? 'instruction'} (${text}) is not implemented`,
    "compile the guest without it (gcc -mgeneral-regs-only), or see 'trapline isa' for what is executed",
  );
}
