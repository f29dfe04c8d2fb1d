// Bits of the control, debug, flag and segment registers. Names only: what a bit does stands in src/cpu.
// 64-bit registers have bigint masks, 32-bit and narrower ones (flags, segment attributes, selectors) numbers.

/** General registers in the machine's numbering. */
export const GPR = {
  RAX: 0, RCX: 1, RDX: 2, RBX: 3, RSP: 4, RBP: 5, RSI: 6, RDI: 7,
  R8: 8, R9: 9, R10: 10, R11: 11, R12: 12, R13: 13, R14: 14, R15: 15,
} as const; // prettier-ignore

/** Segment registers in the machine's numbering; LDTR and TR follow as in the state block. */
export const SEGMENT = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5, LDTR: 6, TR: 7 } as const;

/** EFLAGS/RFLAGS (SDM vol. 1, 3.4.3). */
export const RFLAGS = {
  CF: 1 << 0,
  /** Bit 1 is always set. */
  FIXED: 1 << 1,
  PF: 1 << 2,
  AF: 1 << 4,
  ZF: 1 << 6,
  SF: 1 << 7,
  TF: 1 << 8,
  IF: 1 << 9,
  DF: 1 << 10,
  OF: 1 << 11,
  /** Two bits: the least privileged CPL that may use IN, OUT, CLI and STI. */
  IOPL: 3 << 12,
  NT: 1 << 14,
  RF: 1 << 16,
  VM: 1 << 17,
  /** Alignment check; with CR4.SMAP also: supervisor code may touch user pages. */
  AC: 1 << 18,
  VIF: 1 << 19,
  VIP: 1 << 20,
  ID: 1 << 21,
} as const;
export const IOPL_SHIFT = 12;

/** SDM vol. 3, 2.5. */
export const CR0 = {
  PE: 1n << 0n,
  MP: 1n << 1n,
  EM: 1n << 2n,
  TS: 1n << 3n,
  /** Always 1. */
  ET: 1n << 4n,
  NE: 1n << 5n,
  /** Supervisor writes respect read-only pages. */
  WP: 1n << 16n,
  AM: 1n << 18n,
  NW: 1n << 29n,
  CD: 1n << 30n,
  PG: 1n << 31n,
} as const;

/** SDM vol. 3, 4.5 and 4.10. */
export const CR3 = {
  PCID_MASK: 0xfffn,
  /** In the source of MOV to CR3 with CR4.PCIDE: keep this PCID's translations. Never stored. */
  NO_FLUSH: 1n << 63n,
} as const;

/** SDM vol. 3, 2.5. */
export const CR4 = {
  VME: 1n << 0n,
  PVI: 1n << 1n,
  TSD: 1n << 2n,
  DE: 1n << 3n,
  PSE: 1n << 4n,
  PAE: 1n << 5n,
  MCE: 1n << 6n,
  PGE: 1n << 7n,
  PCE: 1n << 8n,
  OSFXSR: 1n << 9n,
  OSXMMEXCPT: 1n << 10n,
  /** SGDT, SIDT, SLDT, SMSW and STR need CPL 0. */
  UMIP: 1n << 11n,
  LA57: 1n << 12n,
  VMXE: 1n << 13n,
  SMXE: 1n << 14n,
  FSGSBASE: 1n << 16n,
  PCIDE: 1n << 17n,
  OSXSAVE: 1n << 18n,
  SMEP: 1n << 20n,
  SMAP: 1n << 21n,
  PKE: 1n << 22n,
  CET: 1n << 23n,
} as const;

/** IA32_EFER (SDM vol. 3, 2.2.1). */
export const EFER = {
  SCE: 1n << 0n,
  LME: 1n << 8n,
  LMA: 1n << 10n,
  NXE: 1n << 11n,
} as const;

/** XCR0: state components that XSAVE manages (SDM vol. 1, 13.1). */
export const XCR0 = { X87: 1n << 0n, SSE: 1n << 1n, AVX: 1n << 2n } as const;

/** SDM vol. 3, 17.2.3. */
export const DR6 = {
  B0: 1n << 0n,
  B1: 1n << 1n,
  B2: 1n << 2n,
  B3: 1n << 3n,
  /** A debug register was accessed while DR7.GD was set. */
  BD: 1n << 13n,
  /** Single step. */
  BS: 1n << 14n,
  BT: 1n << 15n,
  /** Bits that read as 1: 4 to 11 and 16 to 31 (RTM, bit 16, and bus lock, bit 11, are not offered). */
  FIXED: 0xffff0ff0n,
} as const;

/** SDM vol. 3, 17.2.4. */
export const DR7 = {
  /** Local and global enables of the four breakpoints. */
  ENABLES: 0xffn,
  LE: 1n << 8n,
  GE: 1n << 9n,
  /** Bit 10 always reads as 1. */
  FIXED: 1n << 10n,
  /** General detect: the next MOV DR raises #DB; delivery of #DB clears it. */
  GD: 1n << 13n,
  /** Where R/W and LEN of the first breakpoint begin: four bits for each. */
  FIELDS_SHIFT: 16,
} as const;

/** A selector: index in bits 3 to 15, table in bit 2, requested privilege in bits 0 and 1 (SDM vol. 3, 3.4.2). */
export const SELECTOR = { RPL: 3, TI: 4, INDEX: 0xfff8 } as const;

/**
 * Attributes of a segment as the state block holds them: the access-rights layout of VMX (SDM vol. 3, 24.4.1), which
 * is bytes 5 and 6 of a descriptor without the limit bits, and one bit more for "unusable".
 */
export const SEGMENT_ATTRIBUTE = {
  TYPE: 0xf,
  /** Code or data; clear: a system descriptor. */
  S: 1 << 4,
  DPL: 3 << 5,
  P: 1 << 7,
  AVL: 1 << 12,
  /** 64-bit code. */
  L: 1 << 13,
  /** Default operand size (code) or stack width (data). */
  DB: 1 << 14,
  /** The limit counts 4096-byte pages. */
  G: 1 << 15,
  /** VMX puts "unusable" (a null selector was loaded) in bit 16; the state block's 16-bit field keeps it in the reserved bit 8. */
  UNUSABLE: 1 << 8,
} as const;
export const DPL_SHIFT = 5;

/** The type field of code and data descriptors, as bits (SDM vol. 3, 3.4.5.1). */
export const SEGMENT_TYPE = {
  ACCESSED: 1,
  /** Data: writable. Code: readable. */
  WRITABLE: 2,
  READABLE: 2,
  /** Data. */
  EXPAND_DOWN: 4,
  /** Code. */
  CONFORMING: 4,
  CODE: 8,
} as const;

/**
 * The type field of system descriptors, as a number (SDM vol. 3, 3.5). Those without a width have 64 bits in IA-32e mode, which
 * lacks the 16-bit ones and the task gate, and 32 outside of it.
 */
export const SYSTEM_TYPE = {
  TSS16_AVAILABLE: 1,
  LDT: 2,
  TSS16_BUSY: 3,
  CALL_GATE16: 4,
  TASK_GATE: 5,
  INTERRUPT_GATE16: 6,
  TRAP_GATE16: 7,
  TSS_AVAILABLE: 9,
  TSS_BUSY: 11,
  CALL_GATE: 12,
  INTERRUPT_GATE: 14,
  TRAP_GATE: 15,
} as const;

/** Bits of a selector error code (SDM vol. 3, 6.13). */
export const ERROR_CODE = {
  /** The event was external to the program: an interrupt, or a fault while delivering an earlier event. */
  EXT: 1,
  /** The index is that of an IDT gate. */
  IDT: 2,
  TI: 4,
} as const;

/** Byte offsets in the 64-bit task-state segment (SDM vol. 3, 7.7). */
export const TSS64 = {
  RSP0: 4,
  /** IST1; IST n is 8 * (n - 1) further on. */
  IST1: 36,
  IO_MAP_BASE: 102,
  /** The least limit of a TSS that LTR and delivery accept without further checks. */
  MIN_LIMIT: 103,
} as const;

/** Byte offsets in the 32-bit task-state segment (SDM vol. 3, 7.2.1). */
export const TSS32 = {
  /** ESP0, and SS0 behind it; those of the next level are 8 further on. */
  ESP0: 4,
} as const;

/** Byte offsets in the 16-bit task-state segment (SDM vol. 3, 7.6). */
export const TSS16 = {
  /** SP0, and SS0 behind it; those of the next level are 4 further on. */
  SP0: 2,
} as const;

/** Primary processor-based VM-execution controls (SDM vol. 3, 24.6.2): those that generated code asks for. */
export const PROCESSOR_CONTROLS = {
  INTERRUPT_WINDOW: 1 << 2,
  RDTSC_EXITING: 1 << 12,
  MOV_DR_EXITING: 1 << 23,
  /** In the place of "use MSR bitmaps": WRMSR of FS_BASE or of KERNEL_GS_BASE exits. */
  BASE_WRITES_EXITING: 1 << 28,
  PAUSE_EXITING: 1 << 30,
} as const;

/** Interrupt shadows, as in the state block and in VMX interruptibility state (SDM vol. 3, 24.4.2). */
export const SHADOW = { STI: 1, MOV_SS: 2 } as const;

/** Activity states, numbered as in VMX (SDM vol. 3, 24.4.2). */
export const ACTIVITY = { ACTIVE: 0, HALTED: 1, SHUTDOWN: 2, WAIT_FOR_SIPI: 3 } as const;
