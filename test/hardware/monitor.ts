// Another machine in the processor's place: its answers to cases of 16- and 32-bit code. The guest that asks is monitor.s; here is the memory that it
// runs in, with the same code and data pages, the same LDT and Linux's GDT.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assemble } from '../../src/assembler/assemble.ts';
import { PTE } from '../../src/x86/names/paging.ts';
import { CR0, CR4, EFER } from '../../src/x86/names/registers.ts';
import type { Peer, Start } from '../peers/peer.ts';
import { GDT, OPEN_GATES } from './linuxSegments.ts';
import { LDT, LDT_SELECTOR } from './localSegments.ts';
import { CASE_SIZE, endOf, writeCase } from './native.ts';
import { NATIVE, type NativeCase, type NativeResult } from './nativeCase.ts';

const KERNEL = 0x80_0000_0000n;
const MIB = 2 ** 20;
const MEMORY = 32 * MIB;
/** Physical addresses. */
const AT = {
  PML4: 0x1000,
  PDPT_LOW: 0x2000,
  PD_LOW: 0x3000,
  CODE_TABLE: 0x4000,
  DATA_TABLE: 0x5000,
  CODE: 0x6000,
  DATA: 0x8000,
  PDPT_KERNEL: 0xa000,
  PD_KERNEL: 0xb000,
  GDT: 0xc000,
  IDT: 0xd000,
  TSS: 0xe000,
  LDT: 0xf000,
  STACK_END: 0x14000,
  ALIAS: 0x14000,
  ALIAS_PDPT: 0x15000,
  ALIAS_PD: 0x16000,
  ALIAS_TABLE: 0x17000,
  MONITOR: 0x20000,
  CASES: 0x20_0000,
};
const LARGE = 0x80;
const ENTRIES = 512;
const PAGE = 4096;
const [KERNEL_CS, KERNEL_DS, TASK] = [0x10, 0x18, 0x40];
const [TSS_BUSY, LDT_TYPE] = [0x8b, 0x82];
const TSS_LIMIT = 0x67;
const [TSS_RSP0, TSS_IO_MAP_BASE] = [4, 102];
const INT3 = 0xcc;
const VECTORS = 32;
const STUB_BYTES = 16;
const INTERRUPT_GATE = 0x8e;
const FOR_ANYONE = 0x60;

/** A descriptor of 16 bytes: a TSS or an LDT. */
function systemDescriptor(base: bigint, limit: number, type: number): [bigint, bigint] {
  const low = BigInt(limit) | ((base & 0xff_ffffn) << 16n) | (BigInt(type) << 40n) | ((base >> 24n) & 0xffn) << 56n; // prettier-ignore
  return [low, base >> 32n];
}

const gate = (target: bigint, forAnyone: boolean): [bigint, bigint] => {
  const attributes = BigInt(INTERRUPT_GATE | (forAnyone ? FOR_ANYONE : 0));
  const low =
    (target & 0xffffn) | (BigInt(KERNEL_CS) << 16n) | (attributes << 40n) | (((target >> 16n) & 0xffffn) << 48n);
  return [low, target >> 32n];
};

interface Monitor {
  readonly bytes: Uint8Array;
  readonly stubs: bigint;
}

async function monitor(): Promise<Monitor> {
  const file = join(import.meta.dirname, 'monitor.s');
  const image = await assemble(readFileSync(file, 'utf8'), { file, origin: AT.MONITOR, read: () => null });
  const memory = new Uint8Array(AT.CASES - AT.MONITOR);
  for (const { gpa, bytes } of image.segments) memory.set(bytes, Number(gpa) - AT.MONITOR);
  return { bytes: memory, stubs: image.symbols.find('stubs')!.address };
}

function memoryFor({ bytes, stubs }: Monitor, cases: readonly NativeCase[]): Uint8Array {
  const memory = Buffer.alloc(MEMORY);
  const quad = (at: number, value: bigint | number) => memory.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at);
  const link = (table: number, index: number, to: number, flags: number = PTE.U) =>
    quad(table + 8 * index, to | PTE.P | PTE.W | flags);
  link(AT.PML4, 0, AT.PDPT_LOW);
  link(AT.PDPT_LOW, 0, AT.PD_LOW);
  link(AT.PD_LOW, 0, 0, LARGE); // for the firmware
  link(AT.PD_LOW, NATIVE.CODE >> 21, AT.CODE_TABLE);
  link(AT.PD_LOW, NATIVE.DATA >> 21, AT.DATA_TABLE);
  for (let at = 0; at < NATIVE.CODE_SIZE; at += PAGE) link(AT.CODE_TABLE, at / PAGE, AT.CODE + at);
  for (let at = 0; at < NATIVE.DATA_SIZE; at += PAGE) link(AT.DATA_TABLE, at / PAGE, AT.DATA + at);
  link(AT.PML4, 1, AT.PDPT_KERNEL, 0);
  link(AT.PDPT_KERNEL, 0, AT.PD_KERNEL, 0);
  for (let at = 0; at < MEMORY; at += 2 * MIB) link(AT.PD_KERNEL, at / (2 * MIB), at, LARGE);
  link(AT.PML4, 2, AT.ALIAS_PDPT, 0);
  for (let i = 0; i < ENTRIES; i++) {
    link(AT.ALIAS_PDPT, i, AT.ALIAS_PD, 0);
    link(AT.ALIAS_PD, i, AT.ALIAS_TABLE, 0);
    link(AT.ALIAS_TABLE, i, AT.ALIAS, 0);
  }
  const at = (physical: number) => KERNEL + BigInt(physical);
  GDT.forEach((descriptor, i) => quad(AT.GDT + 8 * i, descriptor));
  systemDescriptor(at(AT.TSS), TSS_LIMIT, TSS_BUSY).forEach((half, i) => quad(AT.GDT + TASK + 8 * i, half));
  systemDescriptor(at(AT.LDT), LDT.byteLength - 1, LDT_TYPE).forEach((half, i) =>
    quad(AT.GDT + LDT_SELECTOR + 8 * i, half),
  );
  LDT.forEach((descriptor, i) => quad(AT.LDT + 8 * i, descriptor));
  for (let vector = 0; vector < VECTORS; vector++)
    gate(KERNEL + stubs + BigInt(STUB_BYTES * vector), OPEN_GATES.includes(vector)).forEach((half, i) =>
      quad(AT.IDT + 16 * vector + 8 * i, half),
    );
  quad(AT.TSS + TSS_RSP0, at(AT.STACK_END));
  memory.writeUInt16LE(TSS_LIMIT + 1, AT.TSS + TSS_IO_MAP_BASE); // no port is open
  memory.fill(INT3, AT.CODE, AT.CODE + NATIVE.CODE_SIZE);
  memory.set(bytes, AT.MONITOR);
  quad(AT.CASES, cases.length);
  cases.forEach((test, i) => writeCase(memory.subarray(AT.CASES + 8 + i * CASE_SIZE), test));
  return memory;
}

/** Registers at the monitor's entry, by the names that firmware.ts knows. */
function startOf(memory: Uint8Array, entry: bigint): Start {
  const flags = {
    cr0: CR0.PG | CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.WP | CR0.AM,
    cr4: CR4.PAE | CR4.OSXSAVE | CR4.FSGSBASE | CR4.OSFXSR,
    efer: EFER.LME | EFER.LMA | EFER.NXE | EFER.SCE,
  };
  const gpr = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
  const registers = {
    ...Object.fromEntries(gpr.map((name) => [name, 0n])),
    ...flags,
    cr3: BigInt(AT.PML4),
    cs: BigInt(KERNEL_CS),
    ds: BigInt(KERNEL_DS),
    tr: BigInt(TASK),
    'tr.attributes': BigInt(TSS_BUSY),
    'gdtr.base': BigInt(AT.GDT),
    'gdtr.limit': BigInt(GDT.byteLength - 1),
    rip: KERNEL + entry,
  };
  return { memory, registers };
}

/** Cases in one run. */
const BATCH = 20_000;
const PATIENCE_MS = 180_000;
const [LETTER_A, END_OF_CASE] = ['A', ','].map((letter) => letter.charCodeAt(0)) as [number, number];
const RESULT_SIZE = 72;
const [CS, RIP_AT] = [1, 48];

/** What a machine does with cases of 16- and 32-bit code. Throws if one cannot even begin. */
export async function askPeer(peer: Peer, cases: readonly NativeCase[]): Promise<NativeResult[]> {
  const assembled = await monitor();
  const results: NativeResult[] = [];
  for (let from = 0; from < cases.length; from += BATCH) {
    const batch = cases.slice(from, from + BATCH);
    const start = startOf(memoryFor(assembled, batch), BigInt(AT.MONITOR));
    const { bytes } = await peer.run(start, PATIENCE_MS);
    let at = 0;
    for (const test of batch) {
      const end = bytes.indexOf(END_OF_CASE, at);
      results.push(resultOf(fromLetters(bytes.subarray(at, end)), test));
      at = end + 1;
    }
  }
  return results;
}

function fromLetters(letters: Uint8Array): Buffer {
  const bytes = Buffer.alloc(letters.length / 2);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = ((letters[2 * i]! - LETTER_A) << 4) | (letters[2 * i + 1]! - LETTER_A);
  return bytes;
}

/** A result as the monitor tells it. */
function resultOf(from: Buffer, test: NativeCase): NativeResult {
  const long = (at: number): bigint => BigInt(from.readUInt32LE(at));
  const selectors = Array.from({ length: 6 }, (_, i) => from.readUInt16LE(32 + 2 * i));
  if (selectors[CS] === KERNEL_CS)
    throw new Error(
      `the monitor ran into exception ${from[44]} at 0x${from.readBigUInt64LE(RIP_AT).toString(16)} before ${Buffer.from(test.bytes).toString('hex')}`,
    );
  return {
    gpr: Array.from({ length: 16 }, (_, i) => (i < 8 ? long(4 * i) : 0n)),
    selectors,
    vector: from[44] === endOf(test) ? null : from[44]!,
    stray: from[45] !== 0,
    errorCode: from.readUInt16LE(46),
    rip: from.readBigUInt64LE(RIP_AT),
    rflags: long(56),
    cr2: long(60),
    fsBase: long(64),
    gsBase: long(68),
    window: from.length > RESULT_SIZE ? Uint8Array.from(from.subarray(RESULT_SIZE)) : test.window,
  };
}
