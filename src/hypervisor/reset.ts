// Register values after power-on, INIT and SIPI (SDM vol. 3, 9.1.1 and 8.4.4; kvm_vcpu_reset). A loader overwrites what its
// boot protocol says otherwise.

import { writeSegment, type Segment } from '../cpu/segments/segments.ts';
import {
  CR0,
  DR6,
  DR7,
  RFLAGS,
  SEGMENT,
  SEGMENT_ATTRIBUTE,
  SEGMENT_TYPE,
  SYSTEM_TYPE,
  GPR,
  ACTIVITY,
} from '../x86/names/registers.ts';
import { CPUID_LEAF } from '../x86/names/cpuid.ts';
import { PAT_RESET } from '../x86/names/msrs.ts';
import type { Vcpu } from './vcpu.ts';

const REAL_MODE_LIMIT = 0xffff;
const CODE =
  SEGMENT_ATTRIBUTE.P | SEGMENT_ATTRIBUTE.S | SEGMENT_TYPE.CODE | SEGMENT_TYPE.READABLE | SEGMENT_TYPE.ACCESSED;
const DATA = SEGMENT_ATTRIBUTE.P | SEGMENT_ATTRIBUTE.S | SEGMENT_TYPE.WRITABLE | SEGMENT_TYPE.ACCESSED;
const segment = (attributes: number, selector = 0, base = 0n): Segment => ({
  selector,
  base,
  limit: REAL_MODE_LIMIT,
  attributes,
});

/** The reset vector: CS.base + RIP = 0xfffffff0. */
const RESET_CS = segment(CODE, 0xf000, 0xffff0000n);
const RESET_RIP = 0xfff0n;
const RESET_CR0 = CR0.CD | CR0.NW | CR0.ET;
const RESET_MXCSR = 0x1f80;
const RESET_FCW = 0x40;
const RESET_FTW = 0x5555;

/** kvm_vcpu_reset(). INIT keeps what the SDM says it keeps: caches bits of CR0, x87 and vector registers, MSRs, the TSC. */
export function resetVcpu(vcpu: Vcpu, init: boolean): void {
  const { state } = vcpu.guest;
  vcpu.lapic.reset(init);
  vcpu.pv.reset();

  for (let i = 0; i < 16; i++) state.setGpr(i, 0n);
  state.setGpr32(GPR.RDX, vcpu.vm.cpuid.answer(CPUID_LEAF.FEATURES, 0, vcpu.cpuidAsker).eax);
  state.rip = RESET_RIP;
  state.flagResult = 1n;
  state.flagAux = 0n;
  state.flagCarry = 0;
  state.rflags = RFLAGS.FIXED;

  writeSegment(state, SEGMENT.CS, RESET_CS);
  for (const index of [SEGMENT.ES, SEGMENT.SS, SEGMENT.DS, SEGMENT.FS, SEGMENT.GS]) {
    writeSegment(state, index, segment(DATA));
  }
  writeSegment(state, SEGMENT.LDTR, segment(SEGMENT_ATTRIBUTE.P | SYSTEM_TYPE.LDT));
  writeSegment(state, SEGMENT.TR, segment(SEGMENT_ATTRIBUTE.P | SYSTEM_TYPE.TSS_BUSY));
  state.gdtrBase = state.idtrBase = 0n;
  state.gdtrLimit = state.idtrLimit = REAL_MODE_LIMIT;
  state.cpl = 0;

  state.cr0 = init ? (state.cr0 & (CR0.CD | CR0.NW)) | CR0.ET : RESET_CR0;
  state.cr2 = state.cr3 = state.cr4 = state.cr8 = state.efer = 0n;
  for (let i = 0; i < 4; i++) state.views.u64[state.at('dr', i) >> 3] = 0n;
  state.views.u64[state.at('dr', 6) >> 3] = DR6.FIXED;
  state.views.u64[state.at('dr', 7) >> 3] = DR7.FIXED;

  state.shadow = state.nmiBlocked = state.pendingDb = 0;
  state.activity = ACTIVITY.ACTIVE;
  state.entryEvent = state.vectoringEvent = 0;
  vcpu.events.clear();
  vcpu.guest.registersReplaced();
  if (init) return;
  vcpu.keptMsrs.clear();
  vcpu.pv.pollControl = 1n;
  state.pat = PAT_RESET;
  state.xcr0 = 1n;
  state.mxcsr = RESET_MXCSR;
  state.fcw = RESET_FCW;
  state.ftw = RESET_FTW;
}

/** kvm_vcpu_deliver_sipi_vector(): an application processor starts in real mode at page `vector`. */
export function startAtSipi(vcpu: Vcpu, vector: number): void {
  const { state } = vcpu.guest;
  writeSegment(state, SEGMENT.CS, segment(CODE, vector << 8, BigInt(vector) << 12n));
  state.rip = 0n;
  vcpu.guest.registersReplaced();
}
