// The symbol table of an ELF file. A stripped file simply has none; a broken one is refused.

import { ImageError } from '../image.ts';
import type { GuestSymbol, SymbolKind } from '../symbols.ts';
import { ELF, type ElfLayout } from './elfNames.ts';
import type { FileView } from './fileView.ts';

/** Names may share bytes in the string table; a file whose names unfold to much more than itself is no honest one. */
const MAX_UNFOLDING = 4;
const MIN_NAME_BUDGET = 1 << 20;

interface SectionHeader {
  type: number;
  offset: number;
  size: number;
  link: number;
}

function refuse(message: string): never {
  throw new ImageError(message, 'strip the symbols (strip -s), or build the file again');
}

function readSection(file: FileView, { section, word }: ElfLayout, tableOffset: number, index: number): SectionHeader {
  const at = tableOffset + index * section.size;
  const name = `section ${index}`;
  const header = { type: file.u32(at + section.type), offset: 0, size: 0, link: file.u32(at + section.link) };
  if (header.type !== ELF.SHT_SYMTAB && header.type !== ELF.SHT_STRTAB) return header;
  header.offset = file.offset(at + section.offset, word, name);
  const size = file.word(at + section.bytes, word);
  if (size > BigInt(file.bytes.length)) refuse(`${name} claims ${size} bytes, more than the file has`);
  header.size = Number(size);
  file.require(header.offset, header.size, name);
  return header;
}

function kindOf(type: number, section: number): SymbolKind | null {
  if (section === ELF.SHN_UNDEF) return null;
  if (type !== ELF.STT_NOTYPE && type !== ELF.STT_OBJECT && type !== ELF.STT_FUNC) return null;
  if (section === ELF.SHN_ABS) return 'absolute';
  return type === ELF.STT_FUNC ? 'function' : type === ELF.STT_OBJECT ? 'object' : 'label';
}

/** The named symbols of a file; sections and file names are left out. */
export function readSymbols(file: FileView, layout: ElfLayout, sectionCount: number): GuestSymbol[] {
  const { header, word, symbol } = layout;
  if (sectionCount === 0 || file.word(header.sections, word) === 0n) return [];
  const tableOffset = file.offset(header.sections, word, 'the section headers');
  file.require(tableOffset, sectionCount * layout.section.size, 'the section headers');
  const symbols: GuestSymbol[] = [];
  const decoder = new TextDecoder();
  let budget = Math.max(MIN_NAME_BUDGET, MAX_UNFOLDING * file.bytes.length);
  for (let index = 0; index < sectionCount; index++) {
    const table = readSection(file, layout, tableOffset, index);
    if (table.type !== ELF.SHT_SYMTAB) continue;
    if (table.link >= sectionCount)
      refuse(`the symbol table names section ${table.link}, and there are ${sectionCount}`);
    const strings = readSection(file, layout, tableOffset, table.link);
    if (strings.type !== ELF.SHT_STRTAB)
      refuse(`section ${table.link}, which should hold the symbols' names, is no string table`);
    const names = file.bytes.subarray(strings.offset, strings.offset + strings.size);
    for (let at = table.offset; at + symbol.size <= table.offset + table.size; at += symbol.size) {
      const info = file.u8(at + symbol.info);
      const kind = kindOf(info & 15, file.u16(at + symbol.section));
      const start = file.u32(at + symbol.name);
      if (kind === null || start === 0) continue;
      const end = names.indexOf(0, start);
      if (start >= names.length || end < 0)
        refuse(`the name of symbol ${(at - table.offset) / symbol.size} is outside of its string table`);
      budget -= end - start;
      if (budget < 0) refuse("the symbols' names overlap until they are many times the size of the file");
      const size = file.word(at + symbol.bytes, word);
      symbols.push({
        name: decoder.decode(names.subarray(start, end)),
        address: file.word(at + symbol.value, word),
        size: size > BigInt(Number.MAX_SAFE_INTEGER) ? 0 : Number(size),
        kind,
        global: info >> 4 !== ELF.STB_LOCAL,
      });
    }
  }
  return symbols;
}
