// npm run profile [-- --count N]: which forms the guests execute, most executed first, in the format of src/cpu/code/hot.ts. Never
// over bench/: what is measured there must not be what was chosen for. Every guest weighs the same, however long it runs; behind
// what they execute stand the forms that gcc writes most often in the C guest, for other people's loops.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageFolder } from '../src/cli/load.ts';
import { evaluateRun } from '../src/cpu/code/evaluator.ts';
import { HANDLERS, HANDLER_OF_FORM } from '../src/cpu/code/handlers.ts';
import { HOT_FORMS } from '../src/cpu/code/hot.ts';
import type { Image } from '../src/vmm/image.ts';
import { Decoded, MODE, decode } from '../src/x86/decoder.ts';
import type { Form } from '../src/x86/forms.ts';
import { bootCase, casesOfFile, imageOfFile, type GuestCase } from '../src/testing/guestCases.ts';

const GUESTS = join(packageFolder(), 'guests');
/** Executions after which a guest has shown what it does. */
const ENOUGH = 1_500_000;
/** Forms in the list by default: more make the dispatcher larger than its caches. */
const DEFAULT_COUNT = 110;
/** The part of all executions from which a form is inlined for its own sake. */
const WORTHWHILE = 1e-4;

interface Profile {
  readonly name: string;
  /** Executions by handler. */
  readonly counts: Float64Array;
  readonly total: number;
}

/** Runs a case on the evaluator, which tells each handler that it executes. */
async function profileCase(file: string, test: GuestCase, name: string): Promise<Profile> {
  const machine = bootCase(await imageOfFile(file), test, { engine: 'bigint' });
  const counts = new Float64Array(HANDLERS.length);
  let total = 0;
  machine.processor.run = (cpu, record) =>
    evaluateRun(cpu, record, (handler) => {
      counts[handler]!++;
      total++;
    });
  machine.run({ until: () => total >= ENOUGH, maxCycles: test.directives.maxCycles ?? Infinity });
  return { name, counts, total };
}

/** Levels at which people compile kernels. */
const LEVELS = ['-O1', '-O2', '-O3', '-Os'];
const C_GUEST = join(GUESTS, 'c');

/** Builds the C guest at a level of optimisation. */
function buildC(folder: string, level: string): string {
  execFileSync('make', ['-s', '-B', '-C', C_GUEST, `OPTIMIZE=${level}`, `BUILD=${folder}`]);
  return join(folder, 'guest.elf');
}

/** How often each form stands in the functions of an image. */
function countForms(image: Image, counts: Float64Array): void {
  const insn = new Decoded();
  for (const { kind, address, size } of image.symbols) {
    const segment = image.segments.find(
      ({ gpa, bytes }) => Number(address) >= gpa && Number(address) < gpa + bytes.length,
    );
    if (kind !== 'function' || segment === undefined) continue;
    const from = Number(address) - segment.gpa;
    for (let at = from; at < from + size; at += Math.max(insn.length, 1)) {
      if (decode(segment.bytes, at, segment.bytes.length, MODE.CODE64, insn) > 0)
        counts[HANDLER_OF_FORM.long[insn.form]!]!++;
    }
  }
}

/** Runs every guest, and reads what gcc made of the C guest. */
async function profileGuests(): Promise<{ profiles: Profile[]; written: Float64Array }> {
  const profiles: Profile[] = [];
  const written = new Float64Array(HANDLERS.length);
  for (const name of readdirSync(GUESTS).filter((file) => file.endsWith('.s'))) {
    const file = join(GUESTS, name);
    for (const test of casesOfFile(file)) profiles.push(await profileCase(file, test, `${name} ${test.name}`));
  }
  if (spawnSync('gcc', ['--version']).status !== 0) {
    process.stderr.write('no gcc: the C guest is not in this profile\n');
    return { profiles, written };
  }
  const [test] = casesOfFile(join(C_GUEST, 'main.c'));
  const folder = mkdtempSync(join(tmpdir(), 'trapline-profile-'));
  try {
    for (const level of LEVELS) {
      const file = buildC(folder, level);
      countForms(await imageOfFile(file), written);
      profiles.push(await profileCase(file, test!, `c/main.c ${level}`));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return { profiles, written };
}

const { values } = parseArgs({ options: { count: { type: 'string', default: String(DEFAULT_COUNT) } } });
const { profiles, written } = await profileGuests();

/**
 * Microcode leaves generated code in any case, and some records only say where to stop: inlining gains nothing. A repeated form
 * calls what copies in bulk, and inlined forms call nothing (interpreter.ts).
 */
const gains = ({ row, rep }: Form): boolean => row.semantics !== undefined && rep === '';
const candidates = HANDLERS.map(({ name, form }, index) => ({ name, form, index }))
  .filter(({ name, form }) => (form === null ? name.startsWith('fallThrough') : gains(form)))
  .map(({ name, index }) => ({
    name,
    share: profiles.reduce((sum, { counts, total }) => sum + counts[index]! / total, 0) / profiles.length,
    written: written[index]!,
  }));
const executed = candidates.filter(({ share }) => share >= WORTHWHILE).sort((a, b) => b.share - a.share);
const wanted = candidates
  .filter((form) => !executed.includes(form) && form.written > 0)
  .sort((a, b) => b.written - a.written);
const hot = [...executed, ...wanted].slice(0, Number(values.count));

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const known = new Set(HOT_FORMS.long);
const percent = (part: number): string => `${(100 * part).toFixed(2).padStart(6)} %`;
for (const { name, total, counts } of profiles) {
  const inlined = HANDLERS.reduce((sum, handler, i) => sum + (known.has(handler.name) ? counts[i]! : 0), 0);
  print(
    `${name.padEnd(40)} ${String(total).padStart(9)} executed, ${percent(inlined / total)} inlined as the list is now`,
  );
}
print('');
for (const { name, share, written: times } of hot)
  print(`${percent(share)} ${String(times).padStart(5)} times written  ${known.has(name) ? ' ' : '+'} ${name}`);
for (const name of HOT_FORMS.long) if (!hot.some((form) => form.name === name)) print(`no longer in the list: ${name}`);
print('');
for (let i = 0; i < hot.length; i += 10)
  print(
    `  ${hot
      .slice(i, i + 10)
      .map(({ name }) => `'${name}',`)
      .join(' ')}`,
  );
