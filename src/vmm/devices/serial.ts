// A 16550 UART at COM1 that transmits at once and never receives (PC16550D data sheet). No interrupts, no FIFO.

import type { GuestConsole } from '../console.ts';
import type { PortDevice, PortRegister } from '../../hypervisor/bus/ports.ts';

export const COM1 = 0x3f8;

/** Register offsets; DLL and DLM lie under DATA and IER while LCR.DLAB is set. */
const REGISTER = { DATA: 0, IER: 1, IIR: 2, LCR: 3, MCR: 4, LSR: 5, MSR: 6, SCR: 7 } as const;
const LCR_DLAB = 1 << 7;
/** Transmitter holding register and shift register are empty, always. */
const LSR_READY = (1 << 5) | (1 << 6);
const IIR_NONE_PENDING = 1;
/** Clear to send, data set ready, carrier detected. */
const MSR_CONNECTED = (1 << 4) | (1 << 5) | (1 << 7);

export function serial(console: GuestConsole, base: number = COM1): PortDevice {
  const held = { ier: 0, lcr: 0, mcr: 0, scr: 0, dll: 0, dlm: 0 };
  const latch = (): boolean => (held.lcr & LCR_DLAB) !== 0;
  const byte = (name: string, access: Pick<PortRegister, 'read' | 'write'>): PortRegister => ({
    name,
    sizes: [1],
    ...access,
  });
  const stored = (name: string, field: keyof typeof held): PortRegister =>
    byte(name, { read: () => held[field], write: (value) => void (held[field] = value) });

  const registers: readonly [number, PortRegister][] = [
    [REGISTER.DATA, byte('serial DATA', {
      read: () => (latch() ? held.dll : 0),
      write: (value) => (latch() ? void (held.dll = value) : console.write(value)),
    })],
    [REGISTER.IER, byte('serial IER', {
      read: () => (latch() ? held.dlm : held.ier),
      write: (value) => void (held[latch() ? 'dlm' : 'ier'] = value),
    })],
    [REGISTER.IIR, byte('serial IIR', { read: () => IIR_NONE_PENDING })],
    [REGISTER.LCR, stored('serial LCR', 'lcr')],
    [REGISTER.MCR, stored('serial MCR', 'mcr')],
    [REGISTER.LSR, byte('serial LSR', { read: () => LSR_READY })],
    [REGISTER.MSR, byte('serial MSR', { read: () => MSR_CONNECTED })],
    [REGISTER.SCR, stored('serial SCR', 'scr')],
  ]; // prettier-ignore
  return { name: 'serial', registers: new Map(registers.map(([offset, register]) => [base + offset, register])) };
}
