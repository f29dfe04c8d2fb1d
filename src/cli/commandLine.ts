// The command line: finds the command, turns what goes wrong into one message and an exit status. Bad input never shows a
// stack trace; a defect of trapline does. It ends no process: main.ts does.

import { AssemblerError } from '../assembler/problem.ts';
import { DirectiveError } from '../testing/directives.ts';
import { GuestStopped } from '../lab/guestRun.ts';
import { BootError } from '../vmm/boot/bootError.ts';
import { ImageError } from '../vmm/image.ts';
import { SnapshotError } from '../vmm/snapshot/snapshotError.ts';
import { EXIT_STATUS } from '../vmm/result.ts';
import { asm, disasm } from './asm.ts';
import { help, readArguments, UsageError, type Command } from './command.ts';
import { costs } from './costs.ts';
import { isa } from './isa.ts';
import { lab } from './lab.ts';
import { lazy } from './lazy.ts';
import { run } from './run.ts';
import { test } from './test.ts';
import { tour } from './tour.ts';
import { trace } from './trace.ts';
import { version } from './version.ts';

const COMMANDS: readonly Command[] = [run, trace, test, lazy, lab, costs, tour, asm, disasm, isa];

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const lines = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `trapline boots x86-64 guest kernels under a KVM-like hypervisor and explains every VM exit.

Usage: trapline COMMAND [arguments]

Commands:
${lines.join('\n')}

trapline COMMAND --help tells more; trapline tour is a good start; docs/guests.md says how to write a guest.
`;
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    process.stderr.write(overview());
    return EXIT_STATUS.USAGE;
  }
  const asked = name === 'help' ? rest[0] : undefined;
  if (['--help', '-h', 'help'].includes(name) && asked === undefined) {
    process.stdout.write(overview());
    return 0;
  }
  if (name === '--version') {
    process.stdout.write(`trapline ${version()}\n`);
    return 0;
  }
  const command = COMMANDS.find((c) => c.name === (asked ?? name));
  if (!command) {
    const known = COMMANDS.map((c) => c.name).join(', ');
    throw new UsageError(`there is no command '${asked ?? name}'; trapline knows ${known}`);
  }
  if (asked !== undefined || rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(help(command));
    return 0;
  }
  return command.run(readArguments(command, rest));
}

/** What is no defect of trapline's, and the exit status of each. */
function statusOf(error: unknown): number | null {
  if (error instanceof UsageError || error instanceof BootError) return EXIT_STATUS.USAGE;
  if (error instanceof ImageError || error instanceof AssemblerError || error instanceof DirectiveError) {
    return EXIT_STATUS.IMAGE;
  }
  if (error instanceof SnapshotError) return EXIT_STATUS.IMAGE;
  if (error instanceof GuestStopped) return error.status;
  return null;
}

/** EX_SOFTWARE of sysexits.h: even, as all statuses that are not the guest's. */
const DEFECT = 70;

/** Runs the command line; returns the exit status, having said on standard error what went wrong. */
export async function commandLine(argv: readonly string[]): Promise<number> {
  try {
    return await dispatch(argv);
  } catch (error) {
    const status = statusOf(error);
    const hinted = error instanceof ImageError || error instanceof SnapshotError;
    const hint = hinted ? `\nTry: ${error.hint}.` : '';
    const text =
      status === null ? `a defect of trapline, please report it:\n${(error as Error).stack}` : (error as Error).message;
    process.stderr.write(`trapline: ${text}${hint}\n`);
    return status ?? DEFECT;
  }
}
