// The numbers of the ELF format that the loader compares with, and where each class has its fields (System V gABI, chapters 4
// and 5). Fields called a word are 4 bytes in class 32 and 8 in class 64.

export const ELF = {
  MAGIC: [0x7f, 0x45, 0x4c, 0x46],
  CLASS_32: 1,
  CLASS_64: 2,
  LITTLE_ENDIAN: 1,
  BIG_ENDIAN: 2,
  VERSION: 1,
  REL: 1,
  EXEC: 2,
  DYN: 3,
  CORE: 4,
  I386: 3,
  X86_64: 62,
  MACHINE_NAMES: {
    3: 'i386',
    8: 'MIPS',
    20: 'PowerPC',
    21: 'PowerPC64',
    40: 'Arm',
    183: 'AArch64',
    243: 'RISC-V',
    247: 'BPF',
  } as Record<number, string | undefined>,
  PT_LOAD: 1,
  PF_X: 1,
  PT_INTERP: 3,
  PT_NOTE: 4,
  SHT_SYMTAB: 2,
  SHT_STRTAB: 3,
  SHN_UNDEF: 0,
  SHN_ABS: 0xfff1,
  STB_LOCAL: 0,
  STT_NOTYPE: 0,
  STT_OBJECT: 1,
  STT_FUNC: 2,
} as const;

/** Offsets of fields, and sizes of what holds them. */
export interface ElfLayout {
  readonly bits: 32 | 64;
  /** Bytes of a word. */
  readonly word: 4 | 8;
  /** Type, machine and version, which come first, lie where they lie in both. */
  readonly header: Readonly<
    Record<
      'size' | 'entry' | 'programs' | 'sections' | 'programSize' | 'programCount' | 'sectionCount' | 'sectionNames',
      number
    >
  >;
  readonly program: Readonly<
    Record<'size' | 'type' | 'flags' | 'offset' | 'virtual' | 'physical' | 'fileSize' | 'memorySize', number>
  >;
  readonly section: Readonly<Record<'size' | 'type' | 'address' | 'offset' | 'bytes' | 'link', number>>;
  readonly symbol: Readonly<Record<'size' | 'name' | 'info' | 'section' | 'value' | 'bytes', number>>;
}

// prettier-ignore
export const LAYOUT_32: ElfLayout = {
  bits: 32, word: 4,
  header: { size: 52, entry: 0x18, programs: 0x1c, sections: 0x20, programSize: 0x2a, programCount: 0x2c, sectionCount: 0x30, sectionNames: 0x32 },
  program: { size: 32, type: 0, offset: 4, virtual: 8, physical: 12, fileSize: 16, memorySize: 20, flags: 24 },
  section: { size: 40, type: 4, address: 12, offset: 16, bytes: 20, link: 24 },
  symbol: { size: 16, name: 0, value: 4, bytes: 8, info: 12, section: 14 },
};
// prettier-ignore
export const LAYOUT_64: ElfLayout = {
  bits: 64, word: 8,
  header: { size: 64, entry: 0x18, programs: 0x20, sections: 0x28, programSize: 0x36, programCount: 0x38, sectionCount: 0x3c, sectionNames: 0x3e },
  program: { size: 56, type: 0, flags: 4, offset: 8, virtual: 16, physical: 24, fileSize: 32, memorySize: 40 },
  section: { size: 64, type: 4, address: 16, offset: 24, bytes: 32, link: 40 },
  symbol: { size: 24, name: 0, info: 4, section: 6, value: 8, bytes: 16 },
};

/** x86-64 processors have at most 52 bits of physical address. */
export const PHYSICAL_LIMIT = 1n << 52n;
