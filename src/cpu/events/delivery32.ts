// Delivery through the IDT of protected mode outside of IA-32e mode (SDM vol. 3, 6.12 and INT n in vol. 2): interrupt and trap
// gates of 16 and 32 bits, which decide the width of the frame. SS:ESP is part of it only if the privilege changes.

import { SEGMENT, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { decodeGate } from '../segments/descriptors.ts';
import { begin, extOf, handlerFlags, readHandlerCode, readIdtGate, returnRip, savedFlags } from './event.ts';
import type { Event, GateLayout } from './event.ts';
import { goThrough } from './gate.ts';
import { hasErrorCode } from './interruption.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import { isCode, segmentSelector, systemType } from '../segments/segments.ts';
import { switchThrough } from './taskSwitch.ts';

const GATES: GateLayout = { words: 1, decode: decodeGate };
const TYPES =
  (1 << SYSTEM_TYPE.TASK_GATE) |
  (1 << SYSTEM_TYPE.INTERRUPT_GATE16) |
  (1 << SYSTEM_TYPE.TRAP_GATE16) |
  (1 << SYSTEM_TYPE.INTERRUPT_GATE) |
  (1 << SYSTEM_TYPE.TRAP_GATE);

export function deliverProtected(cpu: MicrocodeCpu, event: Event): void {
  const { state } = cpu;
  const ext = extOf(event);
  const gate = readIdtGate(cpu, event, GATES, TYPES);
  if (systemType(gate.attributes) === SYSTEM_TYPE.TASK_GATE) {
    switchThrough(cpu, gate.selector, ext, 'an interrupt or exception through a task gate');
  }
  const code = readHandlerCode(cpu, gate, isCode, ext);
  const rflags = readRflags(state);
  const frame = [
    BigInt(savedFlags(event.resume, rflags)),
    BigInt(segmentSelector(state, SEGMENT.CS)),
    returnRip(state, event),
  ];
  if (hasErrorCode(event.info)) frame.push(BigInt(event.errorCode));

  goThrough(cpu, gate, code, frame, ext);
  writeRflags(state, handlerFlags(gate.attributes, rflags));
  begin(state, event.info);
}
