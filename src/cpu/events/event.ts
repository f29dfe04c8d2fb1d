// An event being delivered, and what all ways of delivering it have in common.

import { ACTIVITY, DR6, ERROR_CODE, RFLAGS, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { is64BitMode } from '../segments/codeMode.ts';
import { gateDpl, isNull, readDescriptor, readEntry, selectorError } from '../segments/descriptors.ts';
import type { Descriptor, Gate } from '../segments/descriptors.ts';
import { raise } from '../fault.ts';
import { EVENT_TYPE, typeOf, vectorOf } from './interruption.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { dplOf, isPresent, systemType } from '../segments/segments.ts';
import { OFFSET, type CpuState } from '../state.ts';

export interface Event {
  readonly info: number;
  readonly errorCode: number;
  /** Bytes of the instruction that causes it (software events), else 0. The frame saves RIP behind them. */
  readonly length: number;
  /**
   * RF is set in the saved flags: the event is a fault, and its instruction will run again. Of an instruction breakpoint it is
   * for the handler to set it (SDM vol. 3, 17.3.1.1).
   */
  readonly resume: boolean;
}

/** The RIP that the frame saves; outside 64-bit mode, EIP. */
export const returnRip = (state: CpuState, { length }: Event): bigint =>
  BigInt.asUintN(is64BitMode(state) ? 64 : 32, state.rip + BigInt(length));

/** A program asked for it (INT n, INT3, INTO): the gate's DPL counts, and faults do not carry EXT. INT1 counts as external. */
const isRequested = ({ info }: Event): boolean => {
  const type = typeOf(info);
  return type === EVENT_TYPE.SOFT_INTERRUPT || type === EVENT_TYPE.SOFT_EXCEPTION;
};

/** What faults of its delivery have in bit 0 of their error code. */
export const extOf = (event: Event): number => (isRequested(event) ? 0 : ERROR_CODE.EXT);

/** Whether a gate's type is one of these; code and data segments have none. */
const isAmong = (types: number, attributes: number): boolean => {
  const type = systemType(attributes);
  return type >= 0 && ((types >> type) & 1) !== 0;
};

/** What an IDT is made of: gates of one 64-bit word, or of two in IA-32e mode. */
export interface GateLayout {
  readonly words: 1 | 2;
  readonly decode: (entry: ReturnType<typeof readEntry>) => Gate;
}

/** The gate of an event, checked in the manual's order. `types`: what the IDT may hold, a bit for each type. */
export function readIdtGate(cpu: MicrocodeCpu, event: Event, { words, decode }: GateLayout, types: number): Gate {
  const { state } = cpu;
  const vector = vectorOf(event.info);
  const error = (vector << 3) | ERROR_CODE.IDT | extOf(event);
  const offset = vector * 8 * words;
  if (offset + 8 * words - 1 > state.idtrLimit) raise.gp(error);
  const gate = decode(readEntry(cpu, OFFSET.idtrBase, offset, words));
  if (!isAmong(types, gate.attributes)) raise.gp(error);
  if (isRequested(event) && gateDpl(gate) < state.cpl) raise.gp(error);
  if (!isPresent(gate.attributes)) raise.np(error);
  return gate;
}

/** The code segment of a gate: of a kind that the mode wants, and no less privileged than the CPL. */
export function readHandlerCode(
  cpu: MicrocodeCpu,
  { selector }: Gate,
  fits: (attributes: number) => boolean,
  ext: number,
): Descriptor {
  if (isNull(selector)) raise.gp(ext);
  const error = selectorError(selector) | ext;
  const code = readDescriptor(cpu, selector) ?? raise.gp(error);
  if (!fits(code.attributes) || dplOf(code.attributes) > cpu.state.cpl) raise.gp(error);
  if (!isPresent(code.attributes)) raise.np(error);
  return code;
}

/** The flags that the frame saves. */
export const savedFlags = (resume: boolean, rflags: number): number => (resume ? rflags | RFLAGS.RF : rflags) >>> 0;

const CLEARED = RFLAGS.TF | RFLAGS.NT | RFLAGS.VM | RFLAGS.RF;
const INTERRUPT_GATES = (1 << SYSTEM_TYPE.INTERRUPT_GATE) | (1 << SYSTEM_TYPE.INTERRUPT_GATE16);

/** The flags that a handler begins with, by its gate's attributes. */
export const handlerFlags = (attributes: number, rflags: number): number =>
  rflags & ~(isAmong(INTERRUPT_GATES, attributes) ? CLEARED | RFLAGS.IF : CLEARED);

const SINGLE_STEP = Number(DR6.BS);

/** What remains to be done when the handler's registers are loaded. */
export function begin(state: CpuState, info: number): void {
  state.shadow = 0;
  state.pendingDb &= ~SINGLE_STEP; // what MOV SS has held off comes at the handler's first instruction
  state.activity = ACTIVITY.ACTIVE;
  if (typeOf(info) === EVENT_TYPE.NMI) state.nmiBlocked = 1;
}
