// The small devices: power management, resets, PCI's configuration space, the display's registers, the POST code.

import { describe, expect, it } from 'vitest';
import { PciHost } from '../../../src/vmm/devices/pci/host.ts';
import { Port92 } from '../../../src/vmm/devices/port92.ts';
import { PostCode } from '../../../src/vmm/devices/postCode.ts';
import { PowerManagement } from '../../../src/vmm/devices/powerManagement.ts';
import { ResetControl } from '../../../src/vmm/devices/resetControl.ts';
import { Vga } from '../../../src/vmm/devices/vga.ts';
import { screenOf } from '../../../src/vmm/screen.ts';
import { Bench, bytes, MS, SECOND } from './bench.ts';

describe('power management', () => {
  function bench() {
    const rig = new Bench();
    const sleeps: number[] = [];
    rig.bus.connect(new PowerManagement(rig.loop, rig.irq, (type) => sleeps.push(type)));
    return { rig, sleeps };
  }

  it('sleeps at SLP_EN with the type written, and keeps SCI_EN', () => {
    const { rig, sleeps } = bench();
    rig.out(0x604, 0x0000, 2);
    rig.out(0x604, 0x1c00, 2);
    expect(sleeps).toEqual([]);
    expect(rig.in(0x604, 2)).toBe(1);
    rig.out(0x604, 0x2000, 2);
    rig.out(0x604, 0x2400, 2);
    expect(sleeps).toEqual([0, 1]);
  });

  it('counts at 3.579545 MHz in 24 bits', () => {
    const { rig } = bench();
    rig.until(SECOND);
    expect(rig.in(0x608, 4)).toBe(3_579_545);
    rig.until(10 * SECOND);
    expect(rig.in(0x608, 4)).toBe(35_795_450 % 2 ** 24);
  });

  it('interrupts when the top bit of the timer changes, if that is enabled, until the status is cleared', () => {
    const { rig } = bench();
    rig.out(0x602, 1, 2);
    rig.until(2.3 * SECOND);
    expect(rig.lineSince()).toBe('');
    rig.until(2.4 * SECOND);
    expect(rig.lineSince()).toBe('+');
    expect(rig.in(0x600, 2)).toBe(1);
    rig.out(0x600, 1, 2);
    expect(rig.lineSince()).toBe('-');
    rig.until(7.1 * SECOND);
    expect(rig.rises.map((at) => Math.floor(at / MS))).toEqual([2343, 4686]);
  });
});

describe('resets', () => {
  it('port 0x92: at the rising edge of bit 0; A20 reads as written', () => {
    const rig = new Bench();
    const asked: string[] = [];
    rig.bus.connect(new Port92(() => asked.push('reset'), () => asked.push('A20 off'))); // prettier-ignore
    expect(rig.in(0x92)).toBe(2);
    rig.out(0x92, 0x00);
    expect(rig.in(0x92)).toBe(0);
    rig.out(0x92, 0x02);
    rig.out(0x92, 0x03);
    rig.out(0x92, 0x03);
    expect(asked).toEqual(['A20 off', 'reset']);
  });

  it('port 0xcf9: at bit 2, whether bit 1 makes it a hard one or not', () => {
    const rig = new Bench();
    let resets = 0;
    rig.bus.connect(new ResetControl(() => resets++));
    rig.out(0xcf9, 0x02);
    expect([rig.in(0xcf9), resets]).toEqual([2, 0]);
    rig.out(0xcf9, 0x06);
    rig.out(0xcf9, 0x04);
    expect(resets).toBe(2);
  });
});

describe("PCI's configuration space", () => {
  function bench() {
    const rig = new Bench();
    rig.bus.connect(new PciHost());
    rig.bus.connect(new ResetControl(() => {}));
    const read = (address: number, size: 1 | 2 | 4 = 4, offset = 0): number => {
      rig.out(0xcf8, address, 4);
      return rig.in(0xcfc + offset, size);
    };
    return { rig, read };
  }

  it('has an i440FX host bridge and nothing else', () => {
    const { read } = bench();
    expect(read(0x80000000)).toBe(0x12378086);
    expect(read(0x80000008)).toBe(0x06000002);
    expect([read(0x80000000, 2, 2), read(0x80000000, 1, 1)]).toEqual([0x1237, 0x80]);
    for (const absent of [0x80000800, 0x80000100, 0x80010000]) expect(read(absent)).toBe(0xffffffff);
    expect(read(0)).toBe(0xffffffff);
  });

  it('keeps its address beside the reset register, and only registers of memory attributes are writable', () => {
    const { rig, read } = bench();
    read(0x80000058);
    rig.out(0xcf9, 0x02);
    expect(rig.in(0xcf8, 4)).toBe(0x80000058);
    rig.out(0xcfd, 0x30);
    expect(read(0x80000058)).toBe(0x00003000);
    rig.out(0xcf8, 0x80000000, 4);
    rig.out(0xcfc, 0, 4);
    expect(read(0x80000000)).toBe(0x12378086);
  });
});

describe('the display', () => {
  it('has a cursor that programs move by the CRTC, and turn off', () => {
    const rig = new Bench();
    const vga = new Vga();
    rig.bus.connect(vga);
    rig.out(0x3d4, 0x010e, 2);
    rig.out(0x3d4, 0x0f);
    rig.out(0x3d5, 0x90);
    expect(vga.cursor).toBe(400);
    rig.out(0x3d4, 0x0a);
    rig.out(0x3d5, 0x20);
    expect(vga.cursor).toBeNull();
  });

  it('lets nobody wait long for a retrace, and its attribute port takes index and data in turn', () => {
    const rig = new Bench();
    rig.bus.connect(new Vga());
    expect([rig.in(0x3da), rig.in(0x3da), rig.in(0x3da)]).toEqual([9, 0, 9]);
    rig.out(0x3c0, 0x10);
    rig.out(0x3c0, 0x0c);
    rig.out(0x3c0, 0x10);
    expect(rig.in(0x3c1)).toBe(0x0c);
  });

  it('shows text memory as text, and is blank to nobody who wrote nothing', () => {
    const memory = new Uint8Array(0x8000);
    expect(screenOf(memory, 0, 0)).toBeNull();
    const put = (row: number, text: readonly number[]): void =>
      text.forEach((code, i) => memory.set([code, 0x07], 2 * (row * 80 + i)));
    put(0, bytes('Hello'));
    put(24, [0xda, 0xc4, 0xbf, 0x01, 0x7f, 0xe1]);
    put(25, bytes('below'));
    const screen = screenOf(memory, 0, 5)!;
    expect(screen.lines).toHaveLength(25);
    expect(screen.lines[0]).toBe('Hello');
    expect(screen.lines[24]).toBe('┌─┐☺⌂ß');
    expect(screen.cursor).toEqual({ row: 0, column: 5 });
    expect(screenOf(memory, 80, 5)).toMatchObject({ cursor: null });
    expect(screenOf(memory, 80, null)!.lines[24]).toBe('below');
  });
});

it('the last POST code is kept', () => {
  const rig = new Bench();
  const post = new PostCode();
  rig.bus.connect(post);
  expect(post.state.last).toBeNull();
  rig.out(0x80, 0x12);
  rig.out(0x80, 0x34);
  expect(post.state.last).toBe(0x34);
});
