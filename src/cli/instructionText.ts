// The text of the instruction at an address, as a trace line shows it.

import { Decoded, MODE, decode } from '../x86/decoder.ts';
import { textOf } from '../x86/text.ts';
import type { Machine } from '../vmm/machine.ts';

const insn = new Decoded();

/** AT&T text of an instruction of `length` bytes, with symbols; empty where its bytes cannot be read any more. */
export function instructionText(machine: Machine, vcpu: number, rip: bigint, length: number): string {
  const { symbols } = machine.image;
  const bytes = machine.processor.cpus[vcpu]!.mmu.peek(rip, length);
  if (bytes === null || decode(bytes, 0, bytes.length, MODE.CODE64, insn) <= 0) return '';
  return textOf(insn, rip, (address) => (symbols.lookup(address) === null ? undefined : symbols.format(address)));
}
