// Exits that recur in generated code: each takes the time that it would take if it were served, none reaches beyond what was
// granted or beyond the horizon, and the guest ends in the same state at the same time as when every exit is served.

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Trip } from '../../src/cpu/code/knownExits.ts';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { exitName } from '../../src/cpu/vmexit.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { bareCpu, DATA, resetState, type Bare } from './bare.ts';
import { fingerprint, program } from './program.ts';

/** Loops of exits that ask the same again and again, and of such that do not; the sum of all answers and times is kept. */
let loops = 0;
const loop = (count: number, body: string): string => `
    mov $${count}, %r15d
loop${++loops}:
    ${body}
    add %rax, %r14
    add %rbx, %r14
    dec %r15d
    jnz loop${loops}
`;
const ASK = 'mov $1, %eax; xor %ecx, %ecx; cpuid';
const SOURCE = [
  loop(30, ASK),
  loop(10, `${ASK}; ${ASK}`),
  loop(6, 'mov %r15d, %eax; cpuid'), // another question each time
  loop(6, 'mov $1, %eax; mov %r15d, %ecx; cpuid'),
  loop(20, 'wbinvd'),
  loop(20, 'wbinvd; rdtsc'),
  loop(20, 'mov %cr8, %rax'),
  loop(20, 'mov %cr8, %r9; add %r9, %r14'),
  loop(20, 'mov $3, %r9d; mov %r9, %cr8'),
  `${loop(6, 'mov %r15, %cr8')}; mov %cr8, %rax; add %rax, %r14`,
  loop(20, 'mov $0x66, %edx; inb %dx, %al'),
  loop(20, 'xor %eax, %eax; inb %dx, %al'),
  loop(20, 'inl $0x66, %eax'),
  loop(20, 'inl $0x67, %eax'),
  loop(20, 'mov %cr8, %r10; add %r10, %r14; xor %r10d, %r10d; mov %cr8, %r11; add %r11, %r14'),
  loop(6, 'mov %r15d, %eax; shl $8, %eax; inb $0x66, %al'),
  loop(6, 'mov %r15d, %edx; inw %dx, %ax'),
  loop(10, 'cli; sti; wbinvd'), // under the shadow of STI
  loop(10, 'cli; sti; nop; wbinvd; rdtsc'),
  loop(10, `mov %r15, %cr2; ${ASK}`), // microcode between, of which the answer depends
  loop(10, 'mov %r15d, (%rsi); mov %cr8, %rax'), // a device that changes CR8, in place too
  loop(10, 'wbinvd; mov %r15d, (%rsi); wbinvd; mov (%rsi), %eax'),
  loop(10, 'wbinvd; mov %cr3, %r8; mov %r8, %cr3'),
  loop(10, 'wbinvd; rdtsc; mov %eax, (%rdi)'),
  'hlt',
].join('\n');

const DEVICE = 0x30_0000;

/** What an exit takes on its way out and on its way back in, in cycles. */
const OUT = 40;
const IN = 50;
const ANSWERED = new Set<number>([EXIT.CPUID, EXIT.INVD, EXIT.WBINVD, EXIT.CR_ACCESS, EXIT.IO_INSTRUCTION]);

interface Plan {
  /** Exits may recur in generated code; trips may be made again. */
  readonly recurs: boolean;
  readonly repeats?: boolean;
  /** Distances between the positions at which something is due, over and over. */
  readonly due: readonly number[];
  /** Likewise, where others stand who come first beyond them. */
  readonly others: readonly number[];
}

/** Runs the program to its HLT under a clock that exits move. */
function follow(bare: Bare, code: Uint8Array, { recurs, repeats = false, due, others }: Plan) {
  const { cpu, processor, load } = bare;
  const { state } = cpu;
  resetState(cpu);
  cpu.controls = new Controls();
  state.tsc = state.cr2 = state.cr8 = 0n;
  state.setGpr(GPR.RDI, BigInt(DATA));
  state.setGpr(GPR.RSI, BigInt(DEVICE));
  processor.secondStage.markMmio(DEVICE >> 12, 1);
  load(Number(state.rip), code);
  cpu.flushTlb();
  let now = 0;
  let ended = false;
  let recurred = 0;
  let repeated = 0;
  let last = 0;
  const seen: string[] = [];
  const counts: Record<string, number> = {};
  const positions = (distances: readonly number[]) => {
    let i = 0;
    let next = distances[0]!;
    return {
      get next() {
        return next;
      },
      pass: (): void => void (next += distances[++i % distances.length]!),
    };
  };
  const events = positions(due);
  const horizon = positions(others);
  let served: ExitReason = EXIT.BUDGET;

  // What is due just when the guest is entered is found then, whatever was before.
  const lookAround = (where: string): void => {
    for (; events.next < now; events.pass()) seen.push(`${where} ${events.next} at ${now}, rip ${state.rip}`);
    if (events.next === now) seen.push(`${now}, rip ${state.rip}, the last exit at ${last}`);
    if (events.next === now) events.pass();
    for (; horizon.next < now; horizon.pass()) seen.push(`${where} others ${horizon.next} at ${now}, rip ${state.rip}`);
  };
  // Where the last trip began that was made again since units were granted; 0: none was.
  let again = 0;
  const account = (): void => {
    const before = now;
    now += cpu.used;
    if (cpu.recurred > 0) last = before + cpu.recurredAt;
    last = Math.max(last, again);
    again = 0;
    if (cpu.recurred > 0) counts[exitName(served)]! += cpu.recurred;
    recurred += cpu.recurred;
  };
  /** The exit that was served last, with what it may depend on before it, and what that was behind it. */
  const tripOf = (name: string, units: number, [cr2, cr8]: readonly bigint[]): Trip => {
    const written = state.cr8;
    const repeat = (at: number): boolean => {
      if (state.cr2 !== cr2 || state.cr8 !== cr8) return false;
      state.cr8 = written;
      again = now + at;
      counts[name]!++;
      repeated++;
      return true;
    };
    return { units, recurs, repeats, answer: null, counter: null, readAt: 0, repeat };
  };
  const serve = (reason: ExitReason): void => {
    served = reason;
    const name = exitName(reason);
    counts[name] = (counts[name] ?? 0) + 1;
    last = now;
    now += OUT;
    lookAround(name);
    const exit = cpu.exit();
    if (exit.reason === 'HLT') ended = true;
    else if (exit.reason === 'IO_INSTRUCTION') cpu.complete(exit.port * 3);
    else if (exit.reason === 'EPT_MISCONFIG') {
      if (exit.access === 'write') state.cr8 = exit.value;
      cpu.complete(state.cr8 + 1n);
    } else {
      if (exit.reason === 'CPUID') state.setGpr32(GPR.RAX, Math.imul(exit.leaf, 77) + exit.subleaf + Number(state.cr2));
      else if (exit.reason === 'CR_ACCESS' && exit.access === 'write') state.cr8 = exit.value;
      else if (exit.reason === 'CR_ACCESS') state.setGpr(exit.gpr, state.cr8);
      cpu.skip();
      now += 1;
    }
    now += IN;
    lookAround(`${name} done`);
  };
  const enter = (trip: Trip | null): void => {
    state.tsc = BigInt(now);
    cpu.trip = trip;
    cpu.grant(events.next - now, horizon.next - now);
  };
  cpu.serveExit = (reason) => {
    account();
    const from = now;
    const before = [state.cr2, state.cr8];
    serve(reason);
    if (ended) return false;
    enter(ANSWERED.has(reason) ? tripOf(exitName(reason), now - from, before) : null);
    return true;
  };
  while (!ended) {
    enter(null);
    const reason = cpu.run();
    account();
    if (reason === EXIT.AHEAD) {
      seen.push(`ahead at ${now}, rip ${state.rip}`);
      horizon.pass();
    } else if (reason === EXIT.BUDGET) lookAround('budget');
    else if (reason !== EXIT.SERVED) serve(reason);
    if (now > 1e6) throw new Error('the program never ends');
  }
  cpu.serveExit = null;
  return {
    end: { now, tsc: state.tsc, seen, counts, state: fingerprint(bare, DATA, DATA + 4096) },
    recurred,
    repeated,
  };
}

describe('exits that recur', () => {
  const wasm = bareCpu({ engine: 'wasm' });
  const bigint = bareCpu({ engine: 'bigint' });
  const FAR = { due: [1e9], others: [1e9] };
  let code: Uint8Array;
  beforeAll(async () => {
    code = await program(SOURCE);
  });

  it('are most of those that ask the same again', () => {
    const { end, recurred } = follow(wasm, code, { ...FAR, recurs: true });
    const all = Object.values(end.counts).reduce((sum, count) => sum + count);
    expect(recurred).toBeGreaterThan(0.45 * all);
    expect(follow(wasm, code, { ...FAR, recurs: false })).toEqual({ end, recurred: 0, repeated: 0 });
    expect(follow(bigint, code, { ...FAR, recurs: true })).toEqual({ end, recurred: 0, repeated: 0 });
  });

  it('are made again where other code was in between', () => {
    const { end, repeated } = follow(wasm, code, { ...FAR, recurs: false, repeats: true });
    const all = Object.values(end.counts).reduce((sum, count) => sum + count);
    expect(repeated).toBeGreaterThan(0.5 * all);
    expect(end).toEqual(follow(wasm, code, { ...FAR, recurs: false }).end);
    expect(follow(bigint, code, { ...FAR, recurs: false, repeats: true })).toEqual({ end, recurred: 0, repeated });
  });

  it('are told apart by their instruction where its record has the place of another one', async () => {
    const bodies = ['inl $0x66, %eax', 'inl $0x67, %eax', 'mov %cr8, %r10', 'mov %cr8, %r11', 'wbinvd', 'invd'];
    const programs = await Promise.all(bodies.map((body) => program(`${loop(6, `${body}; mov %r10, %rbx`)}; hlt`)));
    const { cpu } = wasm;
    const ended = (repeats: boolean) =>
      programs.map((each) => {
        const { features } = cpu;
        cpu.features = features; // forgets what was decoded: the next is decoded to the same place
        const { end, repeated } = follow(wasm, each, { ...FAR, recurs: false, repeats });
        return { end, made: repeated > 2 };
      });
    expect(ended(true)).toEqual(ended(false).map(({ end }) => ({ end, made: true })));
  });

  it('end at the same time in the same state, wherever something is due and whoever comes first', () => {
    const distances = fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(distances, distances, fc.boolean(), fc.boolean(), (due, others, recurs, repeats) => {
        const { end } = follow(wasm, code, { due, others, recurs: false });
        expect(follow(wasm, code, { due, others, recurs, repeats }).end).toEqual(end);
      }),
      { numRuns: 150 },
    );
  });

  it('are of instructions that end their block, so that nothing behind them was paid for', () => {
    const rows = ROWS.filter(({ answer }) => answer !== undefined);
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.filter(({ endsBlock, microcode }) => endsBlock !== true || microcode === undefined)).toEqual([]);
  });
});
