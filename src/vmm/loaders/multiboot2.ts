// Multiboot 2 images: a header of tags in the first 32 KiB of a file, which is ELF or says itself where its bytes belong
// (Multiboot2 Specification 2.0, 3.1). A demand that cannot be met is refused by name, unless its tag is optional.

import { type Image, ImageError, type MultibootWishes } from '../image.ts';
import { SymbolTable } from '../symbols.ts';
import { imageOf, isElf, physicalEntry, readElf, type ElfFile } from './elf.ts';
import { readSectionTable } from './elfSections.ts';
import { FileView } from './fileView.ts';
import { segmentAt, type LoadAddresses } from './loadAddresses.ts';

const MAGIC = 0xe85250d6;
/** The header lies within this many bytes of the file, and on a multiple of eight. */
const SEARCHED = 32768;
const ALIGNMENT = 8;
const FIELD = { ARCHITECTURE: 4, LENGTH: 8, CHECKSUM: 12 } as const;
const HEADER_SIZE = 16;
const I386 = 0;
const ARCHITECTURES: Readonly<Record<number, string>> = { 4: 'MIPS' };

/** Type and flags are two bytes, the size that follows four; contents come behind. */
const TAG = { FLAGS: 2, SIZE: 4, CONTENTS: 8 } as const;
const OPTIONAL = 1;
// prettier-ignore
const TYPE = {
  END: 0, INFORMATION: 1, ADDRESS: 2, ENTRY: 3, CONSOLE: 4, FRAMEBUFFER: 5, MODULE_ALIGNMENT: 6, EFI_BOOT_SERVICES: 7,
  EFI_I386_ENTRY: 8, EFI_AMD64_ENTRY: 9, RELOCATABLE: 10,
} as const;
/** The last type of information that the specification knows. */
const LAST_INFORMATION = 21;
const CONSOLE = { REQUIRED: 1, TEXT_SUPPORTED: 2 } as const;
/** A load address that means the begin of the file. */
const FROM_BEGIN = 0xffff_ffff;

/** Where the header is; null when there is none. */
export function multiboot2Header(bytes: Uint8Array): number | null {
  const file = new FileView(bytes);
  for (let at = 0; at + HEADER_SIZE <= Math.min(bytes.length, SEARCHED); at += ALIGNMENT) {
    if (file.u32(at) !== MAGIC) continue;
    const sum =
      file.u32(at) + file.u32(at + FIELD.ARCHITECTURE) + file.u32(at + FIELD.LENGTH) + file.u32(at + FIELD.CHECKSUM);
    if ((sum & 0xffffffff) === 0) return at;
  }
  return null;
}

/** Whether the header at `at` tells where the file is to be loaded and entered. False for one that is malformed. */
export function hasOwnAddresses(bytes: Uint8Array, at: number): boolean {
  try {
    const { addresses, entry } = readTags(new FileView(bytes), at);
    return addresses !== null && entry !== null;
  } catch (error) {
    if (error instanceof ImageError) return false;
    throw error;
  }
}

/** What a kernel's tags say. */
interface Demands {
  addresses: Omit<LoadAddresses, 'entry'> | null;
  entry: number | null;
  relocation: { min: number; max: number } | null;
  wanted: string | null;
}

function refuse(message: string, hint: string): never {
  throw new ImageError(`its Multiboot 2 header ${message}`, hint);
}
const MARK_OPTIONAL = 'set the optional flag of the tag if the kernel can do without';

/** How many bytes of contents each tag has, where that is fixed. */
const CONTENTS: Readonly<Record<number, number>> = {
  [TYPE.ADDRESS]: 16,
  [TYPE.ENTRY]: 4,
  [TYPE.CONSOLE]: 4,
  [TYPE.FRAMEBUFFER]: 12,
  [TYPE.RELOCATABLE]: 16,
};

type Reader = (demands: Demands, file: FileView, at: number, size: number, optional: boolean) => void;
const ignore: Reader = () => {};

/** What each tag asks for; `at` and `size` are those of its contents. */
const READERS: Readonly<Record<number, Reader>> = {
  [TYPE.INFORMATION](_, file, at, size, optional) {
    if (optional) return;
    for (let word = at; word + 4 <= at + size; word += 4) {
      const type = file.u32(word);
      if (type > LAST_INFORMATION) refuse(`demands information of type ${type}, which does not exist`, MARK_OPTIONAL);
    }
  },
  [TYPE.ADDRESS](demands, file, at) {
    const [header, load, loadEnd, bssEnd] = [0, 4, 8, 12].map((offset) => file.u32(at + offset));
    demands.addresses = { header: header!, load: load!, loadEnd: loadEnd!, bssEnd: bssEnd! };
  },
  [TYPE.ENTRY](demands, file, at) {
    demands.entry = file.u32(at);
  },
  [TYPE.CONSOLE](_, file, at, __, optional) {
    const flags = file.u32(at);
    if (!optional && (flags & CONSOLE.REQUIRED) !== 0 && (flags & CONSOLE.TEXT_SUPPORTED) === 0)
      refuse('demands a console and supports no text, and a text display is all that there is', MARK_OPTIONAL);
  },
  [TYPE.FRAMEBUFFER](demands, file, at, _, optional) {
    const [width, height, depth] = [0, 4, 8].map((offset) => file.u32(at + offset));
    // Text of that many columns and rows is asked for with a depth of 0.
    if (depth === 0) return;
    const size = width === 0 || height === 0 ? '' : ` of ${width} x ${height}`;
    demands.wanted = `a graphics mode${size} in ${depth} bits`;
    if (!optional) refuse(`demands ${demands.wanted}, and the display has text only`, MARK_OPTIONAL);
  },
  [TYPE.RELOCATABLE](demands, file, at) {
    demands.relocation = { min: file.u32(at), max: file.u32(at + 4) };
  },
  // Modules are always aligned; how to enter from EFI is of no concern to a machine that has a BIOS.
  [TYPE.MODULE_ALIGNMENT]: ignore,
  [TYPE.EFI_BOOT_SERVICES]: ignore,
  [TYPE.EFI_I386_ENTRY]: ignore,
  [TYPE.EFI_AMD64_ENTRY]: ignore,
};

function readTags(file: FileView, header: number): Demands {
  const length = file.u32(header + FIELD.LENGTH);
  file.require(header, length, 'the Multiboot 2 header');
  const demands: Demands = { addresses: null, entry: null, relocation: null, wanted: null };
  for (let at = header + HEADER_SIZE; ; ) {
    if (at + TAG.CONTENTS > header + length)
      refuse('ends without an end tag', 'put a tag of type 0 and size 8 at its end');
    const type = file.u16(at);
    const size = file.u32(at + TAG.SIZE);
    if (type === TYPE.END) return demands;
    const contents = size - TAG.CONTENTS;
    if (contents < (CONTENTS[type] ?? 0) || at + size > header + length)
      refuse(`has a tag of type ${type} and ${size} bytes, which is not its size`, 'tags begin on multiples of eight');
    const optional = (file.u16(at + TAG.FLAGS) & OPTIONAL) !== 0;
    const read = READERS[type];
    if (read === undefined && !optional) refuse(`demands something unknown, by a tag of type ${type}`, MARK_OPTIONAL);
    read?.(demands, file, at + TAG.CONTENTS, contents, optional);
    at = header + alignUp(at + size - header, ALIGNMENT);
  }
}

const alignUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/** Loads a file that has a header. Throws ImageError. */
export function loadMultiboot2(bytes: Uint8Array): Image {
  const at = multiboot2Header(bytes);
  if (at === null)
    throw new ImageError(
      'it has no Multiboot 2 header (e85250d6, architecture, length and their checksum) in its first 32 KiB',
      'put the header into a section that the linker script places first',
    );
  const file = new FileView(bytes);
  const architecture = file.u32(at + FIELD.ARCHITECTURE);
  if (architecture !== I386)
    refuse(`is for ${ARCHITECTURES[architecture] ?? `architecture ${architecture}`}`, 'build for i386 or x86-64');
  const demands = readTags(file, at);
  const { addresses, entry, wanted } = demands;
  const elf = isElf(bytes) ? readElf(bytes) : null;
  if (elf === null && (addresses === null || entry === null))
    refuse(
      'does not say where the file is to be loaded and entered, and the file is not ELF',
      'add an address tag and an entry address tag, or link an ELF file',
    );
  const image = addresses === null ? fromElf(elf!, entry) : fromAddresses(file, at, addresses, entry, elf);
  checkRelocation(image, demands);
  const sections = elf === null || addresses !== null ? null : readSectionTable(file, elf.layout);
  const wishes: MultibootWishes = { ...(wanted !== null && { wanted }), ...(sections && { sections }) };
  return { ...image, protocol: { kind: 'multiboot2', ...wishes } };
}

type Loaded = Omit<Image, 'protocol'>;

const fromElf = (elf: ElfFile, entry: number | null): Loaded => ({
  ...imageOf(elf),
  entry: entry === null ? physicalEntry(elf) : BigInt(entry),
});

function fromAddresses(
  file: FileView,
  at: number,
  addresses: Omit<LoadAddresses, 'entry'>,
  entryTag: number | null,
  elf: ElfFile | null,
): Loaded {
  const load = addresses.load === FROM_BEGIN ? addresses.header - at : addresses.load;
  if (load < 0)
    refuse(
      `belongs at 0x${addresses.header.toString(16)}, where the bytes before it do not fit`,
      'check the labels of its address tag',
    );
  const entry = entryTag ?? Number(physicalEntry(elf!));
  const segment = segmentAt(file, at, { ...addresses, load, entry });
  return { format: 'raw', entry: BigInt(entry), segments: [segment], symbols: elf?.symbols ?? SymbolTable.empty };
}

/** Nothing is relocated: a kernel that may be must agree with where it was linked. */
function checkRelocation({ segments }: Loaded, { relocation }: Demands): void {
  if (relocation === null) return;
  const { min, max } = relocation;
  const start = Math.min(...segments.map(({ gpa }) => gpa));
  const end = Math.max(...segments.map(({ gpa, memorySize }) => gpa + memorySize));
  if (start >= min && end - 1 <= max) return;
  refuse(
    `wants to be relocated to between 0x${min.toString(16)} and 0x${max.toString(16)}, from 0x${start.toString(16)}`,
    'guests are not relocated: link it to where it may run',
  );
}
