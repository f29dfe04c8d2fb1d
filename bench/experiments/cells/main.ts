// Runs the experiment: how is host code preempted at its cells? Prints what README.md records.
//   npx tsx bench/experiments/cells/main.ts
import { build, type Plugin } from 'esbuild';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { explore, story, type Activity, type Step, type Trial } from './explorer.ts';
import { instrument, RerunActivity } from './rerun.ts';
import { CellTransform } from '../../../transform/cellTransform.ts';
import type { access, Site } from '../../../src/explore/preemptible.ts';
import type * as Scenario from './scenario.ts';

const HERE = import.meta.dirname;
const RUNTIME = join(HERE, '../../../src/explore/preemptible.ts');
const HOST = [join(HERE, 'xen-timer.ts'), join(HERE, '../../../src/host/sleep.ts')];
const scratch = mkdtempSync(join(tmpdir(), 'cells-'));
const milliseconds = (work: () => void): number => {
  const from = performance.now();
  work();
  return performance.now() - from;
};

// ---- transform and bundle

let program!: ts.Program;
let transform!: CellTransform;
const texts = new Map<string, string>();
const options = {
  strict: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  allowImportingTsExtensions: true,
  noEmit: true,
};
const createTime = milliseconds(() => {
  program = ts.createProgram([...HOST, join(HERE, 'scenario.ts')], options);
  program.getTypeChecker();
});
const includes = (file: string) => HOST.includes(file);
const transformTime = milliseconds(() => {
  transform = new CellTransform({ program, includes, runtime: RUNTIME });
  for (const file of HOST) texts.set(file, transform.emit(file));
});

const preemptible: Plugin = {
  name: 'cells',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, ({ path }) =>
      texts.has(path) ? { contents: texts.get(path)!, loader: 'ts' } : undefined,
    );
  },
};

async function load<T>(entry: string, plugins: Plugin[]): Promise<T & { access: typeof access }> {
  const name = `${entry}-${plugins.length}.mjs`;
  const { outputFiles } = await build({
    stdin: { contents: `export * from './${entry}.ts'; export { access } from '${RUNTIME}';`, resolveDir: HERE },
    bundle: true,
    format: 'esm',
    write: false,
    plugins,
  });
  writeFileSync(join(scratch, name), outputFiles[0]!.text);
  return (await import(pathToFileURL(join(scratch, name)).href)) as T & { access: typeof access };
}

const plain = await load<typeof Scenario>('scenario', []);
const split = await load<typeof Scenario>('scenario', [preemptible]);
const where = ({ access, cell, file, line }: Site) =>
  `${access.padEnd(6)} ${cell.padEnd(20)} ${file.slice(HERE.length + 1)}:${line}`;

// ---- the two mechanisms as activities

type Race = ReturnType<typeof plain.race>;

class GeneratorActivity implements Activity {
  readonly name: string;
  readonly #body: Generator;
  #site: Site | null = null;
  constructor(name: string, body: Generator) {
    this.name = name;
    this.#body = body;
  }
  step(): Step {
    let asleep = false;
    for (;;) {
      const { done, value } = this.#body.next();
      if (done) return 'done';
      if (value === split.access) break;
      asleep = true;
    }
    this.#site = split.access.site;
    return asleep ? 'asleep' : 'access';
  }
  pending = () => (this.#site === null ? 'starts' : where(this.#site));
}

const verdict = (timer: Race['timer']) =>
  timer.consistent
    ? null
    : `expires = ${timer.expires}, hrtimer ${timer.hrtimer.queued ? 'queued' : 'idle'}, pending = ${timer.pending}`;

function transformed(version: 'v1' | 'v3'): Trial {
  const { timer, vcpu, vmm } = split.race(version);
  const interrupt = (timer.hrtimer as unknown as { interrupt$(): Generator }).interrupt$();
  const activities = [
    new GeneratorActivity('callback', interrupt),
    new GeneratorActivity('vcpu', vcpu()),
    new GeneratorActivity('vmm', vmm()),
  ];
  return { activities, verdict: () => verdict(timer) };
}

function reexecuted(version: 'v1' | 'v3'): Trial {
  const { timer, callback, vcpu, vmm } = plain.race(version);
  instrument(timer, ['expires', 'pending', 'sharedInfoValid'], ['testAndSetEvent']);
  instrument(timer.hrtimer, ['running'], ['start', 'tryToCancel', 'dequeue']);
  instrument(timer.mutex, ['held'], ['tryLock']);
  const activities = [
    new RerunActivity('callback', callback),
    new RerunActivity('vcpu', vcpu),
    new RerunActivity('vmm', vmm),
  ];
  return { activities, verdict: () => verdict(timer) };
}

// ---- (a) do they find the race?

const table: Record<string, unknown>[] = [];
for (const [mechanism, make] of [
  ['transform', transformed],
  ['re-execution', reexecuted],
] as const) {
  for (const version of ['v1', 'v3'] as const) {
    let outcome!: ReturnType<typeof explore>;
    const times = [1, 2, 3]
      .map(() => milliseconds(() => (outcome = explore(() => make(version), 2))))
      .sort((a, b) => a - b);
    table.push({
      mechanism,
      version,
      schedules: outcome.schedules,
      steps: outcome.steps,
      'schedules/s': Math.round((outcome.schedules / times[1]!) * 1000),
      found: [...outcome.failures.keys()].join('; ') || 'nothing',
    });
    const [first] = outcome.failures.values();
    if (mechanism === 'transform' && first) {
      console.log(`The race as the transform tells it (${version}):`);
      for (const line of story(() => make(version), 2, first.choices)) console.log('  ' + line);
    }
  }
}
console.table(table);

// ---- (b) what breaks: test/explore/transform.test.ts

// ---- (c) what does it cost?

const median = (work: () => void, rounds = 15): number => {
  const times = Array.from({ length: rounds }, () => milliseconds(work)).sort((a, b) => a - b);
  return times[rounds >> 1]!;
};
const CALLS = 200_000;
const fire = (module: typeof plain) => {
  const { timer } = module.race('v3');
  return () => {
    for (let i = 0; i < CALLS; i++) {
      timer.hrtimer.start(i);
      timer.hrtimer.interrupt();
      timer.eventPending = false;
    }
  };
};
const unmarked = readFileSync(join(HERE, 'xen-timer.ts'), 'utf8').replace(
  /: (Cell|Atomic)<([^=;{]*)>(?= [={;])/g,
  ': $2',
);
const stripped = (text: string) =>
  ts
    .transpileModule(text, { compilerOptions: { ...options, noEmit: false, verbatimModuleSyntax: true } })
    .outputText.replace(/^import.*$/gm, '');
console.log(
  `normal build equals the same source without markers: ${stripped(unmarked) === stripped(readFileSync(join(HERE, 'xen-timer.ts'), 'utf8'))}`,
);
const plainFire = fire(plain);
const splitFire = fire(split);
let accesses = 0;
const { timer } = split.race('v3');
const interrupt = (timer.hrtimer as unknown as { interrupt$(): Generator }).interrupt$();
while (!interrupt.next().done) accesses++;
const [plainTime, splitTime] = [median(plainFire), median(splitFire)];
const perCall = (ms: number) => ((ms * 1e6) / CALLS).toFixed(1);
console.log(
  `one timer interrupt (4 functions deep, ${accesses} accesses): plain ${perCall(plainTime)} ns, transformed and run through ${perCall(splitTime)} ns, ${(((splitTime - plainTime) * 1e6) / CALLS / accesses).toFixed(1)} ns per access`,
);
console.log(
  `transform: program ${createTime.toFixed(0)} ms, three files ${transformTime.toFixed(0)} ms, ${transform.sites.length} sites`,
);
rmSync(scratch, { recursive: true });
