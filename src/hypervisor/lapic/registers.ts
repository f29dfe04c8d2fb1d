// The register file of the local APIC as data: where each register stands, who may touch it, which bits a write keeps and
// which raise #GP. What a write sets in motion is in lapic.ts, by the name of its effect.
//
// Offsets are those of the xAPIC's MMIO page; in x2APIC mode a register is the MSR 0x800 + (offset >> 4) (SDM vol. 3,
// 11.12.1). Access and masks are KVM's (Linux arch/x86/kvm/lapic.c: kvm_lapic_readable_reg_mask, kvm_lapic_reg_write).

import { X2APIC_FIRST } from '../../x86/names/msrs.ts';

/** Offsets in the register page, in the names of Linux asm/apicdef.h. */
export const APIC = {
  ID: 0x020,
  LVR: 0x030,
  TASKPRI: 0x080,
  ARBPRI: 0x090,
  PROCPRI: 0x0a0,
  EOI: 0x0b0,
  RRR: 0x0c0,
  LDR: 0x0d0,
  DFR: 0x0e0,
  SPIV: 0x0f0,
  ISR: 0x100,
  TMR: 0x180,
  IRR: 0x200,
  ESR: 0x280,
  LVTCMCI: 0x2f0,
  ICR: 0x300,
  ICR2: 0x310,
  LVTT: 0x320,
  LVTTHMR: 0x330,
  LVTPC: 0x340,
  LVT0: 0x350,
  LVT1: 0x360,
  LVTERR: 0x370,
  TMICT: 0x380,
  TMCCT: 0x390,
  TDCR: 0x3e0,
  SELF_IPI: 0x3f0,
} as const;

export type ApicRegisterName = keyof typeof APIC;

/** Bytes from one register to the next, and of the whole file (struct kvm_lapic_state). */
export const REGISTER_STEP = 16;
export const REGISTER_PAGE = 0x400;

/** SPIV: software enable, and suppression of EOI broadcasts. */
export const SPIV = { VECTOR: 0xff, ENABLED: 1 << 8, FOCUS: 1 << 9, DIRECTED_EOI: 1 << 12 } as const;

/** LVR: the version KVM reports, and its fields. */
export const LVR = { VERSION: 0x14, MAX_LVT_SHIFT: 16, DIRECTED_EOI: 1 << 24 } as const;

/** LVT entries (SDM vol. 3, figure 11-8). */
export const LVT = {
  VECTOR: 0xff,
  MODE: 7 << 8,
  SEND_PENDING: 1 << 12,
  POLARITY: 1 << 13,
  REMOTE_IRR: 1 << 14,
  LEVEL_TRIGGER: 1 << 15,
  MASKED: 1 << 16,
  /** Timer only. */
  TIMER_MODE: 3 << 17,
  TIMER_ONESHOT: 0,
  TIMER_PERIODIC: 1 << 17,
  TIMER_TSCDEADLINE: 2 << 17,
} as const;

/** DFR: the two models of logical addressing; the low 28 bits read as ones. */
export const DFR = { FLAT: 0xffffffff, CLUSTER: 0x0fffffff, ONES: 0x0fffffff } as const;

/** The 8-bit id of xAPIC mode stands in bits 31:24 of ID, LDR and ICR2. */
export const XAPIC_ID_SHIFT = 24;
const XAPIC_ID = 0xff000000;

/** What may be done with a register in one mode: absent registers raise #GP in x2APIC mode and drop out in xAPIC mode. */
type Access = '--' | 'r-' | '-w' | 'rw';

/** In which modes. */
interface InModes {
  readonly xapic: boolean;
  readonly x2apic: boolean;
}

/** What a write sets in motion beyond storing its value. */
export type WriteEffect =
  | 'store'
  | 'id'
  | 'taskPriority'
  | 'eoi'
  | 'ldr'
  | 'dfr'
  | 'spiv'
  | 'ignore'
  | 'icr'
  | 'lvt'
  | 'lvtTimer'
  | 'initialCount'
  | 'divide'
  | 'selfIpi';

export interface ApicRegister {
  readonly name: ApicRegisterName;
  readonly offset: number;
  readonly reset: number;
  readonly reads: InModes;
  readonly writes: InModes;
  readonly effect: WriteEffect;
  /** Bits that a write keeps; the others are dropped silently. */
  readonly keeps: number;
  /** Bits that raise #GP when a write in x2APIC mode sets them. */
  readonly reserved: number;
}

const ALL = 0xffffffff;
const LVT_COMMON = LVT.MASKED | LVT.VECTOR;
const LINT = LVT_COMMON | LVT.MODE | LVT.POLARITY | LVT.LEVEL_TRIGGER;

type Row = [
  ApicRegisterName,
  reset: number,
  xapic: Access,
  x2apic: Access,
  WriteEffect,
  keeps: number,
  reserved: number,
];

/* prettier-ignore */
const rows: readonly Row[] = [
  // name      reset       xAPIC x2APIC effect          keeps                      #GP if set
  ['ID',       0,          'rw', 'r-', 'id',           XAPIC_ID,                  0],
  ['LVR',      0,          'r-', 'r-', 'ignore',       0,                         0],
  ['TASKPRI',  0,          'rw', 'rw', 'taskPriority', 0xff,                      0],
  ['ARBPRI',   0,          'r-', '--', 'ignore',       0,                         0],
  ['PROCPRI',  0,          'r-', 'r-', 'ignore',       0,                         0],
  ['EOI',      0,          '-w', '-w', 'eoi',          0,                         ALL], // unless quirks.eoiIgnoresValue
  ['RRR',      0,          '--', '--', 'ignore',       0,                         0],
  ['LDR',      0,          'rw', 'r-', 'ldr',          XAPIC_ID,                  0],
  ['DFR',      DFR.FLAT,   'rw', '--', 'dfr',          ALL,                       0],
  ['SPIV',     0xff,       'rw', 'rw', 'spiv',         SPIV.VECTOR | SPIV.ENABLED | SPIV.FOCUS | SPIV.DIRECTED_EOI, 0],
  ['ISR',      0,          'r-', 'r-', 'ignore',       0,                         0],
  ['TMR',      0,          'r-', 'r-', 'ignore',       0,                         0],
  ['IRR',      0,          'r-', 'r-', 'ignore',       0,                         0],
  ['ESR',      0,          'rw', 'rw', 'ignore',       0,                         ALL],
  ['LVTCMCI',  LVT.MASKED, 'rw', 'rw', 'lvt',          LVT_COMMON | LVT.MODE,     0],
  ['ICR',      0,          'rw', 'rw', 'icr',          ALL & ~(1 << 12),          0xfff32000], // the high half is the destination
  ['ICR2',     0,          'rw', '--', 'store',        XAPIC_ID,                  0],
  ['LVTT',     LVT.MASKED, 'rw', 'rw', 'lvtTimer',     LVT_COMMON | LVT.TIMER_MODE, 0],
  ['LVTTHMR',  LVT.MASKED, 'rw', 'rw', 'lvt',          LVT_COMMON | LVT.MODE,     0],
  ['LVTPC',    LVT.MASKED, 'rw', 'rw', 'lvt',          LVT_COMMON | LVT.MODE,     0],
  ['LVT0',     LVT.MASKED, 'rw', 'rw', 'lvt',          LINT,                      0],
  ['LVT1',     LVT.MASKED, 'rw', 'rw', 'lvt',          LINT,                      0],
  ['LVTERR',   LVT.MASKED, 'rw', 'rw', 'lvt',          LVT_COMMON,                0],
  ['TMICT',    0,          'rw', 'rw', 'initialCount', ALL,                       0],
  ['TMCCT',    0,          'r-', 'r-', 'ignore',       0,                         0],
  ['TDCR',     0,          'rw', 'rw', 'divide',       0x0b,                      0],
  ['SELF_IPI', 0,          '--', '-w', 'selfIpi',      0xff,                      ALL & ~0xff],
];

/** Registers that hold one bit for each of 256 vectors: eight times 32. */
const VECTOR_REGISTERS: ReadonlySet<ApicRegisterName> = new Set(['ISR', 'TMR', 'IRR']);
const VECTOR_WORDS = 8;

/** Every register, in the order of the page; ISR, TMR and IRR are eight registers of one name. */
export const APIC_REGISTERS: readonly ApicRegister[] = rows.flatMap(
  ([name, reset, xapic, x2apic, effect, keeps, reserved]) =>
    Array.from({ length: VECTOR_REGISTERS.has(name) ? VECTOR_WORDS : 1 }, (_, i): ApicRegister => {
      const offset = APIC[name] + i * REGISTER_STEP;
      const reads = { xapic: xapic[0] === 'r', x2apic: x2apic[0] === 'r' };
      const writes = { xapic: xapic[1] === 'w', x2apic: x2apic[1] === 'w' };
      return { name, offset, reset, reads, writes, effect, keeps, reserved };
    }),
);

const byIndex: (ApicRegister | undefined)[] = Array.from({ length: REGISTER_PAGE / REGISTER_STEP });
for (const register of APIC_REGISTERS) byIndex[register.offset / REGISTER_STEP] = register;

/** The register at an offset that is a multiple of 16; undefined where the page has a hole or ends. */
export const registerAt = (offset: number): ApicRegister | undefined => byIndex[offset >> 4];

/** Offset of the register behind an MSR index of 0x800 to 0x8ff. */
export const offsetOfMsr = (index: number): number => (index - X2APIC_FIRST) << 4;
