// Each VM-execution control makes its instruction exit, and nothing exits without one. Programs run on the interpreter.

import { beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { MICROCODE } from '../../src/cpu/microcode/table.ts';
import { exitName } from '../../src/cpu/vmexit.ts';
import { ACTIVITY, CR4, GPR } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';

const system = new TestSystem();
const { cpu, state } = system;

beforeEach(() => {
  system.reset();
  cpu.controls = new Controls();
});

/** Runs the bytes from RIP on for at most `budget` units. */
const run = (bytes: readonly number[], budget = 1): ExitReason => {
  system.writeBytes(AT.CODE, bytes);
  cpu.setRip(BigInt(AT.CODE));
  return cpu.enter(budget, Infinity);
};

const { BUDGET } = EXIT;

// prettier-ignore
const CONTROLLED: [string, number[], ExitReason, (controls: Controls) => void, (controls: Controls) => void][] = [
  ['pause', [0xf3, 0x90], EXIT.PAUSE_INSTRUCTION, (c) => (c.pauseExiting = true), () => {}],
  ['rdtsc', [0x0f, 0x31], EXIT.RDTSC, (c) => (c.rdtscExiting = true), () => {}],
  ['rdtscp', [0x0f, 0x01, 0xf9], EXIT.RDTSCP, (c) => (c.rdtscExiting = true), () => {}],
  ['invlpg (%rax)', [0x0f, 0x01, 0x38], EXIT.INVLPG, (c) => (c.invlpgExiting = true), () => {}],
  ['wbinvd', [0x0f, 0x09], EXIT.WBINVD, () => {}, (c) => (c.wbinvdExiting = false)],
  ['invd', [0x0f, 0x08], EXIT.INVD, () => {}, (c) => (c.invdExiting = false)],
  ['monitor', [0x0f, 0x01, 0xc8], EXIT.MONITOR_INSTRUCTION, () => {}, (c) => (c.monitorExiting = false)],
  ['mwait', [0x0f, 0x01, 0xc9], EXIT.MWAIT_INSTRUCTION, () => {}, (c) => (c.mwaitExiting = false)],
  ['mov %rax, %cr3', [0x0f, 0x22, 0xd8], EXIT.CR_ACCESS, (c) => (c.cr3LoadExiting = true), () => {}],
  ['mov %cr3, %rax', [0x0f, 0x20, 0xd8], EXIT.CR_ACCESS, (c) => (c.cr3StoreExiting = true), () => {}],
  ['mov %rax, %cr8', [0x44, 0x0f, 0x22, 0xc0], EXIT.CR_ACCESS, () => {}, (c) => (c.cr8LoadExiting = false)],
  ['mov %cr8, %rax', [0x44, 0x0f, 0x20, 0xc0], EXIT.CR_ACCESS, () => {}, (c) => (c.cr8StoreExiting = false)],
  ['mov %db0, %rax', [0x0f, 0x21, 0xc0], EXIT.DR_ACCESS, (c) => (c.movDrExiting = true), () => {}],
  ['rdmsr', [0x0f, 0x32], EXIT.MSR_READ, () => {}, (c) => c.allowMsr(0x10, 'read')],
  ['wrmsr', [0x0f, 0x30], EXIT.MSR_WRITE, () => {}, (c) => c.allowMsr(0xc0000081, 'write')],
];

describe.each(CONTROLLED)('%s', (name, bytes, reason, trap, allow) => {
  const prepare = (): void => {
    state.setGpr(GPR.RCX, name === 'rdmsr' ? 0x10n : name === 'wrmsr' ? 0xc000_0081n : 0n);
    state.setGpr(GPR.RAX, name.includes('cr8') ? 0n : BigInt(AT.TABLES));
  };
  it('exits, with its length and RIP on it, and costs nothing', () => {
    trap(cpu.controls);
    prepare();
    expect(exitName(run(bytes))).toBe(exitName(reason));
    expect(cpu.used).toBe(0);
    expect(cpu.exit()).toMatchObject({ rip: BigInt(AT.CODE), length: bytes.length });
  });
  it('does not exit when the control is off', () => {
    allow(cpu.controls);
    prepare();
    expect(exitName(run(bytes))).toBe('BUDGET');
    expect([cpu.used, state.rip]).toEqual([1, BigInt(AT.CODE + bytes.length)]);
  });
});

describe('what exits by default under a hypervisor', () => {
  it('CPUID, with its leaf', () => {
    state.setGpr(GPR.RAX, 0xffff_ffff_4000_0000n);
    state.setGpr(GPR.RCX, 5n);
    expect(run([0x0f, 0xa2])).toBe(EXIT.CPUID);
    expect(cpu.exit()).toMatchObject({ leaf: 0x4000_0000, subleaf: 5, length: 2 });
  });
  it('VMCALL, from ring 3 too', () => {
    system.reset(3);
    cpu.controls = new Controls();
    expect(run([0x0f, 0x01, 0xc1])).toBe(EXIT.VMCALL);
  });
  it('HLT unless told otherwise, in front of the instruction', () => {
    expect(run([0xf4])).toBe(EXIT.HLT);
    expect(cpu.exit()).toMatchObject({ rip: BigInt(AT.CODE), length: 1 });
  });
  it('RDPMC', () => {
    expect(run([0x0f, 0x33])).toBe(EXIT.RDPMC);
  });
});

describe('without a hypervisor', () => {
  beforeEach(() => (cpu.controls = Controls.none()));
  it('CPUID is answered by the CPU’s own table', () => {
    cpu.cpuid = (leaf, subleaf) => ({ eax: leaf, ebx: subleaf, ecx: 0xffff_ffff, edx: 4 });
    state.setGpr(GPR.RAX, -7n & 0xffff_ffff_ffff_ffffn);
    state.setGpr(GPR.RCX, 3n);
    expect(run([0x0f, 0xa2])).toBe(BUDGET);
    expect([GPR.RAX, GPR.RBX, GPR.RCX, GPR.RDX].map((r) => system.gpr(r))).toEqual([
      0xffff_fff9n,
      3n,
      0xffff_ffffn,
      4n,
    ]);
  });
  it('VMCALL is #UD', () => {
    cpu.controls.exceptionBitmap = 1 << VECTOR.UD;
    expect(run([0x0f, 0x01, 0xc1])).toBe(EXIT.EXCEPTION_NMI);
  });
  it('HLT halts the CPU behind the instruction', () => {
    expect(run([0xf4])).toBe(EXIT.HLT);
    expect([state.activity, state.rip]).toEqual([ACTIVITY.HALTED, BigInt(AT.CODE + 1)]);
  });
});

describe('privilege', () => {
  beforeEach(() => {
    system.reset(3);
    cpu.controls = new Controls();
    cpu.controls.exceptionBitmap = (1 << VECTOR.GP) | (1 << VECTOR.UD);
  });
  // prettier-ignore
  it.each<[string, number[], number]>([
    ['hlt', [0xf4], VECTOR.GP], ['rdmsr', [0x0f, 0x32], VECTOR.GP], ['wrmsr', [0x0f, 0x30], VECTOR.GP],
    ['invlpg', [0x0f, 0x01, 0x38], VECTOR.GP], ['wbinvd', [0x0f, 0x09], VECTOR.GP], ['invd', [0x0f, 0x08], VECTOR.GP],
    ['mov cr0', [0x0f, 0x22, 0xc0], VECTOR.GP], ['clts', [0x0f, 0x06], VECTOR.GP], ['cli', [0xfa], VECTOR.GP], ['sti', [0xfb], VECTOR.GP],
    ['rdpmc without CR4.PCE', [0x0f, 0x33], VECTOR.GP], ['in', [0xec], VECTOR.GP], ['out', [0xee], VECTOR.GP],
    ['monitor', [0x0f, 0x01, 0xc8], VECTOR.UD], ['mwait', [0x0f, 0x01, 0xc9], VECTOR.UD],
    ['stac', [0x0f, 0x01, 0xcb], VECTOR.UD], ['clac', [0x0f, 0x01, 0xca], VECTOR.UD],
  ])('%s faults in ring 3 before anything exits', (_, bytes, vector) => {
    expect(run(bytes)).toBe(EXIT.EXCEPTION_NMI);
    expect(cpu.exit()).toMatchObject({ vector, errorCode: vector === VECTOR.GP ? 0 : null, rip: BigInt(AT.CODE) });
  });
  it('RDTSC faults in ring 3 with CR4.TSD', () => {
    expect(run([0x0f, 0x31])).toBe(BUDGET);
    state.cr4 |= CR4.TSD;
    expect(run([0x0f, 0x31])).toBe(EXIT.EXCEPTION_NMI);
  });
});

describe('instructions of features that are absent', () => {
  // prettier-ignore
  it.each<[string, number[]]>([
    ['vmxon', [0xf3, 0x0f, 0xc7, 0x30]], ['vmcall’s neighbour vmlaunch', [0x0f, 0x01, 0xc2]], ['vmrun', [0x0f, 0x01, 0xd8]],
    ['rdrand', [0x0f, 0xc7, 0xf0]], ['vmmcall', [0x0f, 0x01, 0xd9]], ['rsm', [0x0f, 0xaa]], ['ud2', [0x0f, 0x0b]],
  ])('%s is #UD', (_, bytes) => {
    cpu.features = { has: () => false, physicalAddressBits: 46 };
    cpu.controls.exceptionBitmap = 1 << VECTOR.UD;
    expect(run(bytes)).toBe(EXIT.EXCEPTION_NMI);
    expect(cpu.exit()).toMatchObject({ vector: VECTOR.UD });
  });
  it('if they are offered all the same, the machine stops by name', () => {
    expect(run([0x0f, 0x01, 0xc2])).toBe(EXIT.STOPPED);
    expect(cpu.stopped?.what).toContain('VMX');
  });
});

it('rows name microcode that exists, and all microcode is named by a row', () => {
  const named = new Set(ROWS.flatMap((row) => row.microcode ?? []));
  expect([...named].sort()).toEqual(Object.keys(MICROCODE).sort());
});
