// A minimal BIOS, for boot sectors and what they load: as much of the services of a PC as they use before they stand on their own
// feet (Ralf Brown's interrupt list; SeaBIOS where that leaves something open). All its state is in the guest's memory, in the BIOS data
// area, where programs look for it.

import type { PortBus, PortDevice } from '../../hypervisor/bus/ports.ts';
import type { Vcpu } from '../../hypervisor/vcpu.ts';
import type { GuestConsole } from '../console.ts';
import type { Ram } from '../ram.ts';
import { BiosCall } from './call.ts';
import { clock, tick } from './clock.ts';
import { type Disk } from './disk.ts';
import { keyboard, keyboardInterrupt } from './keyboard.ts';
import { BDA, BIOS_PORT, ROM_SEGMENT, VECTOR, vectorAt } from './rom.ts';
import { system } from './system.ts';
import { video } from './video.ts';

/** What the BIOS needs of its machine. */
export interface BiosBoard {
  readonly console: GuestConsole;
  readonly ram: Ram;
  /** Devices in userspace; those in the kernel are the VM's. */
  readonly ports: PortBus;
  /** The vCPU whose access is being served. */
  vcpu(): Vcpu;
  reset(by: string): void;
  /** The guest asked for something after which it cannot go on. */
  stop(what: string, hint: string): void;
}

/** Serves a call; false: there is no such function. */
export type Service = (call: BiosCall, bios: Bios) => boolean;

const END_OF_INTERRUPT = 0x20;
const PIC = { FIRST: 0x20, SECOND: 0xa0 } as const;
const isFirstPics = (vector: number): boolean => vector >= 0x08 && vector <= 0x0f;
const isSecondPics = (vector: number): boolean => vector >= 0x70 && vector <= 0x77;
/** Exceptions after which an instruction would only fault again; the numbers from 8 on are interrupt lines here. */
const FAULTS: Readonly<Record<number, string>> = {
  0: 'a division error',
  5: 'BOUND',
  6: 'an invalid opcode',
  7: 'no coprocessor',
};

const SERVICES: Readonly<Record<number, Service>> = {
  [VECTOR.TIMER]: tick,
  [VECTOR.KEYBOARD_IRQ]: keyboardInterrupt,
  0x10: video,
  0x11: (call) => answer(() => (call.ax = call.u16(BDA.EQUIPMENT))),
  0x12: (call) => answer(() => (call.ax = call.u16(BDA.MEMORY_KIB))),
  0x13: (call, bios) => bios.disk.serve(call),
  0x15: system,
  [VECTOR.KEYBOARD]: keyboard,
  0x18: (_, bios) => answer(() => bios.board.stop(...NOTHING_TO_BOOT)),
  [VECTOR.BOOT]: (_, bios) => answer(() => bios.board.reset('INT 19h')),
  0x1a: clock,
};
const NOTHING_TO_BOOT = [
  'the boot sector gave up and asked for another boot device (INT 18h), and there is none',
  'see what it could not find on its disk',
] as const;

function answer(done: () => void): true {
  done();
  return true;
}

export class Bios implements PortDevice {
  readonly name = 'BIOS';
  readonly registers;
  readonly board: BiosBoard;
  readonly disk: Disk;

  constructor(board: BiosBoard, disk: Disk) {
    this.board = board;
    this.disk = disk;
    this.registers = new Map([
      [BIOS_PORT, { name: 'BIOS call', sizes: [1] as const, write: () => this.#serve(board.vcpu()) }],
    ]);
  }

  /** There is nothing to save: its state is in the guest's memory, and its disk is never written. */
  save(): object {
    return {};
  }
  restore(): void {}

  /** Writes a byte to a port, of whichever side. */
  out(vcpu: Vcpu, port: number, value: number): void {
    const { ports } = vcpu.vm;
    (ports.has(port) ? ports : this.board.ports).write(port, 1, value);
  }

  /** Reads a byte from a port, of whichever side. */
  in(vcpu: Vcpu, port: number): number {
    const { ports } = vcpu.vm;
    return (ports.has(port) ? ports : this.board.ports).read(port, 1).value;
  }

  /** Ends the interrupt of a vector at the interrupt controllers. */
  endInterrupt({ vcpu, vector }: BiosCall): void {
    if (isSecondPics(vector)) this.out(vcpu, PIC.SECOND, END_OF_INTERRUPT);
    this.out(vcpu, PIC.FIRST, END_OF_INTERRUPT);
  }

  #serve(vcpu: Vcpu): void {
    const call = new BiosCall(vcpu, 0);
    const vector = call.codeSegment === ROM_SEGMENT ? vectorAt(call.offset) : null;
    // A guest that writes to the port itself gets nothing by it.
    if (vector !== null) this.#call(new BiosCall(vcpu, vector));
  }

  #call(call: BiosCall): void {
    const { vector, vcpu } = call;
    if (SERVICES[vector]?.(call, this)) return;
    if (SERVICES[vector] === undefined && (isFirstPics(vector) || isSecondPics(vector))) {
      this.endInterrupt(call);
      return;
    }
    const fault = FAULTS[vector];
    if (fault !== undefined) {
      this.board.stop(
        `${fault} in real mode (exception ${vector}) at 0x${(call.caller + 2).toString(16)}, and the BIOS has no handler`,
        `put the address of a handler at 0x${(4 * vector).toString(16)}, or see what the instruction was given`,
      );
      return;
    }
    const rip = BigInt(call.caller);
    const who = { id: vcpu.id, guest: { state: { rip } } };
    vcpu.vm.diagnostics.note('bios-call', (vector << 8) | call.ah, 'carry set', who);
    call.carry = true;
  }
}
