// WRMSR of the bases that are set at each switch of tasks: what generated code does by itself, and what it leaves to microcode.

import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { segmentBase } from '../../src/cpu/segments/segments.ts';
import { MSR } from '../../src/x86/names/msrs.ts';
import { GPR, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { bareCpu, CODE, resetState } from './bare.ts';
import { program } from './program.ts';

const HIGH = 0xffff_8000_1234_5678n;
const BEFORE = { fs: 1n, gs: 2n, kernelGs: 3n };

describe.each(['wasm', 'bigint'] as const)('WRMSR of a base, on %s', (engine) => {
  const { cpu, load } = bareCpu({ engine });
  const { state } = cpu;
  let code: Uint8Array;
  beforeAll(async () => {
    code = await program('wrmsr; hlt');
  });
  beforeEach(() => {
    resetState(cpu);
    cpu.controls = new Controls();
    load(CODE, code);
  });

  const bases = () => ({
    fs: segmentBase(state, SEGMENT.FS),
    gs: segmentBase(state, SEGMENT.GS),
    kernelGs: state.kernelGsBase,
  });
  /** Runs the instruction, and what follows if it is done. */
  function write(index: number, value: bigint) {
    for (const msr of [MSR.FS_BASE, MSR.GS_BASE, MSR.KERNEL_GS_BASE] as const)
      cpu.writeMsr(msr, { [MSR.FS_BASE]: BEFORE.fs, [MSR.GS_BASE]: BEFORE.gs, [MSR.KERNEL_GS_BASE]: BEFORE.kernelGs }[msr]);
    state.setGpr(GPR.RCX, 0xdead_0000_0000_0000n | BigInt(index));
    state.setGpr(GPR.RAX, 0xffff_ffff_0000_0000n | (value & 0xffff_ffffn));
    state.setGpr(GPR.RDX, 0xffff_ffff_0000_0000n | (value >> 32n));
    return cpu.enter(10, Infinity);
  } // prettier-ignore

  describe('that the hypervisor leaves to the guest', () => {
    beforeEach(() => {
      for (const msr of [MSR.FS_BASE, MSR.GS_BASE, MSR.KERNEL_GS_BASE]) cpu.controls.allowMsr(msr, 'write');
    });
    it.each([
      [MSR.FS_BASE, 'fs'],
      [MSR.GS_BASE, 'gs'],
      [MSR.KERNEL_GS_BASE, 'kernelGs'],
    ] as const)('0x%x changes that one', (index, name) => {
      expect(write(index, HIGH)).toBe(EXIT.HLT);
      expect(bases()).toEqual({ ...BEFORE, [name]: HIGH });
      expect(cpu.used).toBe(1);
    });
    it('is #GP(0) for an address that is not canonical', () => {
      for (const index of [MSR.FS_BASE, MSR.KERNEL_GS_BASE])
        for (const value of [1n << 47n, 0xffff_0000_0000_0000n]) {
          resetState(cpu);
          expect(write(index, value)).toBe(EXIT.TRIPLE_FAULT); // there is no IDT
          expect(cpu.exit()).toMatchObject({ first: { vector: VECTOR.GP, errorCode: 0 } });
          expect(bases()).toEqual(BEFORE);
        }
    });
    it('is #GP(0) outside of ring 0', () => {
      state.cpl = 3;
      cpu.mmu.selectViews();
      expect(write(MSR.FS_BASE, HIGH)).toBe(EXIT.TRIPLE_FAULT);
      expect(bases()).toEqual(BEFORE);
    });
  });

  it.each([MSR.FS_BASE, MSR.KERNEL_GS_BASE])('exits where 0x%x, and only where it, is not', (index) => {
    const other = index === MSR.FS_BASE ? MSR.KERNEL_GS_BASE : MSR.FS_BASE;
    cpu.controls.allowMsr(other, 'write');
    expect(write(index, HIGH)).toBe(EXIT.MSR_WRITE);
    expect(bases()).toEqual(BEFORE);
    resetState(cpu);
    expect(write(other, HIGH)).toBe(EXIT.HLT);
  });
});
