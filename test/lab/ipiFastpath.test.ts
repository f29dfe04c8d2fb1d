// The IPI experiment: what each design leaves between the exit and the IPI, and whom a busy host delays.

import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadGuest, packageFolder } from '../../src/cli/load.ts';
import { ipiFastpath, type IpiComparison, type IpiRun } from '../../src/lab/ipiFastpath.ts';
import type { FastpathDesign } from '../../src/hypervisor/params.ts';

let data: IpiComparison;
beforeAll(async () => {
  data = await ipiFastpath.run((name) => loadGuest(join(packageFolder(), 'guests', `${name}.s`)));
});
const run = (design: FastpathDesign): IpiRun => data.runs.find((each) => each.design === design)!;
const EARLY = ['v1', 'fake-reason', 'irqoff', 'all-icr', 'reenter'] as const;

describe('before the IPI is sent', () => {
  it('the slow path takes SRCU, a window with interrupts on, and two dispatches', () => {
    const { srcu, interruptWindow, exitDispatch, msrDispatch, vmread } = run('off').beforeSending;
    expect([srcu, interruptWindow, exitDispatch, msrDispatch, vmread]).toEqual([1, 1, 1, 1, 0]);
  });

  it.each(['v1', 'fake-reason', 'reenter'] as const)('%s does nothing of it', (design) => {
    expect(Object.values(run(design).beforeSending).every((count) => count === 0)).toBe(true);
  });

  it.each(['irqoff', 'all-icr'] as const)('%s reads the reason and its qualification once more', (design) => {
    expect(run(design).beforeSending).toMatchObject({ vmread: 2, interruptWindow: 0, srcu: 0 });
  });
});

describe('latency', () => {
  it.each(EARLY)('%s reaches a target sooner than the slow path, running or halted', (design) => {
    expect(run(design).alone.running.median).toBeLessThan(run('off').alone.running.median);
    expect(run(design).alone.halted.median).toBeLessThan(run('off').alone.halted.median);
  });

  it('is less behind the exit than in handle_exit_irqoff', () => {
    expect(run('v1').alone.running.median).toBeLessThan(run('irqoff').alone.running.median);
  });

  it('of a halted target includes its wake-up', () => {
    for (const { alone } of data.runs) expect(alone.halted.median).toBeGreaterThan(alone.running.median + 500);
  });

  it('of the sender is least where the inner loop is not left', () => {
    const others = data.runs.filter(({ design }) => design !== 'reenter');
    for (const { alone } of others) expect(run('reenter').alone.sender.median).toBeLessThan(alone.sender.median);
  });
});

describe('a host that is busy with interrupts', () => {
  it('delays IPIs of the slow path by a whole handler', () => {
    const { alone, loaded, waited } = run('off');
    expect(waited).toBeGreaterThan(0);
    expect(loaded.running.p99).toBeGreaterThanOrEqual(alone.running.p99 + data.load.takes);
    expect(loaded.running.median).toBe(alone.running.median);
  });

  it.each(EARLY)('never comes between the exit and the IPI of %s', (design) => {
    expect(run(design).waited).toBe(0);
    expect(run(design).loaded.running.p99).toBe(run(design).alone.running.p99);
  });
});
