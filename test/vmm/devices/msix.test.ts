// PCI functions: how they are found and set up, and what MSI-X sends when.

import { describe, expect, it } from 'vitest';
import type { Message } from '../../../src/vmm/devices/pci/msix.ts';
import { PciHost } from '../../../src/vmm/devices/pci/host.ts';
import { MSIX_TEST_VECTORS, MsixTest } from '../../../src/vmm/devices/pci/msixTest.ts';
import { Bench } from './bench.ts';

const FUNCTION = 0x80000000 | (4 << 11);
const [COMMAND, BAR0, BAR1, CAPABILITIES] = [0x04, 0x10, 0x14, 0x34];
const [MEMORY, BUS_MASTER] = [1 << 1, 1 << 2];
const [ENABLE, FUNCTION_MASK] = [1 << 31, 1 << 30];
const PENDING = 0x800;

function bench() {
  const rig = new Bench();
  const sent: Message[] = [];
  /** Data of messages that no mask keeps back. */
  const unmasked = new Set<number>();
  const device = new MsixTest(rig.host, 4 << 3, {
    ignoresMask: ({ data }) => unmasked.has(data),
    send: (message) => sent.push(message),
  });
  rig.bus.connect(new PciHost([device]));
  const read = (offset: number): number => {
    rig.out(0xcf8, FUNCTION | offset, 4);
    return rig.in(0xcfc, 4);
  };
  const write = (offset: number, value: number): void => {
    rig.out(0xcf8, FUNCTION | offset, 4);
    rig.out(0xcfc, value >>> 0, 4);
  };
  const { msix } = device;
  /** Vectors whose interrupts were sent since the last call, by their data. */
  const sentSince = (): number[] => sent.splice(0).map(({ data }) => data);
  const ring = (vector: number): void => {
    device.write(4, 4, BigInt(vector));
    rig.until(rig.now + 10_000);
  };
  const entry = (vector: number, data: number, control: number): void => {
    msix.write(16 * vector, 8, 0xfee0_0000n);
    msix.write(16 * vector + 8, 4, BigInt(data));
    msix.write(16 * vector + 12, 4, BigInt(control));
  };
  return { rig, device, msix, read, write, sent, unmasked, sentSince, ring, entry };
}

/** With bus master and MSI-X on, and vector 0 unmasked. */
function enabled() {
  const it = bench();
  it.write(COMMAND, MEMORY | BUS_MASTER);
  it.write(0x40, ENABLE);
  it.entry(0, 0x50, 0);
  return it;
}

describe('the configuration space of the test function', () => {
  it('says what it is, and leads to its MSI-X capability', () => {
    const { read } = bench();
    expect(read(0)).toBe(0x7e571234);
    expect(read(8)).toBe(0xff000000);
    expect((read(COMMAND) >>> 16) & 0x10).toBe(0x10);
    const at = read(CAPABILITIES) & 0xff;
    expect(read(at)).toBe((MSIX_TEST_VECTORS - 1) << 16 | 0x11); // prettier-ignore
    expect([read(at + 4), read(at + 8)]).toEqual([1, PENDING | 1]);
  });

  it('tells the size of its pages, and moves them', () => {
    const { device, msix, read, write } = bench();
    expect([device.gpa, msix.gpa]).toEqual([read(BAR0), read(BAR1)]);
    write(BAR0, 0xffffffff);
    expect(read(BAR0)).toBe(0xfffff000);
    write(BAR0, 0xd0001234);
    expect([device.gpa, device.length]).toEqual([0xd0001000, 4096]);
    expect(msix.gpa).toBe(read(BAR1));
  });

  it('answers in memory only while it is told to', () => {
    const { device, msix, write } = bench();
    write(COMMAND, BUS_MASTER);
    expect([device.length, msix.length]).toEqual([0, 0]);
    write(COMMAND, MEMORY);
    expect([device.length, msix.length]).toEqual([4096, 4096]);
  });
});

describe('MSI-X', () => {
  it('sends the message of its entry', () => {
    const { ring, sent, entry } = enabled();
    entry(3, 0x1234_5678, 0);
    ring(3);
    expect(sent).toEqual([{ address: 0xfee0_0000n, data: 0x1234_5678 }]);
  });

  it('begins masked, keeps back, and sends once when the mask goes', () => {
    const { ring, sentSince, msix, entry } = enabled();
    ring(5);
    ring(5);
    expect([sentSince(), msix.read(PENDING, 8)]).toEqual([[], 1n << 5n]);
    entry(5, 0x55, 0);
    expect([sentSince(), msix.read(PENDING, 8)]).toEqual([[0x55], 0n]);
  });

  it('keeps all back while the function is masked, or may not master the bus', () => {
    const { ring, sentSince, write } = enabled();
    write(0x40, ENABLE | FUNCTION_MASK);
    ring(0);
    expect(sentSince()).toEqual([]);
    write(0x40, ENABLE);
    expect(sentSince()).toEqual([0x50]);
    write(COMMAND, MEMORY);
    ring(0);
    expect(sentSince()).toEqual([]);
    write(COMMAND, MEMORY | BUS_MASTER);
    expect(sentSince()).toEqual([0x50]);
  });

  it('sends nothing, and keeps nothing, while it is off', () => {
    const { ring, sentSince, write, msix } = enabled();
    write(0x40, 0);
    ring(0);
    write(0x40, ENABLE);
    expect([sentSince(), msix.read(PENDING, 8)]).toEqual([[], 0n]);
  });

  it('sends a message whatever is masked, if who takes it says so', () => {
    const { ring, sentSince, unmasked, entry, write } = enabled();
    unmasked.add(0x99);
    entry(1, 0x99, 1);
    write(0x40, ENABLE | FUNCTION_MASK);
    ring(1);
    ring(0);
    expect(sentSince()).toEqual([0x99]);
  });

  it('has pending bits that cannot be written, and reads ones behind its page', () => {
    const { msix } = enabled();
    msix.write(PENDING, 8, 0xffn);
    msix.write(0xffc, 8, 0xffn);
    expect(msix.read(PENDING, 8)).toBe(0n);
    expect(msix.read(0xffc, 8)).toBe(0xffff_ffff_0000_0000n);
  });
});

describe('the doorbell', () => {
  it('interrupts after the delay that was asked for', () => {
    const { rig, device, sentSince } = enabled();
    device.write(8, 4, 5000n);
    device.write(4, 4, 0n);
    rig.until(rig.now + 4000);
    expect(sentSince()).toEqual([]);
    rig.until(rig.now + 2000);
    expect(sentSince()).toEqual([0x50]);
    expect(device.read(8, 4)).toBe(5000n);
  });

  it('counts what names no vector, and interrupts for whoever asks the machine', () => {
    const { device, ring, sentSince, rig } = enabled();
    ring(MSIX_TEST_VECTORS);
    device.write(4, 4, 0xffff_ffffn);
    device.write(4, 1, 0n);
    expect([device.read(12, 4), sentSince()]).toEqual([2n, []]);
    device.ring(0);
    rig.until(rig.now + 10_000);
    expect(sentSince()).toEqual([0x50]);
    expect(() => device.ring(8)).toThrow('vectors 0 to 7');
  });
});
