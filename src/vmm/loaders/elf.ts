// ELF executables, 32- and 64-bit, as boot loaders read them: the loadable segments at their physical addresses; nothing is
// relocated, and the file's word is taken for nothing that it could lie about.

import { DIRECT, type Image, ImageError, type Segment } from '../image.ts';
import { type AddressRange, SymbolTable } from '../symbols.ts';
import { ELF, LAYOUT_32, LAYOUT_64, PHYSICAL_LIMIT, type ElfLayout } from './elfNames.ts';
import { readSymbols } from './elfSymbols.ts';
import { FileView } from './fileView.ts';

const REBUILD = 'rebuild or copy the file again';
/** Bytes that mean the same in every class. */
const IDENTIFICATION = 16;

/** A segment that is loaded, with the virtual addresses for which it was linked. */
export interface Loadable {
  readonly index: number;
  readonly segment: Segment;
  readonly virtual: AddressRange;
}

/** What a boot protocol finds in an ELF file. */
export interface ElfFile {
  readonly file: FileView;
  readonly layout: ElfLayout;
  /** As the header has it, virtual for some linkers and physical for others. */
  readonly entry: bigint;
  /** Ascending by physical address; none overlaps another. */
  readonly loadable: readonly Loadable[];
  /** Segments of notes: offset and size in the file. */
  readonly notes: readonly { offset: number; size: number }[];
  /** Read when they are asked for the first time; throws ImageError when they are broken. */
  readonly symbols: SymbolTable;
}

interface Header {
  readonly layout: ElfLayout;
  readonly entry: bigint;
  readonly programOffset: number;
  readonly programCount: number;
  readonly sectionCount: number;
}

function refuse(message: string, hint: string): never {
  throw new ImageError(message, hint);
}

/** Whether a file claims to be ELF. */
export function isElf(bytes: Uint8Array): boolean {
  return ELF.MAGIC.every((byte, i) => bytes[i] === byte);
}

function layoutOf(file: FileView): ElfLayout {
  if (!isElf(file.bytes))
    refuse('not an ELF file: it does not start with 7f 45 4c 46', 'load it as a flat binary, or assemble it');
  file.require(0, IDENTIFICATION, 'the ELF header');
  const elfClass = file.u8(4);
  if (elfClass !== ELF.CLASS_32 && elfClass !== ELF.CLASS_64) refuse(`ELF class ${elfClass} does not exist`, REBUILD);
  const layout = elfClass === ELF.CLASS_32 ? LAYOUT_32 : LAYOUT_64;
  file.require(0, layout.header.size, 'the ELF header');
  return layout;
}

function readHeader(file: FileView): Header {
  const layout = layoutOf(file);
  const { header, word } = layout;
  const encoding = file.u8(5);
  const version = file.u8(6);
  if (encoding === ELF.BIG_ENDIAN) refuse('a big-endian ELF file', 'x86 is little-endian: build for x86-64');
  if (encoding !== ELF.LITTLE_ENDIAN) refuse(`ELF data encoding ${encoding} does not exist`, REBUILD);
  if (version !== ELF.VERSION) refuse(`ELF version ${version} does not exist`, REBUILD);
  const type = file.u16(0x10);
  const machine = file.u16(0x12);
  if (machine !== ELF.X86_64 && !(machine === ELF.I386 && layout.bits === 32))
    refuse(`an ELF file for ${ELF.MACHINE_NAMES[machine] ?? `machine ${machine}`}`, 'build for x86-64');
  if (type === ELF.REL) refuse('an object file that is not linked yet', 'link it: ld -Ttext=0x100000 -o guest guest.o');
  if (type === ELF.DYN)
    refuse('a position-independent or shared ELF file', 'guests are not relocated: link with -static -no-pie');
  if (type === ELF.CORE) refuse('a core dump', 'load the program that dumped it');
  if (type !== ELF.EXEC) refuse(`ELF type ${type} is no executable`, REBUILD);
  const found = {
    layout,
    entry: file.word(header.entry, word),
    programOffset: file.offset(header.programs, word, 'the program headers'),
    programCount: file.u16(header.programCount),
    sectionCount: file.u16(header.sectionCount),
  };
  const entrySize = file.u16(header.programSize);
  if (found.programCount === 0) refuse('no program headers: nothing to load', 'link it into an executable');
  if (entrySize !== layout.program.size)
    refuse(`program headers of ${entrySize} bytes; ELF${layout.bits} has ${layout.program.size}`, REBUILD);
  file.require(found.programOffset, found.programCount * layout.program.size, 'the program headers');
  return found;
}

function readLoadable(file: FileView, { program, word }: ElfLayout, at: number, index: number): Loadable {
  const name = `segment ${index}`;
  const virtual = file.word(at + program.virtual, word);
  const physical = file.word(at + program.physical, word);
  const fileSize = file.word(at + program.fileSize, word);
  const memorySize = file.word(at + program.memorySize, word);
  if (fileSize > memorySize) refuse(`${name} has ${fileSize} bytes in the file but ${memorySize} in memory`, REBUILD);
  if (physical + memorySize > PHYSICAL_LIMIT) {
    refuse(
      `${name} ends at 0x${(physical + memorySize).toString(16)}, beyond every physical address`,
      'link it to low physical addresses, with AT() if its virtual addresses are high',
    );
  }
  const offset = fileSize === 0n ? 0 : file.offset(at + program.offset, word, name);
  file.require(offset, Number(fileSize), name);
  const bytes = file.bytes.subarray(offset, offset + Number(fileSize));
  return {
    index,
    segment: {
      gpa: Number(physical),
      bytes,
      memorySize: Number(memorySize),
      executable: (file.u32(at + program.flags) & ELF.PF_X) !== 0,
    },
    virtual: { start: virtual, end: virtual + memorySize },
  };
}

function readPrograms(
  file: FileView,
  { layout, programOffset, programCount }: Header,
): Pick<ElfFile, 'loadable' | 'notes'> {
  const { program, word } = layout;
  const loadable: Loadable[] = [];
  const notes: { offset: number; size: number }[] = [];
  for (let index = 0; index < programCount; index++) {
    const at = programOffset + index * program.size;
    const type = file.u32(at + program.type);
    if (type === ELF.PT_INTERP)
      refuse('a dynamically linked program', 'no dynamic linker runs in a guest: link with -static -nostdlib');
    if (type === ELF.PT_LOAD && file.word(at + program.memorySize, word) > 0n)
      loadable.push(readLoadable(file, layout, at, index));
    if (type === ELF.PT_NOTE) {
      const offset = file.offset(at + program.offset, word, `segment ${index}`);
      const size = Number(file.word(at + program.fileSize, word));
      file.require(offset, size, `segment ${index}`);
      notes.push({ offset, size });
    }
  }
  if (loadable.length === 0)
    refuse('no segment is loaded into memory', 'the linker found nothing to put into the image');
  loadable.sort((a, b) => a.segment.gpa - b.segment.gpa);
  for (let i = 1; i < loadable.length; i++) {
    const [low, high] = [loadable[i - 1]!, loadable[i]!];
    if (low.segment.gpa + low.segment.memorySize > high.segment.gpa) {
      refuse(
        `segments ${low.index} and ${high.index} overlap at physical address 0x${high.segment.gpa.toString(16)}`,
        'check the addresses in the linker script',
      );
    }
  }
  return { loadable, notes };
}

/** Reads an executable. Throws ImageError with the reason if it is malformed or for another machine. Segment bytes are views of the file. */
export function readElf(bytes: Uint8Array): ElfFile {
  const file = new FileView(bytes);
  const header = readHeader(file);
  const { layout, entry } = header;
  const { loadable, notes } = readPrograms(file, header);
  let symbols: SymbolTable | null = null;
  return {
    file,
    layout,
    entry,
    loadable,
    notes,
    get symbols() {
      symbols ??= new SymbolTable(readSymbols(file, layout, header.sectionCount), rangesOf(loadable));
      return symbols;
    },
  };
}

/** Where symbols may be: at the physical and at the virtual addresses of what is loaded. */
const rangesOf = (loadable: readonly Loadable[]): AddressRange[] => [
  ...loadable.map(({ segment: { gpa, memorySize } }) => ({ start: BigInt(gpa), end: BigInt(gpa + memorySize) })),
  ...loadable.map(({ virtual }) => virtual),
];

/** An image of the file's segments, entered at its entry: all but the protocol. */
export const imageOf = ({ layout, entry, loadable, symbols }: ElfFile): Omit<Image, 'protocol'> => ({
  format: `elf${layout.bits}`,
  entry,
  segments: loadable.map(({ segment }) => segment),
  symbols,
});

const isLoadedAt = (address: bigint, loadable: readonly Loadable[]): boolean =>
  loadable.some(({ segment: { gpa, memorySize } }) => address >= BigInt(gpa) && address < BigInt(gpa + memorySize));
const linkedAt = (address: bigint, loadable: readonly Loadable[]): Loadable | undefined =>
  loadable.find(({ virtual }) => address >= virtual.start && address < virtual.end);

/**
 * Where the entry lies in physical memory, for protocols that enter without paging: linkers that give segments other physical
 * addresses still write a virtual entry. Throws ImageError when it is in no segment.
 */
export function physicalEntry({ entry, loadable }: ElfFile): bigint {
  const linked = linkedAt(entry, loadable);
  if (linked !== undefined) return entry - linked.virtual.start + BigInt(linked.segment.gpa);
  return isLoadedAt(entry, loadable) ? entry : refuseEntry(entry);
}

function refuseEntry(entry: bigint): never {
  refuse(`the entry 0x${entry.toString(16)} is in no segment`, 'is _start defined and global?');
}

/** Loads an executable that is entered directly, in 64-bit mode, with virtual = physical. Throws ImageError. */
export function loadElf64(bytes: Uint8Array): Image {
  const elf = readElf(bytes);
  const { entry, loadable } = elf;
  if (elf.layout.bits === 32) {
    refuse(
      'a 32-bit ELF file without a header of a boot protocol',
      'put a Multiboot header into its first 8 KiB or a PVH note into it, or build with -m64 to start in 64-bit mode',
    );
  }
  if (!isLoadedAt(entry, loadable)) {
    const high = linkedAt(entry, loadable) ?? refuseEntry(entry);
    refuse(
      `the entry 0x${entry.toString(16)} is a virtual address: segment ${high.index} is linked there but loaded at 0x${high.segment.gpa.toString(16)}`,
      'guests start identity-mapped: enter at a physical address, in code that maps the kernel before it jumps up',
    );
  }
  return { ...imageOf(elf), protocol: DIRECT };
}
