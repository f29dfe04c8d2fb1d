// What user mode cannot ask a processor: small guests of many cases, whose outcomes the manual says. trapline must print
// exactly what is promised, and so must QEMU and bochs where they are installed, save for what is known (disagreements.ts).
// Adding a case takes a few lines in a guest (include/case.s says how), and nothing here.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bochs } from '../peers/bochs.ts';
import type { Start } from '../peers/peer.ts';
import { qemu } from '../peers/qemu.ts';
import { startOf, trapline } from '../peers/trapline.ts';
import { guestsDisagreedAbout, isComparable, known } from './disagreements.ts';
import { systemGuest } from './guest.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const GUESTS = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.s'))
  .map((file) => file.replace(/\.s$/, ''))
  .sort();
const MACHINES = [trapline, qemu, bochs].map((machine) => ({ machine, comparable: isComparable(machine) }));
const PATIENCE = 20_000;

describe.each(GUESTS)('%s.s', (name) => {
  const guest = systemGuest(join(FOLDER, `${name}.s`));
  const names = guest.cases.map((entry) => entry.name);
  const startWithout = async (lost: ReadonlySet<string>): Promise<Start> => startOf(await guest.image(lost));
  let whole: Promise<Start> | null = null;
  const start = (lost: ReadonlySet<string>): Promise<Start> =>
    lost.size > 0 ? startWithout(lost) : (whole ??= startWithout(lost));

  it('has a name of its own for each case', () => {
    expect(names.filter((entry, i) => names.indexOf(entry) !== i)).toEqual([]);
  });

  for (const { machine, comparable } of MACHINES) {
    const where = comparable === true ? '' : ` (skipped: ${comparable})`;
    const instead = known(machine.name, name);

    it(`has the cases that ${machine.name} is known to disagree about`, () => {
      expect([...instead.keys()].filter((entry) => !names.includes(entry))).toEqual([]);
    });

    it.skipIf(comparable !== true)(`ends on ${machine.name} as the manual says, case by case${where}`, async () => {
      const lost = new Set(names.filter((entry) => instead.get(entry) === null));
      const { bytes } = await machine.run(await start(lost), PATIENCE);
      const left = guest.cases.filter((entry) => !lost.has(entry.name));
      expect(Buffer.from(bytes).toString('latin1').trimEnd().split('\n')).toEqual(
        left.map(({ name: entry, promised }) => `${entry}: ${instead.get(entry) ?? promised}`),
      );
    });
  }
});

it('the known disagreements are about guests that are there', () => {
  expect(guestsDisagreedAbout.filter((guest) => !GUESTS.includes(guest))).toEqual([]);
});
