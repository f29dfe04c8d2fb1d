// KVM_GET_SREGS and KVM_SET_SREGS: segments, descriptor tables, control registers, EFER and IA32_APIC_BASE (struct kvm_sregs), and
// with them what KVM_GET_SREGS2 adds, the PDPTE registers.

import { CR0_DEFINED, illegalCr0, illegalCr4 } from '../../cpu/controlRegisters.ts';
import { definedEfer } from '../../cpu/msrs.ts';
import { getPdptes, isLegalPdpte, meansPaePaging, PDPTES, setPdptes } from '../../cpu/memory/pdptes.ts';
import { CR0, CR3, CR4, EFER, SEGMENT } from '../../x86/names/registers.ts';
import { queueInterrupt } from '../inject.ts';
import { mayWriteBase } from '../lapic/base.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import { requireBits, requireU64, VcpuStateError, vcpuIoctl, type Refuse } from './ioctl.ts';
import { checkSegment, getSegment, setSegment, type KvmSegment } from './segment.ts';

/** struct kvm_dtable. */
export interface KvmDtable {
  readonly base: bigint;
  readonly limit: number;
}

export interface Sregs {
  readonly cs: KvmSegment;
  readonly ds: KvmSegment;
  readonly es: KvmSegment;
  readonly fs: KvmSegment;
  readonly gs: KvmSegment;
  readonly ss: KvmSegment;
  readonly tr: KvmSegment;
  readonly ldt: KvmSegment;
  readonly gdt: KvmDtable;
  readonly idt: KvmDtable;
  readonly cr0: bigint;
  readonly cr2: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  /** Task priority by class; the LAPIC's register page holds it too. */
  readonly cr8: bigint;
  readonly efer: bigint;
  readonly apicBase: bigint;
  /** 256 bits: the external interrupt that is injected and not delivered yet; KVM_GET_VCPU_EVENTS says it too. */
  readonly interruptBitmap: readonly bigint[];
  /** The four PDPTE registers while PAE paging is on (KVM_SREGS2_FLAGS_PDPTRS_VALID), which memory need not agree with; none otherwise. */
  readonly pdptrs: readonly bigint[];
}

const SEGMENT_FIELDS = {
  cs: SEGMENT.CS,
  ds: SEGMENT.DS,
  es: SEGMENT.ES,
  fs: SEGMENT.FS,
  gs: SEGMENT.GS,
  ss: SEGMENT.SS,
  tr: SEGMENT.TR,
  ldt: SEGMENT.LDTR,
} as const;
type SegmentField = keyof typeof SEGMENT_FIELDS;
const FIELD_NAMES = Object.keys(SEGMENT_FIELDS) as SegmentField[];

const BITMAP_WORDS = 4;

/** A copy of the system registers. */
export function getSregs(vcpu: Vcpu): Sregs {
  return vcpuIoctl(vcpu, 'GET_SREGS', () => sregsOf(vcpu));
}

/** The same, wherever the vCPU stands. */
export function sregsOf({ guest, lapic, events }: Vcpu): Sregs {
  const { state } = guest;
  const segments = Object.fromEntries(
    FIELD_NAMES.map((name) => [name, getSegment(state, SEGMENT_FIELDS[name])]),
  ) as unknown as Record<SegmentField, KvmSegment>;
  const { injected, soft, vector } = events.interrupt;
  const { cr0, cr2, cr3, cr4, efer } = state;
  return {
    ...segments,
    gdt: { base: state.gdtrBase, limit: state.gdtrLimit },
    idt: { base: state.idtrBase, limit: state.idtrLimit },
    ...{ cr0, cr2, cr3, cr4, cr8: BigInt(lapic.cr8), efer },
    apicBase: lapic.base,
    interruptBitmap: bitmapOf(injected && !soft ? 1n << BigInt(vector) : 0n),
    pdptrs: meansPaePaging(cr0, cr4, efer) ? getPdptes(state) : [],
  };
}

/** Why KVM_SET_SREGS would refuse them; null: it would not. */
export function checkSregs(vcpu: Vcpu, sregs: Sregs): string | null {
  try {
    check(vcpu, sregs, (why) => {
      throw new VcpuStateError('EINVAL', why);
    });
  } catch (error) {
    if (error instanceof VcpuStateError) return error.message;
    throw error;
  }
  return null;
}

/** Sets them, and IA32_APIC_BASE as a host may: from any mode to any. Throws VcpuStateError. */
export function setSregs(vcpu: Vcpu, sregs: Sregs): void {
  vcpuIoctl(vcpu, 'SET_SREGS', (refuse) => {
    check(vcpu, sregs, refuse);
    const { guest, lapic, requests } = vcpu;
    const { state } = guest;
    lapic.writeBase(sregs.apicBase, true);
    for (const name of FIELD_NAMES) setSegment(state, SEGMENT_FIELDS[name], sregs[name]);
    state.gdtrBase = sregs.gdt.base;
    state.gdtrLimit = sregs.gdt.limit;
    state.idtrBase = sregs.idt.base;
    state.idtrLimit = sregs.idt.limit;
    state.cr0 = (sregs.cr0 & CR0_DEFINED) | CR0.ET;
    state.cr2 = sregs.cr2;
    state.cr3 = sregs.cr3;
    state.cr4 = sregs.cr4;
    lapic.writeCr8(sregs.cr8);
    state.efer = sregs.efer;
    setPdptes(state, sregs.pdptrs);
    // vmx_get_cpl(): the DPL of SS, and 0 in real mode.
    state.cpl = (sregs.cr0 & CR0.PE) === 0n ? 0 : sregs.ss.dpl;
    guest.registersReplaced();

    const vector = firstBit(sregs.interruptBitmap);
    if (vector !== null) queueInterrupt(vcpu, vector, false);
    requests.make(KVM_REQ.EVENT);
  });
}

function bitmapOf(bits: bigint): bigint[] {
  return Array.from({ length: BITMAP_WORDS }, (_, i) => (bits >> BigInt(64 * i)) & 0xffff_ffff_ffff_ffffn);
}

function firstBit(bitmap: readonly bigint[]): number | null {
  const word = bitmap.findIndex((bits) => bits !== 0n);
  if (word < 0) return null;
  let bit = 0;
  while (((bitmap[word]! >> BigInt(bit)) & 1n) === 0n) bit++;
  return 64 * word + bit;
}

/** kvm_is_valid_sregs(), and what VM entry would refuse. */
function check(vcpu: Vcpu, sregs: Sregs, refuse: Refuse): void {
  const { cr0, cr2, cr3, cr4, cr8, efer, apicBase, interruptBitmap, gdt, idt, cs } = sregs;
  requireU64({ cr0, cr2, cr3, cr4, cr8, efer, apicBase, 'gdt.base': gdt.base, 'idt.base': idt.base }, refuse);
  requireBits(16, { 'gdt.limit': gdt.limit, 'idt.limit': idt.limit }, refuse);
  if (interruptBitmap.length !== BITMAP_WORDS) refuse(`interruptBitmap has ${interruptBitmap.length} words, not 4`);
  requireU64(Object.fromEntries(interruptBitmap.map((word, i) => [`interruptBitmap[${i}]`, word])), refuse);
  for (const name of FIELD_NAMES) checkSegment(name, SEGMENT_FIELDS[name], sregs[name], refuse);

  const { features } = vcpu.vm;
  const undefinedEfer = efer & ~definedEfer(features);
  if (undefinedEfer !== 0n)
    refuse(`EFER has bits 0x${undefinedEfer.toString(16)}, which the processor model does not offer`);
  const longMode = (efer & EFER.LME) !== 0n && (cr0 & CR0.PG) !== 0n;
  if (longMode && (efer & EFER.LMA) === 0n) refuse('EFER.LMA is clear, but EFER.LME and CR0.PG are set');
  if (!longMode && (efer & EFER.LMA) !== 0n) refuse('EFER.LMA is set without EFER.LME and CR0.PG');
  if (!longMode && cs.l === 1) refuse('cs.l is set outside of long mode');
  const illegal = illegalCr0(cr0) ?? illegalCr4(cr4, longMode, features);
  if (illegal !== null) refuse(illegal);
  if (!longMode && (cr4 & CR4.PCIDE) !== 0n) refuse('CR4.PCIDE is set outside of long mode');
  if (longMode && cr3 >> BigInt(features.physicalAddressBits) !== 0n) {
    const beyond = (cr3 & CR3.NO_FLUSH) !== 0n ? 'bit 63' : `bits beyond ${features.physicalAddressBits}`;
    refuse(`CR3 0x${cr3.toString(16)} has ${beyond}`);
  }
  checkPdptrs(vcpu, sregs, refuse);
  if (cr8 > 15n) refuse(`CR8 is ${cr8}, more than 15`);
  if (!mayWriteBase(vcpu.lapic.base, apicBase, vcpu.features, true)) {
    refuse(`IA32_APIC_BASE 0x${apicBase.toString(16)} has reserved bits, or EXTD where there is no x2APIC`);
  }
}

/** KVM would read missing ones from memory; what a vCPU has is asked for here. */
function checkPdptrs(vcpu: Vcpu, { cr0, cr4, efer, pdptrs }: Sregs, refuse: Refuse): void {
  const paging = meansPaePaging(cr0, cr4, efer);
  if (pdptrs.length !== (paging ? PDPTES : 0)) {
    refuse(
      `pdptrs has ${pdptrs.length} entries, not ${paging ? `${PDPTES}: PAE paging is on` : '0: PAE paging is off'}`,
    );
  }
  requireU64(Object.fromEntries(pdptrs.map((entry, i) => [`pdptrs[${i}]`, entry])), refuse);
  pdptrs.forEach((entry, i) => {
    if (!isLegalPdpte(entry, vcpu.vm.features)) refuse(`pdptrs[${i}] 0x${entry.toString(16)} has reserved bits`);
  });
}
