// A boot sector: the BIOS leaves its tables, brings the board into the state in which PCs boot, and enters the first sector of the
// disk in real mode.

import { readSegment, realModeSegment, writeSegment } from '../../cpu/segments/segments.ts';
import type { PortBus } from '../../hypervisor/bus/ports.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { CR0, GPR, RFLAGS, SEGMENT } from '../../x86/names/registers.ts';
import { Disk } from '../bios/disk.ts';
import { biosMemory } from '../bios/rom.ts';
import { ONE_MIB } from '../ram.ts';
import { BootError } from './bootError.ts';
import { place } from './guestMemory.ts';
import type { Boot } from './start.ts';

/** Ports of the interrupt controllers and the interval timer, and what a BIOS writes there. */
// prettier-ignore
const BOARD_SETUP: readonly (readonly [port: number, value: number])[] = [
  [0x20, 0x11], [0x21, 0x08], [0x21, 0x04], [0x21, 0x01], // ICW1 to 4: vectors from 8 on, the second on line 2, 8086
  [0xa0, 0x11], [0xa1, 0x70], [0xa1, 0x02], [0xa1, 0x01],
  [0x21, 0xf8], [0xa1, 0xff],                             // timer, keyboard and the second controller may interrupt
  [0x43, 0x36], [0x40, 0x00], [0x40, 0x00],               // counter 0: square waves of 18.2 Hz
];
/** As other boot loaders have it: below the boot sector. */
const STACK = 0x7c00;

/** Throws BootError, and has then changed nothing. */
export function startBootSector({ vm, image, ram }: Boot, { disk }: { disk: Uint8Array }): void {
  if (ram.lowEnd < ONE_MIB) throw new BootError('a BIOS needs the first MiB of memory: try 1 MiB or more');
  const { drive } = new Disk(disk);
  for (const { gpa, bytes } of [...biosMemory(drive), ...image.segments]) place(vm, gpa, bytes);
  setUpBoard(vm.ports);
  enterRealMode(vm, image.entry, drive);
}

function setUpBoard(ports: PortBus): void {
  for (const [port, value] of BOARD_SETUP) ports.write(port, 1, value);
}

/** All segments at 0, interrupts on, the drive in DL. */
function enterRealMode(vm: Vm, entry: bigint, drive: number): void {
  const { guest } = vm.vcpus[0]!;
  const { state } = guest;
  for (let register = 0; register < 16; register++) state.setGpr(register, 0n);
  state.setGpr32(GPR.RDX, drive);
  state.setGpr32(GPR.RSP, STACK);
  state.rip = entry;
  state.rflags = RFLAGS.FIXED | RFLAGS.IF;
  state.cr0 = CR0.ET;
  writeSegment(state, SEGMENT.CS, realModeSegment(readSegment(state, SEGMENT.CS), 0));
  guest.registersReplaced();
}
