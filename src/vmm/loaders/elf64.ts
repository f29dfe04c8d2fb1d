// ELF64 executables for x86-64, statically linked, as GNU ld, gold and lld write them (System V gABI, AMD64 psABI). Segments
// go to their physical addresses; nothing is relocated, and the file's word is taken for nothing that it could lie about.

import { DIRECT, type Image, ImageError, type Segment } from '../image.ts';
import { type AddressRange, SymbolTable } from '../symbols.ts';
import { ELF, PHYSICAL_LIMIT } from './elfNames.ts';
import { readSymbols } from './elfSymbols.ts';
import { FileView } from './fileView.ts';

const REBUILD = 'rebuild or copy the file again';

interface Header {
  entry: bigint;
  programOffset: number;
  programCount: number;
  sectionCount: number;
}

function refuse(message: string, hint: string): never {
  throw new ImageError(message, hint);
}

/** Whether a file claims to be ELF. */
export function isElf(bytes: Uint8Array): boolean {
  return ELF.MAGIC.every((byte, i) => bytes[i] === byte);
}

function readHeader(file: FileView): Header {
  if (!isElf(file.bytes))
    refuse('not an ELF file: it does not start with 7f 45 4c 46', 'load it as a flat binary, or assemble it');
  file.require(0, ELF.HEADER_SIZE, 'the ELF header');
  const [elfClass, encoding, version] = file.bytes.subarray(4, 7);
  if (elfClass === ELF.CLASS_32) refuse('a 32-bit ELF file', 'guests start in 64-bit mode: build with -m64');
  if (elfClass !== ELF.CLASS_64) refuse(`ELF class ${elfClass} does not exist`, REBUILD);
  if (encoding === ELF.BIG_ENDIAN) refuse('a big-endian ELF file', 'x86-64 is little-endian: build for x86-64');
  if (encoding !== ELF.LITTLE_ENDIAN) refuse(`ELF data encoding ${encoding} does not exist`, REBUILD);
  if (version !== ELF.VERSION) refuse(`ELF version ${version} does not exist`, REBUILD);
  const type = file.u16(0x10);
  const machine = file.u16(0x12);
  if (machine !== ELF.X86_64)
    refuse(`an ELF file for ${ELF.MACHINE_NAMES[machine] ?? `machine ${machine}`}`, 'build for x86-64');
  if (type === ELF.REL) refuse('an object file that is not linked yet', 'link it: ld -Ttext=0x100000 -o guest guest.o');
  if (type === ELF.DYN)
    refuse('a position-independent or shared ELF file', 'guests are not relocated: link with -static -no-pie');
  if (type === ELF.CORE) refuse('a core dump', 'load the program that dumped it');
  if (type !== ELF.EXEC) refuse(`ELF type ${type} is no executable`, REBUILD);
  const header = {
    entry: file.u64(0x18),
    programOffset: file.offset(0x20, 'the program headers'),
    programCount: file.u16(0x38),
    sectionCount: file.u16(0x3c),
  };
  const entrySize = file.u16(0x36);
  if (header.programCount === 0) refuse('no program headers: nothing to load', 'link it into an executable');
  if (entrySize !== ELF.PROGRAM_SIZE)
    refuse(`program headers of ${entrySize} bytes; ELF64 has ${ELF.PROGRAM_SIZE}`, REBUILD);
  file.require(header.programOffset, header.programCount * ELF.PROGRAM_SIZE, 'the program headers');
  return header;
}

interface Loadable {
  index: number;
  segment: Segment;
  virtual: AddressRange;
}

function readLoadable(file: FileView, at: number, index: number): Loadable {
  const name = `segment ${index}`;
  const virtual = file.u64(at + 0x10);
  const physical = file.u64(at + 0x18);
  const fileSize = file.u64(at + 0x20);
  const memorySize = file.u64(at + 0x28);
  if (fileSize > memorySize) refuse(`${name} has ${fileSize} bytes in the file but ${memorySize} in memory`, REBUILD);
  if (physical + memorySize > PHYSICAL_LIMIT) {
    refuse(
      `${name} ends at 0x${(physical + memorySize).toString(16)}, beyond every physical address`,
      'link it to low physical addresses, with AT() if its virtual addresses are high',
    );
  }
  const offset = fileSize === 0n ? 0 : file.offset(at + 8, name);
  file.require(offset, Number(fileSize), name);
  const bytes = file.bytes.subarray(offset, offset + Number(fileSize));
  return {
    index,
    segment: {
      gpa: Number(physical),
      bytes,
      memorySize: Number(memorySize),
      executable: (file.u32(at + 4) & ELF.PF_X) !== 0,
    },
    virtual: { start: virtual, end: virtual + memorySize },
  };
}

function readSegments(file: FileView, header: Header): Loadable[] {
  const loadable: Loadable[] = [];
  for (let index = 0; index < header.programCount; index++) {
    const at = header.programOffset + index * ELF.PROGRAM_SIZE;
    const type = file.u32(at);
    if (type === ELF.PT_INTERP)
      refuse('a dynamically linked program', 'no dynamic linker runs in a guest: link with -static -nostdlib');
    if (type === ELF.PT_LOAD && file.u64(at + 0x28) > 0n) loadable.push(readLoadable(file, at, index));
  }
  if (loadable.length === 0)
    refuse('no segment is loaded into memory', 'the linker found nothing to put into the image');
  const sorted = [...loadable].sort((a, b) => a.segment.gpa - b.segment.gpa);
  for (let i = 1; i < sorted.length; i++) {
    const [low, high] = [sorted[i - 1], sorted[i]];
    if (low.segment.gpa + low.segment.memorySize > high.segment.gpa) {
      refuse(
        `segments ${low.index} and ${high.index} overlap at physical address 0x${high.segment.gpa.toString(16)}`,
        'check the addresses in the linker script',
      );
    }
  }
  return sorted;
}

/** The vCPU enters with virtual = physical: the entry must be where bytes were loaded. */
function checkEntry(entry: bigint, loadable: readonly Loadable[]): void {
  const isLoaded = loadable.some(
    ({ segment: { gpa, memorySize } }) => entry >= BigInt(gpa) && entry < BigInt(gpa + memorySize),
  );
  if (isLoaded) return;
  const high = loadable.find(({ virtual }) => entry >= virtual.start && entry < virtual.end);
  if (high === undefined) refuse(`the entry 0x${entry.toString(16)} is in no segment`, 'is _start defined and global?');
  refuse(
    `the entry 0x${entry.toString(16)} is a virtual address: segment ${high.index} is linked there but loaded at 0x${high.segment.gpa.toString(16)}`,
    'guests start identity-mapped: enter at a physical address, in code that maps the kernel before it jumps up',
  );
}

/** Loads an executable. Throws ImageError with the reason if it is malformed or for another machine. Segment bytes are views of the file. */
export function loadElf64(bytes: Uint8Array): Image {
  const file = new FileView(bytes);
  const header = readHeader(file);
  const loadable = readSegments(file, header);
  checkEntry(header.entry, loadable);
  const physical = loadable.map(({ segment: { gpa, memorySize } }) => ({
    start: BigInt(gpa),
    end: BigInt(gpa + memorySize),
  }));
  const symbols = readSymbols(file, header.sectionCount);
  return {
    format: 'elf64',
    protocol: DIRECT,
    entry: header.entry,
    segments: loadable.map(({ segment }) => segment),
    symbols: new SymbolTable(symbols, [...physical, ...loadable.map(({ virtual }) => virtual)]),
  };
}
