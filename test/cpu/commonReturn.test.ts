// IRETQ as an instruction: generated code does the common return by itself, and must come to what microcode comes to in each case
// that is not common. The evaluator leaves all of it to microcode, so it says what is right.

import { describe, expect, it, vi } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { writeRflags } from '../../src/cpu/rflags.ts';
import { CR4, DR7, GPR, RFLAGS, SHADOW } from '../../src/x86/names/registers.ts';
import { Random } from '../hardware/random.ts';
import { AT, MEMORY_SIZE, SEL, descriptor, pageEntry } from './systemImage.ts';
import { TestSystem } from './system.ts';
import { visibleState } from './visibleState.ts';

const TARGET = 0xa800;
const FRAME = AT.STACK - 40;
const IRETQ = [0x48, 0xcf];
/** NOP and a JMP to the next one: blocks that a few units reach for. */
const NOPS = Array.from({ length: 8 }, () => [0x90, 0xeb, 0x00]).flat();
const LONG = 0xa;
const FLAT32 = 0xc;

/** What is different from a return of the most common kind. */
interface Case {
  ring?: 0 | 3;
  rip?: bigint;
  cs?: number;
  flags?: number;
  rsp?: bigint;
  ss?: number;
  /** Where the frame is, if RSP points at it. */
  frame?: number;
  prepare?: (system: TestSystem) => void;
  /** After the views were filled by a return of the most common kind. */
  then?: (system: TestSystem) => void;
  units?: number;
}

const setCode = (value: bigint) => (system: TestSystem) => system.write(AT.GDT + SEL.KCODE, value);
const setStack = (value: bigint) => (system: TestSystem) => system.write(AT.GDT + SEL.KDATA, value);

/** Runs the case; how it ended and everything that a guest or its hypervisor can see afterwards. */
function run(system: TestSystem, test: Case) {
  const { cpu, state } = system;
  const ring = test.ring ?? 0;
  system.reset(ring);
  cpu.controls = new Controls();
  cpu.controls.hypervisor = false;
  state.tsc = 0n;
  system.writeBytes(AT.CODE, IRETQ);
  system.writeBytes(TARGET, NOPS);
  test.prepare?.(system);
  const frame = (at: number, words: readonly (bigint | number)[]): void => system.write(at, ...words);
  // Views and jump cache are filled.
  const own = ring === 0 ? [SEL.KCODE, SEL.KDATA] : [SEL.UCODE | 3, SEL.UDATA | 3];
  frame(FRAME, [TARGET, own[0]!, 2, AT.STACK - 0x400, own[1]!]);
  for (let round = 0; round < 3; round++) {
    state.setGpr(GPR.RSP, BigInt(FRAME));
    cpu.setRip(BigInt(AT.CODE));
    cpu.enter(4, Infinity);
  }
  const { rip = TARGET, cs = SEL.KCODE, flags = 2, rsp = AT.STACK - 0x200, ss = SEL.KDATA } = test;
  const at = test.frame ?? FRAME;
  const words = [rip, cs, flags >>> 0, rsp, ss];
  const bytes = new Uint8Array(new BigUint64Array(words.map((word) => BigInt.asUintN(64, BigInt(word)))).buffer);
  if (at + bytes.length <= MEMORY_SIZE) system.writeBytes(at, bytes);
  state.setGpr(GPR.RSP, BigInt(at));
  cpu.setRip(BigInt(AT.CODE));
  test.then?.(system);
  const microcode = vi.spyOn(cpu.guestMode.calls, 'microcode');
  const reason = cpu.enter(test.units ?? 3, Infinity);
  const calls = microcode.mock.calls.length;
  microcode.mockRestore();
  return { calls, seen: { reason, used: cpu.used, ...visibleState(system) } };
}

const wasm = new TestSystem('wasm');
const evaluator = new TestSystem('bigint');

/** What both come to; and how often generated code called microcode. */
function same(test: Case) {
  const { calls, seen } = run(wasm, test);
  expect(seen).toEqual(run(evaluator, test).seen);
  return { calls, seen };
}

describe('the common return', () => {
  it.each<[string, Case]>([
    ['between functions of a kernel', {}],
    ['with interrupts enabled', { flags: RFLAGS.IF | 0x8d5 }],
    ['with IOPL, ID, DF, VIF and VIP', { flags: RFLAGS.IOPL | RFLAGS.ID | RFLAGS.DF | RFLAGS.VIF | RFLAGS.VIP }],
    ['with AC as it was', { flags: RFLAGS.AC, then: ({ state }) => writeRflags(state, RFLAGS.AC | RFLAGS.FIXED) }],
    ['to a null SS', { ss: 0 }],
    ['from a null SS to one', { ss: 0, prepare: setStack(descriptor(0x93, FLAT32, 0x1234_5678, 0x1_2345)) }],
    ['to a stack anywhere', { rsp: 1n << 63n }],
    ['to code whose descriptor has a base and a limit', { prepare: setCode(descriptor(0x9b, LONG, 0x8765_4321, 7)) }],
    ['to code whose limit is in bytes, and is available', { prepare: setCode(descriptor(0x9f, 0x3, 1, 0xfedcb)) }],
    [
      'to another CS',
      { cs: SEL.EXECUTE_ONLY, prepare: (s) => s.write(AT.GDT + SEL.EXECUTE_ONLY, descriptor(0x99, LONG)) },
    ],
    [
      'to another SS',
      { ss: SEL.READ_ONLY, prepare: (s) => s.write(AT.GDT + SEL.READ_ONLY, descriptor(0x97, 0, 5, 6)) },
    ],
    ['whose upper halves of CS and SS are not zero', { cs: 0x1234_0000 | SEL.KCODE, ss: 0x4321_0000 | SEL.KDATA }],
    ['whose descriptors have changed', { then: setCode(descriptor(0x9b, LONG, 0x11_2233, 0x4455)) }],
    ['in the shadow of STI', { then: ({ state }) => (state.shadow = SHADOW.STI) }],
    ['that sets TF', { flags: RFLAGS.TF }],
    ['that sets RF', { flags: RFLAGS.RF }],
    ['that opens the interrupt window', { flags: RFLAGS.IF, then: ({ cpu }) => (cpu.controls.interruptWindow = true) }],
    ['after which the units end', { units: 1 }],
  ])('%s needs no microcode', (_, test) => {
    expect(same(test).calls).toBe(0);
  });
  it('takes a unit', () => {
    expect(same({ units: 1 }).seen.used).toBe(1);
  });
  it('to where no code was yet', () => {
    expect(same({ rip: 0xb000n, prepare: (system) => system.writeBytes(0xb000, NOPS) }).calls).toBe(0);
  });
});

const setFlags =
  (flags: number) =>
  ({ state }: TestSystem): void =>
    writeRflags(state, flags | RFLAGS.FIXED);
const page =
  (entry: bigint, address = FRAME) =>
  (system: TestSystem): void => {
    system.write(pageEntry(address), entry);
    system.cpu.flushTlb();
  };
const breakpoint =
  (address: number, dr7: bigint) =>
  ({ cpu, state }: TestSystem): void => {
    state.views.u64[state.at('dr', 0) >> 3] = BigInt(address);
    state.views.u64[state.at('dr', 7) >> 3] = dr7 | DR7.FIXED;
    cpu.registersReplaced();
  };
const between = (cs: number): Case => ({ cs, then: (system) => system.write(AT.GDT + cs, descriptor(0x99, LONG)) });
const ON_ACCESS = 0xf_0001n; // eight bytes, of DR0
const ON_EXECUTION = 1n;

const RARE: readonly [string, Case][] = [
  ['from ring 3', { ring: 3, cs: SEL.UCODE | 3, ss: SEL.UDATA | 3 }],
  ['from ring 3 to ring 0', { ring: 3 }],
  ['to ring 3', { cs: SEL.UCODE | 3, ss: SEL.UDATA | 3 }],
  ['to ring 1', { cs: SEL.CODE1 | 1, ss: SEL.DATA1 | 1 }],
  ['to 32-bit code', { cs: SEL.CODE32 }],
  ['to a null CS', { cs: 0 }],
  ['to CS beyond the GDT', { cs: SEL.BEYOND }],
  ['to CS that the limit of the GDT cuts', { then: ({ state }) => (state.gdtrLimit = SEL.KCODE + 6) }],
  ['to CS in the LDT', { cs: SEL.LOCAL_CODE }],
  ['to CS that is data', { cs: SEL.KDATA }],
  ['to CS that became a TSS', { then: setCode(descriptor(0x8b, LONG)) }],
  ['to SS that became an LDT', { then: setStack(descriptor(0x83, FLAT32)) }],
  ['to CS in the LDT, where the GDT looks like code between two entries', between(SEL.EXECUTE_ONLY | 4)],
  ['to CS of ring 2, where the GDT looks like code between two entries', between(SEL.EXECUTE_ONLY | 2)],
  ['to CS that is a gate', { cs: SEL.GATE }],
  ['to absent CS', { cs: SEL.ABSENT_CODE }],
  ['to CS with L and D', { cs: SEL.LONG_AND_32 }],
  ['to CS whose DPL has changed', { then: setCode(descriptor(0xbb, LONG)) }],
  ['to CS that was taken away', { then: setCode(descriptor(0x1b, LONG)) }],
  ['to CS that became 32-bit code', { then: setCode(descriptor(0x9b, FLAT32)) }],
  ['to CS whose accessed bit was cleared', { then: setCode(descriptor(0x9a, LONG)) }],
  ['to a null SS of another RPL', { ss: 3 }],
  ['to SS of another RPL', { ss: SEL.KDATA | 3 }],
  ['to SS beyond the GDT', { ss: SEL.BEYOND }],
  ['to SS that the limit of the GDT cuts', { then: ({ state }) => (state.gdtrLimit = SEL.KDATA + 6) }],
  ['to SS in the LDT', { ss: SEL.LOCAL_DATA }],
  ['to SS that is read-only', { ss: SEL.READ_ONLY }],
  ['to SS that is code', { ss: SEL.KCODE }],
  ['to absent SS', { ss: SEL.ABSENT_DATA }],
  ['to SS whose DPL has changed', { then: setStack(descriptor(0xf3, FLAT32)) }],
  ['to SS whose accessed bit was cleared', { then: setStack(descriptor(0x92, FLAT32)) }],
  ['with NT', { then: setFlags(RFLAGS.NT) }],
  ['that clears AC', { then: setFlags(RFLAGS.AC) }],
  ['that sets AC', { flags: RFLAGS.AC, prepare: ({ state }) => (state.cr4 |= CR4.SMAP) }],
  ['while NMIs are blocked', { then: ({ state }) => (state.nmiBlocked = 1) }],
  ['while NMIs are blocked, that faults', { cs: SEL.KDATA, then: ({ state }) => (state.nmiBlocked = 1) }],
  ['from a frame across two pages', { frame: AT.STACK - 0x1000 - 16 }],
  ['from a frame on a page that is not present', { then: page(0n) }],
  ['from a frame on a page that is not mapped yet', { then: ({ cpu }) => cpu.flushTlb() }],
  ['from a frame in device memory', { then: (system) => system.unmap(AT.STACK - 0x1000) }],
  ['from a frame that is not canonical', { then: ({ state }) => state.setGpr(GPR.RSP, 0x8000_0000_0000n) }],
  ['from a frame that is watched', { then: breakpoint(FRAME + 8, ON_ACCESS) }],
  ['with a GDT that is watched', { then: breakpoint(AT.GDT + SEL.KDATA, ON_ACCESS) }],
  ['with a GDT that is not present', { then: page(0n, AT.GDT) }],
  [
    'with a GDT whose entry crosses a page',
    {
      then: (system) => {
        const base = 0x1_5000 - SEL.KCODE - 4;
        system.write(base + SEL.KCODE, descriptor(0x9b, LONG), descriptor(0x93, FLAT32));
        system.state.gdtrBase = BigInt(base);
      },
    },
  ],
];
/** Rare, and yet without microcode. */
const LOCAL: readonly [string, Case][] = [
  ['to RIP that is not canonical', { rip: 0x8000_0000_0000n }],
  ['to RIP that is not canonical, through a gate that stacks', { rip: 1n << 63n, frame: AT.STACK - 48 }],
  ['to a page that is not present', { rip: 0x1_9000n, prepare: page(0n, 0x1_9000) }],
  ['to a breakpoint', { then: breakpoint(TARGET, ON_EXECUTION) }],
  ['to a breakpoint with RF', { flags: RFLAGS.RF, then: breakpoint(TARGET, ON_EXECUTION) }],
  ['while TF is set', { then: setFlags(RFLAGS.TF) }],
  ['while RF is set', { then: setFlags(RFLAGS.RF) }],
  ['from a page that may be read only', { then: page(BigInt(FRAME & ~0xfff) | 5n) }],
  ['to code in the page of the frame', { rip: BigInt(FRAME + 64), prepare: (s) => s.writeBytes(FRAME + 64, NOPS) }],
  ['with a window that is open already', { then: ({ cpu }) => (cpu.controls.interruptWindow = true) }],
  ['to CS and SS that were never accessed', { cs: SEL.CONFORMING, prepare: setStack(descriptor(0x92, FLAT32)) }],
];

describe('a return that is not common', () => {
  it.each(RARE)('%s is left to microcode', (_, test) => {
    expect(same(test).calls).toBeGreaterThan(0);
  });
  it.each(LOCAL)('%s does what microcode does', (_, test) => {
    same(test);
  });
  it('ends alike when several things are unusual at once, however many units there are', () => {
    const random = new Random(11);
    const all = [...RARE, ...LOCAL];
    const endings = new Set<number>();
    for (let round = 0; round < 500; round++) {
      const picked = Array.from({ length: 1 + random.below(3) }, () => random.pick(all)[1]);
      const flags = picked.reduce((sum, { flags = 0 }) => sum | flags, random.u32() & 0x3c_0ed5 & ~RFLAGS.AC);
      const test: Case = {
        ...Object.assign({}, ...picked),
        flags,
        units: 1 + random.below(4),
        prepare: (system) => picked.forEach(({ prepare }) => prepare?.(system)),
        then: (system) => picked.forEach(({ then }) => then?.(system)),
      };
      endings.add(same(test).seen.reason);
    }
    expect(endings.size).toBeGreaterThan(3);
  });
});
