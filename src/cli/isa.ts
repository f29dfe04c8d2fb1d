// `trapline isa`: the table of what is executed; `trapline isa FORM --wat`: what is generated for one form.

import { HANDLERS } from '../cpu/code/handlers.ts';
import { ABSENT } from '../cpu/microcode/table.ts';
import { MAX_MODEL } from '../hypervisor/cpuModels.ts';
import { handlerText } from '../cpu/code/interpreter.ts';
import type { Form } from '../x86/forms.ts';
import type { Row } from '../x86/row.ts';
import { ROWS } from '../x86/rows.ts';
import { FORMS, formsOf } from '../x86/tables.ts';
import { UsageError, type Command } from './command.ts';

/** More than this nobody reads as WebAssembly at once. */
const MOST_WAT = 20;

export const isa: Command = {
  name: 'isa',
  usage: '[FORM...] [options]',
  summary:
    'Prints the instruction table: what is executed in which modes, with encodings, flags, CPUID bits and exits.',
  details: `Without a name: one line for each encoding. With names: the forms that have them all as part of theirs. A form is an encoding at one
width and operand shape: add.32.m.r adds a register to memory, 32 bits wide. Shapes: r register, m memory, m32 memory with a
32-bit address, s memory through a segment, i immediate, ss the stack of 16- and 32-bit code.`,
  examples: [
    ['trapline isa', 'all encodings that are executed'],
    ['trapline isa cmpxchg', 'the forms of one instruction'],
    ['trapline isa add.32.m.r --wat', 'the WebAssembly that is generated for a form'],
  ],
  options: [
    { name: 'all', help: 'also what is decoded but not executed: it stops the machine, by name' },
    { name: 'wat', help: 'the WebAssembly generated for the forms' },
  ],
  async run(args) {
    const all = args.given('all') ? FORMS : FORMS.filter(isExecuted);
    const forms = select(all, args.files);
    if (args.given('wat')) print(wat(forms));
    else if (args.files.length > 0) print(formTable(forms));
    else print(rowTable(new Set(all)));
    return 0;
  },
};

const isExecuted = ({ row }: Form): boolean => executedBy(row) !== 'not';
const print = (lines: readonly string[]): void => void process.stdout.write(`${lines.join('\n')}\n`);

/** The forms of exactly these names, else those whose names contain all of them. */
function select(all: readonly Form[], parts: readonly string[]): readonly Form[] {
  const exact = all.filter((form) => parts.includes(form.name));
  const forms = exact.length > 0 ? exact : all.filter((form) => parts.every((part) => form.name.includes(part)));
  if (forms.length > 0) return forms;
  throw new UsageError(
    `no form is called ${parts.join(' ')}; 'trapline isa' prints them all, 'trapline isa --all' those only decoded too`,
  );
}

/** What is generated for forms: once for each kind of code in which it differs. */
function wat(forms: readonly Form[]): string[] {
  if (forms.length > MOST_WAT) throw new UsageError(`--wat of ${forms.length} forms: name one, such as add.32.m.r`);
  return forms.flatMap((form) => {
    const handlers = HANDLERS.filter((handler) => handler.form === form);
    if (handlers.length === 0)
      throw new UsageError(`${form.name} is decoded but not executed: nothing is generated for it`);
    return handlers.map(handlerText);
  });
}

function executedBy({ semantics, microcode }: Row): string {
  if (semantics) return 'generated';
  if (microcode === undefined) return 'not';
  return ABSENT.has(microcode) ? 'always #UD' : 'microcode';
}

function formTable(forms: readonly Form[]): string[] {
  const lines = forms.map((form) => [form.name, modesOf([form]), ...rowColumns(form.row)]);
  return [...table(['form', 'modes', ...ROW_HEAD], lines), '', `${forms.length} forms`];
}

function rowTable(shown: ReadonlySet<Form>): string[] {
  const lines = ROWS.flatMap((row, index) => {
    const forms = formsOf(index).filter((form) => shown.has(form));
    if (forms.length === 0) return [];
    const widths = [...new Set(forms.map(({ width }) => width))].filter((width) => width > 0).sort((a, b) => a - b);
    return [[row.mnemonic, modesOf(forms, row.modes), widths.join(' '), ...rowColumns(row)]];
  });
  const executed = ROWS.filter((row) => executedBy(row) !== 'not').length;
  return [
    ...table(['instruction', 'modes', 'bits', ...ROW_HEAD], lines),
    '',
    `${executed} encodings of ${ROWS.length} are executed, in ${FORMS.filter(isExecuted).length} forms. Generated: WebAssembly; microcode: TypeScript.`,
    'Modes: 16-, 32- and 64-bit code that has it. Flags: o s z a p c that it defines, and that it leaves undefined.',
    'Exits: it leaves to the hypervisor, always or where a control says so.',
    'CPUID: the bit that offers it; in brackets: no processor model has it yet, so it is #UD.',
  ];
}

/** The operating modes in which code reaches forms; those of 16- and 32-bit code are the same, as prefixes choose between them. */
function modesOf(forms: readonly Form[], modes: Row['modes'] = 'all'): string {
  const outside64 = modes !== 'only64' && forms.some((form) => form.outside64);
  const in64 = modes !== 'no64' && forms.some((form) => form.in64);
  return [...(outside64 ? ['16', '32'] : []), ...(in64 ? ['64'] : [])].join(' ');
}

const ROW_HEAD = ['encoding', 'operands', 'executed by', 'flags', 'undefined', 'CPUID', 'exits'];
/** The CPUID bit that a row needs; in brackets if no model has it. */
const cpuidOf = ({ cpuid }: Row): string =>
  cpuid === undefined || MAX_MODEL.features.includes(cpuid) ? (cpuid ?? '') : `(${cpuid})`;
const rowColumns = (row: Row): string[] => [
  row.text,
  row.operands.map((operand) => operand.notation).join(','),
  executedBy(row),
  row.written ?? '',
  row.undefined ?? '',
  cpuidOf(row),
  row.exits ?? '',
];

/** Columns as wide as their widest cell. */
function table(head: readonly string[], lines: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, i) => lines.reduce((most, line) => Math.max(most, line[i]!.length), title.length));
  return [head, ...lines].map((line) => line.map((cell, i) => cell.padEnd(widths[i]!)).join('  ').trimEnd()); // prettier-ignore
}
