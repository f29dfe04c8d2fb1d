// The processor underneath as an oracle for system code: runs cases in a virtual machine of their own (kvm.c) and returns what they did.
import { execFileSync, spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CpuidResult } from '../../src/cpu/features.ts';
import { MSR } from '../../src/x86/names/msrs.ts';
import type { Poke, SegmentValue } from '../cpu/systemImage.ts';

/** Registers of the general kind by number, RIP, flags, segments in the state block's order, tables, control registers and MSRs. */
export interface SystemState {
  readonly gpr: readonly bigint[];
  readonly rip: bigint;
  readonly rflags: bigint;
  /** ES CS SS DS FS GS LDTR TR. */
  readonly segments: readonly SegmentValue[];
  readonly gdtrBase: bigint;
  readonly gdtrLimit: number;
  readonly idtrBase: bigint;
  readonly idtrLimit: number;
  readonly cr0: bigint;
  readonly cr2: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly cr8: bigint;
  readonly efer: bigint;
  /** Values of ORACLE_MSRS. */
  readonly msrs: readonly bigint[];
}

export interface SystemCase extends SystemState {
  /** What the case is about, for a person. */
  readonly name: string;
  /** Changes to the image: 8-byte words. */
  readonly pokes: readonly Poke[];
  /** An event to inject at entry, in VMX's interruption-information layout; 0 for none. */
  readonly event: number;
  readonly eventError: number;
}

export interface SystemResult extends SystemState {
  /** `refused`: the virtual machine cannot be in the start state, for features that it lacks. */
  readonly end: 'halted' | 'shutdown' | 'outside memory' | 'endless' | 'refused' | 'failed';
  readonly nmiBlocked: boolean;
  /** Words of memory that differ from the start of the case. */
  readonly changed: readonly Poke[];
}

// prettier-ignore
export const ORACLE_MSRS = [
  MSR.STAR, MSR.LSTAR, MSR.CSTAR, MSR.FMASK, MSR.KERNEL_GS_BASE, MSR.SYSENTER_CS, MSR.SYSENTER_ESP, MSR.SYSENTER_EIP, MSR.PAT,
] as const;

/** True, or why this machine cannot be the oracle. */
export function kvmAvailable(): true | string {
  // A /dev/kvm may itself be emulated, and then be slow, or wrong about ring 0: it is asked for on purpose only.
  if (process.env.TRAPLINE_KVM !== '1') return 'set TRAPLINE_KVM=1 where KVM runs on hardware';
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `runs on Linux x64, not on ${process.platform} ${process.arch}`;
  if (spawnSync('gcc', ['--version']).status !== 0) return 'gcc is not installed';
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return '/dev/kvm cannot be opened';
  }
}

/** Order of struct kvm_regs, by register number: RAX RBX RCX RDX RSI RDI RSP RBP R8 .. R15. */
const GPR_ORDER = [0, 3, 1, 2, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
/** Order of the segments in struct kvm_sregs, by the state block's number: CS DS ES FS GS SS TR LDTR. */
const SEGMENT_ORDER = [1, 3, 0, 4, 5, 2, 7, 6];
const UNUSABLE = 0x100;
const REGS = 18 * 8;
const SEGMENT = 24;
const TABLE = 16;
const SREGS = 8 * SEGMENT + 2 * TABLE + 7 * 8 + 32;
const ENDS: Readonly<Record<number, SystemResult['end']>> = {
  5: 'halted',
  8: 'shutdown',
  6: 'outside memory',
  255: 'endless',
};

function compile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-kvm-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'kvm');
  execFileSync('gcc', ['-O2', '-o', file, join(import.meta.dirname, 'kvm.c')]);
  return file;
}

/** Runs the cases, each from the image and its own registers; also gives the CPUID of the virtual machine. */
export function runKvm(
  image: Uint8Array,
  cases: readonly SystemCase[],
): { results: SystemResult[]; cpuid: (leaf: number, subleaf: number) => CpuidResult } {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(image.length, 0);
  head.writeUInt32LE(cases.length, 4);
  const { status, stdout, stderr } = spawnSync(compile(), {
    input: Buffer.concat([head, image, ...cases.map(writeCase)]),
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`the KVM oracle ended with status ${status}: ${stderr.toString()}`);
  const from = new Reader(stdout);
  const cpuid = readCpuid(from);
  return { results: cases.map(() => readResult(from)), cpuid };
}

function writeCase(c: SystemCase): Buffer {
  const to = Buffer.alloc(REGS + SREGS + 16 * ORACLE_MSRS.length + 12 + 16 * c.pokes.length);
  let at = 0;
  const u64 = (value: bigint): void => void (at = to.writeBigUInt64LE(value, at));
  for (const register of GPR_ORDER) u64(c.gpr[register]!);
  u64(c.rip);
  u64(c.rflags);
  for (const segment of SEGMENT_ORDER) at = writeSegment(to, at, c.segments[segment]!);
  for (const [base, limit] of [
    [c.gdtrBase, c.gdtrLimit],
    [c.idtrBase, c.idtrLimit],
  ] as const) {
    // prettier-ignore
    u64(base);
    u64(BigInt(limit));
  }
  for (const value of [c.cr0, c.cr2, c.cr3, c.cr4, c.cr8, c.efer, 0xfee0_0900n, 0n, 0n, 0n, 0n]) u64(value);
  ORACLE_MSRS.forEach((index, i) => {
    u64(BigInt(index));
    u64(c.msrs[i]!);
  });
  at = to.writeUInt32LE(c.event, at);
  at = to.writeUInt32LE(c.eventError, at);
  at = to.writeUInt32LE(c.pokes.length, at);
  for (const [address, value] of c.pokes) {
    u64(BigInt(address));
    u64(value);
  }
  return to;
}

/** struct kvm_segment: base, limit, selector, then type, present, dpl, db, s, l, g, avl, unusable as bytes. */
function writeSegment(to: Buffer, at: number, { base, limit, selector, attributes: a }: SegmentValue): number {
  to.writeBigUInt64LE(base, at);
  to.writeUInt32LE(limit, at + 8);
  to.writeUInt16LE(selector, at + 12);
  const bit = (n: number): number => (a >> n) & 1;
  to.set([a & 15, bit(7), (a >> 5) & 3, bit(14), bit(4), bit(13), bit(15), bit(12), a & UNUSABLE ? 1 : 0], at + 14);
  return at + SEGMENT;
}

class Reader {
  readonly #from: Buffer;
  #at = 0;
  constructor(from: Buffer) {
    this.#from = from;
  }
  u32(): number {
    return this.#from.readUInt32LE((this.#at += 4) - 4);
  }
  u64(): bigint {
    return this.#from.readBigUInt64LE((this.#at += 8) - 8);
  }
  bytes(count: number): Buffer {
    return this.#from.subarray((this.#at += count) - count, this.#at);
  }
}

function readCpuid(from: Reader): (leaf: number, subleaf: number) => CpuidResult {
  const leaves = Array.from({ length: from.u32() }, () => ({
    leaf: from.u32(),
    subleaf: from.u32(),
    answer: { eax: from.u32(), ebx: from.u32(), ecx: from.u32(), edx: from.u32() },
  }));
  return (leaf, subleaf) =>
    leaves.find((l) => l.leaf === leaf && l.subleaf === subleaf)?.answer ?? { eax: 0, ebx: 0, ecx: 0, edx: 0 };
}

function readResult(from: Reader): SystemResult {
  const reason = from.u32();
  const nmiBlocked = from.u32() !== 0;
  const gpr = new Array<bigint>(16);
  for (const register of GPR_ORDER) gpr[register] = from.u64();
  const rip = from.u64();
  const rflags = from.u64();
  const segments = new Array<SegmentValue>(8);
  for (const segment of SEGMENT_ORDER) segments[segment] = readSegment(from.bytes(SEGMENT));
  const [gdtrBase, gdtrLimit, idtrBase, idtrLimit] = [from.u64(), from.u64(), from.u64(), from.u64()];
  const [cr0, cr2, cr3, cr4, cr8, efer] = Array.from({ length: 6 }, () => from.u64()) as [bigint, bigint, bigint, bigint, bigint, bigint]; // prettier-ignore
  from.bytes(8 + 32); // APIC base and pending interrupts
  const msrs = ORACLE_MSRS.map(() => (from.u64(), from.u64()));
  const changed = Array.from({ length: from.u32() }, (): Poke => [from.u32(), from.u64()]);
  const tables = { gdtrBase, gdtrLimit: Number(gdtrLimit), idtrBase, idtrLimit: Number(idtrLimit) };
  return {
    end: ENDS[reason] ?? 'failed',
    nmiBlocked,
    gpr,
    rip,
    rflags,
    segments,
    ...tables,
    cr0,
    cr2,
    cr3,
    cr4,
    cr8,
    efer,
    msrs,
    changed,
  };
}

function readSegment(from: Buffer): SegmentValue {
  const [type, present, dpl, db, s, l, g, avl, unusable] = from.subarray(14, 23) as unknown as number[];
  const attributes =
    type! |
    (s! << 4) |
    (dpl! << 5) |
    (present! << 7) |
    (avl! << 12) |
    (l! << 13) |
    (db! << 14) |
    (g! << 15) |
    (unusable ? UNUSABLE : 0);
  return { base: from.readBigUInt64LE(0), limit: from.readUInt32LE(8), selector: from.readUInt16LE(12), attributes };
}
