// MOV to DR7: what it holds already is written by generated code, which does nothing; everything else is microcode's.

import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { DR6, DR7, GPR } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { bareCpu, CODE, resetState } from './bare.ts';
import { program } from './program.ts';

const HELD = DR7.FIXED | DR7.LE;

describe.each(['wasm', 'bigint'] as const)('MOV to a debug register, on %s', (engine) => {
  const { cpu, load } = bareCpu({ engine });
  const { state } = cpu;
  const { u64 } = state.views;
  const dr = (index: number): number => state.at('dr', index) >> 3;
  const codes: Uint8Array[] = [];
  beforeAll(async () => {
    for (const number of [3, 5, 6, 7]) codes[number] = await program(`mov %rax, %dr${number}; hlt`);
  });
  beforeEach(() => {
    resetState(cpu);
    cpu.controls = new Controls();
    u64.fill(0n, dr(0), dr(7));
    u64[dr(7)] = HELD;
    cpu.registersReplaced();
  });
  const write = (number: number, value: bigint) => {
    load(CODE, codes[number]!);
    state.setGpr(GPR.RAX, value);
    return cpu.enter(10, Infinity);
  };

  it('is done, whether the value is what is held or not', () => {
    for (const value of [HELD, HELD | DR7.GE, HELD]) {
      cpu.setRip(BigInt(CODE));
      expect(write(7, value)).toBe(EXIT.HLT);
      expect([cpu.used, u64[dr(7)]]).toEqual([1, value]);
    }
  });
  it('goes to the register that is named, also when DR7 holds that value', () => {
    expect(write(3, HELD)).toBe(EXIT.HLT);
    expect([u64[dr(3)], u64[dr(7)]]).toEqual([HELD, HELD]);
    resetState(cpu);
    expect(write(6, HELD)).toBe(EXIT.HLT);
    expect(u64[dr(6)]! & DR6.FIXED).toBe(DR6.FIXED);
    resetState(cpu);
    expect(write(5, HELD | DR7.GE)).toBe(EXIT.HLT); // DR5 is another name of DR7
    expect(u64[dr(7)]).toBe(HELD | DR7.GE);
  });
  it('is #GP(0) outside of ring 0', () => {
    state.cpl = 3;
    cpu.mmu.selectViews();
    expect(write(7, HELD)).toBe(EXIT.TRIPLE_FAULT); // there is no IDT
    expect(cpu.exit()).toMatchObject({ first: { vector: VECTOR.GP, errorCode: 0 }, rip: BigInt(CODE) });
  });
  it('raises #DB under general detect', () => {
    u64[dr(7)] = HELD | DR7.GD;
    expect(write(7, HELD | DR7.GD)).toBe(EXIT.TRIPLE_FAULT);
    expect(cpu.exit()).toMatchObject({ first: { vector: VECTOR.DB } });
  });
  it('exits where the hypervisor wants it', () => {
    cpu.controls.movDrExiting = true;
    expect(write(7, HELD)).toBe(EXIT.DR_ACCESS);
  });
});
