// The section headers of an ELF file as Multiboot hands them on, for kernels that look up their own symbols.

import type { SectionTable, UnloadedSection } from '../image.ts';
import { ELF, type ElfLayout } from './elfNames.ts';
import type { FileView } from './fileView.ts';

/** The table, with the symbols and strings that no segment loads; null when the file has none. Throws ImageError when it is cut off. */
export function readSectionTable(file: FileView, { header, section, word }: ElfLayout): SectionTable | null {
  const count = file.u16(header.sectionCount);
  if (count === 0 || file.word(header.sections, word) === 0n) return null;
  const offset = file.offset(header.sections, word, 'the section headers');
  file.require(offset, count * section.size, 'the section headers');
  const unloaded: UnloadedSection[] = [];
  for (let index = 0; index < count; index++) {
    const at = offset + index * section.size;
    const type = file.u32(at + section.type);
    const isWanted = type === ELF.SHT_SYMTAB || type === ELF.SHT_STRTAB;
    if (!isWanted || file.word(at + section.address, word) !== 0n) continue;
    const name = `section ${index}`;
    const start = file.offset(at + section.offset, word, name);
    const size = Number(file.word(at + section.bytes, word));
    file.require(start, size, name);
    unloaded.push({ addressAt: at - offset + section.address, word, bytes: file.bytes.subarray(start, start + size) });
  }
  return {
    count,
    entrySize: section.size,
    names: file.u16(header.sectionNames),
    headers: file.bytes.subarray(offset, offset + count * section.size),
    unloaded,
  };
}
