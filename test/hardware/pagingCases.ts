// Accesses of the supervisor through page tables with flaws, in every mode, for trapline and the processor underneath. They
// start from the system image; the page under test has tables of its own.
import { CR0, CR4, EFER, RFLAGS } from '../../src/x86/names/registers.ts';
import { MSR } from '../../src/x86/names/msrs.ts';
import {
  AT,
  descriptor,
  MEMORY_SIZE,
  SEL,
  segmentsAt,
  systemImage,
  TABLE_REGISTERS,
  type Poke,
} from '../cpu/systemImage.ts';
import { ORACLE_MSRS, type SystemCase } from './kvm.ts';

/** Linear address of the page under test: the second entry of the root; its guest physical address at every page size. */
const GVA = 0x80_0001_d000n;
const GPA = 0x1_d000;
const [PDPT, PD, PT] = [0x1_9000, 0x1_a000, 0x1_b000] as const;
/** Of each level: where its entry for GVA stands, and what it holds besides flags. */
export const ENTRIES = [
  { at: AT.TABLES + 8, next: PDPT },
  { at: PDPT, next: PD },
  { at: PD, next: PT },
  { at: PT + 8 * 0x1d, next: GPA },
] as const;

const BIT = { P: 1n, W: 2n, U: 4n, A: 0x20n, D: 0x40n, PS: 0x80n, NX: 1n << 63n, RESERVED: 1n << 51n } as const;
const GOOD = BIT.P | BIT.W | BIT.U;
const FLAW_BITS = {
  none: GOOD,
  absent: BIT.RESERVED | BIT.W,
  readOnly: BIT.P | BIT.U,
  supervisor: BIT.P | BIT.W,
  noExecute: GOOD | BIT.NX,
  reserved: GOOD | BIT.RESERVED,
} as const;
export type Flaw = keyof typeof FLAW_BITS;
export const FLAWS = Object.keys(FLAW_BITS) as Flaw[];

const HLT = 0xf4;
/** What is done to RBX, and how it is encoded. */
const ACCESS_CODE = {
  read: [0x8a, 0x03], // mov (%rbx), %al
  write: [0x88, 0x03], // mov %al, (%rbx)
  readModifyWrite: [0x80, 0x03, 0x01], // addb $1, (%rbx)
  fetch: [0xff, 0xe3], // jmp *%rbx
  implicitRead: [0x8e, 0xd8], // mov %eax, %ds: a descriptor in the LDT, whose A bit is set
  implicitWrite: [0x8e, 0xd8], // the same with the A bit clear
} as const;
export type Access = keyof typeof ACCESS_CODE;
export const ACCESSES = Object.keys(ACCESS_CODE) as Access[];

export interface PagingMode {
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly ac: boolean;
  readonly nxe: boolean;
}

export function modeOf(bits: number): PagingMode {
  const bit = (n: number): boolean => ((bits >> n) & 1) === 1;
  return { wp: bit(0), smep: bit(1), smap: bit(2), ac: bit(3), nxe: bit(4) };
}
export const MODES = 32;

/** The system image, fit for SMEP and SMAP: all of it is the supervisor's; A and D are set beforehand. */
export function pagingImage(): Uint8Array {
  const image = systemImage();
  const view = new DataView(image.buffer);
  const used = BIT.P | BIT.W | BIT.A | BIT.D;
  view.setBigUint64(AT.TABLES, BigInt(AT.TABLES + 0x1000) | GOOD | BIT.A, true);
  view.setBigUint64(AT.TABLES + 0x1000, BigInt(AT.TABLES + 0x2000) | GOOD | BIT.A, true);
  view.setBigUint64(AT.TABLES + 0x2000, BigInt(AT.PAGE_TABLE) | GOOD | BIT.A, true);
  for (let page = 0; page < MEMORY_SIZE; page += 4096) {
    view.setBigUint64(AT.PAGE_TABLE + page / 512, BigInt(page) | used, true);
  }
  return image;
}

/**
 * An access in a mode; `flaws` are those of the levels from the root down: four for a 4-KiB page, three for 2 MiB, two for
 * 1 GiB.
 */
export function pagingCase(access: Access, mode: PagingMode, flaws: readonly Flaw[]): SystemCase {
  const { wp, smep, smap, ac, nxe } = mode;
  const code = new Uint8Array(8).fill(HLT);
  code.set(ACCESS_CODE[access]);
  const implicit = access.startsWith('implicit');
  const gpr = Array.from({ length: 16 }, (_, i) => BigInt(i) * 0x0101_0101_0101n);
  gpr[0] = implicit ? BigInt(SEL.LOCAL_DATA) : 0x1122_3344_5566_7788n;
  gpr[3] = GVA;
  gpr[4] = BigInt(AT.STACK - 0x100);
  const segments = segmentsAt(0);
  if (implicit) segments[6] = { ...segments[6]!, base: GVA };
  const accessed = access === 'implicitRead' ? 1 : 0;
  const leaf = flaws.length - 1;
  const entries = ENTRIES.slice(0, flaws.length).map(({ at, next }, i): Poke => {
    const target = i < leaf ? BigInt(next) : leaf < 3 ? BIT.PS : BigInt(GPA);
    return [at, target | FLAW_BITS[flaws[i]!]];
  });
  return {
    name: `${access} through ${flaws.join(', ')} with ${JSON.stringify(mode)}`,
    gpr,
    rip: BigInt(AT.CODE),
    rflags: BigInt(RFLAGS.FIXED | (ac ? RFLAGS.AC : 0)),
    segments,
    ...TABLE_REGISTERS,
    cr0: CR0.PE | CR0.ET | CR0.NE | CR0.PG | (wp ? CR0.WP : 0n),
    cr2: 0n,
    cr3: BigInt(AT.TABLES),
    cr4: CR4.PAE | CR4.PGE | (smep ? CR4.SMEP : 0n) | (smap ? CR4.SMAP : 0n),
    cr8: 0n,
    efer: EFER.LME | EFER.LMA | EFER.SCE | (nxe ? EFER.NXE : 0n),
    msrs: ORACLE_MSRS.map((index) => (index === MSR.PAT ? 0x0007_0406_0007_0406n : 0n)),
    event: 0,
    eventError: 0,
    pokes: [
      ...entries,
      [AT.CODE, new DataView(code.buffer).getBigUint64(0, true)],
      [GPA, implicit ? descriptor(0xf2 | accessed, 0xc) : BigInt(HLT)],
    ],
  };
}
