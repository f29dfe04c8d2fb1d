// FXSAVE, FXRSTOR and MXCSR, from the manual (SDM vol. 1, 10.5; vol. 2 of each instruction). The bytes of the area are those that a
// processor has stored.

import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { CR0, CR4, GPR } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';

/** With their operand at RBX. */
const FXSAVE64 = [0x48, 0x0f, 0xae, 0x03];
const FXSAVE = [0x0f, 0xae, 0x03];
const FXRSTOR64 = [0x48, 0x0f, 0xae, 0x0b];
const FXRSTOR = [0x0f, 0xae, 0x0b];
const LDMXCSR = [0x0f, 0xae, 0x13];
const STMXCSR = [0x0f, 0xae, 0x1b];

const system = new TestSystem();
const { cpu, state } = system;
const AREA = AT.CODE + 0x400;
const UNTOUCHED = 0xcc;
const MXCSR = 24;
const ST = 32;
const XMM = 160;
const RESERVED = 416;

beforeEach(() => {
  system.reset();
  state.cr0 = state.cr0 & ~(CR0.EM | CR0.TS);
  state.cr4 |= CR4.OSFXSR;
  cpu.controls.exceptionBitmap = (1 << VECTOR.NM) | (1 << VECTOR.GP) | (1 << VECTOR.UD);
  state.setGpr(GPR.RBX, BigInt(AREA));
  Object.assign(state, { fcw: 0x37f, fsw: 0, ftw: 0xffff, fop: 0, fip: 0n, fdp: 0n, mxcsr: 0x1f80 });
  for (let i = 0; i < 16; i++) state.views.u64[(state.at('st') >> 3) + i] = 0n;
  for (let i = 0; i < 64; i++) state.views.u64[(state.at('vec') >> 3) + i] = 0n;
  system.writeBytes(AREA, new Array<number>(512).fill(UNTOUCHED));
});

/** Executes one instruction: the exception that it raises; null: none. */
function run(code: readonly number[]): number | null {
  system.writeBytes(AT.CODE, code);
  cpu.setRip(BigInt(AT.CODE));
  if (cpu.enter(1, Infinity) === EXIT.BUDGET) return null;
  const exit = cpu.exit();
  if (exit.reason !== 'EXCEPTION_NMI') throw new Error(`unexpected exit ${exit.reason}`);
  return exit.vector;
}
const area = (): number[] => [...cpu.mmu.peek(BigInt(AREA), 512)!];
const put = (at: number, ...bytes: number[]): void => system.writeBytes(AREA + at, bytes);
const setVec = (register: number, low: bigint, high: bigint): void => {
  const at = (state.at('vec') >> 3) + 4 * register;
  state.views.u64[at] = low;
  state.views.u64[at + 1] = high;
};

describe('FXSAVE', () => {
  it('stores what FNINIT leaves, and nothing behind the registers', () => {
    expect(run(FXSAVE64)).toBe(null);
    const bytes = area();
    expect(bytes.slice(0, 8)).toEqual([0x7f, 0x03, 0, 0, 0, 0, 0, 0]);
    expect(bytes.slice(MXCSR, MXCSR + 8)).toEqual([0x80, 0x1f, 0, 0, 0xff, 0xff, 0, 0]);
    expect(bytes.slice(ST, RESERVED).every((byte) => byte === 0)).toBe(true);
    expect(bytes.slice(RESERVED).every((byte) => byte === UNTOUCHED)).toBe(true);
  });

  it('stores registers from the top of the stack on, and a tag bit for each that is not empty', () => {
    // FLD1; FLDPI: ST0 is physical register 6.
    Object.assign(state, { fsw: 0x3000, ftw: 0x0fff });
    const st = state.at('st') >> 3;
    state.views.u64.set([0xc90f_daa2_2168_c235n, 0x4000n, 0x8000_0000_0000_0000n, 0x3fffn], st);
    setVec(15, 0x0807_0605_0403_0201n, 0x100f_0e0d_0c0b_0a09n);
    expect(run(FXSAVE64)).toBe(null);
    const bytes = area();
    expect(bytes.slice(2, 5)).toEqual([0x00, 0x30, 0xc0]);
    expect(bytes.slice(ST, ST + 16)).toEqual([
      0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40, 0, 0, 0, 0, 0, 0,
    ]);
    expect(bytes.slice(ST + 16, ST + 32)).toEqual([0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f, 0, 0, 0, 0, 0, 0]);
    expect(bytes.slice(XMM + 240, RESERVED)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
  });

  it('stores the last instruction in 64 bits with REX.W, else in 32', () => {
    Object.assign(state, { fip: 0x1122_3344_5566_7788n, fdp: 0x99aa_bbcc_ddee_ff00n, fop: 0x123 });
    run(FXSAVE64);
    expect(area().slice(6, 16)).toEqual([0x23, 0x01, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    run(FXSAVE);
    expect(area().slice(8, 24)).toEqual([0x88, 0x77, 0x66, 0x55, 0, 0, 0, 0, 0x00, 0xff, 0xee, 0xdd, 0, 0, 0, 0]);
  });

  it('leaves MXCSR and the XMM registers alone while CR4.OSFXSR is clear', () => {
    state.cr4 &= ~CR4.OSFXSR;
    expect(run(FXSAVE64)).toBe(null);
    expect(area().slice(MXCSR, ST)).toEqual(new Array(8).fill(UNTOUCHED));
    expect(
      area()
        .slice(XMM)
        .every((byte) => byte === UNTOUCHED),
    ).toBe(true);
  });
});

describe('FXRSTOR', () => {
  it('takes back what FXSAVE has stored', () => {
    Object.assign(state, { fcw: 0x27f, fsw: 0x2800, ftw: 0x3ffc, fop: 0x7ff, fip: 5n, fdp: 6n, mxcsr: 0x9fc0 });
    const st = state.at('st') >> 3;
    // ST3 is physical register 0, ST2 is 7: one valid, one a zero.
    state.views.u64.set([0x8000_0000_0000_0000n, 0x3fffn], st + 6);
    state.ftw = 0x7ffc;
    for (let i = 0; i < 16; i++) setVec(i, BigInt(i), BigInt(100 + i));
    const before = [...state.views.u64.slice(st, st + 16), ...state.views.u64.slice(state.at('vec') >> 3, (state.at('vec') >> 3) + 64)]; // prettier-ignore
    run(FXSAVE64);
    Object.assign(state, { fcw: 0x37f, fsw: 0, ftw: 0xffff, fop: 0, fip: 0n, fdp: 0n, mxcsr: 0x1f80 });
    state.views.u64.fill(0n, st, st + 16);
    for (let i = 0; i < 16; i++) setVec(i, 0n, 0n);
    expect(run(FXRSTOR64)).toBe(null);
    const { fcw, fsw, ftw, fop, fip, fdp, mxcsr } = state;
    expect({ fcw, fsw, ftw, fop, fip, fdp, mxcsr }).toEqual({ fcw: 0x27f, fsw: 0x2800, ftw: 0x7ffc, fop: 0x7ff, fip: 5n, fdp: 6n, mxcsr: 0x9fc0 }); // prettier-ignore
    const after = [...state.views.u64.slice(st, st + 16), ...state.views.u64.slice(state.at('vec') >> 3, (state.at('vec') >> 3) + 64)]; // prettier-ignore
    expect(after).toEqual(before);
  });

  it('keeps of the words only bits that there are, and of a register 80', () => {
    run(FXSAVE);
    put(0, 0xff, 0xff, 0x00, 0x00);
    put(6, 0xff, 0xff);
    put(ST, ...Array.from({ length: 16 }, (_, i) => 0xf0 + i));
    expect(run(FXRSTOR)).toBe(null);
    expect([state.fcw, state.fop]).toEqual([0x1f7f, 0x7ff]);
    expect(state.views.u64[(state.at('st') >> 3) + 1]).toBe(0xf9f8n);
  });

  it('makes an exception pending that the control word does not mask', () => {
    run(FXSAVE);
    put(0, 0x7e, 0x03, 0x01, 0x00);
    expect(run(FXRSTOR)).toBe(null);
    expect(state.fsw).toBe(0x8081);
  });

  it('refuses bits of MXCSR that there are not, and changes nothing', () => {
    run(FXSAVE);
    put(0, 0x40);
    put(MXCSR + 2, 1);
    expect(run(FXRSTOR)).toBe(VECTOR.GP);
    expect(state.fcw).toBe(0x37f);
  });
});

describe('MXCSR', () => {
  it('is loaded and stored', () => {
    put(0, 0xc0, 0x9f, 0, 0);
    expect(run(LDMXCSR)).toBe(null);
    expect(state.mxcsr).toBe(0x9fc0);
    put(0, 0, 0, 0, 0);
    expect(run(STMXCSR)).toBe(null);
    expect(area().slice(0, 4)).toEqual([0xc0, 0x9f, 0, 0]);
  });

  it('has 16 bits', () => {
    put(0, 0, 0, 1, 0);
    expect(run(LDMXCSR)).toBe(VECTOR.GP);
  });

  it('is there for software that saves SSE state only', () => {
    state.cr4 &= ~CR4.OSFXSR;
    expect([run(LDMXCSR), run(STMXCSR)]).toEqual([VECTOR.UD, VECTOR.UD]);
  });
});

describe('the area', () => {
  it.each([FXSAVE, FXRSTOR])('is aligned to 16 bytes', (...code) => {
    state.setGpr(GPR.RBX, BigInt(AREA + 8));
    expect(run(code)).toBe(VECTOR.GP);
  });

  it.each([CR0.TS, CR0.EM])('is not accessed while CR0 says that the FPU is not there (%x)', (bit) => {
    state.cr0 |= bit;
    expect([run(FXSAVE), run(FXRSTOR)]).toEqual([VECTOR.NM, VECTOR.NM]);
  });
});
