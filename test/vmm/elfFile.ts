// Builds small ELF64 files for the loader's tests, byte by byte, with every field open to be made wrong.

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

const HEADER = 64;
const PROGRAM = 56;
const SECTION = 64;

/** An executable with these segments and symbols, laid out as: header, program headers, contents, strings, symbols, sections. */
export function elfFile(
  entry: bigint,
  programs: readonly ProgramHeader[],
  symbols: readonly SymbolEntry[] = [],
): Uint8Array {
  const names = ['', ...symbols.map(({ name }) => name)];
  const strings = new TextEncoder().encode(names.map((name) => `${name}\0`).join(''));
  const contents = programs.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const contentsAt = HEADER + PROGRAM * programs.length;
  const stringsAt = contentsAt + contents;
  const symbolsAt = stringsAt + strings.length;
  const sectionsAt = symbolsAt + 24 * (symbols.length + 1);
  const file = new Uint8Array(sectionsAt + 3 * SECTION);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(0x10, 2, true);
  view.setUint16(0x12, 62, true);
  view.setUint32(0x14, 1, true);
  view.setBigUint64(0x18, entry, true);
  view.setBigUint64(0x20, BigInt(HEADER), true);
  view.setBigUint64(0x28, BigInt(sectionsAt), true);
  view.setUint16(0x34, HEADER, true);
  view.setUint16(0x36, PROGRAM, true);
  view.setUint16(0x38, programs.length, true);
  view.setUint16(0x3a, SECTION, true);
  view.setUint16(0x3c, 3, true);

  let at = contentsAt;
  programs.forEach(({ type = 1, vaddr, paddr = vaddr, bytes, memorySize = BigInt(bytes.length) }, index) => {
    const header = HEADER + PROGRAM * index;
    view.setUint32(header, type, true);
    view.setBigUint64(header + 0x08, BigInt(at), true);
    view.setBigUint64(header + 0x10, vaddr, true);
    view.setBigUint64(header + 0x18, paddr, true);
    view.setBigUint64(header + 0x20, BigInt(bytes.length), true);
    view.setBigUint64(header + 0x28, memorySize, true);
    file.set(bytes, at);
    at += bytes.length;
  });

  file.set(strings, stringsAt);
  let nameAt = 1;
  symbols.forEach(({ name, address, info = 0x12, section = 1 }, index) => {
    const entryAt = symbolsAt + 24 * (index + 1);
    view.setUint32(entryAt, nameAt, true);
    file[entryAt + 4] = info;
    view.setUint16(entryAt + 6, section, true);
    view.setBigUint64(entryAt + 8, address, true);
    nameAt += new TextEncoder().encode(name).length + 1;
  });

  const section = (index: number, type: number, offset: number, size: number, link: number): void => {
    const header = sectionsAt + SECTION * index;
    view.setUint32(header + 0x04, type, true);
    view.setBigUint64(header + 0x18, BigInt(offset), true);
    view.setBigUint64(header + 0x20, BigInt(size), true);
    view.setUint32(header + 0x28, link, true);
  };
  section(1, 3, stringsAt, strings.length, 0);
  section(2, 2, symbolsAt, 24 * (symbols.length + 1), 1);
  return file;
}
