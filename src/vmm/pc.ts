// The board of a PC: which devices there are, at which ports and on which interrupt lines. Each device is a file of devices/;
// interrupt controllers and the interval timer are the hypervisor's, as in KVM.

import type { PortBus } from '../hypervisor/bus/ports.ts';
import type { GuestConsole } from './console.ts';
import { debugcon } from './devices/debugcon.ts';
import { debugExit } from './devices/debugExit.ts';
import { fwCfg } from './devices/fwCfg.ts';
import { PcTestDev } from './devices/pcTestDev.ts';
import { powerOff } from './devices/powerOff.ts';
import { serial } from './devices/serial.ts';
import type { MainLoop } from './mainLoop.ts';
import type { Ram } from './ram.ts';

/** What devices need of their machine. */
export interface Board {
  readonly ports: PortBus;
  readonly console: GuestConsole;
  readonly mainLoop: MainLoop;
  readonly vcpuCount: number;
  readonly ram: Ram;
  /** KVM_IRQ_LINE_STATUS: drives the line of a GSI. How many CPUs got the interrupt; 0: coalesced, below 0: masked. */
  setIrq(gsi: number, level: boolean): number;
  /** The guest ends the machine: by the debug exit port, or by turning the power off. */
  debugExit(value: number): void;
  powerOff(): void;
}

export function buildPc(board: Board): void {
  const { ports, console } = board;
  ports.connect(serial(console));
  ports.connect(debugcon(console));
  ports.connect(debugExit((value) => board.debugExit(value)));
  ports.connect(fwCfg({ vcpus: board.vcpuCount, memory: board.ram.size }));
  ports.connect(new PcTestDev((gsi, level) => board.setIrq(gsi, level)));
  ports.connect(powerOff(() => board.powerOff()));
}
