// Paravirtual end of interrupt: a bit of guest memory by which a guest ends an interrupt without an exit
// (apic_sync_pv_eoi_to_guest and apic_sync_pv_eoi_from_guest of Linux 6.16 arch/x86/kvm/lapic.c).
//
// Theory: before an entry the host sets the bit if the guest's next EOI will have nothing to do but clear ISR: exactly one
// interrupt is in service, as far as it knows, none is requested, and no IOAPIC waits for the end. The guest's EOI tests and
// clears the bit in one instruction; when it was set, that is all. After the next exit, whatever its reason, the host looks:
// a bit that is clear again is an EOI, which it does now; one that is still set it takes back, because what follows might make
// the EOI worth an exit. Nobody else touches the bit, and the host does so only while this vCPU is out of the guest.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import { GuestPageCache } from '../guestPageCache.ts';
import { highestVector, NONE } from '../lapic/priority.ts';
import { APIC } from '../lapic/registers.ts';
import type { Vcpu } from '../vcpu.ts';

/** KVM_MSR_ENABLED. */
const ENABLED = 1n;
/** KVM_PV_EOI_ENABLED: bit 0 of the word in guest memory. */
const BIT = 1;
const SIZE = 4;
const ALIGNMENT = 3n;

export class PvEoi {
  readonly #vcpu: Vcpu;
  readonly #page: GuestPageCache;
  msrVal: Cell<bigint> = 0n;
  /** KVM_APIC_PV_EOI_PENDING: the guest's bit was set before the entry. */
  pending: Cell<boolean> = false;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.#page = new GuestPageCache(vcpu.vm.memslots);
  }

  get enabled(): boolean {
    return (this.msrVal & ENABLED) !== 0n;
  }

  /** WRMSR of MSR_KVM_PV_EOI_EN: kvm_lapic_set_pv_eoi(). False is #GP: misaligned, or no memory there. */
  writeMsr(value: bigint): boolean {
    const address = value & ~ENABLED;
    if ((address & ALIGNMENT) !== 0n) return false;
    if ((value & ENABLED) !== 0n) {
      if (!this.#page.activate(address, SIZE)) return false;
    } else this.#page.deactivate();
    this.msrVal = value;
    return true;
  }

  /** Before an entry: apic_sync_pv_eoi_to_guest(). */
  syncToGuest(): void {
    if (!this.enabled || this.pending) return;
    const { lapic, apicv, vm } = this.#vcpu;
    if ((apicv !== null && apicv.active) || highestVector(lapic.regs, APIC.IRR) !== NONE) return;
    const vector = lapic.lastTaken;
    if (vector === NONE || vm.ioapicHandles(lapic, vector)) return;
    if (!this.#mapped()) return;
    this.#page.writeU8(0, BIT);
    this.pending = true;
  }

  /** After an exit: apic_sync_pv_eoi_from_guest(). Call while `pending`. */
  syncFromGuest(): void {
    this.pending = false;
    if (!this.#mapped()) return;
    if ((this.#page.readU8(0) & BIT) !== 0) {
      this.#page.writeU8(0, 0);
      return;
    }
    const { lapic, probes, id } = this.#vcpu;
    const vector = lapic.endOfInterrupt();
    if (probes.active) probes.fire('kvm_pv_eoi', { apicId: id, vector }, this.#vcpu.now());
  }

  transfer(fields: SavedFields): void {
    this.#page.transfer(fields.part('page'));
    fields.own<PvEoi>(this, 'msrVal', 'pending');
  }

  reset(): void {
    this.msrVal = 0n;
    this.pending = false;
    this.#page.deactivate();
  }

  #mapped(): boolean {
    return this.#page.valid() || this.#page.refresh();
  }
}
