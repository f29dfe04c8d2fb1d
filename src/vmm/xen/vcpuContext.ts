// The state in which VCPUOP_initialise has a vCPU begin: struct vcpu_hvm_context (Xen public/hvm/hvm_vcpu.h), and what Xen refuses
// of it (arch_set_info_hvm_guest of arch/x86/hvm/domain.c).

import { isCanonicalAddress } from '../../cpu/canonical.ts';
import type { Regs } from '../../hypervisor/state/regs.ts';
import type { KvmSegment } from '../../hypervisor/state/segment.ts';
import type { Sregs } from '../../hypervisor/state/sregs.ts';
import { CR0, CR4, EFER, RFLAGS } from '../../x86/names/registers.ts';
import { HypercallError } from './hypercall.ts';

export const VCPU_CONTEXT_SIZE = 128;
const MODE_32B = 0;
const MODE_64B = 1;
/** Where the registers begin, in the order in which they come. */
const REGISTERS = 8;
const ORDER = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'rip', 'rflags'] as const;
const SEGMENTS = ['cs', 'ds', 'ss', 'es', 'tr'] as const;
type SegmentName = (typeof SEGMENTS)[number];
/** Offsets among the 32-bit registers. */
const IN_32 = {
  CR0: 40,
  CR3: 44,
  CR4: 48,
  PAD1: 52,
  EFER: 56,
  BASE: 64,
  LIMIT: 84,
  ATTRIBUTES: 104,
  PAD2: 114,
} as const;
const PAD2_WORDS = 3;
const IN_64 = { CR0: 80, CR3: 88, CR4: 96, EFER: 104 } as const;

/** Attributes of a segment. */
const AR = { ACCESSED: 1, BUSY: 2, READABLE: 2, WRITABLE: 2, CODE: 8, TYPE: 0xf, S: 1 << 4, P: 1 << 7, G: 1 << 11, UNUSED: 0xf000 } as const; // prettier-ignore
const TSS_BUSY = 0xb;
/** What 64-bit code begins with. */
const FLAT_64: Readonly<Record<SegmentName, readonly [attributes: number, limit: number]>> = {
  cs: [0xa9b, 0xffff_ffff],
  ds: [0xc93, 0xffff_ffff],
  ss: [0xc93, 0xffff_ffff],
  es: [0xc93, 0xffff_ffff],
  tr: [0x8b, 0x67],
};

/** Everything else of a vCPU stays as it is. */
export interface VcpuContext {
  readonly regs: Pick<Regs, (typeof ORDER)[number]>;
  readonly sregs: Pick<Sregs, SegmentName | 'cr0' | 'cr3' | 'cr4' | 'efer'>;
}

const refuse = (why: string): never => {
  throw new HypercallError('EINVAL', why);
};

/** Throws HypercallError (EINVAL). */
export function readVcpuContext(view: DataView): VcpuContext {
  const mode = view.getUint32(0, true);
  if (view.getUint32(4, true) !== 0) refuse('the padding behind the mode is not 0');
  if (mode !== MODE_32B && mode !== MODE_64B) refuse(`there is no mode ${mode}, only 0 and 1`);
  const registers = new DataView(view.buffer, view.byteOffset + REGISTERS);
  return mode === MODE_32B ? read32(registers) : read64(registers);
}

function read64(view: DataView): VcpuContext {
  const at = (offset: number): bigint => view.getBigUint64(offset, true);
  const { CR0: cr0, CR3: cr3, CR4: cr4, EFER: efer } = IN_64;
  const context = contextOf(
    (index) => at(8 * index),
    { cr0: at(cr0), cr3: at(cr3), cr4: at(cr4), efer: at(efer) },
    (name) => segment(FLAT_64[name][0], FLAT_64[name][1], 0),
  );
  const { regs, sregs } = context;
  if (!isCanonicalAddress(regs.rip)) refuse(`RIP 0x${regs.rip.toString(16)} is not canonical`);
  if ((sregs.cr0 & CR0.PG) === 0n) refuse('64-bit code wants paging (CR0.PG)');
  if ((sregs.cr4 & CR4.PAE) === 0n) refuse('64-bit code wants CR4.PAE');
  if ((sregs.efer & EFER.LME) === 0n) refuse('64-bit code wants EFER.LME');
  return context;
}

function read32(view: DataView): VcpuContext {
  const at = (offset: number): number => view.getUint32(offset, true);
  const padding = Array.from({ length: PAD2_WORDS }, (_, i) => view.getUint16(IN_32.PAD2 + 2 * i, true));
  if (at(IN_32.PAD1) !== 0 || padding.some((word) => word !== 0)) refuse('padding is not 0');
  const attributes = new Map<SegmentName, number>();
  for (const [index, name] of SEGMENTS.entries()) {
    const given = view.getUint16(IN_32.ATTRIBUTES + 2 * index, true);
    const implied = name === 'tr' ? AR.BUSY : (given & AR.P) !== 0 ? AR.ACCESSED : 0;
    attributes.set(name, given | implied);
    checkSegment(name, given | implied);
  }
  const limitOf = (name: SegmentName): number => at(IN_32.LIMIT + 4 * SEGMENTS.indexOf(name));
  const efer = view.getBigUint64(IN_32.EFER, true);
  if ((efer & EFER.LMA) !== 0n && (efer & EFER.LME) === 0n) refuse('EFER.LMA is set without EFER.LME');
  const context = contextOf(
    (index) => BigInt(at(4 * index)),
    { cr0: BigInt(at(IN_32.CR0)), cr3: BigInt(at(IN_32.CR3)), cr4: BigInt(at(IN_32.CR4)), efer },
    (name) => segment(attributes.get(name)!, limitOf(name), at(IN_32.BASE + 4 * SEGMENTS.indexOf(name))),
  );
  const { cs, ss, ds, es } = context.sregs;
  const limit = (attributes.get('cs')! & AR.G) === 0 ? cs.limit : cs.limit * 4096 + 0xfff;
  if (context.regs.rip > BigInt(limit)) refuse(`EIP 0x${context.regs.rip.toString(16)} is beyond the limit of CS`);
  if (ss.dpl !== cs.dpl) refuse(`SS.DPL is ${ss.dpl}, and CS.DPL ${cs.dpl}`);
  if (ds.present === 1 && ds.dpl > cs.dpl) refuse(`DS.DPL ${ds.dpl} is more than CS.DPL`);
  if (es.present === 1 && es.dpl > cs.dpl) refuse(`ES.DPL ${es.dpl} is more than CS.DPL`);
  return context;
}

/** EFER.LMA follows from EFER.LME and paging. */
function contextOf(
  register: (index: number) => bigint,
  control: Pick<Sregs, 'cr0' | 'cr3' | 'cr4' | 'efer'>,
  segmentOf: (name: SegmentName) => KvmSegment,
): VcpuContext {
  const known = BigInt(Object.values(RFLAGS).reduce((all, bit) => all | bit, 0) & ~RFLAGS.VM);
  const regs = Object.fromEntries(ORDER.map((name, index) => [name, register(index)])) as VcpuContext['regs'];
  const longMode = (control.efer & EFER.LME) !== 0n && (control.cr0 & CR0.PG) !== 0n;
  const efer = (control.efer & ~EFER.LMA) | (longMode ? EFER.LMA : 0n);
  const segments = Object.fromEntries(SEGMENTS.map((name) => [name, segmentOf(name)])) as Record<SegmentName, KvmSegment>; // prettier-ignore
  return {
    regs: { ...regs, rflags: (regs.rflags & known) | BigInt(RFLAGS.FIXED) },
    sregs: { ...segments, ...control, efer },
  };
}

/** check_segment(). */
function checkSegment(name: SegmentName, attributes: number): void {
  const no = (why: string): never => refuse(`the attributes 0x${attributes.toString(16)} of ${name}: ${why}`);
  const type = attributes & AR.TYPE;
  if ((attributes & AR.UNUSED) !== 0) no('bits 15:12 are not 0');
  if (attributes === 0 && (name === 'ds' || name === 'es')) return;
  const isSystem = (attributes & AR.S) === 0;
  if (name === 'tr' && (!isSystem || type !== TSS_BUSY)) no('it is no 32-bit TSS');
  if (name !== 'tr' && isSystem) no('it is a system segment');
  if ((attributes & AR.P) === 0) no('it is not present');
  const isCode = (type & AR.CODE) !== 0;
  if (name === 'cs' && !isCode) no('it is no code');
  if (name === 'ss' && (isCode || (type & AR.WRITABLE) === 0)) no('it is no stack');
  if ((name === 'ds' || name === 'es') && isCode && (type & AR.READABLE) === 0) no('it cannot be read');
}

function segment(attributes: number, limit: number, base: number): KvmSegment {
  const bit = (index: number): number => (attributes >> index) & 1;
  return {
    base: BigInt(base),
    limit,
    selector: 0,
    type: attributes & AR.TYPE,
    s: bit(4),
    dpl: (attributes >> 5) & 3,
    present: bit(7),
    avl: bit(8),
    l: bit(9),
    db: bit(10),
    g: bit(11),
    unusable: attributes === 0 ? 1 : 0,
  };
}
