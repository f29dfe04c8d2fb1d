// The register page as a VMM saves and restores it: struct kvm_lapic_state of KVM_GET_LAPIC and KVM_SET_LAPIC, 1 KiB with
// each register at its MMIO offset. IA32_APIC_BASE must be restored before it, IA32_TSC_DEADLINE and the MSR of the lazy
// deadline after it, because they depend on the mode that the page holds.

import { ICR_HIGH } from './icr.ts';
import type { Lapic } from './lapic.ts';
import { APIC, REGISTER_PAGE, SPIV, XAPIC_ID_SHIFT } from './registers.ts';

/** KVM_GET_LAPIC. What was posted belongs to it. */
export function getLapicState(lapic: Lapic): Uint8Array {
  lapic.owner.apicv?.syncPirToIrr();
  const state = new Uint8Array(REGISTER_PAGE);
  const view = new DataView(state.buffer);
  lapic.regs.forEach((value, i) => view.setUint32(i * 4, value, true));
  view.setUint32(APIC.TMCCT, lapic.timer.currentCount(), true);
  if (lapic.x2apic) {
    // Userspace sees one format in both modes: the ICR in two registers and, unless it asked otherwise, the id in bits 31:24.
    view.setUint32(APIC.ICR2, lapic.register(ICR_HIGH), true);
    view.setUint32(ICR_HIGH, 0, true);
    if (!lapic.owner.vm.quirks.x2apicFormat) view.setUint32(APIC.ID, lapic.x2apicId << XAPIC_ID_SHIFT, true);
  }
  return state;
}

/** KVM_SET_LAPIC; false (EINVAL) when the page holds another APIC's 32-bit id. Nothing has changed then. */
export function setLapicState(lapic: Lapic, state: Uint8Array): boolean {
  if (state.length !== REGISTER_PAGE) {
    throw new Error(
      `a saved local APIC has ${REGISTER_PAGE} bytes, not ${state.length}: pass what getLapicState returned`,
    );
  }
  const view = new DataView(state.buffer, state.byteOffset, state.byteLength);
  const { x2apic, regs } = lapic;
  if (x2apic && lapic.owner.vm.quirks.x2apicFormat && view.getUint32(APIC.ID, true) !== lapic.x2apicId) return false;
  for (let i = 0; i < regs.length; i++) regs[i] = view.getUint32(i * 4, true);
  if (x2apic) {
    lapic.setRegister(ICR_HIGH, view.getUint32(APIC.ICR2, true));
    lapic.setRegister(APIC.ICR2, 0);
  }
  if (!lapic.owner.vm.quirks.directedEoi) lapic.setRegister(APIC.SPIV, lapic.register(APIC.SPIV) & ~SPIV.DIRECTED_EOI);
  lapic.registersReplaced();
  return true;
}
