// Values of a machine as JSON and back: what JSON has not is an object with one key that says what it is.
//
//   {"$bigint": "0x1f"}   {"$number": "Infinity"}   {"$bytes": "0*16 255 1*3"}
//
// Arrays of numbers, which are mostly zeroes, are runs: an element, or element*count.

import { SnapshotError } from './snapshotError.ts';

export type Json = number | boolean | string | null | Json[] | { [name: string]: Json };
type NumberArray = Uint8Array | Uint32Array | Float64Array;

/** The elements of an array as runs. */
export function encodeRuns(array: NumberArray): string {
  const runs: string[] = [];
  for (let at = 0; at < array.length; ) {
    let end = at + 1;
    while (end < array.length && array[end] === array[at]) end++;
    runs.push(end - at === 1 ? `${array[at]}` : `${array[at]}*${end - at}`);
    at = end;
  }
  return runs.join(' ');
}

/** Fills an array; false when the runs are not made for one of its length. */
export function decodeRuns(runs: string, array: NumberArray): boolean {
  let at = 0;
  for (const run of runs === '' ? [] : runs.split(' ')) {
    const [value, count = 1] = run.split('*').map(Number);
    if (value === undefined || Number.isNaN(value) || !(count >= 1) || at + count > array.length) return false;
    array.fill(value, at, at + count);
    at += count;
  }
  return at === array.length;
}

const lengthOfRuns = (runs: string): number =>
  runs === '' ? 0 : runs.split(' ').reduce((sum, run) => sum + Number(run.split('*')[1] ?? 1), 0);

/** An object of the language's own, or one without a prototype, as parsers make them. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** Data of any shape. Throws a TypeError for a function or an object with a class of its own. */
export function encode(value: unknown): Json {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $number: String(value) };
  if (typeof value === 'bigint')
    return { $bigint: `${value < 0n ? '-' : ''}0x${(value < 0n ? -value : value).toString(16)}` };
  if (value instanceof Uint8Array) return { $bytes: encodeRuns(value) };
  if (Array.isArray(value)) return value.map(encode);
  if (typeof value !== 'object' || !isPlain(value)) throw new TypeError(`${String(value)} is no plain data`);
  const known = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(known.map(([name, field]) => [name, encode(field)]));
}

const LONGEST = 2 ** 30;

/** The data that `encode` wrote. Throws SnapshotError for what it never writes. */
export function decode(json: Json): unknown {
  if (json === null || typeof json !== 'object') return json;
  if (Array.isArray(json)) return json.map(decode);
  const entries = Object.entries(json);
  const special = entries.find(([name]) => name.startsWith('$'));
  if (special !== undefined) return decodeSpecial(special[0], String(special[1]));
  return Object.fromEntries(entries.map(([name, field]) => [name, decode(field)]));
}

function decodeSpecial(kind: string, text: string): unknown {
  if (kind === '$bigint' && /^-?0x[0-9a-f]+$/.test(text))
    return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
  if (kind === '$number' && /^(-?Infinity|NaN)$/.test(text)) return Number(text);
  const length = kind === '$bytes' ? lengthOfRuns(text) : NaN;
  const bytes = new Uint8Array(length <= LONGEST ? length : 0);
  if (length <= LONGEST && decodeRuns(text, bytes)) return bytes;
  throw new SnapshotError(
    `the snapshot has a value that is no ${kind.slice(1)}: ${text.slice(0, 40)}`,
    'take it again',
  );
}
