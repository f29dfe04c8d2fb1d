// Runs a guest on two machines in step and finds the first instruction after which they differ.
//
// Theory: runs are repeatable, so nothing is ever taken back. Both machines are compared every `stride` units; where they
// first differ, two new ones are started, led to the last comparison that agreed, and compared at a finer stride, until
// the stride is one unit. Single units run from records of their own, so what only a cached block gets wrong is gone at
// the finest stride: then the shortest stretch that shows it is the answer.

import type { Driver, DriverKind, Registers } from './driver.ts';

export interface Difference {
  /** Units that both had executed alike. */
  readonly units: number;
  /** Units run at once then: 1, or more if the difference does not show when fewer are. */
  readonly span: number;
  readonly vcpu: number;
  /** Both before the instruction, where they agreed. */
  readonly before: Registers;
  /** Each after it. */
  readonly after: readonly [Registers, Registers];
  readonly ended: readonly [Driver['ended'], Driver['ended']];
  /** The instruction as each machine sees it. */
  readonly explained: readonly [readonly string[] | null, readonly string[] | null];
  /** Names of the registers that differ. */
  readonly names: readonly string[];
  /** First byte of memory that differs, if one does. */
  readonly memory: { readonly gpa: number; readonly bytes: readonly [string, string] } | null;
}

export interface Agreement {
  /** Units compared at most, and how the guest ended within them; null: it did not. */
  readonly units: number;
  readonly ended: string | null;
}

export type Outcome =
  | { readonly kind: 'difference'; readonly difference: Difference }
  | { readonly kind: 'agreement'; readonly agreement: Agreement };

const FINER = 32;
type Pair = readonly [Driver, Driver];

/** Compares two kinds of machines for `units` units, or until the guest ends. */
export async function lockstep(kinds: readonly [DriverKind, DriverKind], units: number): Promise<Outcome> {
  let agreed = 0;
  let limit = units;
  let coarser: Outcome | null = null;
  for (let stride = Math.min(kinds[0].stride, kinds[1].stride); ; stride = Math.max(1, Math.floor(stride / FINER))) {
    const pair: Pair = [await kinds[0].start(), await kinds[1].start()];
    try {
      await advance(pair, agreed);
      const found = await firstDifference(pair, agreed, limit, stride);
      if (found.kind === 'agreement') return coarser ?? found;
      if (stride === 1) return found;
      coarser = found;
      agreed = found.difference.units;
      limit = agreed + stride;
    } finally {
      await pair[0].close();
      await pair[1].close();
    }
  }
}

async function advance([one, other]: Pair, units: number): Promise<void> {
  if (units === 0) return;
  await one.advance(units);
  if (!hasOutlived([one, other])) await other.advance(units);
}

/** The first machine has ended, and the second could not tell: what it did since is not compared. */
const hasOutlived = ([one, other]: Pair): boolean => one.ended !== null && other.ended === undefined;

async function firstDifference(pair: Pair, from: number, limit: number, stride: number): Promise<Outcome> {
  const [one, other] = pair;
  let before = await one.registers();
  for (let units = from; units < limit; units += stride) {
    await advance(pair, Math.min(stride, limit - units));
    const after = [await one.registers(), await other.registers()] as const;
    const difference = hasOutlived(pair) ? null : compare(pair, before, after);
    if (difference) return { kind: 'difference', difference: { ...difference, units, span: stride } };
    if (one.ended) return { kind: 'agreement', agreement: { units: units + stride, ended: one.ended } };
    before = after[0];
  }
  return { kind: 'agreement', agreement: { units: limit, ended: null } };
}

function compare(
  [one, other]: Pair,
  before: readonly Registers[],
  after: readonly [readonly Registers[], readonly Registers[]],
): Omit<Difference, 'units' | 'span'> | null {
  const ended = [one.ended, other.ended] as const;
  const memory = compareMemory(one.memory(), other.memory());
  for (let vcpu = 0; vcpu < before.length; vcpu++) {
    const [a, b] = [after[0][vcpu]!, after[1][vcpu]!];
    const names = Object.keys(a).filter((name) => {
      const mask = ~(one.meaningless(name) | other.meaningless(name));
      return b[name] !== undefined && (a[name]! & mask) !== (b[name]! & mask);
    });
    const isLast = vcpu === before.length - 1;
    if (names.length > 0 || (isLast && (memory !== null || (other.ended !== undefined && one.ended !== other.ended))))
      return {
        vcpu,
        before: before[vcpu]!,
        after: [a, b],
        ended,
        explained: explain([one, other], vcpu, before),
        names,
        memory,
      };
  }
  return null;
}

function explain([one, other]: Pair, vcpu: number, before: readonly Registers[]): Difference['explained'] {
  const { rip } = before[vcpu]!;
  return [one.explain(vcpu, rip!), other.explain(vcpu, rip!)];
}

const SHOWN = 16;

function compareMemory(one: Uint8Array | null, other: Uint8Array | null): Difference['memory'] {
  if (one === null || other === null || Buffer.compare(one, other) === 0) return null;
  const gpa = one.findIndex((byte, i) => byte !== other[i]);
  const text = (memory: Uint8Array): string => Buffer.from(memory.subarray(gpa, gpa + SHOWN)).toString('hex');
  return { gpa, bytes: [text(one), text(other)] };
}
