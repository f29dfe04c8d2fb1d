// The text of the instruction at an address, as a trace line shows it.

import { Decoded, MODE, decode } from '../x86/decoder.ts';
import { textOf } from '../x86/text.ts';
import type { Machine } from '../vmm/machine.ts';

/** No instruction is longer (SDM vol. 2, 2.3.11). */
const LONGEST = 15;
const PAGE = 4096n;
const insn = new Decoded();

/** AT&T text of the instruction at `rip`, with symbols; null where its bytes cannot be read without a fault. */
export function instructionText(machine: Machine, vcpu: number, rip: bigint): string | null {
  const { symbols } = machine.image;
  const { mmu } = machine.processor.cpus[vcpu]!;
  const inPage = Math.min(LONGEST, Number(PAGE - (rip % PAGE)));
  const bytes = mmu.peek(rip, LONGEST) ?? mmu.peek(rip, inPage);
  if (bytes === null || decode(bytes, 0, bytes.length, MODE.CODE64, insn) <= 0) return null;
  return textOf(insn, rip, (address) => (symbols.lookup(address) === null ? undefined : symbols.format(address)));
}
