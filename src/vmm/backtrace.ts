// Who called whom, up to where a vCPU stands: by the frame pointers that code keeps when it is built with them
// (-fno-omit-frame-pointer; System V psABI, figure 3.3).
//
// Theory: each function pushes its caller's RBP and points RBP there, so RBP leads to a list of {older RBP, return address} up
// the stack. Code without frame pointers uses RBP for anything: the list is followed only while it goes upwards through
// memory that is mapped, and every return address leads to code behind a call.

import { codeAt } from '../cpu/segments/segmentation.ts';
import { segmentBase } from '../cpu/segments/segments.ts';
import { GPR, SEGMENT } from '../x86/names/registers.ts';
import type { Machine } from './machine.ts';

const MOST_FRAMES = 32;
/** CALL rel16 and CALL r/m of one byte of ModRM are the shortest, a far CALL with SIB and displacement the longest. */
const SHORTEST_CALL = 2;
const LONGEST_CALL = 8;
const CALL_REL = 0xe8;
const CALL_FAR = 0x9a;
const GROUP_5 = 0xff;

/**
 * Linear addresses of the calls that a vCPU is in, the innermost first: return addresses, without its own RIP. Reads memory as
 * an onlooker. Empty when RBP is no frame pointer.
 */
export function backtrace(machine: Machine, vcpu: number): bigint[] {
  const { mmu, state } = machine.processor.cpus[vcpu]!;
  const { bits, linear: here } = codeAt(state, state.rip);
  const width = bits / 8;
  const mask = (1n << BigInt(bits)) - 1n;
  const stack = segmentBase(state, SEGMENT.SS);
  const code = bits === 64 ? 0n : segmentBase(state, SEGMENT.CS);

  const word = (offset: bigint): bigint | null => {
    const bytes = mmu.peek((stack + offset) & (bits === 64 ? mask : 0xffff_ffffn), width);
    return bytes === null ? null : bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  };
  const followsCall = (address: bigint): boolean => {
    for (let length = SHORTEST_CALL; length <= LONGEST_CALL; length++) {
      const bytes = mmu.peek(address - BigInt(length), length);
      if (bytes === null) continue;
      if (bytes[0] === GROUP_5 && ((bytes[1]! >> 3) & 6) === 2) return true;
      if ((bytes[0] === CALL_REL || bytes[0] === CALL_FAR) && length > SHORTEST_CALL) return true;
    }
    return false;
  };
  const callers: bigint[] = [];
  const add = (offset: bigint | null): boolean => {
    if (offset === null || !followsCall(code + offset)) return false;
    callers.push(code + offset);
    return true;
  };

  // At its first instruction a function has not pushed anything: its return address is on top.
  const atEntry = machine.image.symbols.lookup(here)?.offset === 0n;
  if (atEntry) add(word(state.gpr(GPR.RSP) & mask));
  let frame = state.gpr(GPR.RBP) & mask;
  while (callers.length < MOST_FRAMES) {
    const older = word(frame);
    if (older === null || !add(word(frame + BigInt(width))) || older <= frame) break;
    frame = older;
  }
  return callers;
}
