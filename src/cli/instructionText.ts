// What can be said of the instruction at an address: its text, as a trace line shows it, and what it needs.

import type { CodePlace } from '../cpu/exit.ts';
import { codeAt } from '../cpu/segments/segmentation.ts';
import { Decoded, MODE, decode } from '../x86/decoder.ts';
import { ROWS } from '../x86/rows.ts';
import { textOf } from '../x86/text.ts';
import type { Machine } from '../vmm/machine.ts';

/** No instruction is longer (SDM vol. 2, 2.3.11). */
const LONGEST = 15;
const PAGE = 4096n;
const insn = new Decoded();

const MODE_OF = { 16: MODE.CODE16, 32: MODE.CODE32, 64: MODE.CODE64 } as const;

/** Decodes an instruction; null where its bytes cannot be read without a fault, or are none. */
function instructionAt(machine: Machine, vcpu: number, { linear, bits }: CodePlace): Decoded | null {
  const { mmu } = machine.processor.cpus[vcpu]!;
  const inPage = Math.min(LONGEST, Number(PAGE - (linear % PAGE)));
  const bytes = mmu.peek(linear, LONGEST) ?? mmu.peek(linear, inPage);
  return bytes !== null && decode(bytes, 0, bytes.length, MODE_OF[bits], insn) > 0 ? insn : null;
}

/** Code at RIP, in the mode and CS that the vCPU has now. */
export const codeOf = (machine: Machine, { vcpu, rip }: { readonly vcpu: number; readonly rip: bigint }): CodePlace =>
  codeAt(machine.processor.cpus[vcpu]!.state, rip);

/** AT&T text of an instruction, with symbols; null where there is none. */
export function instructionText(machine: Machine, vcpu: number, code: CodePlace): string | null {
  const { symbols } = machine.image;
  const found = instructionAt(machine, vcpu, code);
  if (found === null) return null;
  const nameOf = (address: bigint): string | undefined =>
    symbols.lookup(address) === null ? undefined : symbols.format(address);
  return textOf(found, code.linear, nameOf);
}

/** The CPUID feature that the instruction at `rip` needs and the machine does not offer; null: none. */
export function missingFeature(machine: Machine, vcpu: number, rip: bigint): string | null {
  const found = instructionAt(machine, vcpu, codeOf(machine, { vcpu, rip }));
  const feature = found === null || found.row < 0 ? undefined : ROWS[found.row]!.cpuid;
  return feature === undefined || machine.vm.cpuid.offers(feature) ? null : feature;
}
