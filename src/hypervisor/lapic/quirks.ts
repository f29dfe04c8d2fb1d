// Where KVM's local APIC differs from silicon, or KVM itself offers a choice: one named option each. The defaults are KVM's.

export interface LapicQuirks {
  /** KVM_X86_QUIRK_LINT0_REENABLED: the bootstrap processor leaves reset with LINT0 as unmasked ExtINT. Silicon: masked. */
  readonly lint0Reenabled: boolean;
  /** KVM_X86_QUIRK_LAPIC_MMIO_HOLE: MMIO to a LAPIC that is disabled or in x2APIC mode reads ones and drops writes. Otherwise userspace decides. */
  readonly lapicMmioHole: boolean;
  /** An MSI or IOAPIC message to 0xff reaches every x2APIC target too, unless KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK. Silicon: only 0xffffffff does. */
  readonly x2apicBroadcast: boolean;
  /** The value written to EOI is not looked at. Silicon: non-zero is #GP in x2APIC mode. */
  readonly eoiIgnoresValue: boolean;
  /** A lowest-priority IPI is arbitrated in x2APIC mode. Silicon need not: the IPI is dropped. */
  readonly x2apicLowestPriority: boolean;
  /** kvm.vector_hashing: a lowest-priority target is chosen by vector modulo targets, otherwise round robin. */
  readonly vectorHashing: boolean;
  /** Clearing IA32_APIC_BASE.EN keeps every register for the next enable. Silicon: as after power-on. */
  readonly disabledKeepsState: boolean;
  /** The guest may store the read-only delivery-status and remote-IRR bits of an LVT entry. Silicon: not. Off, as a guest reads it back. */
  readonly lvtStatusBitsWritable: boolean;
  /** kvm.min_timer_period_us: shorter periods are lengthened to this many microseconds. Silicon: 0. */
  readonly minTimerPeriodUs: number;
  /** The version register offers suppression of EOI broadcasts (directed EOI), and SVR[12] may be set. */
  readonly directedEoi: boolean;
  /** KVM_X2APIC_API_USE_32BIT_IDS: the saved state holds 32-bit ids, not ids shifted to bits 31:24. */
  readonly x2apicFormat: boolean;
}

export const KVM_QUIRKS: LapicQuirks = {
  lint0Reenabled: true,
  lapicMmioHole: true,
  x2apicBroadcast: true,
  eoiIgnoresValue: true,
  x2apicLowestPriority: true,
  vectorHashing: true,
  disabledKeepsState: true,
  lvtStatusBitsWritable: false,
  minTimerPeriodUs: 200,
  directedEoi: false,
  x2apicFormat: false,
};
