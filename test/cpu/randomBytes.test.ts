// Whatever bytes a guest runs, one unit of them ends as retired, as a fault, as a VM exit or as a stop by name: never as an
// error of JavaScript. How long the instruction was is compared with iced-x86.

import { Code, Decoder, DecoderOptions, FlowControl, Instruction } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { flatCode64, flatData, writeSegment } from '../../src/cpu/segments/segments.ts';
import { ARCHITECTURAL_SIZE } from '../../src/cpu/state.ts';
import { MODE } from '../../src/x86/decoder.ts';
import { PTE } from '../../src/x86/names/paging.ts';
import { CR4, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { generator, samplesOf } from '../x86/samples.ts';
import { bareCpu, CODE, DATA, STACK, TABLES, type Bare } from './bare.ts';

const SIZE = 16;
const CODE_SIZE = 0x2000;
const HLT = 0xf4;
const PREFIXES = [0x66, 0xf3, 0xf2, 0xf0, 0x67, 0x2e, 0x64, 0x65, 0x48, 0x41, 0x4f, 0x0f];

/** What iced-x86 decodes and the processor refuses with #UD. */
const INVALID_HERE: readonly { readonly names: RegExp; readonly why: string }[] = [
  { names: /^Ud[012]/, why: 'this is what they are for' },
  { names: /^Rsm$/, why: 'outside system management mode' },
  { names: /^(Vmmcall|Vmgexit(_F2)?)$/, why: "AMD's, in a guest with Intel's" },
  {
    names: /^(Rmp|Psmash|Pvalidate|Pbndkb|Tdcall|Seam|Xstore|Xcrypt|Xsha|Montmul|Ccs_|Via_)/,
    why: 'of extensions outside',
  },
  { names: /^(EVEX|MVEX|XOP|D3NOW)_|^Femms$/, why: 'encodings outside of what is decoded: see rows.ts' },
];

/** What one string did. */
interface End {
  readonly kind: 'retired' | 'fault' | 'exit' | 'stop' | 'error';
  /** Vector of the fault, reason of the exit, text of the stop or error. */
  readonly what: string;
  /** Bytes that the instruction took; -1 where nothing tells. */
  readonly length: number;
  readonly registers: string;
}

type Machine = (bytes: Uint8Array, place: number, user: boolean) => End;

/** A CPU that runs one unit of given bytes from the same state each time. Only data and stack may be written. */
function machine(engine: 'wasm' | 'bigint'): Machine {
  const bare = bareCpu({ engine });
  const { cpu, processor } = bare;
  const { state } = cpu;
  cpu.controls = new Controls();
  cpu.controls.exceptionBitmap = -1;
  protect(bare);
  const next = generator(3);
  for (let i = 0; i < 16; i++) state.setGpr(i, BigInt((i < 8 ? DATA : 0) + (next() % 0x10000)));
  state.setGpr(4, BigInt(STACK));
  state.cr4 |= CR4.OSFXSR | CR4.OSXSAVE | CR4.FSGSBASE;
  const save = (): Uint8Array => processor.views.u8.slice(state.base, state.base + ARCHITECTURAL_SIZE);
  const supervisor = save();
  state.cpl = 3;
  writeSegment(state, SEGMENT.CS, flatCode64(0x33, 3));
  writeSegment(state, SEGMENT.SS, flatData(0x2b, 3));
  const user = save();
  bare.load(CODE, new Uint8Array(CODE_SIZE).fill(HLT));

  return (bytes, place, isUser) => {
    processor.views.u8.set(isUser ? user : supervisor, state.base);
    bare.load(place, bytes);
    cpu.setRip(BigInt(place));
    cpu.mmu.translation.restored();
    let end: Omit<End, 'registers'>;
    try {
      end = describeEnd(bare, cpu.enter(1, Infinity), place);
    } catch (error) {
      end = { kind: 'error', what: error instanceof Error ? error.message : String(error), length: -1 };
    }
    const registers = Array.from({ length: 16 }, (_, i) => state.gpr(i).toString(16)).join(' ');
    const rflags = readRflags(state);
    bare.load(place, new Uint8Array(bytes.length).fill(HLT));
    writeRflags(state, 2);
    return { ...end, registers: `${registers} ${state.rip.toString(16)} ${rflags.toString(16)}` };
  };
}

/** Takes write permission from everything but data and stack, so that each string finds the same code and tables. */
function protect({ processor, ram }: Bare): void {
  const { data } = processor.views;
  for (let page = 0; page < 8; page++) {
    const at = ram + TABLES + 0x2000 + 8 * page;
    const isWritable = [DATA, STACK, STACK - 8].some((address) => address >> 21 === page);
    if (!isWritable) data.setBigUint64(at, data.getBigUint64(at, true) & ~BigInt(PTE.W), true);
  }
}

function describeEnd({ cpu }: Bare, reason: ExitReason, place: number): Omit<End, 'registers'> {
  const { state } = cpu;
  if (reason === EXIT.BUDGET) {
    if (cpu.used !== 1) return { kind: 'error', what: `used ${cpu.used} units of 1`, length: -1 };
    return { kind: 'retired', what: '', length: Number(state.rip) - place };
  }
  if (reason === EXIT.STOPPED) return { kind: 'stop', what: cpu.stopped?.what ?? '', length: -1 };
  if (reason === EXIT.AHEAD) return { kind: 'error', what: 'AHEAD without a horizon', length: -1 };
  const exit = cpu.exit();
  if (exit.reason === 'EXCEPTION_NMI') return { kind: 'fault', what: String(exit.vector), length: -1 };
  return { kind: 'exit', what: exit.reason, length: exit.length > 0 ? exit.length : -1 };
}

/** Half of the strings at random, half encodings of rows with something changed. */
function strings(count: number, seed: number): Uint8Array[] {
  const next = generator(seed);
  const samples = ROWS.flatMap((row) => samplesOf(row, MODE.CODE64));
  return Array.from({ length: count }, (_, i) => {
    const bytes = Uint8Array.from({ length: SIZE }, () => next() >>> 11);
    if (i % 2 === 0) {
      if (next() & 1) bytes[0] = PREFIXES[next() % PREFIXES.length]!;
      return bytes;
    }
    bytes.set(samples[next() % samples.length]!.subarray(0, SIZE - 2), 0);
    const change = next() % 4;
    if (change === 0) {
      bytes.copyWithin(1, 0);
      bytes[0] = PREFIXES[next() % PREFIXES.length]!;
    }
    if (change === 1) bytes[next() % 6] = next() >>> 9;
    return bytes;
  });
}

/** Places within the code, often where the instruction straddles two pages. */
const placeOf = (i: number): number => CODE + (i % 3 === 0 ? 0x1000 - 1 - (i % 14) : (i * 17) % 0xf00);

/** What iced-x86 reads there: its length (0: invalid), and whether control goes on behind it. */
function readWithIced(all: readonly Uint8Array[]): { length: number; goesOn: boolean; name: string }[] {
  const insn = new Instruction();
  const names = new Map(Object.entries(Code).map(([name, value]) => [value as number, name]));
  const read = all.map((bytes) => {
    const decoder = new Decoder(64, bytes, DecoderOptions.None);
    decoder.decodeOut(insn);
    decoder.free();
    const repeats = insn.hasRepPrefix || insn.hasRepnePrefix;
    const length = insn.code === Code.INVALID ? 0 : insn.length;
    return { length, goesOn: insn.flowControl === FlowControl.Next && !repeats, name: names.get(insn.code)! };
  });
  insn.free();
  return read;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

describe('random bytes', () => {
  const COUNT = 100_000;
  const all = strings(COUNT, 1);
  const run = machine('wasm');
  const ends = all.map((bytes, i) => run(bytes, placeOf(i), i % 5 === 0));
  const read = readWithIced(all);
  const report = (i: number): string => `${hexOf(all[i]!)} ${read[i]!.name}: ${JSON.stringify(ends[i])}`;
  const where = (wanted: (end: End, i: number) => boolean): string[] =>
    ends.flatMap((end, i) => (wanted(end, i) ? [report(i)] : [])).slice(0, 20);

  it('never end as an error', () => {
    expect(where(({ kind }) => kind === 'error')).toEqual([]);
  });

  it('end in every way that there is', () => {
    const kinds = new Map<string, number>();
    for (const { kind } of ends) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    for (const kind of ['retired', 'fault', 'exit', 'stop'] as const) expect(kinds.get(kind)).toBeGreaterThan(100);
  });

  it('are as long as iced-x86 says', () => {
    expect(
      where(({ kind, length }, i) => {
        const { length: theirs, goesOn } = read[i]!;
        return length >= 0 && (kind === 'exit' || goesOn) && length !== theirs;
      }),
    ).toEqual([]);
  });

  it('are invalid where iced-x86 says so', () => {
    expect(
      where(({ kind, what }, i) => {
        const refused = kind === 'fault' && (what === String(VECTOR.UD) || what === String(VECTOR.GP));
        return read[i]!.length === 0 && !refused;
      }),
    ).toEqual([]);
    const isUd = ({ kind, what }: End): boolean => kind === 'fault' && what === String(VECTOR.UD);
    const isKnown = (name: string): boolean => INVALID_HERE.some(({ names }) => names.test(name));
    expect(where((end, i) => read[i]!.length > 0 && isUd(end) && !isKnown(read[i]!.name))).toEqual([]);
  });

  it('stop only by name, and only at instructions', () => {
    const named = /^.{5,} (is|are) not implemented( yet)?$/;
    expect(where(({ kind, what }, i) => kind === 'stop' && (!named.test(what) || read[i]!.length === 0))).toEqual([]);
  });

  it('do the same on the evaluator', () => {
    const evaluate = machine('bigint');
    const differing = all.slice(0, COUNT / 10).flatMap((bytes, i) => {
      const end = evaluate(bytes, placeOf(i), i % 5 === 0);
      return JSON.stringify(end) === JSON.stringify(ends[i]) ? [] : [`${report(i)} but ${JSON.stringify(end)}`];
    });
    expect(differing.slice(0, 20)).toEqual([]);
  });
});
