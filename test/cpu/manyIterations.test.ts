// REP MOVS and STOS do many iterations at once, and nobody can tell: the evaluator, which does them one by one, leaves the same
// registers and memory, however the run is sliced, however the ends overlap, and whatever lies in the way.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { Random } from '../hardware/random.ts';
import { bareCpu, CODE, DATA, resetState, TABLES, type Bare } from './bare.ts';
import { fingerprint, program, runToEnd } from './program.ts';

const AREA = 0x4000;
const PAGE = 4096;

interface Run {
  readonly instruction: string;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly backwards?: boolean;
}

const contents = new Random(7).bytes(AREA);
/** Where the area is seen in pages that are not in order: neighbours in linear addresses are none in memory. */
const SHUFFLED = 0x40_0000;
const PAGE_TABLE = 0x8000;

function shuffledCpu(engine: 'wasm' | 'bigint'): Bare {
  const bare = bareCpu({ engine });
  const entries = Array.from({ length: AREA / PAGE }, (_, i) => BigInt(DATA + (i ^ 1) * PAGE + 3));
  bare.load(PAGE_TABLE, new Uint8Array(BigUint64Array.from(entries).buffer));
  const directory = TABLES + 0x2000;
  bare.load(directory + 8 * (SHUFFLED >> 21), new Uint8Array(BigUint64Array.of(BigInt(PAGE_TABLE + 3)).buffer));
  return bare;
}
const wasm = shuffledCpu('wasm');
const evaluator = shuffledCpu('bigint');

const sourceOf = ({ instruction, from, to, count, backwards = false }: Run): string => `
        mov $${from}, %rsi; mov $${to}, %rdi; mov $${count}, %rcx; mov $0x1122334455667788, %rax
        ${backwards ? 'std' : 'cld'}
        ${instruction}
        hlt`;

/** Everything after a run in slices, and the units that it took. */
function after(bare: Bare, code: Uint8Array, slice: number): string {
  const { cpu } = bare;
  resetState(cpu);
  bare.load(DATA, contents);
  bare.load(CODE, code);
  cpu.controls.hltExiting = true;
  let units = 0;
  while (cpu.enter(slice, Infinity) === EXIT.BUDGET) {
    expect(cpu.used).toBe(slice);
    units += slice;
  }
  expect(cpu.state.exitReason).toBe(EXIT.HLT);
  return `halts after ${units + cpu.used} units: ${fingerprint(bare, DATA, DATA + AREA)}`;
}

async function agree(run: Run, slices: readonly number[]): Promise<void> {
  const code = await program(sourceOf(run));
  const expected = after(evaluator, code, 1e6);
  for (const slice of slices)
    expect(after(wasm, code, slice), `${JSON.stringify(run)} in slices of ${slice}`).toBe(expected);
}

const MOVS = ['rep movsb', 'rep movsw', 'rep movsl', 'rep movsq'];
const STOS = ['rep stosb', 'rep stosw', 'rep stosl', 'rep stosq'];

describe('many iterations at once', () => {
  it.each(MOVS)('%s over several pages', async (instruction) => {
    await agree({ instruction, from: DATA + 5, to: DATA + 2 * PAGE + 0x123, count: 700 }, [1e6, 97]);
  });
  it.each(STOS)('%s over several pages', async (instruction) => {
    await agree({ instruction, from: DATA, to: DATA + 0xf03, count: 700 }, [1e6, 97]);
  });
  it('end where a page does, whose successor may be anywhere', async () => {
    for (const instruction of MOVS)
      await agree({ instruction, from: SHUFFLED + 0xf80, to: DATA + 3 * PAGE, count: 300 }, [1e6]);
    for (const instruction of [...MOVS, ...STOS])
      await agree({ instruction, from: DATA + 0x20, to: SHUFFLED + 0x1f40, count: 300 }, [1e6]);
  });
  it('stop after every number of units', async () => {
    const slices = [1, 2, 3, 7, 63, 64, 65, 100];
    await agree({ instruction: 'rep movsb', from: DATA, to: DATA + PAGE + 60, count: 300 }, slices);
    await agree({ instruction: 'rep stosl', from: DATA, to: DATA + PAGE - 60, count: 300 }, slices);
  });
  it.each([-200, -64, -1, 0, 1, 8, 63, 64, 200, 4096])(
    'repeat what they wrote when the target is %i bytes above',
    async (distance) => {
      for (const instruction of MOVS)
        await agree({ instruction, from: DATA + PAGE, to: DATA + PAGE + distance, count: 200 }, [1e6]);
    },
  );
  it('go downwards one by one', async () => {
    await agree(
      { instruction: 'rep movsl', from: DATA + 0x1800, to: DATA + 0x3800, count: 500, backwards: true },
      [1e6],
    );
  });
  it('agree for runs at random', async () => {
    const random = new Random(11);
    for (let i = 0; i < 40; i++) {
      const at = (): number => DATA + 0x100 + random.below(AREA - 0x1400);
      const run = { instruction: random.pick([...MOVS, ...STOS]), from: at(), to: at(), count: random.below(520) };
      await agree(run, [1 + random.below(300)]);
    }
  });
  it('see the code that they write, their own too', async () => {
    // What follows the stores has run already, as a jump back: NOPs take its place.
    const source = `
        jmp after
back:   mov after(%rip), %al
        mov $after, %rdi; mov $100, %ecx; mov $0x90, %al
        rep stosb
after:  jmp back
        .org after + 100, 0xf4
        mov $77, %ebx
        hlt`;
    const code = await program(source);
    expect(after(wasm, code, 1e6)).toBe(after(evaluator, code, 1e6));
    expect(wasm.cpu.state.gpr(3)).toBe(77n);
  });
});

describe('a fault in the middle', () => {
  it('leaves what was done before it, and points at the element that is not there', async () => {
    const top = 0x100_0000; // the end of what is mapped
    const run = { instruction: 'rep stosq', from: 0, to: top - 8 * 100, count: 200 };
    const code = await program(sourceOf(run));
    for (const bare of [wasm, evaluator]) {
      resetState(bare.cpu);
      bare.load(CODE, code);
      bare.cpu.controls.exceptionBitmap = -1;
      const { reason } = runToEnd(bare.cpu, 1e6);
      expect(reason).toBe(EXIT.EXCEPTION_NMI);
      const { state } = bare.cpu;
      expect([state.gpr(1), state.gpr(7), state.exitQualification]).toEqual([100n, BigInt(top), BigInt(top)]);
      bare.cpu.controls.exceptionBitmap = 0;
    }
    expect(fingerprint(wasm, top - 0x1000, top)).toBe(fingerprint(evaluator, top - 0x1000, top));
  });
});
