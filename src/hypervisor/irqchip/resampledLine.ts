// A line that an eventfd raises, and that falls when the guest ends its interrupt: KVM_IRQFD with KVM_IRQFD_FLAG_RESAMPLE
// (irqfd_inject, irqfd_resampler_ack and irqfd_resampler_shutdown of Linux virt/kvm/eventfd.c).
//
// Theory: who raises a level-triggered line for good must see when to lower it. This one the hypervisor lowers at the guest's EOI, in
// time for no second interrupt, and signals the other eventfd: whoever still wants an interrupt raises the line again.

import { COST } from '../../host/costs.ts';
import type { Vm } from '../vm.ts';
import { IRQ_SOURCE, type IrqNotified } from './routing.ts';

export class ResampledLine implements IrqNotified {
  readonly gsi: number;
  readonly #vm: Vm;
  readonly #resampled: () => void;

  /** Takes hold of the line of a GSI, which is nobody else's to watch. `resampled`: the guest has ended an interrupt of it. */
  constructor(vm: Vm, gsi: number, resampled: () => void) {
    this.gsi = gsi;
    this.#vm = vm;
    this.#resampled = resampled;
    vm.irqs.notify(gsi, this);
  }

  /** The eventfd is signalled. */
  signal(): void {
    this.#vm.host.thisCpu.charge(COST.eventfd);
    this.#vm.irqs.set(this.gsi, true, IRQ_SOURCE.RESAMPLE);
  }

  irqAcked(): void {
    this.#vm.irqs.set(this.gsi, false, IRQ_SOURCE.RESAMPLE);
    this.#vm.host.thisCpu.charge(COST.eventfd);
    this.#resampled();
  }

  irqMasked(): void {}

  /** KVM_IRQFD_FLAG_DEASSIGN: the line falls, too. */
  deassign(): void {
    this.#vm.host.thisCpu.charge(COST.ioctl);
    this.#vm.irqs.set(this.gsi, false, IRQ_SOURCE.RESAMPLE);
    this.#vm.irqs.notify(this.gsi, null);
  }
}
