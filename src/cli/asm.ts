// `trapline asm FILE`: assembles and prints the listing, or writes the image. `trapline disasm FILE`: the way back.

import { writeFileSync } from 'node:fs';
import { disassemble, formatDisassembly } from '../assembler/disassemble.ts';
import { listingLines } from '../assembler/listing.ts';
import { flatten, ImageError, type Image } from '../vmm/image.ts';
import { onlyFile, UsageError, type Command } from './command.ts';
import { detect } from '../vmm/loaders/detect.ts';
import { assembleText, loadGuest, readFile } from './load.ts';

export const asm: Command = {
  name: 'asm',
  usage: 'FILE [options]',
  summary: 'Assembles AT&T source and prints its listing: line, address, bytes, source.',
  details: `The language is that of GNU as (docs/assembler.md). A flat binary has no symbols and no entry: it is loaded at 0x100000 and entered at
its first byte.`,
  examples: [
    ['trapline asm guests/hello.s', ''],
    ['trapline asm kernel.s --output kernel.bin', ''],
  ],
  options: [{ name: 'output', value: 'FILE', help: 'write a flat binary there and print nothing' }],
  async run(args) {
    const file = onlyFile(asm, args);
    const bytes = readFile(file);
    const { kind } = detect(bytes, file);
    if (kind === 'elf' || kind === 'raw')
      throw new ImageError(`${file} is a program already`, 'trapline disasm shows what is in it');
    const image =
      kind === 'assembly' ? await assembleText(new TextDecoder().decode(bytes), file) : await loadGuest(file);
    const output = args.text('output');
    if (output !== undefined) writeFlat(image, output);
    else for (const line of listingLines(image)) process.stdout.write(`${line}\n`);
    return 0;
  },
};

function writeFlat(image: Image, output: string): void {
  const start = Math.min(...image.segments.map(({ gpa }) => gpa));
  const flat = flatten(image);
  try {
    writeFileSync(output, flat);
  } catch (error) {
    throw new UsageError(`cannot write ${output}: ${(error as Error).message}`);
  }
  if (image.entry === BigInt(start)) return;
  const entry = image.symbols.format(image.entry);
  process.stderr.write(
    `trapline: ${entry} is at 0x${image.entry.toString(16)}, but a flat binary is entered at its first byte, 0x${start.toString(16)}: put ${entry} first\n`,
  );
}

export const disasm: Command = {
  name: 'disasm',
  usage: 'FILE',
  summary: 'Disassembles a guest (source, ELF64 or flat binary) with its symbols, in AT&T syntax.',
  examples: [['trapline disasm kernel.elf', '']],
  options: [],
  async run(args) {
    const image = await loadGuest(onlyFile(disasm, args));
    const code = image.segments.filter(({ executable }) => executable !== false);
    // A file that calls nothing executable is shown whole rather than not at all.
    for (const { gpa, bytes } of code.length > 0 ? code : image.segments) {
      for (const line of disassemble(bytes, BigInt(gpa), image.symbols))
        process.stdout.write(`${formatDisassembly(line)}\n`);
    }
    return 0;
  },
};
