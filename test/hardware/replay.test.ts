// The recorded vectors: what real processors did, on trapline.
import { describe, expect, it } from 'vitest';
import { userGuest } from './guest.ts';
import { hostName } from './host.ts';
import { replay } from './replay.ts';
import { readVectors, recordedFamilies } from './vectorFiles.ts';
import { decodeVectors, encodeVectors, type VectorFile } from './vectorFormat.ts';

const screenful = (found: readonly string[]): string[] =>
  found.length > 20 ? [...found.slice(0, 20), `and ${found.length - 20} more`] : [...found];

const files = recordedFamilies().map((family) => [family, readVectors(family)] as const);
const guestOf = ({ header }: VectorFile, options = {}) => userGuest({ ...options, xcr0: BigInt(`0x${header.xcr0}`) });

describe.each(files)('what processors did with %s', (_, file) => {
  it(`is what the interpreter does (${hostName(file.header)}, ${file.header.date})`, () => {
    expect(screenful(replay(file, guestOf(file)))).toEqual([]);
  });

  it('is what handlers called one by one do', () => {
    expect(screenful(replay(file, guestOf(file, { noHot: true }), 5))).toEqual([]);
  });

  it('is what the BigInt back end does', () => {
    expect(screenful(replay(file, guestOf(file, { engine: 'bigint' }), 7))).toEqual([]);
  });
});

describe('vectors', () => {
  const file = readVectors('flagops');
  const [first, ...others] = file.rows;
  const firstVector = first!.vectors[0]!;
  const withResult = (changes: Partial<typeof firstVector.result>): VectorFile => {
    const vector = { ...firstVector, result: { ...firstVector.result, ...changes } };
    return { ...file, rows: [{ ...first!, vectors: [vector, ...first!.vectors.slice(1)] }, ...others] };
  };

  it('come back as they were written', () => {
    const some = { ...file, rows: [first!] };
    expect(decodeVectors(encodeVectors(some))).toEqual(some);
  });

  it('of 16-bit code come back too', () => {
    const segments = readVectors('segment.16');
    const some = { ...segments, rows: segments.rows.slice(0, 3) };
    expect(decodeVectors(encodeVectors(some))).toEqual(some);
    expect(
      new Set(some.rows.flatMap(({ vectors }) => vectors.map(({ test }) => `${test.selectors}`))).size,
    ).toBeGreaterThan(50);
  });

  it.each([
    [
      'a register',
      withResult({ gpr: firstVector.result.gpr.map((value, i) => (i === 9 ? value ^ 1n : value)) }),
      'R9 is',
    ],
    ['a flag', withResult({ rflags: firstVector.result.rflags ^ 0x400n }), 'RFLAGS is'],
    ['RIP', withResult({ rip: firstVector.result.rip + 1n }), 'RIP is'],
    ['the exception', withResult({ vector: 13 }), 'exception is 13'],
    [
      'a byte of memory',
      withResult({ window: firstVector.result.window.map((byte, i) => byte ^ +(i === 200)) }),
      'memory at',
    ],
    ['a selector', withResult({ selectors: [0, 0x33, 0x2b, 0x2b, 0, 0] }), 'DS is 0x2b'],
  ])('do not agree once %s in one of them is changed', (_, changed, complaint) => {
    const reread = decodeVectors(encodeVectors(changed));
    expect(replay(reread, guestOf(file))).toEqual([expect.stringContaining(complaint)]);
  });

  it('are not agreed with by an interpreter that is wrong', () => {
    const run = guestOf(file);
    const cases = first!.vectors.length;
    expect(replay({ ...file, rows: [first!] }, (test) => ({ ...run(test), fsBase: 0n }))).toHaveLength(cases);
  });

  it('that are damaged or of another format say so', () => {
    const header = { ...file.header, format: 99 };
    expect(() => decodeVectors(encodeVectors({ ...file, header }))).toThrow('format 99');
    expect(() => decodeVectors(encodeVectors({ ...file, header }).subarray(0, 1000))).toThrow();
  });
});
