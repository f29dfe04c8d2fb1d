// The CPU of system.ts in protected mode without paging, and in real mode: tables of its own over the same memory, for tests that
// call microcode and event delivery directly.

import { selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { writeSegment } from '../../src/cpu/segments/segments.ts';
import { CR0, GPR, SEGMENT, SEGMENT_ATTRIBUTE } from '../../src/x86/names/registers.ts';
import { TestSystem } from './system.ts';
import { AT, descriptor, handler } from './systemImage.ts';

/** Selectors of protected mode, RPL 0. */
export const SEL32 = {
  CODE: 0x08,
  DATA: 0x10,
  USER_CODE: 0x18,
  USER_DATA: 0x20,
  TSS: 0x28,
  TSS16: 0x30,
  OTHER_TSS: 0x38,
  TASK_GATE: 0x40,
  CALL_GATE: 0x48,
  CALL_GATE16: 0x50,
  CONFORMING: 0x58,
  /** Data, 16 bits, 64 KiB from 0. */
  STACK16: 0x60,
  /** Code of 4 KiB from 0. */
  SHORT_CODE: 0x68,
  BUSY_TSS: 0x70,
} as const;
const GDT_LIMIT = 0x77;
const TSS_LIMIT = 0x67;
const FLAT32 = 0xc;
const BITS32 = 0x4;

/** Words of CALL_GATE and CALL_GATE16. */
export const PARAMETERS = 2;
export const GATE_TARGET = 0xa800;

/** An 8-byte gate: access byte, selector, offset, and the count of parameters of a call gate. */
export function gate32(access: number, selector: number, offset: number, parameters = 0): bigint {
  const low = (offset & 0xffff) | (selector << 16);
  const high = (offset & 0xffff_0000) | (access << 8) | parameters;
  return BigInt(low >>> 0) | (BigInt(high >>> 0) << 32n);
}

const flat = (selector: number, access: number) => ({
  selector,
  base: 0n,
  limit: 0xffff_ffff,
  attributes: access | (FLAT32 << 12),
});

export class LegacySystem extends TestSystem {
  /** Protected mode, 32-bit code at this privilege level. Interrupt gates of ring 0 lead to handlers, INT n may use those from 32 on. */
  protectedMode(cpl: 0 | 3 = 0): this {
    this.reset();
    const gdt: readonly (readonly [number, bigint])[] = [
      [SEL32.CODE, descriptor(0x9b, FLAT32)],
      [SEL32.DATA, descriptor(0x93, FLAT32)],
      [SEL32.USER_CODE, descriptor(0xfb, FLAT32)],
      [SEL32.USER_DATA, descriptor(0xf3, FLAT32)],
      [SEL32.TSS, descriptor(0x8b, 0, AT.TSS, TSS_LIMIT)],
      [SEL32.TSS16, descriptor(0x81, 0, AT.TSS, 0x2b)],
      [SEL32.OTHER_TSS, descriptor(0xe9, 0, AT.TSS, TSS_LIMIT)],
      [SEL32.TASK_GATE, gate32(0xe5, SEL32.OTHER_TSS, 0)],
      [SEL32.CALL_GATE, gate32(0xec, SEL32.CODE, GATE_TARGET, PARAMETERS)],
      [SEL32.CALL_GATE16, gate32(0xe4, SEL32.CODE, GATE_TARGET, PARAMETERS)],
      [SEL32.CONFORMING, descriptor(0x9e, FLAT32)],
      [SEL32.STACK16, descriptor(0x93, 0, 0, 0xffff)],
      [SEL32.SHORT_CODE, descriptor(0x9b, BITS32, 0, 0xfff)],
      [SEL32.BUSY_TSS, descriptor(0xeb, 0, AT.TSS, TSS_LIMIT)],
    ];
    for (const [selector, value] of gdt) this.write(AT.GDT + selector, value);
    for (let vector = 0; vector < 256; vector++) {
      this.write(AT.IDT + 8 * vector, gate32(vector < 32 ? 0x8e : 0xee, SEL32.CODE, handler(vector)));
    }
    this.write(AT.TSS + 4, BigInt(AT.RSP0) | (BigInt(SEL32.DATA) << 32n));
    const { state } = this;
    state.gdtrLimit = GDT_LIMIT;
    state.idtrLimit = 0x7ff;
    state.cr0 = CR0.PE | CR0.ET | CR0.NE;
    state.efer = state.cr4 = state.cr3 = 0n;
    state.cpl = cpl;
    const data = cpl === 0 ? flat(SEL32.DATA, 0x93) : flat(SEL32.USER_DATA | 3, 0xf3);
    for (let segment = SEGMENT.ES; segment <= SEGMENT.GS; segment++) writeSegment(state, segment, data);
    writeSegment(state, SEGMENT.CS, cpl === 0 ? flat(SEL32.CODE, 0x9b) : flat(SEL32.USER_CODE | 3, 0xfb));
    writeSegment(state, SEGMENT.TR, {
      selector: SEL32.TSS,
      base: BigInt(AT.TSS),
      limit: TSS_LIMIT,
      attributes: 0x8b,
    });
    this.#settle();
    return this;
  }

  /** Real mode at AT.CODE, the stack at AT.STACK, the vector table at AT.IDT: each vector leads to its handler. */
  realMode(): this {
    this.reset();
    const { state } = this;
    for (let vector = 0; vector < 256; vector += 2) {
      this.write(AT.IDT + 4 * vector, BigInt(handler(vector)) | (BigInt(handler(vector + 1)) << 32n));
    }
    state.idtrLimit = 0x3ff;
    state.cr0 = CR0.ET;
    state.efer = state.cr4 = state.cr3 = 0n;
    for (let segment = SEGMENT.ES; segment <= SEGMENT.GS; segment++) {
      const attributes = SEGMENT_ATTRIBUTE.P | 0x13;
      writeSegment(state, segment, { selector: 0, base: 0n, limit: 0xffff, attributes });
    }
    this.#settle();
    return this;
  }

  #settle(): void {
    selectCodeMode(this.state);
    this.state.setGpr(GPR.RSP, BigInt(AT.STACK));
    this.cpu.mmu.translation.flushAll(false);
    this.cpu.mmu.selectViews();
  }

  /** 32-bit words from an address up. */
  words(address: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => Number(this.read(address + 4 * i) & 0xffff_ffffn));
  }
  /** 16-bit words from an address up. */
  halves(address: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => Number(this.read(address + 2 * i) & 0xffffn));
  }
}
