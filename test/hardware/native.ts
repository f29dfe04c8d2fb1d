// The processor underneath as an oracle: runs an instruction, or a few in a row, natively in user mode and returns what they did. Needs Linux on x86-64
// and gcc; `nativeAvailable` says what is missing.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LINUX_ENTRY_BYTES, linuxEntries, startRip } from './localSegments.ts';
import { NATIVE, type NativeCase, type NativeResult } from './nativeCase.ts';

const BYTES = 128;
export const CASE_SIZE = BYTES + 168 + NATIVE.WINDOW_SIZE;
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
  const entries = cases.some(({ selectors }) => selectors) ? linuxEntries() : new Uint8Array(0);
  const head = 16 + entries.length;
  const input = Buffer.alloc(head + cases.length * CASE_SIZE);
  input.writeBigUInt64LE(BigInt(entries.length / LINUX_ENTRY_BYTES), 0);
  input.writeBigUInt64LE(BigInt(cases.length), 8);
  input.set(entries, 16);
  cases.forEach((c, i) => writeCase(input.subarray(head + i * CASE_SIZE, head + (i + 1) * CASE_SIZE), c));
  const { status, signal, stdout, stderr } = spawnSync(oracle(), {
    input,
    maxBuffer: cases.length * RESULT_SIZE + 65536,
  });
  if (status !== 0)
    throw new Error(`the native oracle ended with ${signal ?? `status ${status}`}: ${stderr.toString()}`);
  return cases.map((c, i) => readResult(stdout.subarray(i * RESULT_SIZE, (i + 1) * RESULT_SIZE), c));
}

export function writeCase(to: Buffer, test: NativeCase): void {
  const { bytes, offset, step, gpr, rflags, window, selectors } = test;
  to.set(bytes, 0);
  to[BYTES] = bytes.length;
  to[BYTES + 1] = step ? 1 : 0;
  to.writeUInt32LE(offset, BYTES + 4);
  gpr.forEach((value, i) => to.writeBigUInt64LE(value, BYTES + 8 + 8 * i));
  to.writeBigUInt64LE(rflags, BYTES + 136);
  to.writeBigUInt64LE(startRip(test), BYTES + 144);
  selectors?.forEach((selector, i) => to.writeUInt16LE(selector, BYTES + 152 + 2 * i));
  to.set(window, BYTES + 168);
}

/** The vector of the exception that ends a case in which everything retires. */
export const endOf = ({ step }: NativeCase): number => (step ? DEBUG_TRAP : BREAKPOINT);

/** The upper half of a register is undefined after 16- and 32-bit code (SDM vol. 1, 3.4.1.1). */
export const visible = (value: bigint, legacy: boolean): bigint => (legacy ? value & 0xffff_ffffn : value);

function readResult(from: Buffer, test: NativeCase): NativeResult {
  const vector = from.readUInt32LE(152);
  if (vector === NEVER_ENDED) throw new Error('a case did not end within two seconds of processor time');
  return {
    gpr: Array.from({ length: 16 }, (_, i) => visible(from.readBigUInt64LE(8 * i), test.selectors !== undefined)),
    rip: from.readBigUInt64LE(128),
    rflags: from.readBigUInt64LE(136),
    vector: vector === endOf(test) ? null : vector,
    errorCode: from.readUInt32LE(156),
    cr2: from.readBigUInt64LE(144),
    stray: from.readUInt32LE(160) !== 0,
    selectors: Array.from({ length: 6 }, (_, i) => from.readUInt16LE(164 + 2 * i)),
    fsBase: from.readBigUInt64LE(176),
    gsBase: from.readBigUInt64LE(184),
    window: Uint8Array.from(from.subarray(WINDOW_AT)),
  };
}
