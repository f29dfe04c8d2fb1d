import { describe, expect, it } from 'vitest';
import { GuestConsole } from '../../../src/vmm/console.ts';
import { COM1, SerialPort } from '../../../src/vmm/devices/serial.ts';
import { Bench, bytes } from './bench.ts';

const [DATA, IER, IIR, LCR, MCR, LSR, MSR] = [0, 1, 2, 3, 4, 5, 6].map((offset) => COM1 + offset) as [number, number, number, number, number, number, number]; // prettier-ignore

function bench() {
  const rig = new Bench();
  const console = new GuestConsole();
  const uart = new SerialPort(console, rig.irq);
  rig.bus.connect(uart);
  return { rig, console, uart };
}

describe('the transmitter', () => {
  it('interrupts when its interrupt is enabled, and after each character; reading IIR takes the cause away', () => {
    const { rig, console } = bench();
    rig.out(IER, 0x02);
    expect(rig.lineSince()).toBe('+');
    expect(rig.in(IIR)).toBe(0x02);
    expect(rig.in(IIR)).toBe(0x01);
    expect(rig.lineSince()).toBe('-');
    rig.out(DATA, 0x41);
    expect(console.text).toBe('A');
    expect(rig.lineSince()).toBe('+');
    rig.out(IER, 0x00);
    expect(rig.lineSince()).toBe('-');
  });
});

describe('the receiver', () => {
  it('without FIFO holds one character, and the line keeps the rest', () => {
    const { rig, uart } = bench();
    rig.out(IER, 0x01);
    uart.type(bytes('hi'));
    expect(rig.lineSince()).toBe('+');
    expect(rig.in(IIR)).toBe(0x04);
    expect(rig.in(LSR)).toBe(0x61);
    expect(rig.in(DATA)).toBe(0x68);
    expect(rig.in(LSR)).toBe(0x61);
    expect(rig.in(DATA)).toBe(0x69);
    expect(rig.in(LSR)).toBe(0x60);
    expect(rig.lineSince()).toBe('-');
  });

  it('with FIFO interrupts at the trigger level, and below it by time-out', () => {
    const { rig, uart } = bench();
    rig.out(IIR, 0x81);
    rig.out(IER, 0x01);
    uart.type(bytes('1234567'));
    expect(rig.in(IIR)).toBe(0xcc);
    uart.type(bytes('8'));
    expect(rig.in(IIR)).toBe(0xc4);
    rig.in(DATA);
    expect(rig.in(IIR)).toBe(0xcc);
    expect(rig.lineSince()).toBe('+');
  });

  it('takes sixteen at a time, and loses none', () => {
    const { rig, uart } = bench();
    rig.out(IIR, 0x01);
    rig.in(LSR);
    const text = 'a line that is longer than sixteen characters';
    uart.type(bytes(text));
    expect(uart.state.fifo).toHaveLength(16);
    let read = '';
    while ((rig.in(LSR) & 1) !== 0) read += String.fromCharCode(rig.in(DATA));
    expect(read).toBe(text);
  });

  it('leaves on the line what is typed before the guest listens, so that set-up code loses nothing', () => {
    const { rig, uart } = bench();
    uart.type(bytes('early'));
    // The loop test of many a boot tutorial.
    rig.out(IIR, 0xc7);
    rig.out(MCR, 0x1e);
    rig.out(DATA, 0xae);
    expect(rig.in(DATA)).toBe(0xae);
    rig.out(MCR, 0x0f);
    expect(rig.in(LSR) & 1).toBe(1);
    expect(rig.in(DATA)).toBe(0x65);
  });

  it('is emptied by the FIFO control register, and by switching FIFOs on', () => {
    const { rig, uart } = bench();
    rig.in(LSR);
    uart.type(bytes('x'));
    rig.out(IIR, 0x01);
    expect(rig.in(LSR) & 1).toBe(0);
    uart.type(bytes('y'));
    rig.out(IIR, 0x03);
    expect(rig.in(LSR) & 1).toBe(0);
  });
});

describe('the loop', () => {
  it('connects the modem control outputs to the inputs, and overruns', () => {
    const { rig, console } = bench();
    expect(rig.in(MSR)).toBe(0xb0);
    rig.out(MCR, 0x10);
    expect(rig.in(MSR)).toBe(0x00);
    rig.out(MCR, 0x1f);
    expect(rig.in(MSR)).toBe(0xf0);
    rig.out(MCR, 0x12);
    expect(rig.in(MSR)).toBe(0x10);
    rig.out(IER, 0x04);
    rig.out(DATA, 1);
    rig.out(DATA, 2);
    expect(rig.in(IIR)).toBe(0x06);
    expect(rig.in(LSR)).toBe(0x63);
    expect(rig.lineSince()).toBe('+-');
    expect(console.text).toBe('');
  });
});

it('is what it was after save and restore, its line too', () => {
  const { rig, uart } = bench();
  rig.out(LCR, 0x03);
  rig.out(IER, 0x01);
  uart.type(bytes('ab'));
  const other = bench();
  other.uart.restore(JSON.parse(JSON.stringify(uart.save())));
  expect(other.uart.save()).toEqual(uart.save());
  expect(other.rig.lineSince()).toBe('+');
  expect([other.rig.in(DATA), other.rig.in(DATA)]).toEqual(bytes('ab'));
  expect(uart.save().waiting).toEqual(bytes('b'));
});
