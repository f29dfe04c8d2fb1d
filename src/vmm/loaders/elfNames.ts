// The numbers of the ELF format that the loader compares with (System V gABI, chapters 4 and 5).

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
  HEADER_SIZE: 64,
  PROGRAM_SIZE: 56,
  SECTION_SIZE: 64,
  SYMBOL_SIZE: 24,
  PT_LOAD: 1,
  PF_X: 1,
  PT_INTERP: 3,
  SHT_SYMTAB: 2,
  SHT_STRTAB: 3,
  SHN_UNDEF: 0,
  SHN_ABS: 0xfff1,
  STB_LOCAL: 0,
  STT_NOTYPE: 0,
  STT_OBJECT: 1,
  STT_FUNC: 2,
} as const;

/** x86-64 processors have at most 52 bits of physical address. */
export const PHYSICAL_LIMIT = 1n << 52n;
