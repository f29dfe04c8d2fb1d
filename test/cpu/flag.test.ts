// Instructions that change system flags: who may change which, and what they let in. On each engine.

import { beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import type { ExitReason } from '../../src/cpu/exit.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { exitName } from '../../src/cpu/vmexit.ts';
import { CR4, GPR, RFLAGS, SHADOW } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';

const NOP = 0x90;
const CLI = 0xfa;
const STI = 0xfb;
const PUSHF = 0x9c;
const POPF = 0x9d;
const HLT = 0xf4;
const OPERAND_SIZE = 0x66;
/** MOV SS, AX. */
const MOV_SS = [0x8e, 0xd0];
const XOR_EAX_EAX = [0x31, 0xc0];

describe('RFLAGS as a number', () => {
  const { state } = new TestSystem();
  it('comes back as it was written, for every combination of the arithmetic flags', () => {
    for (let low = 0; low < 0x1000; low++) {
      const flags = (low & ~0x2a) | RFLAGS.FIXED;
      writeRflags(state, flags);
      expect(readRflags(state)).toBe(flags);
    }
    writeRflags(state, 0x003f_7fd5);
    expect(readRflags(state)).toBe(0x003f_7fd7);
  });
});

describe.each(['wasm', 'bigint'] as const)('on the %s engine', (engine) => {
  const system = new TestSystem(engine);
  const { cpu, state } = system;

  beforeEach(() => load(0));

  /** A CPU under a hypervisor at this privilege level, where #GP exits. */
  function load(cpl: 0 | 1 | 3): void {
    system.reset(cpl);
    cpu.controls = new Controls();
    cpu.controls.exceptionBitmap = 1 << VECTOR.GP;
  }
  const run = (code: readonly number[], budget = 1): string => {
    system.writeBytes(AT.CODE, code);
    cpu.setRip(BigInt(AT.CODE));
    return exitName(cpu.enter(budget, Infinity) as ExitReason);
  };
  const at = (): number => Number(state.rip) - AT.CODE;

  describe('POPF', () => {
    const ALL = 0x003f_7fd5;
    const ARITHMETIC_AND_MORE =
      RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.TF | RFLAGS.DF | RFLAGS.OF | RFLAGS.NT;
    const popf = (cpl: 0 | 1 | 3, iopl: number, width: number, from: number, to: number): number => {
      load(cpl);
      writeRflags(state, (from & ~RFLAGS.IOPL) | (iopl << 12) | RFLAGS.FIXED);
      state.setGpr(GPR.RSP, BigInt(AT.STACK - 8));
      system.write(AT.STACK - 8, to);
      expect(run(width === 2 ? [OPERAND_SIZE, POPF] : [POPF])).toBe('BUDGET');
      expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK - 8 + width));
      return readRflags(state);
    };
    // prettier-ignore
    it.each<[string, 0 | 1 | 3, number, number, number]>([
      ['ring 0: all but VM, VIF, VIP and RF', 0, 0, 8, ARITHMETIC_AND_MORE | RFLAGS.IF | RFLAGS.IOPL | RFLAGS.AC | RFLAGS.ID],
      ['ring 0, 16 bits', 0, 0, 2, ARITHMETIC_AND_MORE | RFLAGS.IF | RFLAGS.IOPL],
      ['ring 3 with IOPL 0', 3, 0, 8, ARITHMETIC_AND_MORE | RFLAGS.AC | RFLAGS.ID],
      ['ring 3 with IOPL 3: IF too', 3, 3, 8, ARITHMETIC_AND_MORE | RFLAGS.IF | RFLAGS.AC | RFLAGS.ID],
      ['ring 1 with IOPL 1: IF too', 1, 1, 2, ARITHMETIC_AND_MORE | RFLAGS.IF],
      ['ring 1 with IOPL 0', 1, 0, 2, ARITHMETIC_AND_MORE],
    ])('%s', (_, cpl, iopl, width, loads) => {
      const kept = loads & RFLAGS.IOPL ? 0 : iopl << 12;
      expect(popf(cpl, iopl, width, 0, ALL)).toBe(loads | kept | RFLAGS.FIXED);
      expect(popf(cpl, iopl, width, ALL, 0)).toBe((ALL & ~(loads | RFLAGS.RF | RFLAGS.IOPL)) | kept | RFLAGS.FIXED);
    });
    it('that enables interrupts opens the window at once, in the middle of a block', () => {
      cpu.controls.interruptWindow = true;
      system.write(AT.STACK - 8, RFLAGS.IF);
      state.setGpr(GPR.RSP, BigInt(AT.STACK - 8));
      expect(run([NOP, POPF, NOP, NOP], 4)).toBe('INTERRUPT_WINDOW');
      expect([at(), cpu.used]).toEqual([2, 2]);
    });
    it('that clears AC shuts user pages off from the next instruction on', () => {
      cpu.controls.exceptionBitmap = 1 << VECTOR.PF;
      state.cr4 |= CR4.SMAP;
      state.rflags |= RFLAGS.AC;
      cpu.mmu.selectViews();
      system.write(AT.STACK - 8, 0);
      state.setGpr(GPR.RSP, BigInt(AT.STACK - 8));
      expect(run([POPF, PUSHF, NOP], 3)).toBe('EXCEPTION_NMI');
      expect([at(), cpu.used]).toEqual([1, 1]);
    });
  });

  describe('STI and CLI', () => {
    // prettier-ignore
    it.each<[0 | 1 | 3, number, boolean]>([[0, 0, true], [1, 0, false], [1, 1, true], [3, 2, false], [3, 3, true]])('in ring %i with IOPL %i: allowed? %s', (cpl, iopl, allowed) => {
      load(cpl);
      writeRflags(state, (iopl << 12) | RFLAGS.FIXED);
      expect(run([STI])).toBe(allowed ? 'BUDGET' : 'EXCEPTION_NMI');
      expect((state.rflags & RFLAGS.IF) !== 0).toBe(allowed);
      state.rflags |= RFLAGS.IF;
      state.shadow = 0;
      expect(run([CLI])).toBe(allowed ? 'BUDGET' : 'EXCEPTION_NMI');
      expect((state.rflags & RFLAGS.IF) === 0).toBe(allowed);
    });
    it('virtual interrupts (CR4.PVI) stop by name', () => {
      load(3);
      state.cr4 |= CR4.PVI;
      expect(run([CLI])).toBe('STOPPED');
      expect(cpu.stopped!.what).toContain('CR4.PVI');
    });
  });

  describe('the shadow of STI', () => {
    it('is cast only if interrupts were off', () => {
      run([STI]);
      expect(state.shadow).toBe(SHADOW.STI);
      run([NOP, STI], 2);
      expect(state.shadow).toBe(0);
    });
    it.each([
      ['the instruction behind STI', [NOP, STI, NOP, NOP], 2, SHADOW.STI],
      ['nothing further', [NOP, STI, NOP, NOP], 3, 0],
      ['nothing behind a STI that interrupts were on for', [STI, STI, NOP], 2, 0],
      ['the instruction behind the last of two that enabled them', [STI, CLI, STI, NOP], 3, SHADOW.STI],
      ['no instruction behind MOV SS, which has a shadow of its own', [STI, NOP, ...MOV_SS, NOP], 3, SHADOW.MOV_SS],
      ['MOV SS, and then neither holds on', [STI, ...MOV_SS, NOP], 2, 0],
    ])('covers %s', (_, code, units, shadow) => {
      for (const slice of [1, units]) {
        load(0);
        state.setGpr(GPR.RAX, 0n);
        for (let left = units; left > 0; left -= cpu.used) {
          if (left === units) run(code, Math.min(slice, left));
          else cpu.enter(Math.min(slice, left), Infinity);
        }
        expect(state.shadow).toBe(shadow);
      }
    });
    it('stands where the instruction under it exits, and not where the next does', () => {
      expect(run([STI, HLT], 5)).toBe('HLT');
      expect([state.shadow, cpu.used]).toEqual([SHADOW.STI, 1]);
      load(0);
      expect(run([STI, NOP, HLT], 5)).toBe('HLT');
      expect([state.shadow, cpu.used]).toEqual([0, 2]);
    });
    it('delays the window by one instruction', () => {
      cpu.controls.interruptWindow = true;
      expect(run([STI, ...XOR_EAX_EAX, NOP, NOP], 4)).toBe('INTERRUPT_WINDOW');
      expect([at(), cpu.used, state.shadow]).toEqual([3, 2, 0]);
    });
    it('is long over in a block that goes on, for a PUSHF and a CLI there', () => {
      state.setGpr(GPR.RSP, BigInt(AT.STACK));
      expect(run([STI, NOP, NOP, PUSHF, CLI, HLT], 9)).toBe('HLT');
      expect([state.shadow, Number(system.read(AT.STACK - 8)) & RFLAGS.IF, state.rflags & RFLAGS.IF]).toEqual([
        0,
        RFLAGS.IF,
        0,
      ]);
    });
  });
});
