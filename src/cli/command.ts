// What a command of the command line is, and how its arguments are read and explained. Not what any command does.

import { parseArgs } from 'node:util';

/** An option: `--name VALUE`, or a switch when it has no value name. */
export interface Option {
  readonly name: string;
  /** What its value is called in help; left out: a switch. */
  readonly value?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
  readonly help: string;
}

export interface Arguments {
  readonly files: readonly string[];
  /** Value of an option that was given; undefined otherwise. */
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  given(name: string): boolean;
  /** A whole number within bounds, with k, M and G for thousands, millions and billions. Throws UsageError. */
  number(name: string, least: number, most: number): number | undefined;
}

export interface Command {
  readonly name: string;
  /** What stands behind the name in the usage line: 'FILE [options]'. */
  readonly usage: string;
  readonly summary: string;
  /** More, for `--help`. */
  readonly details?: string;
  /** Command lines with what they show. */
  readonly examples?: readonly (readonly [line: string, note: string])[];
  readonly options: readonly Option[];
  /** Returns the exit status. */
  run(args: Arguments): Promise<number>;
}

/** A mistake in how the command was called: told without a stack trace, exit status 2. */
export class UsageError extends Error {}

/** Reads the arguments behind the command's name. Throws UsageError. */
export function readArguments(command: Command, argv: readonly string[]): Arguments {
  const options = Object.fromEntries(
    command.options.map(({ name, value, multiple }) => [
      name,
      { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple: multiple ?? false },
    ]),
  );
  let parsed;
  try {
    parsed = parseArgs({ args: attachNegatives(argv, options), options, allowPositionals: true, strict: true });
  } catch (error) {
    const what = (error as Error).message.split(/\.\s|\n/)[0]!;
    const known = command.options.map(optionText).join(', ');
    throw new UsageError(`${what}. trapline ${command.name} takes ${known === '' ? 'no options' : known}`);
  }
  const valueOf = (name: string): string | boolean | (string | boolean)[] | undefined => parsed.values[name];
  return {
    files: parsed.positionals,
    text: (name) => valueOf(name) as string | undefined,
    texts: (name) => (valueOf(name) as string[] | undefined) ?? [],
    given: (name) => valueOf(name) !== undefined,
    number: (name, least, most) => {
      const text = valueOf(name) as string | undefined;
      return text === undefined ? undefined : wholeNumber(name, text, least, most);
    },
  };
}

/** `--feature -kvm-pv-eoi` as `--feature=-kvm-pv-eoi`: no command has options of one dash. */
function attachNegatives(argv: readonly string[], options: Readonly<Record<string, { type: string }>>): string[] {
  const args: string[] = [];
  for (const argument of argv) {
    const last = args.at(-1);
    const wantsValue = last?.startsWith('--') === true && options[last.slice(2)]?.type === 'string';
    if (wantsValue && /^-[^-]/.test(argument)) args[args.length - 1] = `${last}=${argument}`;
    else args.push(argument);
  }
  return args;
}

/** The only file that the command takes. */
export function onlyFile(command: Command, args: Arguments): string {
  const [file, ...more] = args.files;
  if (file === undefined)
    throw new UsageError(`trapline ${command.name} wants a file: trapline ${command.name} ${command.usage}`);
  if (more.length > 0) throw new UsageError(`trapline ${command.name} takes one file, not also ${more.join(' ')}`);
  return file;
}

const THOUSANDS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const [, digits, unit] = /^(0x[0-9a-f]+|\d+)([kmg]?)$/i.exec(text) ?? [];
  const value = digits === undefined ? NaN : Number(digits) * THOUSANDS[unit!.toLowerCase()]!;
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new UsageError(`--${name} takes a whole number from ${least} to ${most}, not '${text}'`);
  }
  return value;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** A size such as 64M or 1G, in bytes. */
export function size(name: string, text: string): number {
  const [, digits, unit] = /^(\d+)([kmg]?)i?b?$/i.exec(text) ?? [];
  if (digits === undefined) throw new UsageError(`--${name} takes a size such as 64M or 1G, not '${text}'`);
  return Number(digits) * UNITS[unit!.toLowerCase()]!;
}

const optionText = ({ name, value }: Option): string => `--${name}${value === undefined ? '' : ` ${value}`}`;

/** The command's help text. */
export function help({ name, usage, summary, details, examples = [], options }: Command): string {
  const rows = (lines: readonly (readonly [string, string])[], gap: number): string => {
    const width = Math.max(0, ...lines.map(([left]) => left.length));
    return lines.map(([left, right]) => `  ${left.padEnd(width + gap)}${right}`.trimEnd()).join('\n');
  };
  const parts = [`trapline ${name} ${usage}`.trimEnd(), summary];
  if (details !== undefined) parts.push(details);
  if (options.length > 0)
    parts.push(
      `Options:\n${rows(
        options.map((o) => [optionText(o), o.help] as const),
        2,
      )}`,
    );
  if (examples.length > 0) parts.push(`Examples:\n${rows(examples, 3)}`);
  return `${parts.join('\n\n')}\n`;
}
