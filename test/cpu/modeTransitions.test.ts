// Into and out of paging, protected mode and IA-32e mode by CR0, CR4 and EFER (SDM vol. 3, 4.1.2, 9.8.5 and 9.9): what is
// allowed, and which mode the code is in then. Page faults of each kind of paging are elsewhere.

import { beforeEach, describe, expect, it } from 'vitest';
import { CODE, selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { Controls } from '../../src/cpu/controls.ts';
import { readSegment, writeSegment } from '../../src/cpu/segments/segments.ts';
import { MSR } from '../../src/x86/names/msrs.ts';
import { CR0, CR4, EFER, GPR, SEGMENT, SEGMENT_ATTRIBUTE } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem, type Ending } from './system.ts';

const system = new TestSystem();
const { cpu, state } = system;
const END = { outcome: 'end' } as const;
const NEXT = { outcome: 'next' } as const;
const GP0 = { fault: VECTOR.GP, code: 0 } as const;
const { L, DB, G, P, S } = SEGMENT_ATTRIBUTE;
const REAL = CR0.ET;
const PROTECTED = CR0.PE | CR0.ET;
const PAGED = PROTECTED | CR0.PG;
const LONG = EFER.LME | EFER.LMA;
/** A page directory of 32-bit paging, and of PAE paging its PDPTEs: entries of both are present and harmless. */
const DIRECTORY = BigInt(AT.DATA);

/** CS of this kind; 64-bit CS keeps its meaning only in long mode. */
function setCode(kind: '64-bit' | '32-bit' | '16-bit'): void {
  const bits = { '64-bit': L, '32-bit': DB, '16-bit': 0 }[kind];
  writeSegment(state, SEGMENT.CS, { ...readSegment(state, SEGMENT.CS), attributes: G | P | S | 0xb | bits });
}
function setTask(type: number): void {
  const task = readSegment(state, SEGMENT.TR);
  writeSegment(state, SEGMENT.TR, { ...task, attributes: (task.attributes & ~0xf) | type });
}
function setRegisters(cr0: bigint, cr4: bigint, efer: bigint, code: Parameters<typeof setCode>[0] = '32-bit'): void {
  state.cr0 = cr0;
  state.cr4 = cr4;
  state.efer = efer;
  if ((efer & EFER.LMA) === 0n) state.cr3 = DIRECTORY;
  setCode(code);
  selectCodeMode(state);
  cpu.mmu.translation.flushAll(false);
  cpu.mmu.translation.restored();
}

beforeEach(() => void system.reset());

const writeCr = (cr: number, value: bigint): Ending => {
  state.setGpr(GPR.RBX, value);
  return system.execute('movToCr', { reg0: cr, reg1: GPR.RBX });
};
const writeEfer = (value: bigint): Ending => {
  state.setGpr(GPR.RCX, BigInt(MSR.EFER));
  state.setGpr(GPR.RAX, value);
  state.setGpr(GPR.RDX, 0n);
  return system.execute('wrmsr');
};
const registers = (): readonly bigint[] => [state.cr0, state.cr4, state.efer];

describe('CR0.PG', () => {
  it('turns on 32-bit paging, PAE paging, or IA-32e mode, by CR4.PAE and EFER.LME (4.1.1)', () => {
    for (const [cr4, efer, lma] of [
      [0n, 0n, 0n],
      [CR4.PAE, 0n, 0n],
      [CR4.PAE, EFER.LME, EFER.LMA],
    ] as const) {
      setRegisters(PROTECTED, cr4, efer);
      expect(writeCr(0, PAGED)).toEqual(END);
      expect(registers()).toEqual([PAGED, cr4, efer | lma]);
    }
  });

  // prettier-ignore
  it.each<[string, () => void, Ending]>([
    ['with CR4.PAE, 32-bit code and a 32-bit TSS', () => undefined, END],
    ['from 16-bit code', () => setCode('16-bit'), END],
    ['without CR4.PAE', () => (state.cr4 = 0n), GP0],
    ['from code with CS.L', () => setCode('64-bit'), GP0],
    ['with a 16-bit TSS in TR', () => setTask(3), GP0],
    ['with an available 16-bit TSS in TR', () => setTask(1), GP0],
    ['from real mode, at once with PE', () => (state.cr0 = REAL), END],
  ])('activates IA-32e mode %s (9.8.5.4)', (_, set, ending) => {
    setRegisters(PROTECTED, CR4.PAE, EFER.LME | EFER.NXE);
    set();
    selectCodeMode(state);
    const before = registers();
    expect(writeCr(0, PAGED)).toEqual(ending);
    expect(registers()).toEqual(ending === END ? [PAGED, CR4.PAE, LONG | EFER.NXE] : before);
  });

  it('with CS.L and a 16-bit TSS does not matter while EFER.LME = 0', () => {
    setRegisters(PROTECTED, CR4.PAE, 0n, '64-bit');
    setTask(3);
    expect(writeCr(0, PAGED)).toEqual(END);
    expect(state.mode).toBe(CODE.SEGMENTED16);
  });

  it('cannot be cleared by 64-bit code, but from compatibility mode, which ends IA-32e mode', () => {
    expect(writeCr(0, state.cr0 & ~CR0.PG)).toEqual(GP0);
    for (const code of ['32-bit', '16-bit'] as const) {
      setRegisters(PAGED, CR4.PAE, LONG, code);
      expect(writeCr(0, PROTECTED)).toEqual(END);
      expect(registers()).toEqual([PROTECTED, CR4.PAE, EFER.LME]);
      expect(writeCr(0, PAGED)).toEqual(END);
      expect(state.efer).toBe(LONG);
    }
  });

  it('cannot be cleared while PCIDs are on', () => {
    setRegisters(PAGED, CR4.PAE | CR4.PCIDE, LONG);
    expect(writeCr(0, PROTECTED)).toEqual(GP0);
    expect(registers()).toEqual([PAGED, CR4.PAE | CR4.PCIDE, LONG]);
  });

  it('cannot be set without PE, nor PE cleared under it', () => {
    setRegisters(REAL, 0n, 0n);
    expect(writeCr(0, REAL | CR0.PG)).toEqual(GP0);
    setRegisters(PAGED, 0n, 0n);
    expect(writeCr(0, REAL | CR0.PG)).toEqual(GP0);
    expect(writeCr(0, REAL)).toEqual(END);
  });

  it('counts for the next access', () => {
    system.write(Number(DIRECTORY), 0x83n);
    setRegisters(PROTECTED, CR4.PSE, 0n);
    const beyond = 0x40_0000n;
    expect(system.attempt(() => void cpu.mmu.read(0x1234n, 4, 'data'))).toEqual(NEXT);
    writeCr(0, PAGED);
    expect(system.attempt(() => void cpu.mmu.read(0x1234n, 4, 'data'))).toEqual(NEXT);
    expect(system.attempt(() => void cpu.mmu.read(beyond, 4, 'data'))).toEqual({ fault: VECTOR.PF, code: 0 });
  });
});

describe('CR0.PE', () => {
  it('decides between real and protected mode, and CS keeps what it holds (9.9)', () => {
    setRegisters(PROTECTED, 0n, 0n, '16-bit');
    for (const value of [REAL, PROTECTED]) {
      expect(writeCr(0, value)).toEqual(END);
      expect([state.cr0, state.mode]).toEqual([value, CODE.SEGMENTED16]);
    }
    setCode('32-bit');
    expect(writeCr(0, REAL)).toEqual(END);
    expect(state.mode).toBe(CODE.FLAT32);
  });

  it('is set by LMSW and never cleared by it', () => {
    setRegisters(REAL | CR0.CD | CR0.NW, 0n, 0n, '16-bit');
    state.setGpr(GPR.RAX, CR0.PE | CR0.TS);
    expect(system.execute('lmsw', { reg0: GPR.RAX })).toEqual(END);
    expect(state.cr0).toBe(PROTECTED | CR0.CD | CR0.NW | CR0.TS);
    state.setGpr(GPR.RAX, 0n);
    expect(system.execute('lmsw', { reg0: GPR.RAX })).toEqual(END);
    expect(state.cr0).toBe(PROTECTED | CR0.CD | CR0.NW);
  });

  it('makes limits of segments count by kind, or not at all', () => {
    setRegisters(PROTECTED, 0n, 0n, '16-bit');
    const bounds = (): bigint[] => {
      const at = state.at('bounds', SEGMENT.CS) >> 3;
      return [state.views.u64[at]!, state.views.u64[at + 1]!];
    };
    const end = BigInt(readSegment(state, SEGMENT.CS).limit) + 1n;
    writeCr(0, REAL);
    expect(bounds()).toEqual([end, end]);
    writeCr(0, PROTECTED);
    expect(bounds()).toEqual([end, 0n]);
  });
});

describe('CR4.PAE', () => {
  it('cannot be cleared in IA-32e mode, in 64-bit and compatibility code alike (4.1.2)', () => {
    expect(writeCr(4, 0n)).toEqual(GP0);
    setRegisters(PAGED, CR4.PAE, LONG);
    expect(writeCr(4, 0n)).toEqual(GP0);
  });

  it('turns 32-bit paging into PAE paging and back, at the next access', () => {
    system.write(Number(DIRECTORY), 0x83n);
    setRegisters(PAGED, CR4.PSE, 0n);
    const look = (): Ending => system.attempt(() => void cpu.mmu.read(0x1234n, 4, 'data'));
    expect(look()).toEqual(NEXT);
    expect(writeCr(4, CR4.PSE | CR4.PAE)).toEqual(GP0); // a PDPTE with bit 1
    system.write(Number(DIRECTORY), DIRECTORY | 1n);
    expect(writeCr(4, CR4.PSE | CR4.PAE)).toEqual(END);
    expect(look()).toEqual({ fault: VECTOR.PF, code: 0 }); // no longer a page of 4 MiB, but a table with nothing in entry 1
    system.write(Number(DIRECTORY), 0x83n);
    expect(look()).toEqual(NEXT);
    expect(writeCr(4, CR4.PSE)).toEqual(END);
    expect(look()).toEqual(NEXT);
  });

  it('decides nothing while paging is off', () => {
    setRegisters(PROTECTED, 0n, EFER.LME);
    for (const value of [CR4.PAE, 0n]) {
      expect(writeCr(4, value)).toEqual(END);
      expect(state.efer).toBe(EFER.LME);
    }
  });
});

describe('CR4.PCIDE', () => {
  it('can be set from compatibility mode, and not outside of IA-32e mode', () => {
    setRegisters(PAGED, CR4.PAE, LONG);
    state.cr3 = BigInt(AT.TABLES);
    expect(writeCr(4, CR4.PAE | CR4.PCIDE)).toEqual(END);
    setRegisters(PAGED, 0n, 0n);
    expect(writeCr(4, CR4.PCIDE)).toEqual(GP0);
  });
});

describe('EFER', () => {
  it('takes LME while paging is off, and LMA follows when it is turned on (9.8.5.2)', () => {
    setRegisters(PROTECTED, CR4.PAE, 0n);
    expect(writeEfer(EFER.LME | EFER.LMA)).toEqual(END);
    expect(state.efer).toBe(EFER.LME);
    expect(writeEfer(0n)).toEqual(END);
    expect(state.efer).toBe(0n);
  });

  it.each([
    ['32-bit paging', 0n, 0n, EFER.LME],
    ['PAE paging', CR4.PAE, EFER.NXE, EFER.LME | EFER.NXE],
    ['IA-32e mode', CR4.PAE, LONG, 0n],
  ])('keeps LME in %s, other bits may change', (_, cr4, efer, value) => {
    setRegisters(PAGED, cr4, efer);
    expect(writeEfer(value)).toEqual(GP0);
    expect(writeEfer((efer & EFER.LME) | EFER.SCE)).toEqual(END);
    expect(state.efer).toBe((efer & LONG) | EFER.SCE);
  });
});

describe('a whole way', () => {
  it('leads from real mode to 64-bit mode as 9.8.5 says, and back as 9.8.5.4 and 9.9.2 say', () => {
    system.reset();
    setRegisters(REAL, 0n, 0n, '16-bit');
    state.cr3 = BigInt(AT.TABLES);
    const step = (ending: Ending, mode: number): void => {
      expect(ending).toEqual(END);
      expect(state.mode).toBe(mode);
    };
    step(writeCr(0, PROTECTED), CODE.SEGMENTED16);
    setCode('32-bit');
    step(writeCr(4, CR4.PAE), CODE.FLAT32);
    step(writeEfer(EFER.LME), CODE.FLAT32);
    step(writeCr(0, PAGED), CODE.FLAT32);
    expect(state.efer).toBe(LONG);
    setCode('64-bit');
    expect(state.mode).toBe(CODE.LONG);
    setCode('32-bit');
    step(writeCr(0, PROTECTED), CODE.FLAT32);
    step(writeEfer(0n), CODE.FLAT32);
    step(writeCr(4, 0n), CODE.FLAT32);
    setCode('16-bit');
    step(writeCr(0, REAL), CODE.SEGMENTED16);
    expect(registers()).toEqual([REAL, 0n, 0n]);
  });
});

describe('outside 64-bit mode', () => {
  it('MOV to and from control registers moves 32 bits, whatever the upper halves hold', () => {
    setRegisters(PAGED, 0n, 0n);
    expect(writeCr(0, 0xdead_0000_0000_0000n | PAGED | CR0.WP)).toEqual(NEXT);
    expect(state.cr0).toBe(PAGED | CR0.WP);
    expect(writeCr(3, 0xdead_0000_0000_0000n | DIRECTORY)).toEqual(END);
    expect(state.cr3).toBe(DIRECTORY);
    expect(writeCr(2, 0xdead_0000_8000_1234n)).toEqual(NEXT);
    expect(state.cr2).toBe(0x8000_1234n);
    state.cr2 = 0xffff_ffff_8000_0000n;
    state.setGpr(GPR.RDX, ~0n & 0xffff_ffff_ffff_ffffn);
    expect(system.execute('movFromCr', { reg0: GPR.RDX, reg1: 2 })).toEqual(NEXT);
    expect(system.gpr(GPR.RDX)).toBe(0x8000_0000n);
  });

  it('MOV to and from debug registers too', () => {
    setRegisters(PAGED, 0n, 0n);
    state.setGpr(GPR.RAX, 0xdead_0000_0000_0400n);
    expect(system.execute('movToDr', { reg0: 7, reg1: GPR.RAX })).toEqual(NEXT);
    expect(system.execute('movToDr', { reg0: 1, reg1: GPR.RAX })).toEqual(NEXT);
    state.views.u64[state.at('dr', 2) >> 3] = 0xffff_8000_0000_1234n;
    const read = (dr: number): bigint => {
      expect(system.execute('movFromDr', { reg0: GPR.RDX, reg1: dr })).toEqual(NEXT);
      return system.gpr(GPR.RDX);
    };
    expect([read(1), read(2), read(7)]).toEqual([0x400n, 0x1234n, 0x400n]);
  });

  it('CLTS and SMSW are as everywhere', () => {
    setRegisters(REAL | CR0.TS, 0n, 0n, '16-bit');
    state.setGpr(GPR.RAX, 0xffff_ffff_ffff_ffffn);
    expect(system.execute('smsw', { reg0: GPR.RAX, width: 2 })).toEqual(NEXT);
    expect(system.gpr(GPR.RAX)).toBe(0xffff_ffff_ffff_0018n);
    expect(system.execute('clts')).toEqual(NEXT);
    expect(state.cr0).toBe(REAL);
  });
});

describe('under a hypervisor', () => {
  it('a guest that owns CR0 and CR4 changes modes without an exit', () => {
    cpu.controls = new Controls();
    setRegisters(PROTECTED, 0n, EFER.LME);
    expect(writeCr(4, CR4.PAE)).toEqual(END);
    expect(writeCr(0, PAGED)).toEqual(END);
    expect(state.efer).toBe(LONG);
    expect(writeCr(0, PROTECTED)).toEqual(END);
    expect(state.efer).toBe(EFER.LME);
  });

  it('a bit that it owns keeps its real value through a transition', () => {
    cpu.controls = new Controls();
    cpu.controls.cr0.mask = CR0.NE;
    setRegisters(PROTECTED | CR0.NE, 0n, 0n);
    expect(writeCr(0, PAGED)).toEqual(END);
    expect(state.cr0).toBe(PAGED | CR0.NE);
  });
});
