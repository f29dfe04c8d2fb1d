// The command line of the oracle, and what can be said of it without asking a processor.
import { describe, expect, it } from 'vitest';
import { hostFromCpuid } from './host.ts';
import { oracleOptions } from './options.ts';

const chance = 77;
const rowsOf = (...words: string[]) => [...oracleOptions(words, chance).rows.values()].flat();

describe('npm run oracle', () => {
  it('asks about everything, short programs too, with a seed by chance', () => {
    const options = oracleOptions([], chance);
    expect(options).toMatchObject({ seed: 77, cases: null, bits: [64, 32, 16], record: false, programs: true });
    expect(rowsOf().length).toBeGreaterThan(1600);
  });

  it('records the same each time unless told otherwise', () => {
    expect(oracleOptions(['--record'], chance)).toMatchObject({ seed: 1, record: true });
    expect(oracleOptions(['--record', '--seed', '5'], chance).seed).toBe(5);
  });

  it('takes a family, a mnemonic or a row', () => {
    expect(rowsOf('--mnemonic', 'shld').map(({ text }) => text)).toEqual(['0F A4 /r', '0F A5 /r']);
    expect(rowsOf('--row', '0F A5 /r').map(({ mnemonic }) => mnemonic)).toEqual(['shld']);
    expect([...oracleOptions(['--family', 'io'], chance).rows.keys()]).toEqual(['io']);
  });

  it('takes one mode of code', () => {
    expect(oracleOptions(['--bits', '16'], chance).bits).toEqual([16]);
  });

  it.each([
    [['--bits', '8'], "--bits takes 64, 32 or 16, not '8'"],
    [['--cases', 'many'], "--cases takes a whole number from 1 to 100000, not 'many'"],
    [['--record', '--cases', '10'], "--cases takes a whole number from 200 to 100000, not '10'"],
    [['--seed', '-1'], '--seed'],
    [['--family', 'arithmetic'], "there is no family 'arithmetic', but data, stack, arith"],
    [['--mnemonic', 'shdl'], 'no row is like that'],
    [['--row', '0f a5'], '`trapline isa` shows how rows are written'],
    [['--record', '--mnemonic', 'shld'], '--record writes whole families'],
    [['--verbose'], "Unknown option '--verbose'"],
  ])('says what is wrong with %j', (words, complaint) => {
    expect(() => oracleOptions(words, chance)).toThrow(complaint);
  });
});

describe('a host', () => {
  const zeros = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  const cpuid = (leaf: number) => {
    if (leaf === 0) return { eax: 13, ebx: 0x6874_7541, ecx: 0x444d_4163, edx: 0x6974_6e65 };
    if (leaf === 1) return { ...zeros, eax: 0x00a1_0f11, ecx: 1 << 23 };
    return leaf === 7 ? { ...zeros, ebx: 1 } : zeros;
  };

  it('is known by vendor, family and model', () => {
    expect(hostFromCpuid(cpuid, 7n, true)).toMatchObject({ vendor: 'AMD', family: 0x19, model: 0x11 });
  });

  it('offers FSGSBASE where the kernel has enabled it', () => {
    expect([...hostFromCpuid(cpuid, 7n, true).features]).toEqual(['POPCNT', 'FSGSBASE']);
    expect([...hostFromCpuid(cpuid, 7n, false).features]).toEqual(['POPCNT']);
  });
});
