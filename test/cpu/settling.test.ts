// A CPU that settles by itself (settling.ts), and one that asks its host at each instruction that observes time: the guest reads the
// same clock, and everything else happens at the same position.

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { bareCpu, resetState, type Bare } from './bare.ts';
import { program } from './program.ts';

/** Reads the clock at different distances, in a sum, and exits now and then. */
const SOURCE = `
    mov $60, %r15d
again:
    rdtsc
    add %rax, %r14
    rol $7, %r14
    rdtsc
    nop
    nop
    rdtscp
    xor %rax, %r14
    mov $7, %ecx
inner:
    dec %ecx
    jnz inner
    test $15, %r15d
    jnz skip
    wbinvd
skip:
    dec %r15d
    jnz again
    hlt
`;

interface Scene {
  readonly quantum: number;
  readonly lead: 0 | 1;
  /** Cycles between two interrupts. */
  readonly period: number;
  /** For how long the other CPU spins, over and over, and where it is when it goes on to. */
  readonly spins: readonly number[];
}

/** The program on a host of two CPUs, one of which only spins for a while: what happened, where. */
function follow({ cpu, load }: Bare, code: Uint8Array, { quantum, lead, period, spins }: Scene, byItself: boolean) {
  const { state, settling } = cpu;
  const seen: string[] = [];
  let [now, other, due, turn] = [0, 0, period, 0];
  let spinsTo = spins[0]!;
  let settled = 0;
  let asked = 0;
  let ended = false;
  resetState(cpu);
  state.tsc = 0n;
  load(Number(state.rip), code);
  const grant = (): void => {
    while (due <= now) {
      seen.push(`interrupt at ${now}`);
      due += period;
    }
    const end = Math.min(due, other + quantum);
    cpu.grant(end - now, Math.max(Math.min(other, end) - now, -1));
  };
  const account = (): void => {
    const at = settling.take();
    if (at >= 0) {
      settled++;
      other = now + at + lead;
    }
    now += cpu.used;
  };
  const serve = (reason: ExitReason): void => {
    if (reason === EXIT.AHEAD || reason === EXIT.BUDGET) {
      asked++;
      if (now <= spinsTo) other = Math.max(other, now + lead);
      else {
        seen.push(`the other acts, with the guest at ${now}`);
        other = now + 40;
        spinsTo = other + spins[++turn % spins.length]!;
      }
      grant();
      if (byItself && now <= spinsTo) settling.permit(spinsTo - now, lead, quantum, due - now);
      return;
    }
    seen.push(`exit ${reason} at ${now}, the other at ${other}`);
    if (reason === EXIT.HLT) ended = true;
    else {
      cpu.skip();
      now++;
      grant();
    }
  };
  cpu.serveExit = (reason) => {
    account();
    serve(reason);
    return !ended;
  };
  grant();
  while (!ended) {
    const reason = cpu.run();
    account();
    if (reason !== EXIT.SERVED) serve(reason);
  }
  cpu.serveExit = null;
  return { seen: { seen, now, other, tsc: state.tsc, sum: state.gpr(GPR.R14) }, settled, asked };
}

describe('a CPU that settles by itself', () => {
  const bare = bareCpu();
  let code: Uint8Array;
  beforeAll(async () => {
    code = await program(SOURCE);
  });

  const span = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
  const scene: fc.Arbitrary<Scene> = fc.record({
    quantum: span(120),
    lead: fc.constantFrom(0, 1),
    period: span(900),
    spins: fc.array(span(400), { minLength: 1, maxLength: 4 }),
  });

  it('sees the same, and so does everybody else, as one that asks', () => {
    fc.assert(
      fc.property(scene, (some) => {
        expect(follow(bare, code, some, true).seen).toEqual(follow(bare, code, some, false).seen);
      }),
      { numRuns: 300 },
    );
  });

  it('asks far less', () => {
    const some: Scene = { quantum: 1000, lead: 0, period: 1e6, spins: [400] };
    const { asked, settled } = follow(bare, code, some, true);
    expect(asked).toBeLessThan(follow(bare, code, some, false).asked / 5);
    expect(settled).toBeGreaterThan(0);
  });
});
