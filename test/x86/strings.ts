// Byte strings to decode, in pieces that a seed makes again: random ones, and mutations of what rows look like.

import { MODE, type Mode } from '../../src/x86/decoder.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { generator, samplesOf } from './samples.ts';

/** The operating modes, as tables of tests have them. */
export const MODES: readonly (readonly [Mode])[] = [[MODE.CODE64], [MODE.CODE32], [MODE.CODE16]];

/** Bytes of a string: the longest instruction and one more. */
export const SIZE = 16;

type Next = () => number;

const PREFIXES = [0x66, 0xf3, 0xf2, 0xf0, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x48, 0x41, 0x42, 0x44, 0x4f, 0x40];
const pick = <T>(next: Next, list: ArrayLike<T>): T => list[next() % list.length]!;
const byte = (next: Next): number => (next() >>> 11) & 0xff;

/** Random bytes, with prefixes and opcode maps met more often than by chance. */
export function randomStrings(count: number, seed: number, mode: Mode): Uint8Array {
  const next = generator(seed);
  const bytes = new Uint8Array(count * SIZE);
  for (let at = 0; at < bytes.length; at += SIZE) {
    for (let i = 0; i < SIZE; i++) bytes[at + i] = byte(next);
    let p = at;
    for (let n = next() % 3; n > 0; n--) bytes[p++] = pick(next, PREFIXES);
    const kind = next() % 8;
    if (kind < 3) bytes[p++] = 0x0f;
    if (kind === 2) bytes[p++] = next() & 1 ? 0x38 : 0x3a;
    if (kind !== 3 && kind !== 4) continue;
    bytes[p++] = kind === 3 ? 0xc5 : 0xc4;
    if (kind === 4) bytes[p] = (bytes[p]! & 0xe0) | (1 + (next() % 3));
    if (mode !== MODE.CODE64) bytes[p]! |= 0xc0;
    if (next() & 1) bytes[kind === 3 ? p : p + 1]! |= 0x78;
  }
  return bytes;
}

/** Each changes a string in place; `length` is where the sample in it ended. */
const MUTATIONS: readonly ((string: Uint8Array, next: Next, length: number) => void)[] = [
  function flipsBit(string, next, length) {
    string[next() % (length + 1)]! ^= 1 << (next() % 8);
  },
  function changesByte(string, next, length) {
    string[next() % (length + 1)] = byte(next);
  },
  function insertsPrefix(string, next, length) {
    const at = next() % 4 === 0 ? next() % (length + 1) : 0;
    string.copyWithin(at + 1, at);
    string[at] = pick(next, PREFIXES);
  },
  function insertsMany(string, next) {
    const count = 1 + (next() % (SIZE - 1));
    string.copyWithin(count, 0);
    for (let i = 0; i < count; i++) string[i] = pick(next, PREFIXES);
  },
  function dropsByte(string, next, length) {
    string.copyWithin(next() % length, (next() % length) + 1);
  },
  function cutsShort(string, next, length) {
    for (let i = next() % length; i < SIZE; i++) string[i] = byte(next);
  },
  function changesModrm(string, next, length) {
    string[length - 1] = byte(next);
  },
];

const samples = new Map<Mode, readonly (readonly Uint8Array[])[]>();
/** Encodings of every row that the mode may have, by row. */
function samplesIn(mode: Mode): readonly (readonly Uint8Array[])[] {
  let found = samples.get(mode);
  if (!found) samples.set(mode, (found = ROWS.map((row) => samplesOf(row, mode)).filter((list) => list.length > 0)));
  return found;
}

/** Encodings of rows, each row as often as any other, with random bytes behind and none to three mutations. */
export function mutatedStrings(count: number, seed: number, mode: Mode): Uint8Array {
  const next = generator(seed);
  const rows = samplesIn(mode);
  const bytes = new Uint8Array(count * SIZE);
  for (let at = 0; at < bytes.length; at += SIZE) {
    const string = bytes.subarray(at, at + SIZE);
    const sample = pick(next, pick(next, rows));
    const length = Math.max(1, sample.findLastIndex((value) => value !== 0) + 1);
    string.set(sample);
    for (let i = length; i < SIZE; i++) string[i] = byte(next);
    for (let n = next() % 4; n > 0; n--) pick(next, MUTATIONS)(string, next, length);
  }
  return bytes;
}
