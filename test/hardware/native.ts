// The processor underneath as an oracle: runs an instruction, or a few in a row, natively in user mode and returns what they did. Needs Linux on x86-64
// and gcc; `nativeAvailable` says what is missing.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Linear addresses that a case may use; oracle.c maps the same. The pages around both areas are not mapped. */
export const NATIVE = {
  CODE: 0x2000_0000,
  CODE_SIZE: 0x2000,
  DATA: 0x3000_0000,
  DATA_SIZE: 0x2000,
  /** The bytes that a case sets and that are compared: across the boundary of the two data pages. The rest is zero. */
  WINDOW: 0x3000_0f80,
  WINDOW_SIZE: 256,
  GS_BASE: 0x3000_0040,
  FS_BASE: 0x3000_0080,
} as const;

/** Some code and all that it may read. */
export interface NativeCase {
  /** Up to 128 bytes. */
  readonly bytes: Uint8Array;
  /** Offset of the first one in the code pages, whose other bytes are INT3. */
  readonly offset: number;
  /** Stop after one instruction wherever it leads (branches), instead of at the INT3 behind it. */
  readonly step: boolean;
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15. */
  readonly gpr: readonly bigint[];
  /** User-modifiable flags: CF PF AF ZF SF DF OF AC. */
  readonly rflags: bigint;
  /** Contents of the window. */
  readonly window: Uint8Array;
}

export interface NativeResult {
  readonly gpr: readonly bigint[];
  readonly rip: bigint;
  readonly rflags: bigint;
  /** Vector of the exception that ended the case; null if everything retired. */
  readonly vector: number | null;
  readonly errorCode: number;
  /** #PF: the address. */
  readonly cr2: bigint;
  readonly window: Uint8Array;
  /** Mapped data outside the window was changed. */
  readonly stray: boolean;
  /** ES CS SS DS FS GS. A case begins with Linux's: CS 0x33, SS 0x2b, the others null. */
  readonly selectors: readonly number[];
  readonly fsBase: bigint;
  readonly gsBase: bigint;
}

const BYTES = 128;
const CASE_SIZE = BYTES + 8 + 16 * 8 + 8 + NATIVE.WINDOW_SIZE;
const WINDOW_AT = 16 * 8 + 3 * 8 + 3 * 4 + 6 * 2 + 2 * 8;
const RESULT_SIZE = WINDOW_AT + NATIVE.WINDOW_SIZE;
const [DEBUG_TRAP, BREAKPOINT, NEVER_ENDED] = [1, 3, 255];

/** True, or why this machine cannot be the oracle. */
export function nativeAvailable(): true | string {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `runs on Linux x64, not on ${process.platform} ${process.arch}`;
  if (spawnSync('gcc', ['--version']).status !== 0) return 'gcc is not installed';
  return true;
}

let program: string | null = null;

/** Compiles the oracle once for a test file. */
function oracle(): string {
  if (program) return program;
  const folder = mkdtempSync(join(tmpdir(), 'trapline-oracle-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'oracle');
  execFileSync('gcc', [
    '-O2',
    '-mno-red-zone',
    '-fno-stack-protector',
    '-o',
    file,
    join(import.meta.dirname, 'oracle.c'),
  ]);
  return (program = file);
}

/** What `oracle cpuid` says of each leaf, written as `leaf.subleaf` in hexadecimal, and in two lines more. */
export const askProcessor = (leaves: readonly string[]): string[] =>
  execFileSync(oracle(), ['cpuid', ...leaves], { encoding: 'utf8' })
    .trim()
    .split('\n');

/** Cases in one process: what spawnSync carries without trouble. */
const BATCH = 20_000;

/** Runs the cases, each from its own state. */
export function runNative(cases: readonly NativeCase[]): NativeResult[] {
  const batches = Array.from({ length: Math.ceil(cases.length / BATCH) }, (_, i) => i * BATCH);
  return batches.flatMap((from) => runBatch(cases.slice(from, from + BATCH)));
}

function runBatch(cases: readonly NativeCase[]): NativeResult[] {
  const input = Buffer.alloc(8 + cases.length * CASE_SIZE);
  input.writeBigUInt64LE(BigInt(cases.length));
  cases.forEach((c, i) => writeCase(input.subarray(8 + i * CASE_SIZE, 8 + (i + 1) * CASE_SIZE), c));
  const { status, signal, stdout, stderr } = spawnSync(oracle(), {
    input,
    maxBuffer: cases.length * RESULT_SIZE + 65536,
  });
  if (status !== 0)
    throw new Error(`the native oracle ended with ${signal ?? `status ${status}`}: ${stderr.toString()}`);
  return cases.map((c, i) => readResult(stdout.subarray(i * RESULT_SIZE, (i + 1) * RESULT_SIZE), c));
}

function writeCase(to: Buffer, { bytes, offset, step, gpr, rflags, window }: NativeCase): void {
  to.set(bytes, 0);
  to[BYTES] = bytes.length;
  to[BYTES + 1] = step ? 1 : 0;
  to.writeUInt32LE(offset, BYTES + 4);
  gpr.forEach((value, i) => to.writeBigUInt64LE(value, BYTES + 8 + 8 * i));
  to.writeBigUInt64LE(rflags, BYTES + 136);
  to.set(window, BYTES + 144);
}

function readResult(from: Buffer, { step }: NativeCase): NativeResult {
  const vector = from.readUInt32LE(152);
  if (vector === NEVER_ENDED) throw new Error('a case did not end within two seconds of processor time');
  return {
    gpr: Array.from({ length: 16 }, (_, i) => from.readBigUInt64LE(8 * i)),
    rip: from.readBigUInt64LE(128),
    rflags: from.readBigUInt64LE(136),
    vector: vector === (step ? DEBUG_TRAP : BREAKPOINT) ? null : vector,
    errorCode: from.readUInt32LE(156),
    cr2: from.readBigUInt64LE(144),
    stray: from.readUInt32LE(160) !== 0,
    selectors: Array.from({ length: 6 }, (_, i) => from.readUInt16LE(164 + 2 * i)),
    fsBase: from.readBigUInt64LE(176),
    gsBase: from.readBigUInt64LE(184),
    window: Uint8Array.from(from.subarray(WINDOW_AT)),
  };
}
