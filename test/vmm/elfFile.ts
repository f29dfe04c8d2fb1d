// Builds small ELF files for the loader's tests, byte by byte, with every field open to be made wrong.

export interface ProgramHeader {
  type?: number;
  vaddr: bigint;
  paddr?: bigint;
  bytes: Uint8Array;
  memorySize?: bigint;
}

export interface SymbolEntry {
  name: string;
  address: bigint;
  info?: number;
  section?: number;
}

export interface Shape {
  readonly bits?: 32 | 64;
  readonly machine?: number;
}

/** Of segments; QEMU divides by that of notes. */
const ALIGNMENT = 4n;
const I386 = 3;
const X86_64 = 62;

/** Bytes of each part, and how fields that differ between the classes are written. */
interface Class {
  readonly header: number;
  readonly program: number;
  readonly section: number;
  readonly symbol: number;
  word(view: DataView, at: number, value: bigint): void;
}
const CLASS_32: Class = {
  header: 52,
  program: 32,
  section: 40,
  symbol: 16,
  word: (view, at, value) => view.setUint32(at, Number(BigInt.asUintN(32, value)), true),
};
const CLASS_64: Class = {
  header: 64,
  program: 56,
  section: 64,
  symbol: 24,
  word: (view, at, value) => view.setBigUint64(at, value, true),
};

/** An executable with these segments and symbols, laid out as: header, program headers, contents, strings, symbols, sections. */
export function elfFile(
  entry: bigint,
  programs: readonly ProgramHeader[],
  symbols: readonly SymbolEntry[] = [],
  { bits = 64, machine = bits === 32 ? I386 : X86_64 }: Shape = {},
): Uint8Array {
  const {
    header: HEADER,
    program: PROGRAM,
    section: SECTION,
    symbol: SYMBOL,
    word,
  } = bits === 32 ? CLASS_32 : CLASS_64;
  const wide = bits === 64;
  const names = ['', ...symbols.map(({ name }) => name)];
  const strings = new TextEncoder().encode(names.map((name) => `${name}\0`).join(''));
  const contents = programs.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const contentsAt = HEADER + PROGRAM * programs.length;
  const stringsAt = contentsAt + contents;
  const symbolsAt = stringsAt + strings.length;
  const sectionsAt = symbolsAt + SYMBOL * (symbols.length + 1);
  const file = new Uint8Array(sectionsAt + 3 * SECTION);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(0x10, 2, true);
  view.setUint16(0x12, machine, true);
  view.setUint32(0x14, 1, true);
  word(view, 0x18, entry);
  word(view, wide ? 0x20 : 0x1c, BigInt(HEADER));
  word(view, wide ? 0x28 : 0x20, BigInt(sectionsAt));
  const counts = wide ? 0x34 : 0x28;
  [HEADER, PROGRAM, programs.length, SECTION, 3].forEach((value, i) => view.setUint16(counts + 2 * i, value, true));

  let at = contentsAt;
  programs.forEach(({ type = 1, vaddr, paddr = vaddr, bytes, memorySize = BigInt(bytes.length) }, index) => {
    const header = HEADER + PROGRAM * index;
    view.setUint32(header, type, true);
    const words = [BigInt(at), vaddr, paddr, BigInt(bytes.length), memorySize];
    word(view, header + (wide ? 48 : 28), ALIGNMENT);
    words.forEach((value, i) => word(view, header + (wide ? 8 + 8 * i : 4 + 4 * i), value));
    file.set(bytes, at);
    at += bytes.length;
  });

  file.set(strings, stringsAt);
  let nameAt = 1;
  symbols.forEach(({ name, address, info = 0x12, section = 1 }, index) => {
    const entryAt = symbolsAt + SYMBOL * (index + 1);
    view.setUint32(entryAt, nameAt, true);
    file[entryAt + (wide ? 4 : 12)] = info;
    view.setUint16(entryAt + (wide ? 6 : 14), section, true);
    word(view, entryAt + (wide ? 8 : 4), address);
    nameAt += new TextEncoder().encode(name).length + 1;
  });

  const section = (index: number, type: number, offset: number, size: number, link: number): void => {
    const header = sectionsAt + SECTION * index;
    view.setUint32(header + 0x04, type, true);
    word(view, header + (wide ? 0x18 : 0x10), BigInt(offset));
    word(view, header + (wide ? 0x20 : 0x14), BigInt(size));
    view.setUint32(header + (wide ? 0x28 : 0x18), link, true);
  };
  section(1, 3, stringsAt, strings.length, 0);
  section(2, 2, symbolsAt, SYMBOL * (symbols.length + 1), 1);
  return file;
}
