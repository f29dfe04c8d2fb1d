// What the assembler's tests share: sources in, bytes or problems out, and GNU as and ld as the oracle where they are installed.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { assemble } from '../../src/assembler/assemble.ts';
import type { Reader } from '../../src/assembler/expander.ts';
import { AssemblerError, type Problem } from '../../src/assembler/problem.ts';
import { DEFAULT_ORIGIN, type Image } from '../../src/vmm/image.ts';

export const ROOT = resolve(import.meta.dirname, '../..');

/** Files by name, for `.include`. */
export const files =
  (contents: Record<string, string>): Reader =>
  (path) =>
    Object.hasOwn(contents, path) ? contents[path] : null;

/** The repository's files, as the command line finds them. */
export const repository: Reader = (path, from) => {
  const candidates = [join(ROOT, dirname(from), path), join(ROOT, path)];
  const found = candidates.find((candidate) => existsSync(candidate));
  return found === undefined ? null : readFileSync(found, 'utf8');
};

export function image(
  source: string,
  origin: number = DEFAULT_ORIGIN,
  included: Record<string, string> = {},
): Promise<Image> {
  return assemble(source, { file: 'test.s', origin, read: files(included) });
}

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Memory from the first segment to the end of the last initialised one. */
export function flatten({ segments }: Image): Uint8Array {
  const [first] = segments;
  const end = segments.reduce(
    (last, { gpa, bytes }) => Math.max(last, bytes.length === 0 ? 0 : gpa + bytes.length),
    first.gpa,
  );
  const memory = new Uint8Array(end - first.gpa);
  for (const { gpa, bytes } of segments) if (bytes.length > 0) memory.set(bytes, gpa - first.gpa);
  return memory;
}

/** The image's contents, in hexadecimal. */
export async function hexOf(source: string, origin?: number): Promise<string> {
  return toHex(flatten(await image(source, origin)));
}

/** The problems of a source that must not assemble. */
export async function problemsOf(source: string, included: Record<string, string> = {}): Promise<readonly Problem[]> {
  try {
    await image(source, DEFAULT_ORIGIN, included);
  } catch (thrown) {
    if (thrown instanceof AssemblerError) return thrown.problems;
    throw thrown;
  }
  throw new Error(`this assembled, and should not have: ${source}`);
}

/** The one problem of a source, as `line: message`. */
export async function problemOf(source: string): Promise<string> {
  const problems = await problemsOf(source);
  if (problems.length !== 1)
    throw new Error(`expected one problem, found ${problems.map(({ message }) => message).join('; ')}`);
  return `${problems[0].line}: ${problems[0].message}`;
}

export function isInstalled(tool: string): boolean {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Why comparisons with GNU binutils cannot run here, or null. */
export const WITHOUT_GNU = ['as', 'ld', 'objcopy'].every(isInstalled) ? null : 'GNU binutils are not installed';

/** The image's layout, in ld's language. */
const SCRIPT = `ENTRY(_start) SECTIONS {
  . = 0x100000;
  .text : { *(.text .text.*) }
  . = ALIGN(4096); .rodata : { *(.rodata .rodata.*) }
  . = ALIGN(4096); .data : { *(.data .data.*) }
  . = ALIGN(4096); .bss : { *(.bss .bss.*) }
  /DISCARD/ : { *(.note*) }
}`;

export interface GnuResult {
  elf: Uint8Array;
  flat: string;
}

/** What GNU as and ld make of a source, linked as trapline lays images out; `file` must exist or `source` be given. */
export function gnu(source: string): GnuResult {
  const directory = mkdtempSync(join(tmpdir(), 'trapline-gnu-'));
  try {
    const at = (name: string): string => join(directory, name);
    writeFileSync(at('source.s'), source);
    writeFileSync(at('script.ld'), SCRIPT);
    const options = { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] as ['ignore', 'ignore', 'pipe'] };
    execFileSync('as', ['--64', '-I', ROOT, '-I', join(ROOT, 'asm'), '-o', at('source.o'), at('source.s')], options);
    execFileSync(
      'ld',
      ['-z', 'noexecstack', '--no-warnings', '-T', at('script.ld'), '-o', at('source.elf'), at('source.o')],
      options,
    );
    execFileSync('objcopy', ['-O', 'binary', at('source.elf'), at('source.bin')], options);
    return { elf: new Uint8Array(readFileSync(at('source.elf'))), flat: toHex(readFileSync(at('source.bin'))) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
