// The control half of the x87 FPU, from the manual (SDM vol. 1, 8.1; vol. 2 of each instruction).

import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { CR0, GPR } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';

const FNINIT = [0xdb, 0xe3];
const FNCLEX = [0xdb, 0xe2];
const FNOP = [0xd9, 0xd0];
const FNSTSW_AX = [0xdf, 0xe0];
const FWAIT = [0x9b];
/** With their word at RBX. */
const FLDCW = [0xd9, 0x2b];
const FNSTCW = [0xd9, 0x3b];
const FNSTSW = [0xdd, 0x3b];

const system = new TestSystem();
const { cpu, state } = system;
const DATA = AT.CODE + 0x80;

beforeEach(() => {
  system.reset();
  state.fsw = 0;
  state.cr0 = (state.cr0 & ~(CR0.EM | CR0.TS)) | CR0.MP | CR0.NE;
  cpu.controls.exceptionBitmap = (1 << VECTOR.NM) | (1 << VECTOR.MF);
  state.setGpr(GPR.RBX, BigInt(DATA));
  state.setGpr(GPR.RAX, 0x1122_3344_5566_7788n);
});

/** Executes one instruction: the exception that it raises; null: none. */
function run(code: readonly number[], word = 0): number | null {
  system.writeBytes(AT.CODE, code);
  system.writeBytes(DATA, [word & 0xff, word >> 8]);
  cpu.setRip(BigInt(AT.CODE));
  if (cpu.enter(1, Infinity) === EXIT.BUDGET) return null;
  const exit = cpu.exit();
  if (exit.reason !== 'EXCEPTION_NMI') throw new Error(`unexpected exit ${exit.reason}`);
  return exit.vector;
}
const stored = (): number => new DataView(cpu.mmu.peek(BigInt(DATA), 2)!.buffer).getUint16(0, true);

describe('the FPU', () => {
  it('is put into its initial state by FNINIT', () => {
    state.fcw = 0x40;
    state.fsw = 0xffff;
    state.ftw = 0;
    expect(run(FNINIT)).toBe(null);
    expect([state.fcw, state.fsw, state.ftw]).toEqual([0x37f, 0, 0xffff]);
  });

  it('stores its control and status words, into AX without touching the rest of RAX', () => {
    state.fcw = 0x27f;
    state.fsw = 0x3841;
    expect(run(FNSTCW)).toBe(null);
    expect(stored()).toBe(0x27f);
    expect(run(FNSTSW)).toBe(null);
    expect(stored()).toBe(0x3841);
    expect(run(FNSTSW_AX)).toBe(null);
    expect(system.gpr(GPR.RAX)).toBe(0x1122_3344_5566_3841n);
  });

  it('loads its control word without the reserved bits, of which bit 6 reads as one', () => {
    expect(run(FLDCW, 0xe2bf)).toBe(null);
    expect(state.fcw).toBe(0x027f);
  });

  it('forgets exceptions, busy and stack fault by FNCLEX, and keeps the condition code and the top of the stack', () => {
    state.fsw = 0xffff;
    expect(run(FNCLEX)).toBe(null);
    expect(state.fsw).toBe(0x7f00);
  });

  it('has an exception pending once its flag is set and its mask is not, and no longer when it is masked again', () => {
    state.fsw = 1;
    expect(run(FLDCW, 0x37e)).toBe(null);
    expect(state.fsw).toBe(0x8081);
    state.fsw = 0x8081;
    state.fcw = 0x37f;
    expect(run(FNCLEX)).toBe(null);
    state.fsw = 1;
    expect(run(FLDCW, 0x37f)).toBe(null);
    expect(state.fsw).toBe(1);
  });
});

describe('a pending exception', () => {
  it.each([
    ['FWAIT', FWAIT],
    ['FNOP', FNOP],
    ['FLDCW', FLDCW],
  ])('is taken by %s as #MF with CR0.NE, and by nobody without', (_, code) => {
    state.fsw = 0x8081;
    expect(run(code)).toBe(VECTOR.MF);
    state.cr0 &= ~CR0.NE;
    expect(run(code)).toBe(null);
  });

  it.each([
    ['FNINIT', FNINIT],
    ['FNCLEX', FNCLEX],
    ['FNSTSW', FNSTSW],
    ['FNSTCW', FNSTCW],
  ])('does not stop %s, which does not wait', (_, code) => {
    state.fsw = 0x8081;
    expect(run(code)).toBe(null);
  });
});

describe('#NM', () => {
  const all = [FNINIT, FNCLEX, FNOP, FNSTSW_AX, FLDCW, FNSTCW, FNSTSW];
  it.each(['EM', 'TS'] as const)('is raised by every instruction of the FPU while CR0.%s is set', (bit) => {
    state.cr0 |= CR0[bit];
    expect(all.map((code) => run(code))).toEqual(all.map(() => VECTOR.NM));
  });

  it('is raised by FWAIT when TS and MP are set, but not for EM', () => {
    state.cr0 |= CR0.EM;
    expect(run(FWAIT)).toBe(null);
    state.cr0 |= CR0.TS;
    expect(run(FWAIT)).toBe(VECTOR.NM);
    state.cr0 &= ~CR0.MP;
    expect(run(FWAIT)).toBe(null);
  });
});
