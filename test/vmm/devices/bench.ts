// A bench for single devices: a bus, a host whose time the test moves, and a record of what the interrupt line does.

import { Host } from '../../../src/host/host.ts';
import { PortBus, type PortSize } from '../../../src/hypervisor/bus/ports.ts';
import { MainLoop } from '../../../src/vmm/mainLoop.ts';

export class Bench {
  /** 1 GHz: a cycle is a nanosecond. */
  readonly host = new Host({ cpus: 1, tscKhz: 1_000_000 });
  readonly loop = new MainLoop(this.host);
  readonly bus = new PortBus();
  /** Levels in order, `+` and `-`. */
  line = '';
  /** Positions at which the line rose. */
  readonly rises: number[] = [];
  readonly irq = (level: boolean): void => {
    this.line += level ? '+' : '-';
    if (level) this.rises.push(this.host.thisCpu.now);
  };

  get now(): number {
    return this.host.cpus[0]!.now;
  }

  /** Lets time pass, and the main loop do what is due. */
  until(position: number): void {
    const cpu = this.host.cpus[0]!;
    this.host.stopAt = position;
    while (this.host.step() === 'progress');
    cpu.now = Math.max(cpu.now, position);
  }

  in(port: number, size: PortSize = 1): number {
    return this.bus.read(port, size).value;
  }

  out(port: number, value: number, size: PortSize = 1): void {
    this.bus.write(port, size, value);
  }

  /** What the line did since the last call. */
  lineSince(): string {
    const { line } = this;
    this.line = '';
    return line;
  }
}

export const MS = 1_000_000;
export const SECOND = 1_000_000_000;
export const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
