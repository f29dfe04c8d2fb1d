// ENTER, a stack frame for a procedure with pointers to the frames of the procedures around it; PUSHA and POPA, all general
// registers at once. Everything that will be read and written is probed before, in the order of the accesses.

import { GPR } from '../../x86/names/registers.ts';
import { Stack } from '../segments/stack.ts';
import { writeGpr } from './checks.ts';
import type { Microcode } from './microcode.ts';

const DEEPEST = 31;

/** SDM vol. 2, ENTER. The last place of the new frame is not written, but probed too. */
export const enter: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const { width } = insn;
  const level = insn.immediate2 & DEEPEST;
  const outer = level === 0 ? 0 : level - 1;
  const stack = Stack.current(cpu);
  const frames = Stack.current(cpu, GPR.RBP);
  const size = width * (1 + level) + Number(BigInt.asUintN(16, insn.immediate));
  for (let i = 0; i <= level; i++) {
    if (i > 0 && i <= outer) frames.probeAt(-i * width, width, 'read');
    stack.probeAt(-(i + 1) * width, width, 'write');
  }
  stack.probeAt(-size, width, 'write');

  stack.push(width, state.gpr(GPR.RBP));
  const frame = stack.rsp;
  for (let i = 1; i <= outer; i++) stack.push(width, frames.peek(-i * width, width));
  if (level > 0) stack.push(width, frame);
  stack.release(width * (1 + level) - size);
  writeGpr(state, GPR.RBP, width, frame);
  stack.commit();
  return 'next';
};

/** Order of the pushes; the stack pointer is the one before. */
const ALL = [GPR.RAX, GPR.RCX, GPR.RDX, GPR.RBX, GPR.RSP, GPR.RBP, GPR.RSI, GPR.RDI] as const;

export const pusha: Microcode = (cpu, insn) => {
  const stack = Stack.current(cpu);
  stack.probe(ALL.length, insn.width);
  for (const register of ALL) stack.push(insn.width, cpu.state.gpr(register));
  stack.commit();
  return 'next';
};

const UPWARDS = [...ALL].reverse();

/** The stack pointer's own place is passed over. */
export const popa: Microcode = (cpu, insn) => {
  const stack = Stack.current(cpu);
  const values = UPWARDS.map((_, i) => stack.peek(i * insn.width, insn.width));
  stack.release(ALL.length * insn.width);
  UPWARDS.forEach((register, i) => {
    if (register !== GPR.RSP) writeGpr(cpu.state, register, insn.width, values[i]!);
  });
  stack.commit();
  return 'next';
};
