// The vCPU state block: every register, lazy flag, segment, TLB and piece of exit information of one vCPU, at fixed
// offsets of a block that is a whole number of pages. Architectural fields come first, so that a snapshot or a rollback
// copies one run of bytes; the derived caches behind them are rebuilt on demand.
//
// Theory: lazy flags. After an arithmetic instruction the block holds
//   flagResult  the result, sign-extended to 64 bits      ZF = (flagResult == 0)
//   flagCarry   bit 0 = CF                                CF = flagCarry & 1
//               bit 1 inverts SF, bit 2 inverts PF        SF = (flagResult < 0) ^ bit 1, PF = even(flagResult & 255) ^ bit 2
//   flagAux     sign = OF ^ CF, bit 4 = AF                OF = CF ^ (flagAux < 0), AF = flagAux >> 4 & 1
// so that each flag is read without knowing which instruction set it. For add and subtract flagAux is a ^ b ^ result. The
// two inverting bits exist for POPF, SAHF and IRET, which may load combinations (ZF = SF = 1) that no result has; an
// ordinary instruction stores flagCarry as 0 or 1 and so clears them for nothing.

import {
  array,
  i32,
  place,
  u16,
  u32,
  u64,
  u8,
  type Field,
  type FieldType,
  type ValueOf,
  type Views,
} from './layout.ts';

/** Entries of each data view; indexed by the low bits of the virtual page number. */
export const VIEW_ENTRIES = 4096;
/** {tagRead u64, tagWrite u64, tagCode u64, addend i32, unused}: see tlb.ts. */
export const VIEW_ENTRY_SIZE = 32;
export const FETCH_ENTRIES = 256;
/** {tag u64, arenaPage u32 (byte address of the page in linear memory), unused}. */
export const FETCH_ENTRY_SIZE = 16;
export const JUMP_ENTRIES = 4096;
/** {tag u64, block i32 (address of the head record), unused}: the tag is RIP, outside 64-bit mode with LEGACY_JUMP. */
export const JUMP_ENTRY_SIZE = 16;
/** Marks a jump of 16- and 32-bit code, which no RIP of 64-bit code looks like; its EIP counts in the CS of fetch.ts. */
export const LEGACY_JUMP = 1n << 62n;
/** One entry for each view index, data first, then fetches. */
export const TLB_ENTRIES = VIEW_ENTRIES + FETCH_ENTRIES;
/** {gva page | valid u64, gpa page u64, rights u32, pcid u32}: see tlb.ts. */
export const TLB_ENTRY_SIZE = 24;
/** Fragments of one instruction: accesses that the host must serve. See fragments.ts. */
export const FRAGMENTS = 16;
export const FRAGMENT_SIZE = 40;

/** In `shadow` while code runs: it covers the instruction that begins with `shadowEnd` units left, none behind it. */
export const SHADOW_TIMED = 0x80;

/** Segment registers in the machine's order. */
export const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;
/** Each segment cache: base u64 @0, limit u32 @8 (bytes, expanded), attributes u16 @12 (VMX access-rights layout), selector u16 @14. */
export const SEGMENT_SIZE = 16;

/* prettier-ignore */
const architectural = {
  gpr: array(u64, 16),          // RAX RCX RDX RBX RSP RBP RSI RDI R8..R15
  zero: u64,                    // always 0: what an absent base or index register reads
  pageUnit: u64,                // always 4096: see records.ts, RIP-relative displacements that overflow
  addressMask: array(u64, 3),   // masks of 64, 32 and 16 address bits
  rip: u64,                     // architectural RIP, valid whenever generated code is not running
  ripPage: u64,                 // RIP of a record, less the record's offset in its page (fetch.ts)
  flagResult: u64,
  flagAux: u64,
  flagCarry: i32,
  rflags: u32,                  // the bits that are not lazy: TF IF DF IOPL NT RF VM AC VIF VIP ID, and bit 1
  segments: array(u64, 8, SEGMENT_SIZE),
  gdtrBase: u64, idtrBase: u64, gdtrLimit: u32, idtrLimit: u32,
  cr0: u64, cr2: u64, cr3: u64, cr4: u64, cr8: u64, xcr0: u64, efer: u64,
  pdpte: array(u64, 4),         // the PDPTE registers of PAE paging (pdptes.ts)
  dr: array(u64, 8),
  star: u64, lstar: u64, cstar: u64, fmask: u64, kernelGsBase: u64, tscAux: u64, pat: u64,
  sysenterCs: u64, sysenterEsp: u64, sysenterEip: u64,
  apicBase: u64,
  entropy: u64,                 // where RDRAND and RDSEED stand (microcode/random.ts)
  tsc: u64,                     // guest TSC at the current instruction boundary; while code runs see tscEnd
  cpl: u8,
  shadow: u8,                   // interrupt shadow: bit 0 STI, bit 1 MOV SS
  nmiBlocked: u8,
  activity: u8,                 // 0 active, 1 halted, 2 shutdown, 3 wait for SIPI
  pendingDb: u16,               // causes of a debug trap that is due at this boundary, as DR6 has them
  mxcsr: u32,
  fcw: u16, fsw: u16, ftw: u16, fop: u16, fip: u64, fdp: u64,
  st: array(u64, 16),           // x87 stack, 16 bytes a register
  vec: array(u64, 64),          // 16 vector registers of 32 bytes
  entryEvent: u32, entryErrorCode: u32, entryLength: u32,      // VM-entry interruption information, VMX layout
  rvi: u8, svi: u8,             // guest interrupt status: highest virtual vector requested, in service (virtualApic.ts)
  vectoringEvent: u32, vectoringErrorCode: u32,                 // IDT-vectoring information of the last exit
  exitReason: i32, exitLength: u32, exitQualification: u64, exitGpa: u64, exitGva: u64, exitValue: u64, exitInfo: u32,
  fragmentCount: u32, fragmentDone: u32, fragmentNext: u32,
  fragments: array(u64, FRAGMENTS, FRAGMENT_SIZE),
  tlb: array(u64, TLB_ENTRIES, TLB_ENTRY_SIZE),
};

/* prettier-ignore */
const derived = {
  mode: u8,                     // how code is decoded and executed (codeMode.ts)
  stackMask: u64,               // bits of ESP that the stack uses, outside 64-bit mode: SS.B
  bounds: array(u64, 6, 16),    // of each segment: {readEnd u64, writeEnd u64}, see codeMode.ts
  budget: i32,                  // units left after the block being run
  aheadBelow: i32,              // a time-observing instruction leaves when budget + its remaining units is below this
  shadowEnd: i32,               // units left when the instruction under a shadow that is SHADOW_TIMED has begun
  processorControls: u32,       // PROCESSOR_CONTROLS as of the last entry
  tscEnd: u64,                  // guest TSC when the budget is used up: TSC = tscEnd - budget - record.remaining
  status: i32,                  // why generated code returned (interpreter.ts)
  lastRecord: i32,              // the record that asked to leave
  dataView: i32,                // address of the view for ordinary accesses at this CPL and AC
  systemView: i32,              // address of the view for implicit supervisor accesses
  fetchView: i32, jumpCache: i32,
  usualAddend: u32,             // what most pages' view entries add: views.ts
  spinRecord: u32, spinLeft: i32,                               // the head of a loop that waits, and units left there: spin.ts
  recurRecord: u32, recurUnits: i32, recurFloor: i32,           // an exit that may recur: recurrence.ts
  recurTicks: u32, recurCycles: u32, recurBase: u32, recurRest: u32, recurMask: u32, recurReadEnd: i32, // its answer, if it counts: counter.ts
  recurCount: u32, recurLast: i32, recurFrom: array(u64, 3), recurTo: array(u64, 4),
  bounce: array(u64, 8),        // where slow loads put what does not lie in one piece
  supervisorView: array(u64, VIEW_ENTRIES, VIEW_ENTRY_SIZE),    // SMAP in force (AC = 0)
  supervisorAcView: array(u64, VIEW_ENTRIES, VIEW_ENTRY_SIZE),  // EFLAGS.AC = 1, or no SMAP
  userView: array(u64, VIEW_ENTRIES, VIEW_ENTRY_SIZE),
  supervisorFetch: array(u64, FETCH_ENTRIES, FETCH_ENTRY_SIZE),
  userFetch: array(u64, FETCH_ENTRIES, FETCH_ENTRY_SIZE),
  supervisorJumps: array(u64, JUMP_ENTRIES, JUMP_ENTRY_SIZE),
  userJumps: array(u64, JUMP_ENTRIES, JUMP_ENTRY_SIZE),
};

const fields = { ...architectural, ...derived };
export type FieldName = keyof typeof fields;
const placed = place<FieldName>(fields as Record<FieldName, Field>);

/** Byte offset of each field in the state block. */
export const OFFSET = placed.offset;
export const FIELDS = placed.fields;
/** Bytes of the architectural part, which snapshots and rollbacks copy. */
export const ARCHITECTURAL_SIZE = OFFSET.mode;
/** Bytes of a state block: whole pages. */
export const STATE_SIZE = Math.ceil(placed.size / 4096) * 4096;

type Scalars = { -readonly [K in FieldName]: ValueOf<(typeof fields)[K]> };

/**
 * One vCPU's state block as an object: each scalar field is a property (`state.rip`, `state.cr3`), 64-bit ones bigint.
 * Arrays are reached through the methods below, or by `at(name, index)`.
 */
class StateBlock {
  readonly views: Views;
  /** Byte address of the block in linear memory. */
  readonly base: number;
  // What the accessors of fields use: the views, and the address in units of 2, 4 and 8 bytes.
  readonly bytes: Uint8Array;
  readonly halves: Uint16Array;
  readonly signedWords: Int32Array;
  readonly words: Uint32Array;
  readonly longs: BigUint64Array;
  readonly half: number;
  readonly word: number;
  readonly long: number;

  constructor(views: Views, base: number) {
    this.views = views;
    this.base = base;
    this.bytes = views.u8;
    this.halves = views.u16;
    this.signedWords = views.i32;
    this.words = views.u32;
    this.longs = views.u64;
    this.half = base >>> 1;
    this.word = base >>> 2;
    this.long = base >>> 3;
  }

  /** Byte address in linear memory of a field, or of element `index` of an array field. */
  at(name: FieldName, index = 0): number {
    return this.base + OFFSET[name] + index * FIELDS[name].stride;
  }

  /** Low half of a 64-bit field, as an unsigned number. */
  low(offset: number): number {
    return this.words[this.word + (offset >>> 2)]!;
  }
  /** Writes a 64-bit field whose value fits 32 bits, without a bigint. */
  setLow(offset: number, value: number): void {
    const at = this.word + (offset >>> 2);
    this.words[at] = value;
    this.words[at + 1] = 0;
  }

  gpr(index: number): bigint {
    return this.views.u64[((this.base + OFFSET.gpr) >> 3) + index]!;
  }
  setGpr(index: number, value: bigint): void {
    this.views.u64[((this.base + OFFSET.gpr) >> 3) + index] = value;
  }
  /** Low half of a general register, as an unsigned number: what most of the hypervisor wants, without a bigint. */
  gpr32(index: number): number {
    return this.views.u32[((this.base + OFFSET.gpr) >> 2) + 2 * index]!;
  }
  /** High half of a general register, likewise. */
  gprHigh(index: number): number {
    return this.views.u32[((this.base + OFFSET.gpr) >> 2) + 2 * index + 1]!;
  }
  /** Writes a 32-bit value and zeroes the upper half, as a 32-bit instruction does. */
  setGpr32(index: number, value: number): void {
    const at = ((this.base + OFFSET.gpr) >> 2) + 2 * index;
    this.views.u32[at] = value;
    this.views.u32[at + 1] = 0;
  }
}

export type CpuState = StateBlock & Scalars;

/** Accessors by field type: one function each, so that the views they index stay known to the compiler. */
const ACCESSORS: Readonly<Record<FieldType, (offset: number) => PropertyDescriptor & ThisType<StateBlock>>> = {
  u8: (offset) => {
    return {
      get() {
        return this.bytes[this.base + offset];
      },
      set(value: number) {
        this.bytes[this.base + offset] = value;
      },
    };
  },
  u16: (offset) => {
    const index = offset >>> 1;
    return {
      get() {
        return this.halves[this.half + index];
      },
      set(value: number) {
        this.halves[this.half + index] = value;
      },
    };
  },
  i32: (offset) => {
    const index = offset >>> 2;
    return {
      get() {
        return this.signedWords[this.word + index];
      },
      set(value: number) {
        this.signedWords[this.word + index] = value;
      },
    };
  },
  u32: (offset) => {
    const index = offset >>> 2;
    return {
      get() {
        return this.words[this.word + index];
      },
      set(value: number) {
        this.words[this.word + index] = value;
      },
    };
  },
  u64: (offset) => {
    const index = offset >>> 3;
    return {
      get() {
        return this.longs[this.long + index];
      },
      set(value: bigint) {
        this.longs[this.long + index] = value;
      },
    };
  },
};

for (const name of Object.keys(fields) as FieldName[]) {
  const { type, count } = FIELDS[name];
  if (count === 1) Object.defineProperty(StateBlock.prototype, name, ACCESSORS[type](OFFSET[name]));
}

/** The state block at byte `base` of a linear memory. */
export const stateAt = (views: Views, base: number): CpuState => new StateBlock(views, base) as CpuState;
