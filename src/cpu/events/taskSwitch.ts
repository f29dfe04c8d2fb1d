// Where hardware task switches would begin: they are not implemented. What is checked before one is, and then the machine
// stops by name. IA-32e mode has none (SDM vol. 3, 7.7).

import { SELECTOR, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { gateDpl, readDescriptor, rplOf, selectorError, type Descriptor, type Gate } from '../segments/descriptors.ts';
import { raise, stop } from '../fault.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { dplOf, isPresent, systemType } from '../segments/segments.ts';

const TSS_TYPES: readonly number[] = [SYSTEM_TYPE.TSS16_AVAILABLE, SYSTEM_TYPE.TSS_AVAILABLE];

/** Stops the machine: `how` says what would have switched. */
export const switchTasks = (how: string): never =>
  stop(`task switches are not implemented (${how})`, 'switch stacks and registers by software');

/** An available TSS as the target of JMP, CALL or a task gate. */
function requireAvailable({ attributes }: Descriptor, error: number): void {
  if (!TSS_TYPES.includes(systemType(attributes))) raise.gp(error);
  if (!isPresent(attributes)) raise.np(error);
}

/** JMP or CALL to a TSS (SDM vol. 2, JMP: TASK-STATE-SEGMENT). */
export function switchToTss({ state }: MicrocodeCpu, selector: number, tss: Descriptor): never {
  const error = selectorError(selector);
  const dpl = dplOf(tss.attributes);
  if (dpl < state.cpl || dpl < rplOf(selector)) raise.gp(error);
  requireAvailable(tss, error);
  return switchTasks('a far transfer to a TSS');
}

/** JMP or CALL through a task gate (SDM vol. 2, JMP: TASK-GATE). */
export function switchByGate(cpu: MicrocodeCpu, gateSelector: number, gate: Gate): never {
  const error = selectorError(gateSelector);
  if (gateDpl(gate) < cpu.state.cpl || gateDpl(gate) < rplOf(gateSelector)) raise.gp(error);
  if (!isPresent(gate.attributes)) raise.np(error);
  return switchThrough(cpu, gate.selector, 0, 'a far transfer through a task gate');
}

/** To the TSS that a task gate names. */
export function switchThrough(cpu: MicrocodeCpu, selector: number, ext: number, how: string): never {
  const error = selectorError(selector) | ext;
  if ((selector & SELECTOR.TI) !== 0) raise.gp(error);
  requireAvailable(readDescriptor(cpu, selector) ?? raise.gp(error), error);
  return switchTasks(how);
}
