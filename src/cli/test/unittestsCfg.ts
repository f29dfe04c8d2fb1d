// kvm-unit-tests' configuration format (its docs/unittests.md): sections by name, `key = value` lines, values of several lines
// between triple quotes. What the values mean is in qemuParams.ts and cases.ts.

import { ImageError } from '../../vmm/image.ts';

/** One section, its values as they are written. */
export interface CfgSection {
  readonly name: string;
  /** Line of its head, from 1. */
  readonly line: number;
  readonly values: ReadonlyMap<string, string>;
}

const KEYS: ReadonlySet<string> = new Set([
  'file',
  'smp',
  'test_args',
  'qemu_params',
  'extra_params',
  'kvmtool_params',
  'groups',
  'arch',
  'machine',
  'check',
  'accel',
  'timeout',
  'disabled_if',
]);
const SECTION = /^\[([^\]]+)\]\s*$/;
const ENTRY = /^(\w+)\s*=\s*(.*?)\s*$/;
const QUOTES = '"""';

/** Whether text looks like such a file. */
export const isUnittestsCfg = (text: string): boolean => /^\[[^\]]+\]\s*$/m.test(text) && /^file\s*=/m.test(text);

/** Reads the sections in order. `file` is for messages. Throws ImageError that names the line. */
export function parseUnittestsCfg(text: string, file: string): CfgSection[] {
  const refuse = (line: number, what: string, hint: string): never => {
    throw new ImageError(`${file}:${line}: ${what}`, hint);
  };
  const sections: { name: string; line: number; values: Map<string, string> }[] = [];
  const lines = text.split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue;
    const [, name] = SECTION.exec(line) ?? [];
    if (name !== undefined) {
      if (sections.some((section) => section.name === name))
        refuse(i + 1, `there is a section [${name}] already`, 'give each test a name of its own');
      sections.push({ name, line: i + 1, values: new Map() });
      continue;
    }
    const [, key, value] = ENTRY.exec(line) ?? [];
    if (key === undefined)
      refuse(i + 1, `'${line.trim()}' is neither [name] nor key = value`, 'see docs/unittests.md of kvm-unit-tests');
    const section = sections.at(-1) ?? refuse(i + 1, `'${key}' stands before the first section`, 'begin with [name]');
    if (!KEYS.has(key!)) refuse(i + 1, `there is no key '${key}'`, `write one of ${[...KEYS].join(', ')}`);
    if (!value!.startsWith(QUOTES)) {
      section.values.set(key!, value!);
      continue;
    }
    const start = i;
    let whole = value!.slice(QUOTES.length);
    while (!whole.endsWith(QUOTES)) {
      if (++i === lines.length) refuse(start + 1, `the value of '${key}' has no end`, `close it with ${QUOTES}`);
      // A backslash at the end of a line joins it with the next.
      whole = `${whole.replace(/\\$/, '')} ${lines[i]!.trim()}`;
    }
    section.values.set(key!, whole.slice(0, -QUOTES.length).trim());
  }
  return sections;
}
