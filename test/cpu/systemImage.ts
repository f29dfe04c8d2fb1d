// A small system in 128 KiB: page tables, GDT, LDT, IDT, TSS, handlers and stacks, with selectors of every kind. Tests of event
// delivery and system instructions start from it, on trapline and on the processor underneath.

/** Where things are; linear and guest physical addresses are equal. */
export const AT = {
  /** PML4, page directory pointers, page directory. */
  TABLES: 0x1000,
  GDT: 0x4000,
  IDT: 0x5000,
  TSS: 0x6000,
  LDT: 0x7000,
  /** 16 bytes a vector: HLT. */
  HANDLERS: 0x8000,
  CODE: 0xa000,
  /** Tops of stacks: the current one, those of the TSS by privilege, and of IST1. */
  STACK: 0xe000,
  RSP0: 0x1_0000,
  RSP1: 0x1_1000,
  RSP2: 0x1_2000,
  IST1: 0x1_3000,
  DATA: 0x1_4000,
  PAGE_TABLE: 0x1_c000,
} as const;
export const MEMORY_SIZE = 0x2_0000;
/** In this page the user bit is clear; everywhere else it is set. */
export const SUPERVISOR_PAGE = 0x1_8000;

const HLT = 0xf4;
export const TSS_LIMIT = 0x67;

/** Where the page table has the entry of an address. */
export const pageEntry = (address: number): number => AT.PAGE_TABLE + (address >> 12) * 8;

/** Selectors, RPL 0. */
export const SEL = {
  KCODE: 0x08,
  KDATA: 0x10,
  UDATA: 0x18,
  UCODE: 0x20,
  TSS: 0x28,
  CONFORMING: 0x38,
  CODE32: 0x40,
  ABSENT_CODE: 0x48,
  ABSENT_DATA: 0x50,
  READ_ONLY: 0x58,
  EXECUTE_ONLY: 0x60,
  LONG_AND_32: 0x68,
  GATE: 0x70,
  LDT: 0x80,
  CODE1: 0x90,
  DATA1: 0x98,
  OTHER_TSS: 0xa0,
  ABSENT_GATE: 0xb0,
  KERNEL_GATE: 0xc0,
  USER_CONFORMING: 0xd0,
  BUSY_TSS: 0xd8,
  BASED_DATA: 0xe8,
  RING1_GATE: 0xf0,
  /** In the LDT. */
  LOCAL_DATA: 0x04,
  LOCAL_CODE: 0x0c,
  BEYOND_LDT: 0x14,
  BEYOND: 0x3f0,
} as const;
const GDT_LIMIT = 0xff;
export const LDT_LIMIT = 0x0f;

/** A code, data or LDT/TSS descriptor: access byte and flags nibble as in the manual's figure 3-8. */
export function descriptor(access: number, flags: number, base = 0, limit = 0xf_ffff): bigint {
  const low = BigInt(limit & 0xffff) | (BigInt(base & 0xffff) << 16n);
  const high =
    ((base >>> 16) & 0xff) | (access << 8) | (((limit >> 16) & 0xf) << 16) | (flags << 20) | (base & 0xff00_0000);
  return low | (BigInt(high >>> 0) << 32n);
}

/** A gate: access byte, selector, offset, IST. */
export function gate(access: number, selector: number, offset: bigint, ist = 0): [bigint, bigint] {
  const low =
    (offset & 0xffffn) |
    (BigInt(selector) << 16n) |
    (BigInt(ist) << 32n) |
    (BigInt(access) << 40n) |
    (((offset >> 16n) & 0xffffn) << 48n);
  return [low, offset >> 32n];
}

const LONG = 0xa;
const FLAT32 = 0xc;
export const INTERRUPT_GATE = 0x8e;
export const TRAP_GATE = 0x8f;
const CALL_GATE = 0x8c;
const DPL3 = 0x60;

export type Poke = readonly [address: number, value: bigint];

/** The image: pairs of address and 8-byte value. */
function* words(): Generator<Poke> {
  const user = 7n;
  yield [AT.TABLES, BigInt(AT.TABLES + 0x1000) | user];
  yield [AT.TABLES + 0x1000, BigInt(AT.TABLES + 0x2000) | user];
  yield [AT.TABLES + 0x2000, BigInt(AT.PAGE_TABLE) | user];
  for (let page = 0; page < MEMORY_SIZE; page += 4096) {
    yield [AT.PAGE_TABLE + page / 512, BigInt(page) | (page === SUPERVISOR_PAGE ? 3n : user)];
  }
  const gdt = (selector: number, value: bigint): Poke => [AT.GDT + selector, value];
  yield gdt(SEL.KCODE, descriptor(0x9b, LONG));
  yield gdt(SEL.KDATA, descriptor(0x93, FLAT32));
  yield gdt(SEL.UDATA, descriptor(0xf3, FLAT32));
  yield gdt(SEL.UCODE, descriptor(0xfb, LONG));
  yield gdt(SEL.TSS, descriptor(0x8b, 0, AT.TSS, TSS_LIMIT));
  yield gdt(SEL.CONFORMING, descriptor(0x9e, LONG));
  yield gdt(SEL.CODE32, descriptor(0x9b, FLAT32));
  yield gdt(SEL.ABSENT_CODE, descriptor(0x1b, LONG));
  yield gdt(SEL.ABSENT_DATA, descriptor(0x13, FLAT32));
  yield gdt(SEL.READ_ONLY, descriptor(0x91, FLAT32));
  yield gdt(SEL.EXECUTE_ONLY, descriptor(0x99, LONG));
  yield gdt(SEL.LONG_AND_32, descriptor(0x9b, LONG | 4));
  const pair = (selector: number, [low, high]: [bigint, bigint]): Poke[] => [
    gdt(selector, low),
    gdt(selector + 8, high),
  ];
  const target = BigInt(AT.HANDLERS + 0xff0);
  yield* pair(SEL.GATE, gate(CALL_GATE | DPL3, SEL.KCODE, target));
  yield* pair(SEL.LDT, [descriptor(0x82, 0, AT.LDT, LDT_LIMIT), 0n]);
  yield gdt(SEL.CODE1, descriptor(0xbb, LONG));
  yield gdt(SEL.DATA1, descriptor(0xb3, FLAT32));
  yield* pair(SEL.OTHER_TSS, [descriptor(0x89, 0, AT.TSS, TSS_LIMIT), 0n]);
  yield* pair(SEL.ABSENT_GATE, gate((CALL_GATE | DPL3) & 0x7f, SEL.KCODE, target));
  yield* pair(SEL.KERNEL_GATE, gate(CALL_GATE, SEL.KCODE, target));
  yield gdt(SEL.USER_CONFORMING, descriptor(0xfe, LONG));
  yield* pair(SEL.BUSY_TSS, [descriptor(0x8b, 0, AT.TSS, TSS_LIMIT), 0n]);
  yield gdt(SEL.BASED_DATA, descriptor(0xf2, FLAT32, 0x1234_5678));
  yield* pair(SEL.RING1_GATE, gate(CALL_GATE | DPL3, SEL.CODE1, target));
  yield [AT.LDT, descriptor(0xf2, FLAT32, 0x1000)];
  yield [AT.LDT + 8, descriptor(0x9a, LONG)];
  for (let vector = 0; vector < 256; vector++) {
    const dpl = vector < 32 ? 0 : DPL3;
    const [low, high] = gate(INTERRUPT_GATE | dpl, SEL.KCODE, BigInt(handler(vector)));
    yield [AT.IDT + 16 * vector, low];
    yield [AT.IDT + 16 * vector + 8, high];
    yield [handler(vector), BigInt(HLT)];
  }
  yield [AT.TSS + 4, BigInt(AT.RSP0)];
  yield [AT.TSS + 12, BigInt(AT.RSP1)];
  yield [AT.TSS + 20, BigInt(AT.RSP2)];
  yield [AT.TSS + 36, BigInt(AT.IST1)];
  yield [AT.TSS + 96, BigInt(0x1000) << 48n];
}

/** Address of the handler of a vector. */
export const handler = (vector: number): number => AT.HANDLERS + 16 * vector;
/** The vector whose handler an address is in, or -1. */
export const handledVector = (rip: bigint): number => {
  const offset = Number(rip) - AT.HANDLERS;
  return offset >= 0 && offset < 0x1000 ? offset >> 4 : -1;
};

export function systemImage(): Uint8Array {
  const image = new Uint8Array(MEMORY_SIZE);
  const view = new DataView(image.buffer);
  for (const [address, value] of words()) view.setBigUint64(address, BigInt.asUintN(64, value), true);
  return image;
}

/** A segment register, attributes as in the state block. */
export interface SegmentValue {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
}

const flat = (selector: number, access: number, flags: number): SegmentValue => ({
  selector,
  base: 0n,
  limit: 0xffff_ffff,
  attributes: access | (flags << 12),
});

/** The segment registers of code at a privilege level: ES CS SS DS FS GS LDTR TR. */
export function segmentsAt(cpl: 0 | 1 | 3): SegmentValue[] {
  const [code, data, codeAccess, dataAccess] = {
    0: [SEL.KCODE, SEL.KDATA, 0x9b, 0x93],
    1: [SEL.CODE1 | 1, SEL.DATA1 | 1, 0xbb, 0xb3],
    3: [SEL.UCODE | 3, SEL.UDATA | 3, 0xfb, 0xf3],
  }[cpl] as [number, number, number, number];
  const dataSegment = flat(data, dataAccess, FLAT32);
  return [
    dataSegment,
    flat(code, codeAccess, LONG),
    dataSegment,
    dataSegment,
    dataSegment,
    dataSegment,
    { selector: SEL.LDT, base: BigInt(AT.LDT), limit: LDT_LIMIT, attributes: 0x82 },
    { selector: SEL.TSS, base: BigInt(AT.TSS), limit: TSS_LIMIT, attributes: 0x8b },
  ];
}

export const TABLE_REGISTERS = {
  gdtrBase: BigInt(AT.GDT),
  gdtrLimit: GDT_LIMIT,
  idtrBase: BigInt(AT.IDT),
  idtrLimit: 0xfff,
} as const;
