import { describe, expect, it } from 'vitest';
import type { Vm } from '../../src/hypervisor/vm.ts';
import { APIC } from '../../src/hypervisor/lapic/registers.ts';
import { X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { hlt, sti } from './scriptedCpu.ts';
import { vmRig, type VmRig } from './vmRig.ts';

const HZ = 1_193_182;
const CONTROL = 0x43;
const SPEAKER = 0x61;
const out = (vm: Vm, port: number, value: number): void => void vm.ports.write(port, 1, value);
const inb = (vm: Vm, port: number): number => vm.ports.read(port, 1).value;
const word = (vm: Vm, port: number): number => inb(vm, port) | (inb(vm, port) << 8);

/** Programs a counter with both bytes. */
function program(vm: Vm, counter: number, mode: number, count: number): void {
  out(vm, CONTROL, (counter << 6) | 0x30 | (mode << 1));
  out(vm, 0x40 + counter, count & 0xff);
  out(vm, 0x40 + counter, count >> 8);
}
const cyclesOf = (counts: number, { tscKhz }: Vm): number => Math.ceil((counts * tscKhz * 1000) / HZ);
/** Lets so many counts go by on the CPU, and what becomes due on it happen. */
function pass(rig: VmRig, counts: number): void {
  const { host, vm } = rig;
  const end = host.thisCpu.now + cyclesOf(counts, vm);
  host.stopAt = end;
  while (host.step() === 'progress');
  host.thisCpu.now = Math.max(host.thisCpu.now, end);
}
/** When ticks were sent, in counts since `start`, rounded. */
const ticks = (rig: VmRig, start: number): number[] =>
  rig.events
    .filter(({ name, event }) => name === 'kvm_set_irq' && event.gsi === 0 && event.level === true)
    .map(({ time }) => Math.round(((time - start) * HZ) / (rig.vm.tscKhz * 1000)));
const still = (): VmRig => vmRig([[]]);
/** Whoever takes ticks and ends them at once: the PIC in automatic mode. */
function endsByItself(vm: Vm): void {
  out(vm, 0x20, 0x11);
  for (const value of [0x20, 4, 3]) out(vm, 0x21, value);
}

describe('a counter of the PIT', () => {
  it.each([
    ['0 (terminal count)', 0, 900, 1000 - 900, 1000 - 1100 + 0x10000, '0 1'],
    ['1 (one-shot)', 1, 900, 100, 0x10000 - 100, '1 0'],
    ['2 (rate)', 2, 900, 100, 900, '0 0'],
    ['3 (square wave)', 3, 900, 200, 800, '0 1'],
    ['4 (software strobe)', 4, 900, 100, 0x10000 - 100, '0 0'],
  ])('in mode %s counts, and shows its output', (_, mode, at, first, second, outputs) => {
    const rig = still();
    const { vm } = rig;
    out(vm, SPEAKER, 1);
    program(vm, 2, mode, 1000);
    pass(rig, at);
    const out1 = (inb(vm, SPEAKER) >> 5) & 1;
    out(vm, CONTROL, 0x80);
    const count1 = word(vm, 0x42);
    pass(rig, 200);
    const out2 = (inb(vm, SPEAKER) >> 5) & 1;
    out(vm, CONTROL, 0x80);
    const count2 = word(vm, 0x42);
    expect(Math.abs(count1 - first)).toBeLessThanOrEqual(2);
    expect(Math.abs(count2 - second)).toBeLessThanOrEqual(2);
    expect(`${out1} ${out2}`).toBe(outputs);
  });

  it('has its output up for exactly one count in mode 2', () => {
    const rig = still();
    program(rig.vm, 2, 2, 100);
    let high = 0;
    for (let i = 0; i < 1000; i++) {
      high += (inb(rig.vm, SPEAKER) >> 5) & 1;
      pass(rig, 0.5);
    }
    expect(high).toBeGreaterThanOrEqual(8);
    expect(high).toBeLessThanOrEqual(12);
  });

  it('keeps a latched count until it is read, whatever is latched meanwhile', () => {
    const rig = still();
    const { vm } = rig;
    program(vm, 2, 0, 5000);
    out(vm, CONTROL, 0x80);
    pass(rig, 100);
    out(vm, CONTROL, 0x80);
    expect(word(vm, 0x42)).toBe(5000);
    expect(word(vm, 0x42)).toBeLessThanOrEqual(4900);
  });

  it('is read and written by low byte, by high byte, or by both in turn', () => {
    const { vm } = still();
    out(vm, CONTROL, 0x90);
    out(vm, 0x42, 0x34);
    expect([inb(vm, 0x42), inb(vm, 0x42)]).toEqual([0x34, 0x34]);
    out(vm, CONTROL, 0xa0);
    out(vm, 0x42, 0x12);
    expect([inb(vm, 0x42), inb(vm, 0x42)]).toEqual([0x12, 0x12]);
    program(vm, 2, 0, 0xabcd);
    expect([inb(vm, 0x42), inb(vm, 0x42), inb(vm, 0x42)]).toEqual([0xcd, 0xab, 0xcd]);
  });

  it('answers the read-back command with status first, then the count', () => {
    const { vm } = still();
    program(vm, 2, 3, 0x1234);
    out(vm, CONTROL, 0xc8);
    expect(inb(vm, 0x42), 'OUT is high, both bytes, mode 3').toBe(0x80 | 0x30 | (3 << 1));
    expect(word(vm, 0x42)).toBe(0x1234);
    out(vm, CONTROL, 0xe8 | (1 << 1));
    expect(inb(vm, 0x42) & 0x3f, 'status alone').toBe(0x30 | (3 << 1));
    out(vm, CONTROL, 0xc0 | 0x10 | 0x08);
    expect(word(vm, 0x42), 'count alone').toBe(0x1234);
  });

  it('takes 0 for 65536, modes 6 and 7 for 2 and 3, and does not count in BCD', () => {
    const rig = still();
    const { vm } = rig;
    program(vm, 2, 0, 0);
    pass(rig, 1);
    expect(word(vm, 0x42)).toBeGreaterThan(0xfff0);
    out(vm, CONTROL, 0xb0 | (7 << 1) | 1);
    out(vm, CONTROL, 0xe8);
    expect(inb(vm, 0x42) & 0x3f).toBe(0x30 | (3 << 1) | 1);
    program(vm, 2, 0, 0x1000);
    pass(rig, 1);
    expect(word(vm, 0x42)).toBeLessThanOrEqual(0xfff);
    expect(word(vm, 0x42)).toBeGreaterThan(0xff0);
  });

  it('starts anew at a rising edge of its gate, in the modes that a gate triggers', () => {
    const rig = still();
    const { vm } = rig;
    for (const [mode, restarts] of [[0, false], [1, true], [2, true], [3, true], [4, false], [5, true]] as const) {
      out(vm, SPEAKER, 0);
      program(vm, 2, mode, 10_000);
      pass(rig, 1000);
      out(vm, SPEAKER, 1);
      out(vm, CONTROL, 0x80);
      expect(word(vm, 0x42) > 9990, `mode ${mode}`).toBe(restarts);
    } // prettier-ignore
  });

  it('cannot be read at the control port', () => {
    expect(inb(still().vm, CONTROL)).toBe(0);
  });
});

describe('port 0x61', () => {
  it('keeps gate and speaker data, and drops the rest', () => {
    const { vm } = still();
    out(vm, SPEAKER, 0xff);
    expect(inb(vm, SPEAKER) & 0xcf).toBe(3);
    out(vm, SPEAKER, 2);
    expect(inb(vm, SPEAKER) & 0xcf).toBe(2);
  });

  it('toggles the refresh bit every 2^14 ns', () => {
    const rig = still();
    const seen: number[] = [];
    const { host, vm } = rig;
    for (let i = 0; i < 6; i++) {
      host.thisCpu.now = ((i + 0.5) * 2 ** 14 * host.tscKhz) / 1e6;
      seen.push((inb(vm, SPEAKER) >> 4) & 1);
    }
    expect(seen).toEqual([0, 1, 0, 1, 0, 1]);
  });
});

describe('the ticks of counter 0', () => {
  it('do not come before it is programmed', () => {
    const rig = still();
    pass(rig, 200_000);
    expect(ticks(rig, 0)).toEqual([]);
  });

  it.each([0, 1, 4])('come once in mode %i', (mode) => {
    const rig = still();
    endsByItself(rig.vm);
    const start = rig.host.thisCpu.now;
    program(rig.vm, 0, mode, 10_000);
    pass(rig, 50_000);
    expect(ticks(rig, start)).toEqual([10_000]);
  });

  it.each([2, 3])('come again and again in mode %i, without drift', (mode) => {
    const rig = still();
    const { vm } = rig;
    const start = rig.host.thisCpu.now;
    program(vm, 0, mode, 10_000);
    // Somebody takes and ends each tick.
    endsByItself(vm);
    for (let i = 0; i < 500; i++) {
      pass(rig, 1000);
      if (vm.irqchip.pic.output) vm.irqchip.pic.readIrq();
    }
    const times = ticks(rig, start);
    expect(times).toHaveLength(50);
    for (const [i, time] of times.entries()) expect(Math.abs(time - (i + 1) * 10_000)).toBeLessThanOrEqual(1);
  });

  it('stop in mode 5, and start anew with a new count', () => {
    const rig = still();
    const { vm } = rig;
    endsByItself(vm);
    const start = rig.host.thisCpu.now;
    program(vm, 0, 2, 10_000);
    pass(rig, 5000);
    program(vm, 0, 0, 10_000);
    pass(rig, 30_000);
    expect(ticks(rig, start)).toEqual([15_000]);
    program(vm, 0, 5, 10_000);
    pass(rig, 30_000);
    expect(ticks(rig, start)).toHaveLength(1);
  });

  it('are 200 µs apart or more, but for the first', () => {
    const rig = still();
    const { vm } = rig;
    endsByItself(vm);
    const start = rig.host.thisCpu.now;
    program(vm, 0, 2, 12);
    for (let i = 0; i < 200; i++) {
      pass(rig, 10);
      if (vm.irqchip.pic.output) vm.irqchip.pic.readIrq();
    }
    const [first, second, third] = ticks(rig, start);
    expect(first).toBe(12);
    // 200 µs are 238.6 counts.
    expect([second! - first!, third! - second!]).toEqual([239, 238]);
  });

  it('wait for the end of the last one, and are then made up for, one at each end', () => {
    const rig = still();
    const { vm } = rig;
    out(vm, 0x20, 0x11);
    for (const value of [0x20, 4, 1]) out(vm, 0x21, value);
    program(vm, 0, 2, 10_000);
    pass(rig, 35_000);
    expect(ticks(rig, 0)).toHaveLength(1);
    let made = 0;
    for (; vm.irqchip.pic.output; made++) {
      expect(vm.irqchip.pic.readIrq()).toBe(0x20);
      out(vm, 0x20, 0x20);
    }
    expect(made).toBe(3);
  });

  it('are lost while the guest is late, once reinjection is turned off', () => {
    const rig = still();
    const { vm } = rig;
    vm.irqchip.pit.setReinject(false);
    out(vm, 0x20, 0x11);
    for (const value of [0x20, 4, 1]) out(vm, 0x21, value);
    program(vm, 0, 2, 10_000);
    pass(rig, 35_000);
    expect(ticks(rig, 0)).toHaveLength(3);
    vm.irqchip.pic.readIrq();
    out(vm, 0x20, 0x20);
    expect(vm.irqchip.pic.output).toBe(false);
  });

  it('that came while the line was masked are forgotten when it is unmasked', () => {
    const rig = still();
    const { vm } = rig;
    out(vm, 0x20, 0x11);
    for (const value of [0x20, 4, 1, 1]) out(vm, 0x21, value);
    program(vm, 0, 2, 10_000);
    pass(rig, 35_000);
    out(vm, 0x21, 0);
    expect(vm.irqchip.pit.save()).toMatchObject({ pending: 0, irqAck: true });
    pass(rig, 10_000);
    expect(ticks(rig, 0)).toHaveLength(2);
  });

  it('wake a halted vCPU through the PIC, each one', () => {
    const rig = vmRig([[sti, hlt, end(), sti, hlt, end(), sti, hlt, end(), { run: 10 }, hlt]]);
    function end() {
      return { then: () => out(rig.vm, 0x20, 0x20) };
    }
    const { vm } = rig;
    out(vm, 0x20, 0x11);
    for (const value of [0x20, 4, 1]) out(vm, 0x21, value);
    program(vm, 0, 2, 10_000);
    pass(rig, 35_000);
    expect(rig.guests[0]!.delivered.map(({ vector }) => vector)).toEqual([0x20, 0x20, 0x20]);
    expect(vm.vcpus[0]!.stat.haltWakeup).toBe(3);
  });

  it('are NMIs where LINT0 says so', () => {
    const rig = vmRig([[hlt], []]);
    const { vm } = rig;
    vm.lapics[0]!.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
    vm.lapics[0]!.writeMsr(X2APIC_MSR.LVT_LINT0, 0x400n);
    expect(vm.lapics[1]!.register(APIC.LVT0)).toBe(0x10000);
    program(vm, 0, 0, 10_000);
    pass(rig, 20_000);
    expect(rig.guests.map(({ delivered }) => delivered.map(({ type }) => type))).toEqual([['nmi'], []]);
  });
});

describe('a saved PIT', () => {
  it('ticks on when it would have ticked', () => {
    const rig = still();
    endsByItself(rig.vm);
    program(rig.vm, 0, 2, 10_000);
    program(rig.vm, 2, 3, 777);
    pass(rig, 15_000);
    rig.vm.irqchip.pic.readIrq();
    const state = JSON.parse(JSON.stringify(rig.vm.irqchip.pit.save())) as ReturnType<typeof rig.vm.irqchip.pit.save>;
    const other = still();
    endsByItself(other.vm);
    pass(other, 15_000);
    other.vm.irqchip.pit.restore(state);
    expect(other.vm.irqchip.pit.save()).toEqual(state);
    pass(other, 10_000);
    const due = Math.round((state.expires * HZ) / (other.vm.tscKhz * 1000));
    expect(ticks(other, 0)).toEqual([due]);
  });
});
