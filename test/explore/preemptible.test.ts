// The transformed host code is the production code: run without preemptions it does the same, to the cycle.

import { beforeAll, describe, expect, it } from 'vitest';
import { loadPreemptible } from '../../transform/load.ts';
import * as plain from './scenarios.ts';

const STEPS = 200;
let split: typeof plain;
beforeAll(async () => {
  split = await loadPreemptible<typeof plain>('test/explore/scenarios.ts');
});

describe.each(Object.keys(plain.cases))('%s', (name) => {
  const expected = () => {
    const rig = plain.rigOf(name);
    for (let i = 0; i < STEPS && rig.host.step() === 'progress'; i++);
    expect(rig.userspace.length).toBeGreaterThan(0);
    return plain.outcomeOf(rig);
  };

  it('runs the same through the transform, by the plain names', () => {
    const rig = split.rigOf(name);
    for (let i = 0; i < STEPS && rig.host.step() === 'progress'; i++);
    expect(split.outcomeOf(rig)).toEqual(expected());
  });

  it('runs the same when each access to a cell is announced and nobody preempts', () => {
    const rig = split.rigOf(name);
    let accesses = 0;
    const step = () => split.announced(split.preemptible(rig.host, 'step'), () => accesses++);
    for (let i = 0; i < STEPS && step() === 'progress'; i++);
    expect(split.outcomeOf(rig)).toEqual(expected());
    expect(accesses).toBeGreaterThan(50);
  });
});
