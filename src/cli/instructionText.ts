// What can be said of the instruction at an address: its text, as a trace line shows it, and what it needs.

import { Decoded, MODE, decode } from '../x86/decoder.ts';
import { ROWS } from '../x86/rows.ts';
import { textOf } from '../x86/text.ts';
import type { Machine } from '../vmm/machine.ts';

/** No instruction is longer (SDM vol. 2, 2.3.11). */
const LONGEST = 15;
const PAGE = 4096n;
const insn = new Decoded();

/** Decodes the instruction at `rip`; null where its bytes cannot be read without a fault, or are none. */
function instructionAt(machine: Machine, vcpu: number, rip: bigint): Decoded | null {
  const { mmu } = machine.processor.cpus[vcpu]!;
  const inPage = Math.min(LONGEST, Number(PAGE - (rip % PAGE)));
  const bytes = mmu.peek(rip, LONGEST) ?? mmu.peek(rip, inPage);
  return bytes !== null && decode(bytes, 0, bytes.length, MODE.CODE64, insn) > 0 ? insn : null;
}

/** AT&T text of the instruction at `rip`, with symbols; null where there is none. */
export function instructionText(machine: Machine, vcpu: number, rip: bigint): string | null {
  const { symbols } = machine.image;
  const found = instructionAt(machine, vcpu, rip);
  if (found === null) return null;
  return textOf(found, rip, (address) => (symbols.lookup(address) === null ? undefined : symbols.format(address)));
}

/** The CPUID feature that the instruction at `rip` needs and the machine does not offer; null: none. */
export function missingFeature(machine: Machine, vcpu: number, rip: bigint): string | null {
  const found = instructionAt(machine, vcpu, rip);
  const feature = found === null || found.row < 0 ? undefined : ROWS[found.row]!.cpuid;
  return feature === undefined || machine.vm.cpuid.offers(feature) ? null : feature;
}
