// APIC virtualisation in the processor: programs run on a virtual-APIC page, and what they do to it, what is delivered and
// what exits is looked at (SDM vol. 3, chapter 29).

import { beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { isValid, vectorOf } from '../../src/cpu/events/interruption.ts';
import { writeRflags } from '../../src/cpu/rflags.ts';
import { processPostedInterrupts, VirtualApic } from '../../src/cpu/virtualApic.ts';
import { exitName } from '../../src/cpu/vmexit.ts';
import { X2APIC_FIRST, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { ACTIVITY, GPR, RFLAGS, SHADOW } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { TestSystem } from './system.ts';
import { AT, handledVector } from './systemImage.ts';

const system = new TestSystem('wasm');
const { cpu, state } = system;
let apic: VirtualApic;

const NOP = 0x90;
const WRMSR = [0x0f, 0x30];
const RDMSR = [0x0f, 0x32];
const STI = 0xfb;

const words = (name: keyof typeof X2APIC_MSR): number => (X2APIC_MSR[name] - X2APIC_FIRST) << 2;
const bit = (file: 'ISR0' | 'IRR0', vector: number): boolean =>
  ((apic.page[words(file) + (vector >> 5) * 4]! >>> (vector & 31)) & 1) === 1;
function raise(file: 'ISR0' | 'IRR0', ...vectors: number[]): void {
  for (const vector of vectors) apic.page[words(file) + (vector >> 5) * 4]! |= 1 << (vector & 31);
}
/** The vectors of a file, the highest first. */
const vectors = (file: 'ISR0' | 'IRR0'): number[] =>
  Array.from({ length: 256 }, (_, i) => 255 - i).filter((vector) => bit(file, vector));

/** VIRR and RVI as the hypervisor leaves them. */
function request(...requested: number[]): void {
  raise('IRR0', ...requested);
  state.rvi = Math.max(state.rvi, ...requested);
}

beforeEach(() => {
  system.reset();
  cpu.controls = new Controls();
  apic = cpu.controls.virtualApic = new VirtualApic(new Uint32Array(0x400 / 4));
  apic.virtualizeX2apicMode = apic.apicRegisterVirtualization = apic.virtualInterruptDelivery = true;
  cpu.controls.cr8LoadExiting = cpu.controls.cr8StoreExiting = false;
  cpu.controls.exceptionBitmap = 1 << VECTOR.GP;
  for (const index of Object.values(X2APIC_MSR)) cpu.controls.allowMsr(index, 'both');
  state.rvi = state.svi = 0;
  writeRflags(state, RFLAGS.FIXED | RFLAGS.IF);
});

/** Runs bytes at CODE, with NOPs behind, for a number of units; the name of the reason it ended with. */
function run(bytes: readonly number[], budget = 1): string {
  system.writeBytes(AT.CODE, [...bytes, ...Array.from({ length: 32 }, () => NOP)]);
  cpu.setRip(BigInt(AT.CODE));
  return exitName(cpu.enter(budget, Infinity));
}
function wrmsr(index: number, value: number, high = 0, units = 1): string {
  state.setGpr(GPR.RCX, BigInt(index));
  state.setGpr(GPR.RAX, BigInt(value));
  state.setGpr(GPR.RDX, BigInt(high));
  return run(WRMSR, units);
}
const rip = (): number => Number(state.rip) - AT.CODE;

describe('delivery of virtual interrupts', () => {
  it('takes a requested vector at the entry: into service, out of the requests, PPR follows; one unit, no exit', () => {
    request(0x51);
    expect(run([NOP])).toBe('BUDGET');
    expect(handledVector(state.rip)).toBe(0x51);
    expect([vectors('IRR0'), vectors('ISR0')]).toEqual([[], [0x51]]);
    expect([state.rvi, state.svi, apic.page[words('PPR')]]).toEqual([0, 0x51, 0x50]);
    expect([cpu.used, state.rflags & RFLAGS.IF]).toEqual([1, 0]);
  });

  it('takes the highest, and the others wait their turn', () => {
    request(0x31, 0x51, 0x41);
    run([NOP]);
    expect([handledVector(state.rip), state.rvi, vectors('IRR0')]).toEqual([0x51, 0x41, [0x41, 0x31]]);
  });

  it.each([
    ['of the class in service', 0x5f, 0x51, 0, -1],
    ['of the next class', 0x60, 0x5f, 0, 0x60],
    ['of the class of TPR', 0x3f, 0, 0x30, -1],
    ['of the class above TPR', 0x40, 0, 0x3f, 0x40],
  ])('a vector %s', (_, requested, inService, tpr, delivered) => {
    request(requested);
    raise('ISR0', inService);
    state.svi = inService;
    apic.page[words('TPR')] = tpr;
    run([NOP]);
    expect(handledVector(state.rip)).toBe(delivered);
  });

  it('waits for IF, and for the end of the STI shadow', () => {
    writeRflags(state, RFLAGS.FIXED);
    request(0x51);
    expect(run([NOP, STI, NOP, NOP], 3)).toBe('BUDGET');
    expect([handledVector(state.rip), rip()]).toEqual([-1, 3]);
    cpu.enter(1, Infinity);
    expect(handledVector(state.rip)).toBe(0x51);
    expect(system.read(system.gpr(GPR.RSP))).toBe(BigInt(AT.CODE + 3));
  });

  it('waits behind a MOV SS shadow and behind a window that the hypervisor has opened', () => {
    request(0x51);
    state.shadow = SHADOW.MOV_SS;
    run([NOP]);
    expect(handledVector(state.rip)).toBe(-1);
    cpu.controls.interruptWindow = true;
    expect(exitName(cpu.enter(5, Infinity))).toBe('INTERRUPT_WINDOW');
    expect(bit('IRR0', 0x51)).toBe(true);
  });

  it('comes behind an event that the hypervisor injects', () => {
    request(0x51);
    cpu.inject({ type: 'nmi', vector: VECTOR.NMI, errorCode: null });
    run([NOP]);
    expect([handledVector(state.rip), bit('IRR0', 0x51)]).toEqual([VECTOR.NMI, true]);
  });

  it('ends HLT of a guest whose HLT does not exit', () => {
    cpu.controls.hltExiting = false;
    expect(run([0xf4], 5)).toBe('HLT');
    expect([state.activity, cpu.used]).toEqual([ACTIVITY.HALTED, 1]);
    request(0x51);
    cpu.enter(1, Infinity);
    expect([handledVector(state.rip), state.activity]).toEqual([0x51, ACTIVITY.ACTIVE]);
    expect(system.read(system.gpr(GPR.RSP))).toBe(BigInt(AT.CODE + 1));
  });

  it('ends HLT through a window, too, for an interrupt that is injected', () => {
    cpu.controls.hltExiting = false;
    cpu.controls.interruptWindow = true;
    writeRflags(state, RFLAGS.FIXED);
    expect(run([STI, 0xf4], 5)).toBe('INTERRUPT_WINDOW');
    expect([state.activity, rip(), cpu.used]).toEqual([ACTIVITY.HALTED, 2, 2]);
    cpu.controls.interruptWindow = false;
    expect(exitName(cpu.enter(5, Infinity))).toBe('HLT');
    cpu.inject({ type: 'external', vector: 0x51, errorCode: null });
    cpu.enter(1, Infinity);
    expect([handledVector(state.rip), state.activity]).toEqual([0x51, ACTIVITY.ACTIVE]);
  });

  it('does not end HLT with interrupts off', () => {
    cpu.controls.hltExiting = false;
    writeRflags(state, RFLAGS.FIXED);
    run([0xf4], 5);
    request(0x51);
    expect(exitName(cpu.enter(5, Infinity))).toBe('HLT');
    expect(cpu.used).toBe(0);
  });

  it('that exits on its stack names the vector, which is in service already', () => {
    request(0x51);
    system.unmap(AT.STACK - 4096);
    expect(run([NOP])).toBe('EPT_VIOLATION');
    system.map(AT.STACK - 4096);
    expect([isValid(state.vectoringEvent), vectorOf(state.vectoringEvent)]).toEqual([true, 0x51]);
    expect([vectors('IRR0'), vectors('ISR0')]).toEqual([[], [0x51]]);
  });

  it('does not happen without its control', () => {
    apic.virtualInterruptDelivery = false;
    request(0x51);
    run([NOP]);
    expect([handledVector(state.rip), bit('IRR0', 0x51)]).toEqual([-1, true]);
  });
});

describe('end of interrupt', () => {
  it('ends the highest in service and brings what waits below it, without an exit', () => {
    raise('ISR0', 0x61, 0x31);
    state.svi = 0x61;
    request(0x55);
    expect(wrmsr(X2APIC_MSR.EOI, 0)).toBe('BUDGET');
    expect([vectors('ISR0'), state.svi, apic.page[words('PPR')]]).toEqual([[0x31], 0x31, 0x30]);
    cpu.enter(1, Infinity);
    expect([handledVector(state.rip), vectors('ISR0')]).toEqual([0x55, [0x55, 0x31]]);
    expect(system.read(system.gpr(GPR.RSP))).toBe(BigInt(AT.CODE + WRMSR.length));
  });

  it('brings nothing of the class that is still in service', () => {
    raise('ISR0', 0x61, 0x52);
    state.svi = 0x61;
    request(0x5f);
    wrmsr(X2APIC_MSR.EOI, 0, 0, 3);
    expect([handledVector(state.rip), vectors('ISR0')]).toEqual([-1, [0x52]]);
  });

  it('exits behind the instruction for a vector of the EOI-exit bitmap, and brings the next after that', () => {
    apic.eoiExitBitmap[0x61 >> 5]! |= 1 << (0x61 & 31);
    raise('ISR0', 0x61);
    state.svi = 0x61;
    request(0x55);
    expect(wrmsr(X2APIC_MSR.EOI, 0, 0, 5)).toBe('EOI_INDUCED');
    expect(cpu.exit()).toMatchObject({ reason: 'EOI_INDUCED', vector: 0x61 });
    expect([rip(), cpu.used, vectors('ISR0')]).toEqual([WRMSR.length, 1, []]);
    cpu.enter(1, Infinity);
    expect(handledVector(state.rip)).toBe(0x55);
  });

  it('that exits in the shadow of STI ends the shadow', () => {
    writeRflags(state, RFLAGS.FIXED);
    apic.eoiExitBitmap.fill(0xffffffff);
    state.setGpr(GPR.RCX, BigInt(X2APIC_MSR.EOI));
    expect(run([STI, ...WRMSR], 5)).toBe('EOI_INDUCED');
    expect([state.shadow, rip(), cpu.used]).toEqual([0, 3, 2]);
  });

  it('with another value than 0 is #GP and ends nothing', () => {
    raise('ISR0', 0x61);
    state.svi = 0x61;
    expect(wrmsr(X2APIC_MSR.EOI, 1)).toBe('EXCEPTION_NMI');
    expect(vectors('ISR0')).toEqual([0x61]);
  });
});

describe('task priority', () => {
  it('is read and written in the page, by its MSR and by CR8', () => {
    expect(wrmsr(X2APIC_MSR.TPR, 0x47)).toBe('BUDGET');
    expect(apic.page[words('TPR')]).toBe(0x47);
    run([0x44, 0x0f, 0x20, 0xc3]); // mov %cr8, %rbx
    expect(state.gpr(GPR.RBX)).toBe(4n);
    state.setGpr(GPR.RBX, 9n);
    run([0x44, 0x0f, 0x22, 0xc3]); // mov %rbx, %cr8
    expect([apic.page[words('TPR')], apic.page[words('PPR')]]).toEqual([0x90, 0x90]);
    expect(run(RDMSR)).toBe('BUDGET');
    expect(state.gpr(GPR.RAX)).toBe(0x90n);
  });

  it('that falls below a request brings it', () => {
    apic.page[words('TPR')] = 0x60;
    request(0x55);
    expect(wrmsr(X2APIC_MSR.TPR, 0x50, 0, 2)).toBe('BUDGET');
    expect(handledVector(state.rip)).toBe(-1);
    wrmsr(X2APIC_MSR.TPR, 0x40, 0, 2);
    expect(handledVector(state.rip)).toBe(0x55);
  });

  it.each([0x100, 0x1_0000])('%i is #GP', (value) => {
    expect(wrmsr(X2APIC_MSR.TPR, value)).toBe('EXCEPTION_NMI');
  });

  it('below the threshold exits behind the instruction, without virtual-interrupt delivery only', () => {
    apic.virtualInterruptDelivery = false;
    apic.tprThreshold = 4;
    expect(wrmsr(X2APIC_MSR.TPR, 0x40, 0, 5)).toBe('BUDGET');
    expect(wrmsr(X2APIC_MSR.TPR, 0x3f, 0, 5)).toBe('TPR_BELOW_THRESHOLD');
    expect([rip(), cpu.used]).toEqual([WRMSR.length, 1]);
    state.setGpr(GPR.RBX, 3n);
    expect(run([0x44, 0x0f, 0x22, 0xc3], 5)).toBe('TPR_BELOW_THRESHOLD');
    apic.virtualInterruptDelivery = true;
    expect(wrmsr(X2APIC_MSR.TPR, 0, 0, 5)).toBe('BUDGET');
  });
});

describe('self-IPI', () => {
  it('is requested and delivered without an exit', () => {
    expect(wrmsr(X2APIC_MSR.SELF_IPI, 0x99, 0, 2)).toBe('BUDGET');
    expect([handledVector(state.rip), vectors('ISR0')]).toEqual([0x99, [0x99]]);
  });

  it('of a vector below 16 exits as an APIC write, behind the instruction', () => {
    expect(wrmsr(X2APIC_MSR.SELF_IPI, 0x0f, 0, 5)).toBe('APIC_WRITE');
    expect(cpu.exit()).toMatchObject({ reason: 'APIC_WRITE', offset: 0x3f0 });
    expect([rip(), vectors('IRR0')]).toEqual([WRMSR.length, []]);
  });

  it('with bits above the vector is #GP', () => {
    expect(wrmsr(X2APIC_MSR.SELF_IPI, 0x199)).toBe('EXCEPTION_NMI');
  });
});

describe('the MSRs', () => {
  it('read from the page, 64 bits of the ICR and 0 where the page ends', () => {
    apic.page[words('ICR')] = 0x40ec;
    apic.page[words('ICR') + 1] = 7;
    state.setGpr(GPR.RCX, BigInt(X2APIC_MSR.ICR));
    expect(run(RDMSR)).toBe('BUDGET');
    expect([state.gpr(GPR.RDX), state.gpr(GPR.RAX)]).toEqual([7n, 0x40ecn]);
    cpu.controls.allowMsr(0x8ff, 'read');
    state.setGpr(GPR.RCX, 0x8ffn);
    expect(run(RDMSR)).toBe('BUDGET');
    expect(state.gpr(GPR.RAX)).toBe(0n);
  });

  it('exit where the bitmap says so, whatever the page holds', () => {
    cpu.controls.trapMsr(X2APIC_MSR.EOI, 'write');
    raise('ISR0', 0x61);
    expect(wrmsr(X2APIC_MSR.EOI, 0)).toBe('MSR_WRITE');
    expect(vectors('ISR0')).toEqual([0x61]);
  });

  it('other than TPR are not virtualised without APIC-register virtualisation', () => {
    apic.apicRegisterVirtualization = false;
    state.setGpr(GPR.RCX, BigInt(X2APIC_MSR.ID));
    expect(run(RDMSR)).toBe('EXCEPTION_NMI');
    state.setGpr(GPR.RCX, BigInt(X2APIC_MSR.TPR));
    expect(run(RDMSR)).toBe('BUDGET');
  });

  it('of others are #GP, when they do not exit and are not virtualised', () => {
    expect(wrmsr(X2APIC_MSR.LVT_TIMER, 0)).toBe('EXCEPTION_NMI');
  });
});

describe('posted interrupts', () => {
  it('clear ON, merge into the requests and are delivered in the order of their priority', () => {
    const pir = new Uint32Array(8);
    let cleared = 0;
    const descriptor = {
      clearOn: () => void cleared++,
      takePir(word: number): number {
        const taken = pir[word]!;
        pir[word] = 0;
        return taken;
      },
    };
    pir[0x41 >> 5]! |= 1 << (0x41 & 31);
    pir[0xf2 >> 5]! |= 1 << (0xf2 & 31);
    request(0x61);
    processPostedInterrupts(state, apic, descriptor);
    expect([cleared, pir.every((word) => word === 0), state.rvi]).toEqual([1, true, 0xf2]);
    expect(vectors('IRR0')).toEqual([0xf2, 0x61, 0x41]);
    run([NOP]);
    expect([handledVector(state.rip), state.rvi]).toEqual([0xf2, 0x61]);
  });

  it('below what is requested leave RVI as it is', () => {
    request(0x61);
    processPostedInterrupts(state, apic, { clearOn: () => {}, takePir: (word) => (word === 1 ? 2 : 0) });
    expect([state.rvi, vectors('IRR0')]).toEqual([0x61, [0x61, 0x21]]);
  });
});

it('both engines run a guest on its APIC to the same state', () => {
  const slow = new TestSystem('bigint');
  slow.cpu.controls = cpu.controls;
  slow.state.setGpr(GPR.RCX, BigInt(X2APIC_MSR.SELF_IPI));
  slow.state.setGpr(GPR.RAX, 0x0fn);
  slow.writeBytes(AT.CODE, WRMSR);
  expect([slow.cpu.enter(5, Infinity), slow.cpu.used, slow.state.rip]).toEqual([
    EXIT.APIC_WRITE,
    1,
    BigInt(AT.CODE + WRMSR.length),
  ]);
});
