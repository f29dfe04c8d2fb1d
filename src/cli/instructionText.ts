// What can be said of the instruction at an address: its text, as a trace line shows it, and what it needs.

import { DECODED_AS } from '../cpu/codeMode.ts';
import { linearRip } from '../cpu/segmentation.ts';
import { Decoded, decode } from '../x86/decoder.ts';
import { ROWS } from '../x86/rows.ts';
import { textOf } from '../x86/text.ts';
import type { Machine } from '../vmm/machine.ts';

/** No instruction is longer (SDM vol. 2, 2.3.11). */
const LONGEST = 15;
const PAGE = 4096n;
const insn = new Decoded();

/** Decodes the instruction at a linear address; null where its bytes cannot be read without a fault, or are none. */
function instructionAt(machine: Machine, vcpu: number, linear: bigint): Decoded | null {
  const { mmu, state } = machine.processor.cpus[vcpu]!;
  const inPage = Math.min(LONGEST, Number(PAGE - (linear % PAGE)));
  const bytes = mmu.peek(linear, LONGEST) ?? mmu.peek(linear, inPage);
  return bytes !== null && decode(bytes, 0, bytes.length, DECODED_AS[state.mode]!, insn) > 0 ? insn : null;
}

/** Linear address of code at `rip`, in the CS that the vCPU has now. */
const linearOf = (machine: Machine, vcpu: number, rip: bigint): bigint =>
  linearRip(machine.processor.cpus[vcpu]!.state, rip);

/** The symbol that `rip` lies behind, and how far; a number where there is none. */
export const placeText = (machine: Machine, vcpu: number, rip: bigint): string =>
  machine.image.symbols.format(linearOf(machine, vcpu, rip));

/** AT&T text of the instruction at `rip`, with symbols; null where there is none. */
export function instructionText(machine: Machine, vcpu: number, rip: bigint): string | null {
  const { symbols } = machine.image;
  const linear = linearOf(machine, vcpu, rip);
  const found = instructionAt(machine, vcpu, linear);
  if (found === null) return null;
  return textOf(found, linear, (address) => (symbols.lookup(address) === null ? undefined : symbols.format(address)));
}

/** The CPUID feature that the instruction at `rip` needs and the machine does not offer; null: none. */
export function missingFeature(machine: Machine, vcpu: number, rip: bigint): string | null {
  const found = instructionAt(machine, vcpu, linearOf(machine, vcpu, rip));
  const feature = found === null || found.row < 0 ? undefined : ROWS[found.row]!.cpuid;
  return feature === undefined || machine.vm.cpuid.offers(feature) ? null : feature;
}
