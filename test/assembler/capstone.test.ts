// An independent reader of what was assembled: capstone must find the same instructions, of the same length and name.
// trapline's own decoder checks every instruction while it is assembled; this checks both.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Capstone, Const, loadCapstone } from 'capstone-wasm';
import { expect, it } from 'vitest';
import { sameMnemonic } from '../../src/assembler/agreement.ts';
import { image, ROOT } from './assembling.ts';

/** Where capstone 5.0 itself is wrong (its issues 2555, 2566; ud0 and ud1 lose their ModRM byte) or knows nothing yet. */
// prettier-ignore
const WRONG = new Set([
  'ud0', 'ud1', 'serialize', 'wbnoinvd', 'prefetch', 'saveprevssp', 'setssbsy',
]);
/** Same bytes, another name. */
const OTHER_NAME: Record<string, string> = { xchg: 'nop', movsxd: 'movslq', 'rex.w': 'ljmpq' };

it('reads the same instructions as were written in the corpus of system programming', async () => {
  await loadCapstone();
  const capstone = new Capstone(Const.CS_ARCH_X86, Const.CS_MODE_64);
  capstone.setOption(Const.CS_OPT_SYNTAX, Const.CS_OPT_SYNTAX_ATT);
  const { listing } = await image(readFileSync(join(ROOT, 'test/assembler/corpus.s'), 'utf8'));
  const differences: string[] = [];
  let compared = 0;
  for (const { bytes, text, isCode } of listing ?? []) {
    const word =
      text
        .replace(/^\w+:\s*/, '')
        .split(/\s+/)
        .find((part) => !/^(lock|rep\w*|bnd|notrack|data16|[c-g]s|chain|store)$/.test(part)) ?? '';
    if (!isCode || text.includes(';') || WRONG.has(word)) continue;
    compared++;
    let read = '(nothing)';
    try {
      const [insn] = capstone.disasm(bytes, { address: 0x1000, count: 1 });
      if (insn.size === bytes.length && (sameMnemonic(word, insn.mnemonic) || OTHER_NAME[word] === insn.mnemonic))
        continue;
      read = `${insn.mnemonic} ${insn.opStr} (${insn.size} bytes)`;
    } catch {
      // capstone-wasm throws when nothing decodes.
    }
    differences.push(`${text}: ${Buffer.from(bytes).toString('hex')} = ${read}`);
  }
  capstone.close();
  expect(differences).toEqual([]);
  expect(compared).toBeGreaterThan(300);
});
