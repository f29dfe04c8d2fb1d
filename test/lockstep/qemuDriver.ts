// Drives qemu-system-x86_64 (TCG, one vCPU) through its GDB stub, one instruction at a time. The guest starts in the same
// memory and with the same registers as on trapline's machine; devices and time are QEMU's own, so this is for guests that
// compute, up to the first thing that they ask of the machine.

import { join } from 'node:path';
import { spawnQemu } from '../peers/qemu.ts';
import type { Driver, DriverKind, Registers } from './driver.ts';
import { connectGdb, type GdbClient } from './gdbClient.ts';

/** Registers in the order of the stub (GDB's org.gnu.gdb.i386.core). */
const GENERAL = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip'.split(' ');
const SELECTORS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'];

/** QEMU started in the state that another machine has at its start. */
export function qemuKind(like: DriverKind): DriverKind {
  return { name: 'qemu', stride: 1, start: async () => startQemu(await like.start()) };
}

async function startQemu(like: Driver): Promise<Driver> {
  const registers = (await like.registers())[0]!;
  const gdbSocket = (folder: string): string => join(folder, 'gdb');
  const stopped = (folder: string): string[] => [
    '-S', '-chardev', `socket,path=${gdbSocket(folder)},server=on,wait=off,id=gdb`, '-gdb', 'chardev:gdb',
  ]; // prettier-ignore
  const qemu = await spawnQemu({ memory: like.memory()!, registers }, stopped);
  try {
    const gdb = await connectGdb(gdbSocket(qemu.folder));
    await gdb.runTo(Number(registers.rip!));
    return new QemuDriver(gdb, qemu.stop, await readRegisters(gdb));
  } catch (error) {
    qemu.stop();
    throw error;
  } finally {
    await like.close();
  }
}

async function readRegisters(gdb: GdbClient): Promise<Registers> {
  const image = await gdb.registers();
  const registers: Record<string, bigint> = {};
  GENERAL.forEach((name, i) => (registers[name] = image.readBigUInt64LE(8 * i)));
  const rest = 8 * GENERAL.length;
  registers.rflags = BigInt(image.readUInt32LE(rest));
  SELECTORS.forEach((name, i) => (registers[name] = BigInt(image.readUInt32LE(rest + 4 + 4 * i))));
  return registers;
}

class QemuDriver implements Driver {
  readonly name = 'qemu';
  readonly ended = undefined;
  readonly #gdb: GdbClient;
  readonly #close: () => void;
  #registers: Registers;

  constructor(gdb: GdbClient, close: () => void, registers: Registers) {
    this.#gdb = gdb;
    this.#close = close;
    this.#registers = registers;
  }

  /** TCG takes a step of its own to find the count of a finished REP at zero: it belongs to the last iteration. */
  async advance(units: number): Promise<void> {
    for (let i = 0; i < units; i++) {
      const { rip, rcx } = this.#registers;
      await this.#gdb.step();
      this.#registers = await readRegisters(this.#gdb);
      if (this.#registers.rip !== rip || rcx === 0n || this.#registers.rcx !== 0n) continue;
      await this.#gdb.step();
      this.#registers = await readRegisters(this.#gdb);
    }
  }
  registers(): Promise<Registers[]> {
    return Promise.resolve([this.#registers]);
  }
  memory(): null {
    return null;
  }
  explain(): null {
    return null;
  }
  meaningless(): bigint {
    return 0n;
  }
  close(): Promise<void> {
    this.#gdb.close();
    this.#close();
    return Promise.resolve();
  }
}
