// Delivery in the common case is short, and must come to what the ordinary way comes to in each case that is not common: the same
// events are delivered with nothing at hand, so that each takes the ordinary way.

import { describe, expect, it, vi } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EVENT_TYPE, interruption } from '../../src/cpu/events/interruption.ts';
import { writeRflags } from '../../src/cpu/rflags.ts';
import { writeSegment } from '../../src/cpu/segments/segments.ts';
import { ACTIVITY, CR4, DR6, DR7, GPR, RFLAGS, SEGMENT, SHADOW } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { Random } from '../hardware/random.ts';
import { AT, INTERRUPT_GATE, SEL, TRAP_GATE, descriptor, gate, handler, pageEntry, segmentsAt } from './systemImage.ts';
import { TestSystem } from './system.ts';
import { visibleState } from './visibleState.ts';

const EVENT = 0x50;
const NOPS = new Array<number>(8).fill(0x90);
const INT = [0xcd, EVENT];
const UD2 = [0x0f, 0x0b];
const LONG = 0xa;
const STACK_PAGE = AT.STACK - 0x1000;

/** What is different from an interrupt of 64-bit code in ring 0. */
interface Case {
  /** The event to inject, as in VMX; 0: none, the code at RIP is what raises it. */
  event?: number;
  errorCode?: number;
  length?: number;
  code?: readonly number[];
  prepare?: (system: TestSystem) => void;
  /** After the views were filled by an event of the most common kind. */
  then?: (system: TestSystem) => void;
  units?: number;
}

/** Delivers, and tells how often something was at hand, and all that can be seen afterwards. */
function run(system: TestSystem, test: Case, nothingAtHand: boolean) {
  const { cpu, state } = system;
  system.reset();
  cpu.controls = new Controls();
  cpu.controls.hypervisor = false;
  state.cr8 = state.tsc = 0n;
  state.vectoringErrorCode = state.exitLength = state.exitReason = state.exitInfo = 0;
  state.exitQualification = state.exitGpa = state.exitGva = state.exitValue = 0n;
  for (let vector = 0; vector < 256; vector++) system.writeBytes(handler(vector), NOPS);
  test.prepare?.(system);
  const inject = (): void => {
    state.entryEvent = test.event ?? interruption(EVENT_TYPE.EXTERNAL, EVENT);
    state.entryErrorCode = test.errorCode ?? 0;
    state.entryLength = test.length ?? 0;
  };
  // Views and jump cache are filled.
  for (let round = 0; round < 3; round++) {
    state.entryEvent = interruption(EVENT_TYPE.EXTERNAL, EVENT);
    state.setGpr(GPR.RSP, BigInt(AT.STACK));
    cpu.enter(3, Infinity);
  }
  system.writeBytes(AT.CODE, test.code ?? NOPS);
  system.writeBytes(STACK_PAGE, new Uint8Array(0x1000).fill(0xa5));
  for (let i = 0; i < 16; i++) state.setGpr(i, BigInt(i));
  state.setGpr(GPR.RSP, BigInt(AT.STACK));
  writeRflags(state, RFLAGS.FIXED | RFLAGS.IF);
  segmentsAt(0).forEach((segment, i) => writeSegment(state, i, segment));
  state.activity = state.shadow = state.nmiBlocked = 0;
  cpu.setRip(BigInt(AT.CODE));
  test.then?.(system);
  cpu.mmu.selectViews(); // AC
  const atHand = vi.spyOn(cpu.mmu, 'atHand');
  if (nothingAtHand) atHand.mockReturnValue(0);
  const read = vi.spyOn(cpu.mmu, 'readWords');
  inject();
  const reason = cpu.enter(test.units ?? 2, Infinity);
  const ordinary = read.mock.calls.length;
  atHand.mockRestore();
  read.mockRestore();
  return { ordinary, seen: { reason, used: cpu.used, ...visibleState(system) } };
}

const one = new TestSystem('wasm');
const other = new TestSystem('wasm');

function same(test: Case) {
  const { ordinary, seen } = run(one, test, false);
  expect(seen).toEqual(run(other, test, true).seen);
  return { ordinary, seen };
}

const setFlags =
  (flags: number) =>
  ({ state }: TestSystem): void =>
    writeRflags(state, flags | RFLAGS.FIXED);
const setRsp =
  (rsp: bigint | number) =>
  ({ state }: TestSystem): void =>
    state.setGpr(GPR.RSP, BigInt(rsp));
const setGate =
  (access: number, selector: number = SEL.KCODE, offset = BigInt(handler(EVENT)), ist = 0) =>
  (system: TestSystem): void =>
    system.write(AT.IDT + 16 * EVENT, ...gate(access, selector, offset, ist));
const setEntry =
  (selector: number, value: bigint) =>
  (system: TestSystem): void =>
    system.write(AT.GDT + selector, value);
const page =
  (entry: bigint, address: number) =>
  (system: TestSystem): void => {
    system.write(pageEntry(address), entry);
    system.cpu.flushTlb();
  };
/** Fills the views with what an access needs, if it may be made. */
const touch =
  (address: number, intent: 'read' | 'write', kind: 'stack' | 'system' = 'stack') =>
  (system: TestSystem): void => {
    const { mmu } = system.cpu;
    system.attempt(() => {
      const value = mmu.read(BigInt(address), 8, kind);
      if (intent === 'write') mmu.write(BigInt(address), 8, value, kind);
    });
  };
const all =
  (...steps: ((system: TestSystem) => void)[]) =>
  (system: TestSystem): void =>
    steps.forEach((step) => step(system));
const inRing3 = (system: TestSystem): void => {
  segmentsAt(3).forEach((segment, i) => writeSegment(system.state, i, segment));
  system.state.cpl = 3;
  system.cpu.mmu.selectViews();
};
const smap = ({ cpu, state }: TestSystem): void => {
  state.cr4 |= CR4.SMAP;
  cpu.registersReplaced();
};
const AT_HAND = all(touch(AT.IDT, 'read', 'system'), touch(AT.GDT, 'read', 'system'));
/** Maps the page below 4 GiB to the one at 0x19000. */
const mapBelow4G = (system: TestSystem): void => {
  system.write(AT.TABLES + 0x1000 + 3 * 8, AT.TABLES + 0x2000 + 7);
  system.write(AT.TABLES + 0x2000 + 511 * 8, AT.PAGE_TABLE + 7);
  system.write(AT.PAGE_TABLE + 511 * 8, 0x1_9007);
};
const idtAt =
  (base: number, words = gate(INTERRUPT_GATE, SEL.KCODE, BigInt(handler(EVENT)))) =>
  (system: TestSystem): void => {
    system.write(base + 16 * EVENT, ...words);
    system.state.idtrBase = BigInt.asUintN(64, BigInt(base));
  };
const watch =
  (address: number, on: bigint) =>
  ({ cpu, state }: TestSystem): void => {
    state.views.u64[state.at('dr', 0) >> 3] = BigInt(address);
    state.views.u64[state.at('dr', 7) >> 3] = DR7.FIXED | on;
    cpu.registersReplaced();
  };
const WRITES = 0x9_0001n; // eight bytes, of DR0
const ACCESSES = 0xb_0001n;
const { NMI, EXCEPTION, SOFT_INTERRUPT, SOFT_EXCEPTION } = EVENT_TYPE;

const COMMON: readonly [string, Case][] = [
  ['an interrupt', {}],
  ['an interrupt of code with all flags', { then: setFlags(0x003f_7fd5 & ~RFLAGS.TF) }],
  ['an interrupt of code with AC', { then: setFlags(RFLAGS.AC) }],
  ['an interrupt on a stack that is not aligned', { then: setRsp(AT.STACK - 0x123) }],
  ['an interrupt whose frame ends with the page', { then: setRsp(AT.STACK + 15) }],
  ['an interrupt whose frame begins with the page', { then: setRsp(STACK_PAGE + 48) }],
  ['an interrupt through a trap gate', { then: setGate(TRAP_GATE) }],
  ['an interrupt through a gate of ring 3', { then: setGate(INTERRUPT_GATE | 0x60) }],
  ['an interrupt through a gate to a selector of ring 3', { then: setGate(INTERRUPT_GATE, SEL.KCODE | 3) }],
  ['an interrupt of code with a null SS', { then: ({ state }) => writeSegment(state, SEGMENT.SS, { selector: 0, base: 0n, limit: 0, attributes: 0x100 }) }],
  ['an interrupt to code with base and limit', { then: setEntry(SEL.KCODE, descriptor(0x9f, LONG, 0x8765_4321, 0x1_2345)) }],
  ['an interrupt to code that has a limit in bytes', { then: setEntry(SEL.KCODE, descriptor(0x9b, 0x3, 0x1234, 0xf_edcb)) }],
  ['an interrupt of a CPU that is halted', { then: ({ state }) => (state.activity = ACTIVITY.HALTED) }],
  ['an interrupt in a shadow', { then: ({ state }) => (state.shadow = SHADOW.STI) }],
  ['an NMI', { event: interruption(NMI, VECTOR.NMI) }],
  ['an exception with an error code', { event: interruption(EXCEPTION, VECTOR.GP, true), errorCode: 0x8765_4321 }],
  ['an exception without one', { event: interruption(EXCEPTION, VECTOR.UD) }],
  ['a double fault', { event: interruption(EXCEPTION, VECTOR.DF, true) }],
  ['a software interrupt', { event: interruption(SOFT_INTERRUPT, EVENT), length: 2 }],
  ['INT3', { event: interruption(SOFT_EXCEPTION, VECTOR.BP), length: 1 }],
  ['a software interrupt across 4 GiB', { event: interruption(SOFT_INTERRUPT, EVENT), length: 2, then: ({ cpu }) => cpu.setRip(0x7_ffff_ffffn) }],
  ['an instruction that raises', { event: 0, code: UD2 }],
  ['INT n', { event: 0, code: INT }],
  ['a debug trap', { event: 0, then: ({ state }) => (state.pendingDb = Number(DR6.B1)) }],
  ['a single step', { event: 0, units: 3, then: setFlags(RFLAGS.TF) }],
  ['an interrupt on a user page under SMAP with AC', { then: all(setFlags(RFLAGS.AC), smap, page(BigInt(AT.IDT) | 3n, AT.IDT), page(BigInt(AT.GDT) | 3n, AT.GDT), AT_HAND, touch(AT.STACK - 8, 'write')) }],
  ['an event after which the units end', { units: 1 }],
]; // prettier-ignore

const RARE: readonly [string, Case][] = [
  ['of ring 3', { then: all(inRing3, touch(AT.STACK - 8, 'write')) }],
  ['of 32-bit code', { then: ({ state }) => writeSegment(state, SEGMENT.CS, { selector: SEL.CODE32, base: 0n, limit: 0xffff_ffff, attributes: 0xc09b }) }],
  ['on an IST stack', { then: setGate(INTERRUPT_GATE, SEL.KCODE, BigInt(handler(EVENT)), 1) }],
  ['through an absent gate', { then: setGate(INTERRUPT_GATE & 0x7f) }],
  ['through a call gate', { then: setGate(0x8c) }],
  ['through a task gate', { then: setGate(0x85) }],
  ['through a 16-bit gate', { then: setGate(0x86) }],
  ['through a gate that is code', { then: setGate(0x9e) }],
  ['beyond the IDT', { then: ({ state }) => (state.idtrLimit = 16 * EVENT + 14) }],
  ['to a null selector', { then: setGate(INTERRUPT_GATE, 3) }],
  ['to a null selector, where its entry looks like code', { then: all(setGate(INTERRUPT_GATE, 0), setEntry(0, descriptor(0x9b, LONG))) }],
  ['to code in the LDT', { then: setGate(INTERRUPT_GATE, SEL.LOCAL_CODE) }],
  ['to code beyond the GDT', { then: setGate(INTERRUPT_GATE, SEL.BEYOND) }],
  ['to code that the limit of the GDT cuts', { then: ({ state }) => (state.gdtrLimit = SEL.KCODE + 6) }],
  ['to absent code', { then: setGate(INTERRUPT_GATE, SEL.ABSENT_CODE) }],
  ['to data', { then: setGate(INTERRUPT_GATE, SEL.KDATA) }],
  ['to 32-bit code', { then: setGate(INTERRUPT_GATE, SEL.CODE32) }],
  ['to code with L and D', { then: setGate(INTERRUPT_GATE, SEL.LONG_AND_32) }],
  ['to code of ring 3', { then: setGate(INTERRUPT_GATE, SEL.UCODE) }],
  ['to code that was never accessed', { then: setGate(INTERRUPT_GATE, SEL.CONFORMING) }],
  ['to a handler that is not canonical', { then: setGate(INTERRUPT_GATE, SEL.KCODE, 0x8000_0000_0000n) }],
  ['with a frame across two pages', { then: all(page(0x1_9007n, STACK_PAGE - 0x1000), touch(STACK_PAGE - 8, 'write'), touch(STACK_PAGE, 'write'), AT_HAND, setRsp(STACK_PAGE + 32)) }],
  ['with a frame whose error code is in another page', { event: interruption(EXCEPTION, VECTOR.GP, true), then: setRsp(STACK_PAGE + 47) }],
  ['with a frame across pages of which the lower is missing', { then: all(page(0n, STACK_PAGE - 0x1000), setRsp(STACK_PAGE + 32)) }],
  ['with a frame on a page that is not present', { then: page(0n, STACK_PAGE) }],
  ['with a frame on a page that is read-only', { then: all(page(BigInt(STACK_PAGE) | 5n, STACK_PAGE), AT_HAND, touch(AT.STACK - 8, 'read')) }],
  ['with a frame on a page that was not written yet', { then: all(page(BigInt(STACK_PAGE) | 7n, STACK_PAGE), AT_HAND, touch(AT.STACK - 8, 'read')) }],
  ['with a frame on a page that the second stage lacks', { then: (system) => system.unmap(STACK_PAGE) }],
  ['with a frame over code that was decoded', { then: setRsp(AT.CODE + 0x20) }],
  ['with a frame below 0', { then: all(mapBelow4G, touch(0xffff_fff8, 'write'), setRsp(0x8)) }],
  ['with a frame across 4 GiB', { then: setRsp(0x7_0000_0010n) }],
  ['with a frame that is not canonical', { then: setRsp(0x8000_0000_0010n) }],
  ['with a frame that is watched', { then: watch(AT.STACK - 8, WRITES) }],
  ['with a GDT that is watched', { then: watch(AT.GDT + SEL.KCODE, ACCESSES) }],
  ['with an IDT that is watched', { then: watch(AT.IDT + 16 * EVENT, ACCESSES) }],
  ['with an IDT that is not present', { then: page(0n, AT.IDT) }],
  ['with a GDT that is not present', { then: page(0n, AT.GDT) }],
  ['on a user page under SMAP', { then: smap }],
  ['with views that are empty', { then: ({ cpu }) => cpu.flushTlb() }],
  ['with an IDT whose entry crosses pages', { then: all(idtAt(0x1_5000 - 16 * EVENT - 8), touch(0x1_4ff8, 'read', 'system'), touch(0x1_5000, 'read', 'system')) }],
  ['with an IDT that is not aligned', { then: all(idtAt(0x1_5001), touch(0x1_5700, 'read', 'system')) }],
  ['with an IDT that is not aligned, where gates begin a byte before', { then: all(idtAt(0x1_5001, gate(INTERRUPT_GATE, 0, 0x0880n, INTERRUPT_GATE)), touch(0x1_5700, 'read', 'system')) }],
  ['with an IDT across 4 GiB', { then: all(idtAt(-16 * EVENT), touch(0, 'read', 'system'), ({ state }) => (state.idtrBase = 0x1_0000_0000n - BigInt(16 * EVENT))) }],
  ['with a frame whose address is at hand but for its upper half', { then: setRsp(0x7_0000_0000 + AT.STACK) }],
]; // prettier-ignore

describe('what is delivered without an ordinary access', () => {
  it.each(COMMON)('%s', (_, test) => {
    expect(same(test).ordinary).toBe(0);
    expect(run(other, test, true).ordinary).toBeGreaterThan(0);
  });
  it('counts a unit', () => {
    expect(same({ units: 1 }).seen.used).toBe(1);
  });
});

describe('an event', () => {
  it.each(RARE)('%s is delivered the ordinary way', (_, test) => {
    expect(same(test).ordinary).toBeGreaterThan(0);
  });
  it('is delivered alike when several things are unusual at once', () => {
    const random = new Random(12);
    const cases = [...COMMON, ...RARE];
    let short = 0;
    for (let round = 0; round < 400; round++) {
      const picked = Array.from(
        { length: 1 + random.below(3) },
        () => random.pick(random.oneIn(2) ? COMMON : cases)[1],
      );
      const { ordinary } = same({
        ...(Object.assign({}, ...picked) as Case),
        units: 1 + random.below(4),
        then: all(...picked.flatMap(({ then }) => then ?? [])),
      });
      if (ordinary === 0) short++;
    }
    expect(short).toBeGreaterThan(100);
  });
});
