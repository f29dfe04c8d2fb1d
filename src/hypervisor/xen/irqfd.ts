// Events that no vCPU raises: a GSI that leads to an event channel, and an eventfd that drives such a GSI, as a device that is
// passed through has it (KVM_IRQ_ROUTING_XEN_EVTCHN and KVM_IRQFD; kvm_xen_setup_evtchn and evtchn_set_fn of Linux 6.16
// arch/x86/kvm/xen.c, irqfd_wakeup and irqfd_inject of virt/kvm/eventfd.c).
//
// Theory: an eventfd is signalled anywhere, a device's hard interrupt included. It first tries to raise its event on the spot;
// only where shared_info is not there does a worker thread do it, which may wait for the page. So hardly anybody pays for
// the way through the work queue, and no state has to be kept for an event that could not be raised.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cells } from '../../host/cells.ts';
import { COST } from '../../host/costs.ts';
import type { Host } from '../../host/host.ts';
import type { Sleep } from '../../host/sleep.ts';
import { Workqueue, type WorkItem, type WorkOwner } from '../../host/workqueue.ts';
import { pageOf } from '../memslots.ts';
import type { Vm } from '../vm.ts';
import { checkEvtchn, EVTCHN, setEvtchn, setEvtchnFast, type Evtchn } from './evtchn.ts';
import type { Eventfd } from './sendPorts.ts';

/** The GSIs that lead to event channels. */
export class EvtchnRoutes {
  /** Where events are raised that must wait for a page. */
  readonly #workqueue: Workqueue;
  readonly host: Host;
  readonly #vm: Vm;
  readonly #routes: Cells<Map<number, Evtchn>> = new Map();

  constructor(vm: Vm) {
    this.#vm = vm;
    this.host = vm.host;
    this.#workqueue = new Workqueue(vm.host);
  }

  /** KVM_SET_GSI_ROUTING of one GSI; null: it leads nowhere any more. Throws XenError (EINVAL). */
  route(gsi: number, evtchn: Evtchn | null): void {
    if (evtchn === null) {
      this.#routes.delete(gsi);
      return;
    }
    checkEvtchn(this.#vm, evtchn);
    this.#routes.set(gsi, evtchn);
  }

  has(gsi: number): boolean {
    return this.#routes.has(gsi);
  }

  /** kvm_set_irq(), where it may sleep: an event is an edge, and a line that goes low is none (EINVAL). */
  set(gsi: number, level: boolean): number {
    const evtchn = this.#routes.get(gsi);
    return evtchn === undefined || !level ? EVTCHN.NO_TARGET : setEvtchn(this.#vm, evtchn);
  }

  /** kvm_arch_set_irq_inatomic(): from anywhere; EVTCHN.WOULD_BLOCK: only a thread can. */
  setInAtomic(gsi: number): number {
    const evtchn = this.#routes.get(gsi);
    return evtchn === undefined ? EVTCHN.NO_TARGET : setEvtchnFast(this.#vm, evtchn);
  }

  /** The work of an eventfd. */
  work(of: WorkOwner): WorkItem {
    return this.#workqueue.lasting(of, 'inject');
  }

  /** The eventfd is closed. */
  release(item: WorkItem): void {
    this.#workqueue.release(item);
  }

  /** Leaves it to a worker. */
  defer(item: WorkItem): void {
    this.#vm.xen!.stat.deferred++;
    this.#workqueue.queue(item);
  }

  /** Waits until shared_info is there, if the host has paged it out. */
  *bringPageIn(): Sleep<void> {
    const { swap, xen } = this.#vm;
    if (swap !== null) yield* swap.bringIn(pageOf(xen!.sharedInfo.page.gpa));
  }

  transfer(fields: SavedFields): void {
    const saved: [number, Evtchn][] = [];
    this.#routes.forEach((evtchn, gsi) => void saved.push([gsi, evtchn]));
    const routes = fields.data('routes', saved);
    if (!fields.restoring) return;
    this.#routes.clear();
    for (const [gsi, evtchn] of routes) this.#routes.set(gsi, evtchn);
  }
}

/** KVM_IRQFD: an eventfd that raises the event to which a GSI leads. */
export class XenIrqfd implements Eventfd, WorkOwner {
  readonly name: string;
  readonly #routes: EvtchnRoutes;
  readonly #gsi: number;
  readonly #inject: WorkItem;
  /** Always by the work queue: what the try on the spot saves. */
  readonly #deferred: boolean;

  constructor(routes: EvtchnRoutes, gsi: number, deferred = false) {
    this.name = `irqfd of GSI ${gsi}`;
    this.#routes = routes;
    this.#gsi = gsi;
    this.#deferred = deferred;
    this.#inject = routes.work(this);
  }

  /** eventfd_signal(). */
  signal(): void {
    this.#routes.host.thisCpu.charge(COST.eventfd);
    this.raise();
  }

  /** irqfd_wakeup(), also where no eventfd lies between an interrupt of the host and its event. */
  raise(): void {
    if (!this.#deferred && this.#routes.setInAtomic(this.#gsi) !== EVTCHN.WOULD_BLOCK) return;
    this.#routes.defer(this.#inject);
  }

  /** irqfd_shutdown(): an event that waits for a worker is forgotten, as its port is about to be. */
  deassign(): void {
    this.#routes.release(this.#inject);
  }

  /** irqfd_inject(). */
  *onWork(): Sleep<void> {
    yield* this.#routes.bringPageIn();
    this.#routes.set(this.#gsi, true);
  }
}
