// `trapline isa`: the table of what is executed; `trapline isa FORM --wat`: what is generated for one form.

import { HANDLERS } from '../cpu/handlers.ts';
import { handlerText } from '../cpu/interpreter.ts';
import { FORMS } from '../x86/tables.ts';
import type { Form } from '../x86/forms.ts';
import { UsageError, type Command } from './command.ts';

export const isa: Command = {
  name: 'isa',
  usage: '[FORM...] [options]',
  summary: 'Prints the instruction table: forms that are executed, encodings, CPUID bits; or what one form is made of.',
  details:
    'A form is an encoding at one width and operand shape, such as add.32.m.r; part of a name selects all that contain it.',
  options: [
    { name: 'all', help: 'also what is decoded but not executed' },
    { name: 'wat', help: 'the WebAssembly generated for the forms' },
  ],
  async run(args) {
    const executed = new Map(HANDLERS.filter((h) => h.form !== null).map((h) => [h.form!, h]));
    const all = args.given('all') ? FORMS : [...executed.keys()];
    const exact = all.filter((form) => args.files.includes(form.name));
    const wanted =
      exact.length > 0 ? exact : all.filter((form) => args.files.every((part) => form.name.includes(part)));
    if (wanted.length === 0) {
      throw new UsageError(
        `no form is called ${args.files.join(' ')}; 'trapline isa' prints them all, 'trapline isa --all' those only decoded too`,
      );
    }
    if (args.given('wat')) {
      if (wanted.length > 20) throw new UsageError(`--wat of ${wanted.length} forms: name one, such as add.32.m.r`);
      for (const form of wanted) {
        const handler = executed.get(form);
        if (!handler) throw new UsageError(`${form.name} is decoded but not executed: nothing is generated for it`);
        process.stdout.write(`${handlerText(handler)}\n`);
      }
      return 0;
    }
    process.stdout.write(`${line('form', 'encoding', 'operands', 'executed by', 'flags', 'CPUID', 'exits')}\n`);
    for (const form of wanted) process.stdout.write(`${describe(form)}\n`);
    process.stdout.write(`${wanted.length} forms\n`);
    return 0;
  },
};

const line = (...columns: string[]): string => {
  const widths = [26, 26, 14, 12, 10, 12, 0];
  return columns
    .map((text, i) => text.padEnd(widths[i]!))
    .join(' ')
    .trimEnd();
};

function describe({ name, row }: Form): string {
  const by = row.semantics ? 'generated' : row.microcode ? 'microcode' : 'not';
  const operands = row.operands.map((o) => o.notation).join(',');
  return line(name, row.text, operands, by, row.written ?? '', row.cpuid ?? '', row.exits ?? '');
}
