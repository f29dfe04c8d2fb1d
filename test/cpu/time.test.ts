// RDTSC, RDTSCP and PAUSE, which guests that wait do nothing else than: what they read, who may, and when they leave. On each engine.

import { beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { exitName } from '../../src/cpu/vmexit.ts';
import { CR4, GPR } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';

const NOP = [0x90];
const PAUSE = [0xf3, 0x90];
const RDTSC = [0x0f, 0x31];
const RDTSCP = [0x0f, 0x01, 0xf9];
const MOV_RBX_RAX = [0x48, 0x89, 0xc3];
const READERS = [
  { name: 'RDTSC', bytes: RDTSC, reason: EXIT.RDTSC },
  { name: 'RDTSCP', bytes: RDTSCP, reason: EXIT.RDTSCP },
] as const;
const BEFORE = 0x5_ffff_fff0n;

describe.each(['wasm', 'bigint'] as const)('on the %s engine', (engine) => {
  const system = new TestSystem(engine);
  const { cpu, state } = system;

  /** A CPU at this privilege level, whose TSC is BEFORE, with code at RIP. */
  const load = (code: readonly number[], cpl: 0 | 3 = 0): void => {
    system.reset(cpl);
    cpu.controls = new Controls();
    cpu.controls.exceptionBitmap = 1 << VECTOR.GP;
    system.writeBytes(AT.CODE, code);
    state.tsc = BEFORE;
    state.tscAux = 7n;
    for (const register of [GPR.RAX, GPR.RCX, GPR.RDX]) state.setGpr(register, ~0n);
  };
  const edxEax = (): bigint => (system.gpr(GPR.RDX) << 32n) | system.gpr(GPR.RAX);
  const enter = (budget: number, horizon = Infinity): string => exitName(cpu.enter(budget, horizon) as ExitReason);

  describe.each(READERS)('$name', ({ name, bytes, reason }) => {
    it('tells the time of its own instruction, in the middle of a block and across a carry', () => {
      load([...Array<number>(0x20).fill(NOP[0]!), ...bytes, ...NOP, ...NOP]);
      expect(enter(0x22)).toBe('BUDGET');
      expect(edxEax()).toBe(BEFORE + 0x20n);
      expect(state.tsc).toBe(BEFORE + 0x22n);
    });
    it('clears the upper halves, and reads TSC_AUX where the manual says so', () => {
      load(bytes);
      enter(1);
      expect(edxEax()).toBe(BEFORE);
      expect(system.gpr(GPR.RCX)).toBe(name === 'RDTSCP' ? 7n : BigInt.asUintN(64, -1n));
    });
    it('passes a unit for each instruction between two, however the run is cut', () => {
      for (const slice of [1, 2, 3, 8]) {
        load([...bytes, ...MOV_RBX_RAX, ...PAUSE, ...bytes]);
        for (let left = 4; left > 0; left -= cpu.used) enter(Math.min(slice, left));
        expect(system.gpr(GPR.RAX) - system.gpr(GPR.RBX)).toBe(3n);
      }
    });
    it('is free in user mode until CR4.TSD forbids it there, before it would exit', () => {
      load(bytes, 3);
      expect(enter(1)).toBe('BUDGET');
      load(bytes, 3);
      state.cr4 |= CR4.TSD;
      cpu.controls.rdtscExiting = true;
      expect(enter(1)).toBe('EXCEPTION_NMI');
      expect(cpu.exit()).toMatchObject({ vector: VECTOR.GP, errorCode: 0, rip: BigInt(AT.CODE) });
      expect([cpu.used, system.gpr(GPR.RAX)]).toEqual([0, BigInt.asUintN(64, -1n)]);
    });
    it('is free in ring 0 under CR4.TSD', () => {
      load(bytes);
      state.cr4 |= CR4.TSD;
      expect(enter(1)).toBe('BUDGET');
      expect(edxEax()).toBe(BEFORE);
    });
    it('exits where the hypervisor wants it, undone, and no longer once it does not', () => {
      load([...NOP, ...bytes, ...NOP]);
      cpu.controls.rdtscExiting = true;
      expect(enter(3)).toBe(exitName(reason));
      expect(cpu.exit()).toMatchObject({ rip: BigInt(AT.CODE + 1), length: bytes.length });
      expect([cpu.used, system.gpr(GPR.RAX)]).toEqual([1, BigInt.asUintN(64, -1n)]);
      cpu.controls.rdtscExiting = false;
      expect(enter(2)).toBe('BUDGET');
      expect(edxEax()).toBe(BEFORE + 1n);
    });
    it('leaves undone past the horizon', () => {
      load([...NOP, ...NOP, ...bytes, ...NOP]);
      expect(enter(4, 1)).toBe('AHEAD');
      expect([cpu.used, state.rip]).toEqual([2, BigInt(AT.CODE + 2)]);
      expect(enter(2, 1)).toBe('BUDGET');
      expect(edxEax()).toBe(BEFORE + 2n);
    });
  });

  describe('PAUSE', () => {
    beforeEach(() => load([...NOP, ...PAUSE, ...NOP], 3));
    it('does nothing, for a unit, and past the horizon too', () => {
      expect(enter(3, 1)).toBe('BUDGET');
      expect([cpu.used, state.rip]).toEqual([3, BigInt(AT.CODE + 4)]);
    });
    it('exits where the hypervisor wants it, undone', () => {
      cpu.controls.pauseExiting = true;
      expect(enter(3)).toBe('PAUSE_INSTRUCTION');
      expect(cpu.exit()).toMatchObject({ rip: BigInt(AT.CODE + 1), length: 2 });
      expect(cpu.used).toBe(1);
    });
  });
});
