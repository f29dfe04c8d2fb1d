// A case that a processor can be asked, and its answer. Who asks: native.ts and guest.ts.

/** Linear addresses that a case may use; oracle.c maps the same. The pages around both areas are not mapped. */
export const NATIVE = {
  CODE: 0x2000_0000,
  CODE_SIZE: 0x2000,
  DATA: 0x3000_0000,
  DATA_SIZE: 0x2000,
  /** The bytes that a case sets and that are compared: across the boundary of the two data pages. The rest is zero. */
  WINDOW: 0x3000_0f80,
  WINDOW_SIZE: 256,
  GS_BASE: 0x3000_0040,
  FS_BASE: 0x3000_0080,
} as const;

/** Some code and all that it may read. */
export interface NativeCase {
  /** Up to 128 bytes. */
  readonly bytes: Uint8Array;
  /** Offset of the first one in the code pages, whose other bytes are INT3. */
  readonly offset: number;
  /** Stop after one instruction wherever it leads (branches), instead of at the INT3 behind it. */
  readonly step: boolean;
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15. */
  readonly gpr: readonly bigint[];
  /** User-modifiable flags: CF PF AF ZF SF DF OF AC. */
  readonly rflags: bigint;
  /** Contents of the window. */
  readonly window: Uint8Array;
  /** ES CS SS DS FS GS at the beginning, of Linux's GDT or the LDT (localSegments.ts). Left out: 64-bit code with Linux's segments. */
  readonly selectors?: readonly number[];
}

export interface NativeResult {
  readonly gpr: readonly bigint[];
  readonly rip: bigint;
  readonly rflags: bigint;
  /** Vector of the exception that ended the case; null if everything retired. */
  readonly vector: number | null;
  readonly errorCode: number;
  /** #PF: the address. */
  readonly cr2: bigint;
  readonly window: Uint8Array;
  /** Mapped data outside the window was changed. */
  readonly stray: boolean;
  /** ES CS SS DS FS GS. A case of 64-bit code begins with CS 0x33 and SS 0x2b; the others are null. */
  readonly selectors: readonly number[];
  readonly fsBase: bigint;
  readonly gsBase: bigint;
}
