// Drives qemu-system-x86_64 (TCG, one vCPU) through its GDB stub, one instruction at a time. The guest starts in the same
// memory and with the same registers as on trapline's machine; devices and time are QEMU's own, so this is for guests that
// compute, up to the first thing that they ask of the machine.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble } from '../../src/assembler/assemble.ts';
import type { Driver, DriverKind, Registers } from './driver.ts';
import { connectGdb, type GdbClient } from './gdbClient.ts';

const QEMU = 'qemu-system-x86_64';
/** The firmware: the last 64 KiB below 4 GiB, seen again below 1 MiB, where the guest's page tables map it. */
const FIRMWARE = 0xf0000;
const FIRMWARE_SIZE = 0x10000;
const RESET_VECTOR = 0xfff0;
/** Registers in the order of the stub (GDB's org.gnu.gdb.i386.core). */
const GENERAL = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip'.split(' ');
const RFLAGS_NUMBER = GENERAL.length;
const SELECTORS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'];
const PAGE = 4096;

/**
 * From reset to long mode with the tables that the direct boot left in guest memory. CS first gets a base within them: the
 * next fetch after CR0.PG goes through the page tables.
 */
const STUB = `
        .code16
        ljmp    $0xf000, $(low - ${FIRMWARE})
gdtr:   .word   0x1f
        .long   GDT
low:    lgdt    %cs:gdtr - ${FIRMWARE}
        movl    $CR3, %eax
        movl    %eax, %cr3
        movl    $CR4, %eax
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx
        movl    $EFER, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $CR0, %eax
        movl    %eax, %cr0
        ljmpl   $0x10, $long
        .code64
long:   movl    $0x18, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %eax, %fs
        movl    %eax, %gs
ready:  jmp     ready
`;

/** True, or why this machine cannot run QEMU. */
export function qemuAvailable(): true | string {
  return spawnSync(QEMU, ['--version']).status === 0 ? true : `${QEMU} is not installed`;
}

/** QEMU started in the state that another machine has at its start. */
export function qemuKind(like: DriverKind): DriverKind {
  return { name: 'qemu', stride: 1, start: async () => startQemu(await like.start()) };
}

async function startQemu(like: Driver): Promise<Driver> {
  const registers = (await like.registers())[0]!;
  const memory = like.memory()!;
  const folder = mkdtempSync(join(tmpdir(), 'trapline-qemu-'));
  const { firmware, ready } = await buildFirmware(registers);
  writeFileSync(join(folder, 'firmware'), firmware);
  const loaders = usedRuns(memory).flatMap(([from, to]) => {
    const file = join(folder, `${from}`);
    writeFileSync(file, memory.subarray(from, to));
    return ['-device', `loader,file=${file},addr=${from},force-raw=on`];
  });
  const socket = join(folder, 'gdb');
  // prettier-ignore
  const qemu = spawn(QEMU, [
    '-machine', 'pc', '-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', `${memory.length >> 20}`,
    '-nodefaults', '-display', 'none', '-serial', 'null', '-bios', join(folder, 'firmware'), ...loaders,
    '-S', '-chardev', `socket,path=${socket},server=on,wait=off,id=gdb`, '-gdb', 'chardev:gdb',
  ], { stdio: 'ignore' });
  const close = (): void => {
    qemu.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const gdb = await connectGdb(socket);
    await gdb.runTo(ready);
    for (let i = 0; i < GENERAL.length; i++) await gdb.setRegister(i, 8, registers[GENERAL[i]!]!);
    await gdb.setRegister(RFLAGS_NUMBER, 4, registers.rflags!);
    return new QemuDriver(gdb, close, await readRegisters(gdb));
  } catch (error) {
    close();
    throw error;
  } finally {
    await like.close();
  }
}

async function buildFirmware(registers: Registers): Promise<{ firmware: Uint8Array; ready: number }> {
  const { cr0, cr3, cr4, efer } = registers;
  const constants = { CR0: cr0!, CR3: cr3!, CR4: cr4!, EFER: efer! & ~LMA, GDT: GDT_ADDRESS };
  const source = Object.entries(constants).map(([name, value]) => `.equ ${name}, ${value}\n`);
  const image = await assemble(source.join('') + STUB, { file: 'firmware.s', origin: FIRMWARE, read: () => null });
  const firmware = new Uint8Array(FIRMWARE_SIZE);
  firmware.set(image.segments[0]!.bytes);
  firmware.set(jumpBack(RESET_VECTOR), RESET_VECTOR);
  return { firmware, ready: Number(image.symbols.find('ready')!.address) };
}

const LMA = 0x400n;
/** Where the direct boot puts it. */
const GDT_ADDRESS = 0x1000n;

/** JMP rel16 from an offset to offset 0. */
function jumpBack(offset: number): number[] {
  const length = 3;
  const distance = -(offset + length) & 0xffff;
  return [0xe9, distance & 0xff, distance >> 8];
}

/** Runs of pages that are not all zero, as [first byte, end]. */
function usedRuns(memory: Uint8Array): [number, number][] {
  const runs: [number, number][] = [];
  const empty = new Uint8Array(PAGE);
  for (let at = 0; at < memory.length; at += PAGE) {
    if (Buffer.compare(memory.subarray(at, at + PAGE), empty) === 0) continue;
    const last = runs.at(-1);
    if (last?.[1] === at) last[1] += PAGE;
    else runs.push([at, at + PAGE]);
  }
  return runs;
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
