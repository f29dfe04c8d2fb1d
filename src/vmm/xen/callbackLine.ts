// Events that interrupt vCPU 0 by a line of the board: HVM_PARAM_CALLBACK_IRQ as a GSI, or as a pin of a PCI function (Xen
// hvm_set_callback_irq_level of arch/x86/hvm/irq.c; QEMU hw/i386/kvm/xen_evtchn.c).
//
// Theory: the line is to follow upcall_pending of vCPU 0, which the guest clears in memory, where nobody sees it. KVM knows nothing
// of this way. So every event of such a domain goes by the VMM, which raises the line when it has set upcall_pending. It
// falls at the guest's EOI, behind which the VMM looks whether there is more; and where vCPU 0 comes out of KVM_RUN, if
// upcall_pending is clear by then.

import type { SavedFields } from '../../cpu/savedFields.ts';
import { GSI_COUNT } from '../../hypervisor/irqchip/routing.ts';
import { ResampledLine } from '../../hypervisor/irqchip/resampledLine.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { gsiOfIntx } from '../devices/pci/intx.ts';
import type { MainLoop, Source } from '../mainLoop.ts';
import { CALLBACK_TYPE } from './abi.ts';
import type { SharedPages } from './pages.ts';

/** The GSI that HVM_PARAM_CALLBACK_IRQ names; null: it names none. */
export function gsiOfCallback(via: bigint): number | null {
  const type = Number(via >> 56n);
  const low = Number(via & 0xffffn);
  if (type === CALLBACK_TYPE.PCI_INTX) return gsiOfIntx((low >> 11) & 31, low & 3);
  const gsi = low & 0xff;
  return type === CALLBACK_TYPE.GSI && gsi > 0 && gsi < GSI_COUNT ? gsi : null;
}

export class CallbackLine implements Source {
  readonly name = 'the callback line of events';
  readonly #vm: Vm;
  readonly #pages: SharedPages;
  readonly #loop: MainLoop;
  #line: ResampledLine | null = null;
  #high = false;

  constructor(vm: Vm, pages: SharedPages, loop: MainLoop) {
    this.#vm = vm;
    this.#pages = pages;
    this.#loop = loop;
    loop.watch(this);
  }

  /** Takes the line of a GSI, or none, in place of the one before. */
  use(gsi: number | null): void {
    this.#line?.deassign();
    this.#hold(gsi);
    this.#high = false;
    if (gsi !== null) this.#vm.irqchip.ioapic.apicsChanged();
    this.update();
  }

  /** Events have been raised: an interrupt, if vCPU 0 is to look at them. */
  update(): void {
    if (this.#line === null || this.#high || !this.#pages.upcallPending(0)) return;
    this.#high = true;
    this.#line.signal();
  }

  /** vCPU 0 has come out of KVM_RUN. */
  settle(): void {
    if (!this.#high || this.#pages.upcallPending(0)) return;
    const { gsi } = this.#line!;
    this.#line!.deassign();
    this.#hold(gsi);
    this.#high = false;
  }

  /** The main loop: the guest has ended an interrupt. */
  serve(): void {
    this.update();
  }

  transfer(fields: SavedFields): void {
    const gsi = fields.value('gsi', this.#line?.gsi ?? null);
    this.#high = fields.value('high', this.#high);
    if (fields.restoring) this.#hold(gsi);
  }

  #hold(gsi: number | null): void {
    this.#line = gsi === null ? null : new ResampledLine(this.#vm, gsi, () => this.#acked());
  }

  #acked(): void {
    this.#high = false;
    this.#loop.notify();
  }
}
