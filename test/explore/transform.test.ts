// What the transform takes, what it refuses, and that it inserts preemptions and nothing else: taken back it is the source, and
// run without preemptions it does the same.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadPreemptible, transformHostCode, type TransformedHostCode } from '../../transform/load.ts';
import * as plain from './constructs.ts';
import * as scenarios from './scenarios.ts';
import { canonical } from './strip.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const CONSTRUCTS = 'test/explore/constructs.ts';
const REFUSED = 'test/explore/refused.ts';
const lines = (text: string): number => text.split('\n').length;

/** All of src/host and src/hypervisor. */
let code: TransformedHostCode;
beforeAll(() => {
  code = transformHostCode();
});

describe('host code', () => {
  it('can be preempted at each of its cells', () => {
    expect(code.refusals).toEqual([]);
    expect(new Set(code.sites.map(({ cell }) => cell)).size).toBeGreaterThan(20);
  });

  it('keeps its line numbers', () => {
    const moved = [...code.texts].filter(([file, text]) => lines(text) !== lines(code.sources.get(file)!));
    expect(moved.map(([file]) => file)).toEqual([]);
  });

  it('is the source again when the preemptions are taken out', () => {
    for (const [file, text] of code.texts) {
      expect(canonical(text), file).toBe(canonical(code.sources.get(file)!));
    }
  });

  it('is not, when a single access has moved', () => {
    const file = 'src/hypervisor/requests.ts';
    const swapped = transformHostCode({
      mutation: { file, from: /\(this\.(#low) \| this\.(#high)\)/, to: '(this.$2 | this.$1)' },
      files: [file],
    });
    const path = join(ROOT, file);
    expect(canonical(swapped.texts.get(path)!)).toBe(canonical(swapped.sources.get(path)!));
    expect(canonical(swapped.texts.get(path)!)).not.toBe(canonical(code.sources.get(path)!));
  });

  it('names each access by its place in the source', () => {
    for (const { file, line, cell } of code.sites.filter(({ access }) => access !== 'atomic')) {
      const text = code.sources.get(join(ROOT, file))!.split('\n')[line - 1]!;
      expect(text, `${file}:${line}`).toContain(cell.split('.').at(-1)!.replace('[]', '['));
    }
  });
});

describe('a machine on transformed host code', () => {
  const STEPS = 200;
  let split: typeof scenarios;
  beforeAll(async () => {
    split = await loadPreemptible<typeof scenarios>('test/explore/scenarios.ts', code);
  });

  /** What the untransformed code does. */
  const expected = (name: string): unknown => {
    const rig = scenarios.rigOf(name);
    for (let i = 0; i < STEPS && rig.host.step() === 'progress'; i++);
    expect(rig.userspace.length).toBeGreaterThan(0);
    return scenarios.outcomeOf(rig);
  };

  describe.each(Object.keys(scenarios.cases))('with %s', (name) => {
    it('runs the same to the cycle, by the plain names', () => {
      const rig = split.rigOf(name);
      for (let i = 0; i < STEPS && rig.host.step() === 'progress'; i++);
      expect(split.outcomeOf(rig)).toEqual(expected(name));
    });

    it('runs the same when each access is announced and nobody preempts', () => {
      const rig = split.rigOf(name);
      let accesses = 0;
      const step = () => split.announced(split.preemptible(rig.host, 'step'), () => accesses++);
      for (let i = 0; i < STEPS && step() === 'progress'; i++);
      expect(split.outcomeOf(rig)).toEqual(expected(name));
      expect(accesses).toBeGreaterThan(50);
    });
  });
});

describe('each construct of the language', () => {
  let transformed: TransformedHostCode;
  let split: typeof plain;
  beforeAll(async () => {
    transformed = transformHostCode({ files: [CONSTRUCTS] });
    split = await loadPreemptible<typeof plain>(CONSTRUCTS, transformed);
  });

  it.each(Object.keys(plain.cases) as (keyof typeof plain.cases)[])(
    '%s has the value that it has untransformed',
    (name) => {
      const value = (code: typeof plain): unknown => (code.cases[name] as plain.Case)(code.newBox());
      expect(value(split)).toEqual(value(plain));
    },
  );

  it('is itself again when the preemptions are taken out', () => {
    const { texts, sources } = transformed;
    const file = join(ROOT, CONSTRUCTS);
    expect(canonical(texts.get(file)!)).toBe(canonical(sources.get(file)!));
  });
});

describe('what would lose a preemption silently', () => {
  it('is refused, each by its line, and nothing else is', () => {
    const { refusals } = transformHostCode({ files: [REFUSED] });
    const marked = readFileSync(join(ROOT, REFUSED), 'utf8')
      .split('\n')
      .flatMap((text, index) => (/refused( \*\/ |$)/.test(text) ? [`${REFUSED}:${index + 1}`] : []));
    const places = refusals.map((refusal) => refusal.split(': ')[0]!);
    expect([...new Set(places)].sort()).toEqual(marked.sort());
  });

  it('keeps host code from being loaded', async () => {
    const code = transformHostCode({ files: [REFUSED] });
    await expect(loadPreemptible(REFUSED, code)).rejects.toThrow(
      /cannot be preempted:[^]*refused.ts:\d+: a cell is read by destructuring: write object.field/,
    );
  });

  it('is found by an audit where a mutable field is no cell', () => {
    const { sites } = transformHostCode({ files: [REFUSED], audit: true });
    expect([...new Set(sites.filter(({ declared }) => !declared).map(({ cell }) => cell))]).toEqual(['Box.plain']);
  });

  it('is no mutation that finds nothing', () => {
    const mutation = { file: 'src/hypervisor/timer.ts', from: /no such text/, to: '' };
    expect(() => transformHostCode({ mutation })).toThrow('finds /no such text/ 0 times, not once');
  });
});
