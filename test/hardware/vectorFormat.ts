// The format of test vectors: cases with what a processor made of them, compact, and complete without the code that generated them.
//
// Theory. A file is columns (columns.ts) behind brotli. The column `head` holds a JSON header, then the number of rows; of each row its encoding,
// mnemonic and operands as written, by which it is found again wherever it stands in the tables, and the number of its cases. Nearly all of a case's state is
// noise that a 32-bit seed stands for (seededState.ts); stored is the seed, as the distance from that of the case before, and what the case
// pins: registers, flags, bytes of the window. Of the outcome stored is what differs from the state before: an instruction writes a register or
// two. Each case has one number of bits that says what is there at all (HAS), so that the usual costs nothing. Registers and window are the
// 16 of NativeCase and the 256 bytes of NATIVE.WINDOW. RIP is told as the distance from where it is expected: behind the code, or at its
// start after a fault. Files of 16- and 32-bit code hold the selectors that a case begins with too, unless they are the plain ones of scene.ts.
//
// A case of a single instruction is judged with its row's undefined flags of today; a short program (its key is empty) brings its own.
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { SEGMENTS } from '../../src/x86/row.ts';
import type { Bits } from './bits.ts';
import { COMPARED_FLAGS } from './compare.ts';
import { ColumnReader, ColumnWriter } from './columns.ts';
import { USER_CS, USER_SS } from './linuxSegments.ts';
import { segmentAt, startRip } from './localSegments.ts';
import { NATIVE, type NativeCase, type NativeResult } from './nativeCase.ts';
import { plainScene } from './scene.ts';
import { seededState, seededState32, type SeededState } from './seededState.ts';

export const FORMAT = 1;

export interface VectorHeader {
  readonly format: number;
  /** Which processor recorded it. */
  readonly vendor: string;
  readonly family: number;
  readonly model: number;
  readonly features: readonly string[];
  /** In hexadecimal, since JSON has no bigint. */
  readonly xcr0: string;
  /** YYYY-MM-DD. */
  readonly date: string;
  readonly seed: number;
  /** Of its code; 64 if it does not say. */
  readonly bits?: Bits;
  /** Who answered in the processor's place. */
  readonly standIn?: string;
}

export const bitsOfFile = ({ bits }: VectorHeader): Bits => bits ?? 64;

export interface StoredCase extends NativeCase {
  readonly seed: number;
  /** Of short programs. */
  readonly undefinedFlags?: { readonly atEnd: string; readonly anywhere: string };
}

export interface Vector {
  readonly test: StoredCase;
  readonly result: NativeResult;
}

export interface RowVectors {
  /** `rowKey` of the row; empty for short programs. */
  readonly key: string;
  readonly vectors: readonly Vector[];
}

export interface VectorFile {
  readonly header: VectorHeader;
  readonly rows: readonly RowVectors[];
}

const HAS = {
  STEP: 1,
  PINNED_REGISTERS: 2,
  PINNED_FLAGS: 4,
  PINNED_BYTES: 8,
  UNDEFINED_FLAGS: 16,
  VECTOR: 32,
  MOVED_RIP: 64,
  REGISTERS: 128,
  FLAGS: 256,
  BYTES: 512,
  SEGMENTS: 1024,
  STRAY: 2048,
  SCENE: 4096,
} as const;

const U64 = (1n << 64n) - 1n;
const [FS, GS] = [4, 5];
const START64 = {
  selectors: [0, USER_CS, USER_SS, 0, 0, 0],
  fsBase: BigInt(NATIVE.FS_BASE),
  gsBase: BigInt(NATIVE.GS_BASE),
} as const;

/** The segments that a case begins with. */
function startOf({ selectors }: NativeCase): Pick<NativeResult, 'selectors' | 'fsBase' | 'gsBase'> {
  if (!selectors) return START64;
  const base = (segment: number): bigint => BigInt(segmentAt(selectors[segment]!)?.base ?? 0);
  return { selectors, fsBase: base(FS), gsBase: base(GS) };
}

const stateOf = (seed: number, bits: Bits): SeededState => (bits === 64 ? seededState(seed) : seededState32(seed));

/** Numbers of either sign as unsigned ones that are small when those are near zero. */
const fold = (value: bigint): bigint => (value < 0n ? (-value << 1n) - 1n : value << 1n);
const unfold = (value: bigint): bigint => (value & 1n ? -((value + 1n) >> 1n) : value >> 1n);

const expectedRip = (test: NativeCase, faulted: boolean): bigint =>
  startRip(test) + BigInt(faulted ? 0 : test.bytes.length);

/** Registers that differ: a mask, then their values. */
function writeRegisters(to: ColumnWriter, column: string, before: readonly bigint[], after: readonly bigint[]): void {
  const changed = after.map((value, i) => (value === before[i] ? 0 : 1 << i)).reduce((mask, bit) => mask | bit, 0);
  to.number(`${column}.mask`, changed);
  after.forEach((value, i) => changed & (1 << i) && to.bigint(column, value));
}

function readRegisters(from: ColumnReader, column: string, before: readonly bigint[]): bigint[] {
  const changed = from.number(`${column}.mask`);
  return before.map((value, i) => (changed & (1 << i) ? from.bigint(column) : value));
}

const GAP = 4;

/** Bytes that differ, in runs: the number of runs; of each how far behind the last one, and what is there now. */
function writeBytes(to: ColumnWriter, column: string, before: Uint8Array, after: Uint8Array): void {
  const runs: { from: number; end: number }[] = [];
  after.forEach((byte, i) => {
    if (byte === before[i]) return;
    const last = runs.at(-1);
    if (last && i - last.end < GAP) last.end = i + 1;
    else runs.push({ from: i, end: i + 1 });
  });
  to.number(`${column}.runs`, runs.length);
  let at = 0;
  for (const { from, end } of runs) {
    to.number(`${column}.runs`, from - at);
    to.bytes(column, after.subarray(from, end));
    at = end;
  }
}

function readBytes(from: ColumnReader, column: string, before: Uint8Array): Uint8Array {
  const after = Uint8Array.from(before);
  let at = 0;
  for (let left = from.number(`${column}.runs`); left > 0; left--) {
    at += from.number(`${column}.runs`);
    const bytes = from.bytes(column);
    after.set(bytes, at);
    at += bytes.length;
  }
  return after;
}

const same = <T>(a: ArrayLike<T>, b: ArrayLike<T>): boolean => Array.prototype.every.call(a, (x, i) => x === b[i]);

function writeVector(to: ColumnWriter, bits: Bits, { test, result }: Vector, lastSeed: number): void {
  const seeded = stateOf(test.seed, bits);
  const start = startOf(test);
  const faulted = result.vector !== null;
  const rip = result.rip - expectedRip(test, faulted);
  const flagsBefore = test.rflags & COMPARED_FLAGS;
  const flagsAfter = result.rflags & COMPARED_FLAGS;
  const segments =
    !same(result.selectors, start.selectors) || result.fsBase !== start.fsBase || result.gsBase !== start.gsBase;
  const has =
    (test.step ? HAS.STEP : 0) |
    (same(test.gpr, seeded.gpr) ? 0 : HAS.PINNED_REGISTERS) |
    (test.rflags === seeded.rflags ? 0 : HAS.PINNED_FLAGS) |
    (same(test.window, seeded.window) ? 0 : HAS.PINNED_BYTES) |
    (test.undefinedFlags ? HAS.UNDEFINED_FLAGS : 0) |
    (faulted ? HAS.VECTOR : 0) |
    (rip === 0n ? 0 : HAS.MOVED_RIP) |
    (same(result.gpr, test.gpr) ? 0 : HAS.REGISTERS) |
    (flagsAfter === flagsBefore ? 0 : HAS.FLAGS) |
    (same(result.window, test.window) ? 0 : HAS.BYTES) |
    (segments ? HAS.SEGMENTS : 0) |
    (result.stray ? HAS.STRAY : 0) |
    (bits === 64 || same(start.selectors, plainScene(bits)) ? 0 : HAS.SCENE);
  to.number('has', has);
  to.number('seed', (test.seed - lastSeed) >>> 0);
  to.number('offset', test.offset);
  to.bytes('code', test.bytes);
  if (has & HAS.SCENE) start.selectors.forEach((selector, i) => to.number(`scene.${SEGMENTS[i]}`, selector));
  if (has & HAS.PINNED_REGISTERS) writeRegisters(to, 'pinned', seeded.gpr, test.gpr);
  if (has & HAS.PINNED_FLAGS) to.bigint('pinned.flags', test.rflags ^ seeded.rflags);
  if (has & HAS.PINNED_BYTES) writeBytes(to, 'pinned.bytes', seeded.window, test.window);
  if (test.undefinedFlags) {
    to.text('undefined', test.undefinedFlags.atEnd);
    to.text('undefined', test.undefinedFlags.anywhere);
  }
  if (faulted) {
    to.number('vector', result.vector);
    to.number('error', result.errorCode);
    to.bigint('cr2', result.cr2);
  }
  if (has & HAS.MOVED_RIP) to.bigint('rip', fold(rip));
  if (has & HAS.REGISTERS) writeRegisters(to, 'registers', test.gpr, result.gpr);
  if (has & HAS.FLAGS) to.bigint('flags', flagsAfter ^ flagsBefore);
  if (has & HAS.BYTES) writeBytes(to, 'bytes', test.window, result.window);
  if (has & HAS.SEGMENTS) {
    for (const selector of result.selectors) to.number('selectors', selector);
    to.bigint('bases', result.fsBase);
    to.bigint('bases', result.gsBase);
  }
}

function readScene(from: ColumnReader, bits: Bits, has: number): Pick<NativeCase, 'selectors'> {
  if (bits === 64) return {};
  return {
    selectors: has & HAS.SCENE ? SEGMENTS.map((name) => from.number(`scene.${name}`)) : plainScene(bits),
  };
}

function readVector(from: ColumnReader, bits: Bits, lastSeed: number): Vector {
  const has = from.number('has');
  const seed = (lastSeed + from.number('seed')) >>> 0;
  const seeded = stateOf(seed, bits);
  const offset = from.number('offset');
  const bytes = from.bytes('code');
  const scene = readScene(from, bits, has);
  const gpr = has & HAS.PINNED_REGISTERS ? readRegisters(from, 'pinned', seeded.gpr) : seeded.gpr;
  const rflags = has & HAS.PINNED_FLAGS ? seeded.rflags ^ from.bigint('pinned.flags') : seeded.rflags;
  const window = has & HAS.PINNED_BYTES ? readBytes(from, 'pinned.bytes', seeded.window) : seeded.window;
  const open =
    has & HAS.UNDEFINED_FLAGS
      ? { undefinedFlags: { atEnd: from.text('undefined'), anywhere: from.text('undefined') } }
      : {};
  const step = (has & HAS.STEP) !== 0;
  const test: StoredCase = { seed, bytes, offset, step, gpr, rflags, window, ...scene, ...open };
  const faulted = (has & HAS.VECTOR) !== 0;
  const vector = faulted ? from.number('vector') : null;
  const errorCode = faulted ? from.number('error') : 0;
  const cr2 = faulted ? from.bigint('cr2') : 0n;
  const moved = has & HAS.MOVED_RIP ? unfold(from.bigint('rip')) : 0n;
  const after = has & HAS.REGISTERS ? readRegisters(from, 'registers', gpr) : gpr;
  const flags = (rflags & COMPARED_FLAGS) ^ (has & HAS.FLAGS ? from.bigint('flags') : 0n);
  const windowAfter = has & HAS.BYTES ? readBytes(from, 'bytes', window) : window;
  const segments =
    has & HAS.SEGMENTS
      ? {
          selectors: SEGMENTS.map(() => from.number('selectors')),
          fsBase: from.bigint('bases'),
          gsBase: from.bigint('bases'),
        }
      : startOf(test);
  const result: NativeResult = {
    gpr: after,
    rip: (expectedRip(test, faulted) + moved) & U64,
    rflags: flags,
    vector,
    errorCode,
    cr2,
    window: windowAfter,
    stray: (has & HAS.STRAY) !== 0,
    ...segments,
  };
  return { test, result };
}

export function encodeVectors({ header, rows }: VectorFile): Uint8Array {
  const to = new ColumnWriter();
  to.text('head', JSON.stringify(header));
  to.number('head', rows.length);
  for (const { key, vectors } of rows) {
    to.text('head', key);
    to.number('head', vectors.length);
    let lastSeed = 0;
    for (const vector of vectors) {
      writeVector(to, bitsOfFile(header), vector, lastSeed);
      lastSeed = vector.test.seed;
    }
  }
  const plain = to.finish();
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 9,
    [constants.BROTLI_PARAM_LGWIN]: 22,
    [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
  };
  return brotliCompressSync(plain, { params });
}

export function decodeVectors(bytes: Uint8Array): VectorFile {
  const from = new ColumnReader(brotliDecompressSync(bytes));
  const header = JSON.parse(from.text('head')) as VectorHeader;
  if (header.format !== FORMAT)
    throw new Error(
      `the vectors are of format ${header.format}, this code reads ${FORMAT}: npm run oracle -- --record`,
    );
  const rows: RowVectors[] = [];
  for (let left = from.number('head'); left > 0; left--) {
    const key = from.text('head');
    const count = from.number('head');
    const vectors: Vector[] = [];
    for (let lastSeed = 0; vectors.length < count; lastSeed = vectors.at(-1)!.test.seed)
      vectors.push(readVector(from, bitsOfFile(header), lastSeed));
    rows.push({ key, vectors });
  }
  return { header, rows };
}
