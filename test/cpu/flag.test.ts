// Instructions that change system flags: who may change which.

import { beforeEach, describe, expect, it } from 'vitest';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { CR4, GPR, RFLAGS, SHADOW } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem, type Ending } from './system.ts';

const system = new TestSystem();
const { state } = system;
const GP0 = { fault: VECTOR.GP, code: 0 } as const;

beforeEach(() => void system.reset());

describe('RFLAGS as a number', () => {
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

describe('POPF', () => {
  const ALL = 0x003f_7fd5;
  const ARITHMETIC_AND_MORE =
    RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.TF | RFLAGS.DF | RFLAGS.OF | RFLAGS.NT;
  const popf = (cpl: 0 | 1 | 3, iopl: number, width: number, from: number, to: number): number => {
    system.reset(cpl);
    writeRflags(state, (from & ~RFLAGS.IOPL) | (iopl << 12) | RFLAGS.FIXED);
    state.setGpr(GPR.RSP, BigInt(AT.STACK - 8));
    system.write(AT.STACK - 8, to);
    expect(system.execute('popf', { width })).toEqual({ outcome: 'end' });
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
});

describe('STI and CLI', () => {
  // prettier-ignore
  it.each<[0 | 1 | 3, number, boolean]>([[0, 0, true], [1, 0, false], [1, 1, true], [3, 2, false], [3, 3, true]])('in ring %i with IOPL %i: allowed? %s', (cpl, iopl, allowed) => {
    const expected = (outcome: 'next' | 'end'): Ending => (allowed ? { outcome } : GP0);
    system.reset(cpl);
    writeRflags(state, (iopl << 12) | RFLAGS.FIXED);
    expect(system.execute('sti')).toEqual(expected('end'));
    expect((state.rflags & RFLAGS.IF) !== 0).toBe(allowed);
    state.rflags |= RFLAGS.IF;
    expect(system.execute('cli')).toEqual(expected('next'));
    expect((state.rflags & RFLAGS.IF) === 0).toBe(allowed);
  });
  it('STI casts a shadow only if interrupts were off', () => {
    system.execute('sti');
    expect(state.shadow).toBe(SHADOW.STI);
    state.shadow = 0;
    system.execute('sti');
    expect(state.shadow).toBe(0);
  });
  it('virtual interrupts (CR4.PVI) stop by name', () => {
    system.reset(3);
    state.cr4 |= CR4.PVI;
    expect(system.execute('cli')).toMatchObject({ stopped: expect.stringContaining('CR4.PVI') as string });
  });
});
