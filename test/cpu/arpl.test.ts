// ARPL, from the manual (SDM vol. 2).

import { beforeEach, describe, expect, it } from 'vitest';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { CR0, GPR, RFLAGS, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';

const system = new TestSystem();
const { state } = system;
const NEXT = { outcome: 'next' } as const;
const REGISTERS = { reg0: GPR.RAX, reg1: GPR.RDX, width: 2 } as const;
const MEMORY = { isMemory: true, address: BigInt(AT.DATA), segment: SEGMENT.DS, reg0: GPR.RDX, width: 2 } as const;
const OTHERS = RFLAGS.FIXED | RFLAGS.CF | RFLAGS.SF;

beforeEach(() => void system.reset());

describe('ARPL', () => {
  const RPLS = [0, 1, 2, 3].flatMap((own) => [0, 1, 2, 3].map((least) => [own, least] as const));

  it.each(RPLS)('makes RPL %i at least %i, and ZF tells whether it changed it', (own, least) => {
    const expected = BigInt(Math.max(own, least));
    for (const zf of [0, RFLAGS.ZF]) {
      const flags = OTHERS | (least > own ? RFLAGS.ZF : 0);
      state.setGpr(GPR.RAX, 0x1234_5678_9abc_de30n | BigInt(own));
      state.setGpr(GPR.RDX, 0xfff8n | BigInt(least));
      writeRflags(state, OTHERS | zf);
      expect(system.execute('arpl', REGISTERS)).toEqual(NEXT);
      expect([system.gpr(GPR.RAX), readRflags(state)]).toEqual([0x1234_5678_9abc_de30n | expected, flags]);

      system.write(AT.DATA, 0x1234_5678_9abc_de30n | BigInt(own));
      writeRflags(state, OTHERS | zf);
      expect(system.execute('arpl', MEMORY)).toEqual(NEXT);
      expect([system.read(AT.DATA), readRflags(state)]).toEqual([0x1234_5678_9abc_de30n | expected, flags]);
    }
    expect(system.gpr(GPR.RDX)).toBe(0xfff8n | BigInt(least));
  });

  it('is undefined in real-address mode', () => {
    state.cr0 &= ~(CR0.PE | CR0.PG);
    expect(system.execute('arpl', REGISTERS)).toEqual({ fault: VECTOR.UD, code: null });
  });

  it('faults on memory that it may not write, even where nothing would change', () => {
    const PRESENT_USER = 5n;
    system.write(AT.PAGE_TABLE + AT.DATA / 512, BigInt(AT.DATA) | PRESENT_USER);
    system.write(AT.DATA, 3n);
    writeRflags(state, OTHERS | RFLAGS.ZF);
    expect(system.execute('arpl', MEMORY)).toMatchObject({ fault: VECTOR.PF });
    expect(readRflags(state)).toBe(OTHERS | RFLAGS.ZF);
  });
});
