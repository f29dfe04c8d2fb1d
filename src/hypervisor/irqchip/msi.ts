// Message signalled interrupts: a device's write to 0xFEExxxxx, which is a message to LAPICs (SDM vol. 3, 11.11;
// kvm_set_msi in Linux arch/x86/kvm/irq.c).

import { deliverToApics } from '../lapic/delivery.ts';
import { SHORTHAND } from '../lapic/icr.ts';
import type { Vm } from '../vm.ts';

const ADDRESS = { DEST_SHIFT: 12, DEST: 0xff, REDIRECTION_HINT: 1 << 3, LOGICAL: 1 << 2 } as const;
/** Destination bits 31:8 of KVM_X2APIC_API_USE_32BIT_IDS stand in the upper half of the address, from bit 8 on. */
const EXTENDED_DEST = 0xffffff00;
const DATA = { VECTOR: 0xff, MODE_SHIFT: 8, LEVEL_TRIGGER: 1 << 15 } as const;

/** Sends what a device wrote. How many LAPICs accepted it; -1: the address names nobody. */
export function setMsi(vm: Vm, address: bigint, data: number): number {
  const low = Number(BigInt.asUintN(32, address));
  const high = Number(BigInt.asUintN(32, address >> 32n));
  const extended = vm.quirks.x2apicFormat;
  if (vm.probes.active) {
    const traced = extended ? address : BigInt(low);
    vm.probes.fire('kvm_msi_set_irq', { address: traced, data }, vm.host.thisCpu.now);
  }
  const message = {
    vector: data & DATA.VECTOR,
    deliveryMode: (data >>> DATA.MODE_SHIFT) & 7,
    logical: (low & ADDRESS.LOGICAL) !== 0,
    assert: true,
    levelTriggered: (data & DATA.LEVEL_TRIGGER) !== 0,
    shorthand: SHORTHAND.NONE,
    dest: (((low >>> ADDRESS.DEST_SHIFT) & ADDRESS.DEST) | (extended ? high & EXTENDED_DEST : 0)) >>> 0,
    redirectionHint: (low & ADDRESS.REDIRECTION_HINT) !== 0,
  };
  return deliverToApics(vm, null, message) ?? -1;
}
