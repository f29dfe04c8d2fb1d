// A difference between two machines as text: the instruction as each sees it, and both states side by side.

import { RFLAGS } from '../../src/x86/names/registers.ts';
import type { Registers } from './driver.ts';
import type { Difference } from './lockstep.ts';

const WIDTH = 22;
const FLAG_LETTERS = ['OF', 'DF', 'IF', 'TF', 'SF', 'ZF', 'AF', 'PF', 'CF', 'AC', 'NT', 'RF'] as const;

export function differenceText(difference: Difference, names: readonly [string, string]): string {
  const { units, vcpu, before, after, explained, ended, memory } = difference;
  const stretch = difference.span === 1 ? '' : `, in a stretch of ${difference.span} units that starts here`;
  const lines = [`first difference after ${units} units in step, on vCPU ${vcpu}${stretch}`, ''];
  lines.push(...instructionLines(explained, names), '');
  lines.push(columns('', 'before', names[0], names[1], ''));
  for (const name of Object.keys(after[0])) {
    const differs = difference.names.includes(name);
    const changed = after.some((registers) => registers[name] !== undefined && registers[name] !== before[name]);
    if (!differs && !changed && !ALWAYS.test(name)) continue;
    lines.push(columns(name, ...values([before, ...after], name), differs ? '*' : ''));
    if (name === 'rflags') {
      const texts = [before, ...after].map((registers) => flagsText(registers.rflags!));
      lines.push(columns('', texts[0]!, texts[1]!, texts[2]!, ''));
    }
  }
  if (memory !== null) lines.push(columns(`[${hex(memory.gpa)}]`, '', memory.bytes[0], memory.bytes[1], '*'));
  if (ended[1] !== undefined && ended[0] !== ended[1])
    lines.push(columns('ended', '', ended[0] ?? 'goes on', ended[1] ?? 'goes on', '*'));
  return lines.join('\n');
}

/** Shown even where nothing happens to them. */
const ALWAYS = /^(r[a-z0-9]{1,2}|rip|rflags)$/;

/** What both say once; where they differ, each under its name. */
function instructionLines(explained: Difference['explained'], names: readonly [string, string]): string[] {
  const [one, other] = explained;
  if (one === null || other === null) return [...(one ?? other ?? [])];
  return one.flatMap((line, i) =>
    line === other[i] ? [line] : [`${line}   (${names[0]})`, `${other[i] ?? ''}   (${names[1]})`],
  );
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

function values(states: readonly Registers[], name: string): [string, string, string] {
  const [a, b, c] = states.map((registers) => (registers[name] === undefined ? '' : hex(registers[name])));
  return [a!, b!, c!];
}

const columns = (name: string, before: string, one: string, other: string, mark: string): string =>
  [name.padEnd(14), before.padEnd(WIDTH), one.padEnd(WIDTH), other.padEnd(WIDTH), mark].join(' ').trimEnd();

/** The flags that are set, by name. */
const flagsText = (rflags: bigint): string =>
  FLAG_LETTERS.filter((name) => rflags & BigInt(RFLAGS[name])).join(' ') || 'none';
