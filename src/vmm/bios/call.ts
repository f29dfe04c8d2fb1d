// A call of the BIOS: the registers of the vCPU that made it, as 8086 programs know them, the flags that it will get back, and
// memory by segment and offset.

import { readRflags, writeRflags } from '../../cpu/rflags.ts';
import { segmentBase, segmentSelector } from '../../cpu/segments/segments.ts';
import type { CpuState } from '../../cpu/state.ts';
import type { GuestMemory } from '../../hypervisor/guestMemory.ts';
import type { Vcpu } from '../../hypervisor/vcpu.ts';
import { GPR, RFLAGS, SEGMENT } from '../../x86/names/registers.ts';

const LOW_16 = 0xffffn;
/** What INT has pushed: IP, CS, FLAGS. */
const FRAME = { IP: 0, CS: 2, FLAGS: 4 } as const;
/** Bytes of an INT with its number. */
const INT_SIZE = 2;

export class BiosCall {
  readonly vcpu: Vcpu;
  readonly vector: number;
  readonly memory: GuestMemory;
  readonly #state: CpuState;

  constructor(vcpu: Vcpu, vector: number) {
    this.vcpu = vcpu;
    this.vector = vector;
    this.memory = vcpu.vm.memory;
    this.#state = vcpu.guest.state;
  }

  // prettier-ignore
  get eax(): number { return this.#state.gpr32(GPR.RAX) >>> 0; }
  // prettier-ignore
  set eax(value: number) { this.#state.setGpr32(GPR.RAX, value); }
  // prettier-ignore
  get ebx(): number { return this.#state.gpr32(GPR.RBX) >>> 0; }
  // prettier-ignore
  set ebx(value: number) { this.#state.setGpr32(GPR.RBX, value); }
  // prettier-ignore
  get ecx(): number { return this.#state.gpr32(GPR.RCX) >>> 0; }
  // prettier-ignore
  set ecx(value: number) { this.#state.setGpr32(GPR.RCX, value); }
  // prettier-ignore
  get edx(): number { return this.#state.gpr32(GPR.RDX) >>> 0; }
  // prettier-ignore
  get ax(): number { return this.#get(GPR.RAX); }
  // prettier-ignore
  set ax(value: number) { this.#set(GPR.RAX, value); }
  // prettier-ignore
  get bx(): number { return this.#get(GPR.RBX); }
  // prettier-ignore
  set bx(value: number) { this.#set(GPR.RBX, value); }
  // prettier-ignore
  get cx(): number { return this.#get(GPR.RCX); }
  // prettier-ignore
  set cx(value: number) { this.#set(GPR.RCX, value); }
  // prettier-ignore
  get dx(): number { return this.#get(GPR.RDX); }
  // prettier-ignore
  set dx(value: number) { this.#set(GPR.RDX, value); }
  // prettier-ignore
  get si(): number { return this.#get(GPR.RSI); }
  // prettier-ignore
  get di(): number { return this.#get(GPR.RDI); }
  // prettier-ignore
  get bp(): number { return this.#get(GPR.RBP); }
  // prettier-ignore
  get al(): number { return this.ax & 0xff; }
  // prettier-ignore
  set al(value: number) { this.ax = (this.ax & 0xff00) | (value & 0xff); }
  // prettier-ignore
  get ah(): number { return this.ax >> 8; }
  // prettier-ignore
  set ah(value: number) { this.ax = (this.ax & 0xff) | ((value & 0xff) << 8); }
  // prettier-ignore
  get bl(): number { return this.bx & 0xff; }
  // prettier-ignore
  get bh(): number { return this.bx >> 8; }
  // prettier-ignore
  get cl(): number { return this.cx & 0xff; }
  // prettier-ignore
  get ch(): number { return this.cx >> 8; }
  // prettier-ignore
  get dl(): number { return this.dx & 0xff; }
  // prettier-ignore
  get dh(): number { return this.dx >> 8; }

  /** Linear address in a segment. */
  at(segment: number, offset: number): number {
    return Number(segmentBase(this.#state, segment)) + (offset & 0xffff);
  }

  es(offset: number): number {
    return this.at(SEGMENT.ES, offset);
  }

  ds(offset: number): number {
    return this.at(SEGMENT.DS, offset);
  }

  /** Carry, as the caller finds it: most calls say by it that they failed. */
  set carry(value: boolean) {
    this.#setCallersFlag(RFLAGS.CF, value);
  }

  set zero(value: boolean) {
    this.#setCallersFlag(RFLAGS.ZF, value);
  }

  /** Makes the stub wait for an interrupt and call again. */
  set wait(value: boolean) {
    const flags = readRflags(this.#state);
    writeRflags(this.#state, value ? flags | RFLAGS.CF : flags & ~RFLAGS.CF);
  }

  /** Where the stub stands, in its segment. */
  get offset(): number {
    return Number(this.#state.rip);
  }

  get codeSegment(): number {
    return segmentSelector(this.#state, SEGMENT.CS);
  }

  /** Linear address of the instruction that called. */
  get caller(): number {
    return (this.u16(this.#frame + FRAME.CS) << 4) + this.u16(this.#frame + FRAME.IP) - INT_SIZE;
  }

  u8(gpa: number): number {
    return this.memory.read(gpa, 1)?.[0] ?? 0xff;
  }

  u16(gpa: number): number {
    return this.u8(gpa) | (this.u8(gpa + 1) << 8);
  }

  u32(gpa: number): number {
    return (this.u16(gpa) | (this.u16(gpa + 2) << 16)) >>> 0;
  }

  setU8(gpa: number, value: number): void {
    this.memory.write(gpa, Uint8Array.of(value));
  }

  setU16(gpa: number, value: number): void {
    this.memory.write(gpa, Uint8Array.of(value, value >> 8));
  }

  setU32(gpa: number, value: number): void {
    this.setU16(gpa, value);
    this.setU16(gpa + 2, value >>> 16);
  }

  get #frame(): number {
    return this.at(SEGMENT.SS, this.#get(GPR.RSP));
  }

  #setCallersFlag(flag: number, value: boolean): void {
    const at = this.#frame + FRAME.FLAGS;
    const flags = this.u16(at);
    this.setU16(at, value ? flags | flag : flags & ~flag);
  }

  #get(register: number): number {
    return this.#state.gpr32(register) & 0xffff;
  }

  #set(register: number, value: number): void {
    this.#state.setGpr(register, (this.#state.gpr(register) & ~LOW_16) | BigInt(value & 0xffff));
  }
}
