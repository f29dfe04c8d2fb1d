// `trapline asm FILE`: assembles and prints the listing, or writes the image. `trapline disasm FILE`: the way back.

import { writeFileSync } from 'node:fs';
import { disassemble, formatDisassembly } from '../assembler/disassemble.ts';
import { listingLines } from '../assembler/listing.ts';
import { onlyFile, type Command } from './command.ts';
import { assembleText, loadGuest, readFile } from './load.ts';

export const asm: Command = {
  name: 'asm',
  usage: 'FILE [options]',
  summary: 'Assembles AT&T source and prints its listing: address, bytes, source.',
  options: [{ name: 'output', value: 'FILE', help: 'write the flat image there and print nothing' }],
  async run(args) {
    const file = onlyFile(asm, args);
    const image = await assembleText(new TextDecoder().decode(readFile(file)), file);
    const output = args.text('output');
    if (output === undefined) for (const line of listingLines(image)) process.stdout.write(`${line}\n`);
    else {
      const start = Math.min(...image.segments.map((s) => s.gpa));
      const flat = new Uint8Array(Math.max(...image.segments.map((s) => s.gpa + s.bytes.length)) - start);
      for (const { gpa, bytes } of image.segments) flat.set(bytes, gpa - start);
      writeFileSync(output, flat);
    }
    return 0;
  },
};

export const disasm: Command = {
  name: 'disasm',
  usage: 'FILE',
  summary: 'Disassembles a guest (source, ELF64 or flat binary) with its symbols.',
  options: [],
  async run(args) {
    const image = await loadGuest(onlyFile(disasm, args));
    for (const { gpa, bytes } of image.segments) {
      for (const line of disassemble(bytes, BigInt(gpa), image.symbols))
        process.stdout.write(`${formatDisassembly(line)}\n`);
    }
    return 0;
  },
};
