// How events get from where they arise to the guest, and what KVM is told for it when a port is bound.
//
// Theory: an event arises in a vCPU that sends (an IPI, or a loopback), in a timer that expires, or in a device whose interrupt is
// a PIRQ. Each has four ways to its port. The hypervisor raises it where it arises. Or an eventfd is signalled there, whose other end
// is a GSI that leads to the port (KVM_IRQFD, KVM_IRQ_ROUTING_XEN_EVTCHN): that tries on the spot, or, to see what the try
// saves, leaves it to a worker each time. Or it bounces to userspace: KVM is told nothing, and the VMM raises the event by
// KVM_XEN_HVM_EVTCHN_SEND.

import type { Vm } from '../../hypervisor/vm.ts';
import { setXenVmAttr } from '../../hypervisor/xen/attributes.ts';
import { XenIrqfd } from '../../hypervisor/xen/irqfd.ts';
import { EVTCHNSTAT as CHANNEL, PRIO_2LEVEL } from '../../hypervisor/xen/names.ts';
import { GSI_COUNT } from '../../hypervisor/irqchip/routing.ts';
import type { SendTarget } from '../../hypervisor/xen/sendPorts.ts';
import { VIRQ } from './abi.ts';
import type { Port } from './ports.ts';
import { XEN_ROUTING, type XenRoute, type XenRouting, type XenSource } from './routing.ts';
import type { Timers } from './timers.ts';

/** GSIs that lead to ports stand behind those of the board. */
const gsiOf = (port: number): number => GSI_COUNT + port;

export class Delivery {
  readonly #vm: Vm;
  readonly #routing: XenRouting;
  readonly #timers: Timers;
  /** By the port that they raise. */
  readonly #irqfds = new Map<number, XenIrqfd>();
  /** Events interrupt by a line, which only the VMM can drive: all of them go by userspace. */
  byLine = false;

  constructor(vm: Vm, timers: Timers, routing: Partial<XenRouting>) {
    this.#vm = vm;
    this.#timers = timers;
    this.#routing = { ...XEN_ROUTING, ...routing };
  }

  route(source: XenSource): XenRoute {
    return this.byLine ? 'userspace' : this.#routing[source];
  }

  /** A port is bound, or another vCPU is notified; `remote`: the other end of a loopback. */
  connect(number: number, { binding, vcpu }: Port, remote: Port | undefined): void {
    if (binding.kind === 'virq' && binding.virq === VIRQ.TIMER) this.#connectTimer(number, vcpu);
    if (binding.kind === 'ipi') this.#connectSender(number, number, vcpu, CHANNEL.IPI);
    if (binding.kind === 'pirq' && this.route('pirq') !== 'userspace') this.#lead('pirq', number, vcpu);
    if (binding.kind !== 'interdomain' || remote === undefined) return;
    this.#connectSender(number, binding.remotePort, remote.vcpu, CHANNEL.INTERDOMAIN);
  }

  /** A port is about to be closed, or to lose its other end. */
  disconnect(number: number, { binding, vcpu }: Port, remote: Port | undefined): void {
    const { sendPorts, routes } = this.#vm.xen!;
    if (binding.kind === 'virq' && binding.virq === VIRQ.TIMER) this.#timers.unbind(vcpu);
    if (sendPorts.at(number) !== undefined)
      setXenVmAttr(this.#vm, { type: 'EVTCHN', change: { op: 'deassign', sendPort: number } });
    const raised = binding.kind === 'interdomain' && remote !== undefined ? binding.remotePort : number;
    const irqfd = this.#irqfds.get(raised);
    if (irqfd === undefined) return;
    irqfd.deassign();
    this.#irqfds.delete(raised);
    routes.route(gsiOf(raised), null);
  }

  /** The eventfds of a restored port, which KVM has not kept. */
  restore(number: number, port: Port, remote: Port | undefined): void {
    const { binding, vcpu } = port;
    if (binding.kind !== 'virq' || binding.virq !== VIRQ.TIMER) this.connect(number, port, remote);
    else if (this.#hasEventfd('timer')) this.#timers.signals(vcpu, this.#lead('timer', number, vcpu));
  }

  /** The interrupt of a PIRQ that is bound to this port is taken on the host, in hard interrupt context or not. */
  interrupt(port: number): void {
    const irqfd = this.#irqfds.get(port);
    if (irqfd === undefined) return;
    if (this.route('pirq') === 'hypervisor') irqfd.raise();
    else irqfd.signal();
  }

  #connectTimer(number: number, vcpu: number): void {
    const route = this.route('timer');
    if (this.#hasEventfd('timer')) this.#timers.signals(vcpu, this.#lead('timer', number, vcpu));
    this.#timers.bind(vcpu, number, route !== 'userspace');
  }

  #connectSender(sendPort: number, port: number, vcpu: number, channel: number): void {
    if (this.route('ipi') === 'userspace') return;
    const known = this.#vm.xen!.sendPorts.at(sendPort) !== undefined;
    if (!this.#hasEventfd('ipi')) {
      this.#assign(known ? 'update' : 'assign', sendPort, channel, { kind: 'port', port, vcpu, priority: PRIO_2LEVEL });
      return;
    }
    const eventfd = this.#lead('ipi', port, vcpu);
    // KVM takes IPIs to their own port only; for an eventfd the channel is one of another domain.
    if (!known) this.#assign('assign', sendPort, CHANNEL.INTERDOMAIN, { kind: 'eventfd', eventfd });
  }

  #assign(op: 'assign' | 'update', sendPort: number, channel: number, deliver: SendTarget): void {
    setXenVmAttr(this.#vm, { type: 'EVTCHN', change: { op, sendPort, channel, deliver } });
  }

  #hasEventfd(source: XenSource): boolean {
    return this.route(source) === 'eventfd' || this.route(source) === 'workqueue';
  }

  /** Has a GSI lead to the port, and an eventfd drive it. */
  #lead(source: XenSource, port: number, vcpu: number): XenIrqfd {
    const { routes } = this.#vm.xen!;
    routes.route(gsiOf(port), { port, vcpu, priority: PRIO_2LEVEL });
    const irqfd = this.#irqfds.get(port) ?? new XenIrqfd(routes, gsiOf(port), this.route(source) === 'workqueue');
    this.#irqfds.set(port, irqfd);
    return irqfd;
  }
}
