#!/usr/bin/env node
// The command line: finds the command, turns what goes wrong into one message and an exit status. Bad input never shows a
// stack trace; a defect of trapline does.

import { AssemblerError } from '../assembler/problem.ts';
import { BootError } from '../vmm/loaders/direct.ts';
import { ImageError } from '../vmm/image.ts';
import { EXIT_STATUS } from '../vmm/result.ts';
import { asm, disasm } from './asm.ts';
import { help, readArguments, UsageError, type Command } from './command.ts';
import { isa } from './isa.ts';
import { lab } from './lab.ts';
import { run } from './run.ts';
import { tour } from './tour.ts';
import { trace } from './trace.ts';

const COMMANDS: readonly Command[] = [run, trace, lab, tour, asm, disasm, isa];

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const lines = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `trapline boots x86-64 guest kernels under a KVM-like hypervisor and explains every VM exit.

Usage: trapline COMMAND [arguments]; trapline COMMAND --help tells more.

${lines.join('\n')}
`;
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(overview());
    return name === undefined ? EXIT_STATUS.USAGE : 0;
  }
  const command = COMMANDS.find((c) => c.name === name);
  if (!command) {
    throw new UsageError(`there is no command '${name}'; trapline knows ${COMMANDS.map((c) => c.name).join(', ')}`);
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(help(command));
    return 0;
  }
  return command.run(readArguments(command, rest));
}

/** Mistakes of the user, and the exit status of each. */
function statusOf(error: unknown): number | null {
  if (error instanceof UsageError || error instanceof RangeError) return EXIT_STATUS.USAGE;
  if (error instanceof BootError) return EXIT_STATUS.USAGE;
  if (error instanceof ImageError || error instanceof AssemblerError) return EXIT_STATUS.IMAGE;
  return null;
}

// A reader that has seen enough (| head) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

main(process.argv.slice(2)).then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    const status = statusOf(error);
    if (status === null) throw error;
    const hint = error instanceof ImageError ? `\nTry: ${error.hint}.` : '';
    process.stderr.write(`trapline: ${(error as Error).message}${hint}\n`);
    process.exitCode = status;
  },
);
