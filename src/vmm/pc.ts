// The board of a PC: which devices there are, at which ports and on which interrupt lines. Each device is a file of devices/;
// interrupt controllers and the interval timer are the hypervisor's, as in KVM.

import type { Host } from '../host/host.ts';
import type { MmioBus } from '../hypervisor/bus/mmio.ts';
import type { PortBus } from '../hypervisor/bus/ports.ts';
import type { GuestConsole } from './console.ts';
import { cmosMemory } from './devices/cmos.ts';
import { debugcon } from './devices/debugcon.ts';
import { debugExit } from './devices/debugExit.ts';
import type { BoardDevice, SavedDevice } from './devices/device.ts';
import { FwCfg } from './devices/fwCfg.ts';
import { I8042 } from './devices/i8042.ts';
import { PcTestDev } from './devices/pcTestDev.ts';
import { PcTestMemory } from './devices/pcTestMemory.ts';
import { PciHost } from './devices/pci/host.ts';
import type { MessageSink } from './devices/pci/msix.ts';
import { MsixTest } from './devices/pci/msixTest.ts';
import { Port92 } from './devices/port92.ts';
import { PostCode } from './devices/postCode.ts';
import { PowerManagement, SLEEP } from './devices/powerManagement.ts';
import { ResetControl } from './devices/resetControl.ts';
import { Rtc } from './devices/rtc.ts';
import { SerialPort } from './devices/serial.ts';
import { Vga } from './devices/vga.ts';
import type { MainLoop } from './mainLoop.ts';
import type { Ram } from './ram.ts';

/** Devices that a machine has only when it is asked for them. */
export const DEVICE_NAMES = ['msix-test'] as const;
export type DeviceName = (typeof DEVICE_NAMES)[number];

/** What devices need of their machine. */
export interface Board {
  readonly host: Host;
  readonly wanted: readonly DeviceName[];
  /** Takes the messages of PCI functions. */
  readonly messages: MessageSink;
  readonly ports: PortBus;
  readonly mmio: MmioBus;
  readonly console: GuestConsole;
  readonly mainLoop: MainLoop;
  readonly vcpuCount: number;
  readonly ram: Ram;
  /** The date at position 0, in seconds since 1970. */
  readonly startTime: number;
  /** KVM_IRQ_LINE_STATUS: drives the line of a GSI. How many CPUs got the interrupt; 0: coalesced, below 0: masked. */
  setIrq(gsi: number, level: boolean): number;
  /** The guest ends the machine: by the debug exit port, by turning the power off, by a reset, */
  debugExit(value: number): void;
  powerOff(): void;
  reset(by: string): void;
  /** ... or by something that is not there. */
  stop(what: string, hint: string): void;
  /** The guest turned A20 off by a port, which has no effect. */
  a20Off(port: number): void;
}

/** Slot 4 of PCI's bus, function 0. */
const MSIX_TEST_DEVFN = 4 << 3;
/** Lines of the ISA bus. */
const IRQ = { KEYBOARD: 1, COM1: 4, RTC: 8, SCI: 9 } as const;

export interface Pc {
  readonly serial: SerialPort;
  readonly keyboard: I8042;
  readonly vga: Vga;
  readonly postCode: PostCode;
  readonly msixTest: MsixTest | null;
  /** Every device that has a state. */
  readonly devices: readonly SavedDevice[];
}

export function buildPc(board: Board): Pc {
  const { ports, mmio, console, mainLoop } = board;
  const testMemory = new PcTestMemory();
  const msixTest = board.wanted.includes('msix-test')
    ? new MsixTest(board.host, MSIX_TEST_DEVFN, board.messages)
    : null;
  const pciWindows = msixTest === null ? [] : [msixTest, msixTest.msix];
  const line = (irq: number) => (level: boolean) => board.setIrq(irq, level);
  const a20Off = (port: number): void => board.a20Off(port);
  const serial = new SerialPort(console, line(IRQ.COM1));
  const keyboard = new I8042(
    line(IRQ.KEYBOARD),
    () => board.reset('the keyboard controller (ports 0x60, 0x64)'),
    a20Off,
  );
  const vga = new Vga();
  const postCode = new PostCode();
  const portDevices: readonly BoardDevice[] = [
    serial,
    keyboard,
    vga,
    postCode,
    new Rtc(mainLoop, line(IRQ.RTC), board.startTime, cmosMemory(board.ram, board.vcpuCount)),
    new PowerManagement(mainLoop, line(IRQ.SCI), (type) => sleep(board, type)),
    new Port92(() => board.reset('system control port A (port 0x92)'), a20Off),
    new ResetControl(() => board.reset('the reset control register (port 0xcf9)')),
    new PciHost(msixTest === null ? [] : [msixTest]),
    new PcTestDev((gsi, level) => board.setIrq(gsi, level)),
    new FwCfg({ vcpus: board.vcpuCount, memory: board.ram.size }),
  ];
  for (const device of portDevices) ports.connect(device);
  mmio.connect(testMemory);
  // Last: where a guest moves them over others, the others answer.
  for (const window of pciWindows) mmio.connect(window);
  ports.connect(debugcon(console));
  ports.connect(debugExit((value) => board.debugExit(value)));
  return { serial, keyboard, vga, postCode, msixTest, devices: [...portDevices, testMemory, ...pciWindows] };
}

/** The guest goes to sleep: off is the only state that there is. */
function sleep(board: Board, type: number): void {
  if (type === SLEEP.S5) board.powerOff();
  else
    board.stop(
      type === SLEEP.S3
        ? 'suspend to RAM (ACPI S3) is not implemented'
        : `there is no ACPI sleep of type ${type} (PM1a control, port 0x604)`,
      'turn the machine off with 0x2000 to port 0x604',
    );
}
