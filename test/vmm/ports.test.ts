import { describe, expect, it } from 'vitest';
import { GuestConsole } from '../../src/vmm/console.ts';
import { debugcon } from '../../src/vmm/devices/debugcon.ts';
import { debugExit } from '../../src/vmm/devices/debugExit.ts';
import { COM1, SerialPort } from '../../src/vmm/devices/serial.ts';
import { PortBus } from '../../src/hypervisor/bus/ports.ts';

describe('the port bus', () => {
  it('hands an access to the register that takes its size', () => {
    const bus = new PortBus();
    const seen: number[] = [];
    bus.connect(debugExit((value) => seen.push(value)));
    bus.write(0xf4, 4, 0x12345678);
    bus.write(0xf4, 1, 0x9a);
    expect(seen).toEqual([0x12345678, 0x9a]);
  });

  it('takes a wider access apart into bytes at consecutive ports', () => {
    const console = new GuestConsole();
    const bus = new PortBus();
    bus.connect(new SerialPort(console, () => {}));
    // DATA gets 0x41, IER 0x0f.
    expect(bus.write(COM1, 2, 0x0f41)).toBe(false);
    expect(console.text).toBe('A');
    expect(bus.read(COM1, 2)).toEqual({ value: 0x0f00, unclaimed: false });
  });

  it('answers all ones where nobody is, wraps at the last port, and says when nobody took part', () => {
    const bus = new PortBus();
    bus.connect(debugcon(new GuestConsole()));
    expect(bus.read(0x1234, 4)).toEqual({ value: 0xffffffff, unclaimed: true });
    expect(bus.read(0xe9, 2)).toEqual({ value: 0xffe9, unclaimed: false });
    expect(bus.read(0xffff, 2)).toEqual({ value: 0xffff, unclaimed: true });
    expect(bus.write(0x1234, 2, 5)).toBe(true);
    expect(bus.write(0xe8, 2, 5)).toBe(false);
  });

  it('refuses two registers at one port', () => {
    const bus = new PortBus();
    bus.connect(new SerialPort(new GuestConsole(), () => {}));
    expect(() => bus.connect(new SerialPort(new GuestConsole(), () => {}))).toThrow(
      'port 0x3f8 is serial DATA already and cannot be serial DATA of serial too',
    );
  });
});

describe('the serial port', () => {
  it('is always ready to send, and its divisor latch hides the data register', () => {
    const console = new GuestConsole();
    const bus = new PortBus();
    bus.connect(new SerialPort(console, () => {}));
    expect(bus.read(COM1 + 5, 1).value & 0x60).toBe(0x60);
    bus.write(COM1 + 3, 1, 0x80);
    bus.write(COM1, 1, 12);
    bus.write(COM1 + 1, 1, 1);
    expect(console.text).toBe('');
    expect([bus.read(COM1, 1).value, bus.read(COM1 + 1, 1).value]).toEqual([12, 1]);
    bus.write(COM1 + 3, 1, 3);
    bus.write(COM1, 1, 0x5a);
    expect(console.text).toBe('Z');
    expect(bus.read(COM1 + 3, 1).value).toBe(3);
    bus.write(COM1 + 7, 1, 0xa5);
    expect(bus.read(COM1 + 7, 1).value).toBe(0xa5);
  });
});

describe('the console', () => {
  it('holds any amount of text, as UTF-8, and tells listeners until they leave', () => {
    const console = new GuestConsole();
    const heard: number[] = [];
    const leave = console.listen((byte) => heard.push(byte));
    const text = 'größer '.repeat(100);
    for (const byte of new TextEncoder().encode(text)) console.write(byte);
    leave();
    console.write(0x21);
    expect(console.text).toBe(`${text}!`);
    expect(heard).toHaveLength(900);
  });
});
