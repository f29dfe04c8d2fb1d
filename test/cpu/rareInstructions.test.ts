// Instructions of user mode that are microcode: ENTER, CMPXCHG16B, MOVDIR64B, RDRAND, UMONITOR, UMWAIT, TPAUSE. From the manual (SDM vol. 2);
// those that the processors at hand have are compared with them in test/hardware too.

import { beforeEach, describe, expect, it } from 'vitest';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { CR4, GPR, RFLAGS } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { TestSystem } from './system.ts';
import { AT } from './systemImage.ts';

const system = new TestSystem();
const { state } = system;
const DONE = { outcome: 'next' } as const;
const GP0 = { fault: VECTOR.GP, code: 0 } as const;
const ALL_FLAGS = RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.OF | RFLAGS.FIXED;

beforeEach(() => void system.reset());

describe('ENTER', () => {
  const enter = (size: number, level: number, width = 8) =>
    system.execute('enter', { width, immediate: BigInt(size), immediate2: level });
  const RBP = BigInt(AT.STACK - 0x100);
  beforeEach(() => state.setGpr(GPR.RBP, RBP));

  it('at level 0 pushes RBP, points it at the place and makes room', () => {
    expect(enter(0x20, 0)).toEqual(DONE);
    expect([system.gpr(GPR.RBP), system.gpr(GPR.RSP)]).toEqual([BigInt(AT.STACK - 8), BigInt(AT.STACK - 8 - 0x20)]);
    expect(system.read(AT.STACK - 8)).toBe(RBP);
  });
  it('at level 3 copies two frame pointers and pushes its own', () => {
    system.write(RBP - 16n, 0x22n, 0x11n);
    expect(enter(0, 3)).toEqual(DONE);
    const frame = BigInt(AT.STACK - 8);
    expect([0, 1, 2, 3].map((i) => system.read(frame - BigInt(8 * i)))).toEqual([RBP, 0x11n, 0x22n, frame]);
    expect(system.gpr(GPR.RSP)).toBe(frame - 24n);
  });
  it('takes the level modulo 32', () => {
    expect(enter(0, 32)).toEqual(DONE);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK - 8));
  });
  it('changes nothing when the end of the new frame is not there', () => {
    const stack = () => system.memory().slice(AT.STACK - 0x200, AT.STACK);
    const before = stack();
    expect(enter(0xffff, 0)).toMatchObject({ fault: VECTOR.PF });
    expect(system.gpr(GPR.RBP)).toBe(RBP);
    expect(stack()).toEqual(before);
  });
});

describe('CMPXCHG16B', () => {
  const at = BigInt(AT.DATA);
  const run = (address: bigint) => system.execute('cmpxchg16b', { isMemory: true, address });
  beforeEach(() => {
    system.write(at, 1n, 2n);
    state.setGpr(GPR.RBX, 3n);
    state.setGpr(GPR.RCX, 4n);
    writeRflags(state, RFLAGS.FIXED | RFLAGS.CF);
  });

  it('stores RCX:RBX and sets ZF alone when RDX:RAX is what is there', () => {
    state.setGpr(GPR.RAX, 1n);
    state.setGpr(GPR.RDX, 2n);
    expect(run(at)).toEqual(DONE);
    expect([system.read(at), system.read(at + 8n)]).toEqual([3n, 4n]);
    expect(readRflags(state)).toBe(RFLAGS.FIXED | RFLAGS.CF | RFLAGS.ZF);
  });
  it('loads RDX:RAX and clears ZF when it is not', () => {
    state.setGpr(GPR.RAX, 1n);
    expect(run(at)).toEqual(DONE);
    expect([system.gpr(GPR.RAX), system.gpr(GPR.RDX)]).toEqual([1n, 2n]);
    expect([system.read(at), system.read(at + 8n)]).toEqual([1n, 2n]);
    expect(readRflags(state)).toBe(RFLAGS.FIXED | RFLAGS.CF);
  });
  it('is #GP(0) at an address that is no multiple of 16', () => expect(run(at + 8n)).toEqual(GP0));
});

describe('MOVDIR64B', () => {
  const run = (to: number, from: number) => {
    state.setGpr(GPR.RDI, BigInt(to));
    return system.execute('movdir64b', { reg0: GPR.RDI, isMemory: true, address: BigInt(from) });
  };
  it('copies 64 bytes to a line', () => {
    system.write(AT.DATA + 4, 1, 2, 3, 4, 5, 6, 7, 8);
    expect(run(AT.DATA + 0x40, AT.DATA + 4)).toEqual(DONE);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((i) => system.read(AT.DATA + 0x40 + 8 * i))).toEqual([
      1n,
      2n,
      3n,
      4n,
      5n,
      6n,
      7n,
      8n,
    ]);
  });
  it('is #GP(0) when the destination is no line', () => expect(run(AT.DATA + 8, AT.DATA)).toEqual(GP0));
});

describe('RDRAND and RDSEED', () => {
  it('set CF and clear the other flags', () => {
    writeRflags(state, ALL_FLAGS & ~RFLAGS.CF);
    expect(system.execute('rdrand', { reg0: GPR.RBX })).toEqual(DONE);
    expect(readRflags(state)).toBe(RFLAGS.FIXED | RFLAGS.CF);
    expect(system.gpr(GPR.RBX)).not.toBe(0n);
  });
  it('write a register as any instruction of their size does', () => {
    state.setGpr(GPR.RAX, -1n & 0xffff_ffff_ffff_ffffn);
    system.execute('rdseed', { reg0: GPR.RAX, width: 2 });
    expect(system.gpr(GPR.RAX) >> 16n).toBe(0xffff_ffff_ffffn);
    system.execute('rdseed', { reg0: GPR.RAX, width: 4 });
    expect(system.gpr(GPR.RAX) >> 32n).toBe(0n);
  });
  it('give the published sequence of SplitMix64 from 1234567, and the same again from there', () => {
    const draw = (): bigint => {
      system.execute('rdrand', { reg0: GPR.RAX });
      return system.gpr(GPR.RAX);
    };
    state.entropy = 1234567n;
    expect([draw(), draw()]).toEqual([6457827717110365317n, 3203168211198807973n]);
    state.entropy = 1234567n;
    expect(draw()).toBe(6457827717110365317n);
  });
});

describe('UMWAIT, TPAUSE and UMONITOR', () => {
  it.each(['umwait', 'tpause'] as const)('%s clears the arithmetic flags', (name) => {
    writeRflags(state, ALL_FLAGS);
    expect(system.execute(name, { reg0: GPR.RBX })).toEqual(DONE);
    expect(readRflags(state)).toBe(RFLAGS.FIXED);
  });
  it.each(['umwait', 'tpause'] as const)('%s is #GP(0) for a state other than C0.1 and C0.2', (name) => {
    state.setGpr(GPR.RBX, 2n);
    expect(system.execute(name, { reg0: GPR.RBX })).toEqual(GP0);
  });
  it('are refused to user mode by CR4.TSD', () => {
    system.reset(3);
    state.cr4 |= CR4.TSD;
    expect(system.execute('tpause', { reg0: GPR.RBX })).toEqual(GP0);
  });
  it('UMONITOR reads the byte it is told', () => {
    expect(system.execute('umonitor', { reg0: GPR.RBX, segment: 3 })).toEqual(DONE);
    state.setGpr(GPR.RBX, 1n << 47n);
    expect(system.execute('umonitor', { reg0: GPR.RBX, segment: 3 })).toEqual(GP0);
  });
});
