// Reads a guest from a file: recognises what it is, assembles or loads it. The only place that knows where trapline's own
// include files are.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Included } from '../assembler/expander.ts';
import { bootDirective } from '../testing/directives.ts';
import { DEFAULT_ORIGIN, flatten, ImageError, type Image, type ProtocolName } from '../vmm/image.ts';
import { BOOT_SECTOR_ORIGIN } from '../vmm/loaders/bootSector.ts';
import { detect } from '../vmm/loaders/detect.ts';
import { loadImage } from '../vmm/loaders/protocols.ts';

/** The package's own folder: that of package.json, from a bundle in dist/ or from the source. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

const LARGEST_FILE = 1 << 30;

/** The bytes of a file, or an ImageError that says why not. */
export function readFile(file: string): Uint8Array {
  try {
    const status = statSync(file);
    const { size } = status;
    if (!status.isFile() && !status.isDirectory()) {
      throw new ImageError(`${file} is a device or a pipe`, 'give a file');
    }
    if (size > LARGEST_FILE) throw new ImageError(`${file} has ${size} bytes`, 'guests of at most 1 GiB are loaded');
    return readFileSync(file);
  } catch (error) {
    if (error instanceof ImageError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'that is a folder' : (error as Error).message;
    throw new ImageError(
      `cannot read ${file === '' ? 'a file without a name' : file}: ${why}`,
      'guests to start from are in guests/, for instance guests/hello.s',
    );
  }
}

/** `.include` looks beside the including file, then in the package (asm/start.s) and in its asm/ folder. */
export function readInclude(path: string, from: string): Included | null {
  const candidates = [
    { folder: '.', file: isAbsolute(path) ? path : join(dirname(from), path) },
    { folder: packageFolder(), file: path },
    { folder: join(packageFolder(), 'asm'), file: path },
  ];
  for (const { folder, file } of candidates) {
    const found = resolve(folder, file);
    if (existsSync(found) && statSync(found).isFile()) return { file, source: readFileSync(found, 'utf8') };
  }
  return null;
}

/** Assembles a source text, to lie where its boot protocol wants it. Keystone is loaded here and nowhere before. */
export async function assembleText(source: string, file: string, protocol = bootDirective(source)): Promise<Image> {
  const { assemble } = await import('../assembler/assemble.ts');
  const origin = protocol === 'boot-sector' ? BOOT_SECTOR_ORIGIN : DEFAULT_ORIGIN;
  return assemble(source, { file, origin, read: readInclude });
}

/** Assembles a guest, to be started by the protocol asked for, else by that of its `boot` directive, else directly. */
export async function assembleGuest(source: string, file: string, asked?: ProtocolName): Promise<Image> {
  const protocol = asked ?? bootDirective(source) ?? 'direct';
  const assembled = await assembleText(source, file, protocol);
  if (protocol === 'direct') return assembled;
  const loaded = named(file, () => loadImage(flatten(assembled), protocol));
  return { ...loaded, format: assembled.format, symbols: assembled.symbols, listing: assembled.listing! };
}

/** Loads a guest image of any format that is known. `protocol`: how to start it, by default as it announces. Throws ImageError or AssemblerError, which name the file. */
export async function loadGuest(file: string, protocol?: ProtocolName): Promise<Image> {
  const bytes = readFile(file);
  const found = detect(bytes, file);
  switch (found.kind) {
    case 'assembly':
      return assembleGuest(new TextDecoder().decode(bytes), file, protocol);
    case 'empty':
      throw new ImageError(`${file} is empty`, 'give assembler source, a kernel, a boot sector or a flat binary');
    case 'foreign':
      if (protocol === undefined) throw new ImageError(`${file} is ${found.what}, not a guest`, found.hint);
      return named(file, () => loadImage(bytes, protocol));
    default:
      return named(file, () => loadImage(bytes, protocol ?? found.protocol));
  }
}

/** What a loader makes of a file, or finds wrong with it, with the file's name. */
function named(file: string, load: () => Image): Image {
  try {
    return { ...load(), name: basename(file) };
  } catch (error) {
    if (error instanceof ImageError) throw new ImageError(`${file}: ${error.message}`, error.hint);
    throw error;
  }
}
