// The event channels of a domain, as Xen keeps them (Xen common/event_channel.c): which ports there are, what each is bound to,
// and which vCPU is notified. How an event gets there is said when a binding changes (delivery.ts).

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { DOMID, VIRQ_COUNT, VIRQ_OF_VCPU } from './abi.ts';
import type { Delivery } from './delivery.ts';
import { HypercallError } from './hypercall.ts';

/** What a port is bound to. */
export type Binding =
  | { readonly kind: 'unbound'; readonly remoteDomain: number }
  /** `remotePort`: of the same domain, if `remoteDomain` is this one. */
  | { readonly kind: 'interdomain'; readonly remoteDomain: number; readonly remotePort: number }
  | { readonly kind: 'pirq'; readonly pirq: number }
  | { readonly kind: 'virq'; readonly virq: number }
  | { readonly kind: 'ipi' };

export interface Port {
  readonly binding: Binding;
  /** Xen's number of the vCPU that is notified. */
  readonly vcpu: number;
}

export class Ports {
  readonly #vm: Vm;
  readonly #domain: number;
  readonly #delivery: Delivery;
  readonly #ports = new Map<number, Port>();

  constructor(vm: Vm, domain: number, delivery: Delivery) {
    this.#vm = vm;
    this.#domain = domain;
    this.#delivery = delivery;
  }

  /** Undefined: closed. Throws HypercallError (EINVAL) for a number that no port can have. */
  at(number: number): Port | undefined {
    const limit = this.#vm.xen!.layout.ports;
    if (number >= limit) throw new HypercallError('EINVAL', `a port is below ${limit}, not ${number}`);
    return this.#ports.get(number);
  }

  /** The same, of any number: closed where there is none. */
  find(number: number): Port | undefined {
    return this.#ports.get(number);
  }

  /** Binds the lowest free port. Throws HypercallError (ENOSPC). */
  bind(binding: Binding, vcpu: number): number {
    const limit = this.#vm.xen!.layout.ports;
    for (let number = 1; number < limit; number++) {
      if (this.#ports.has(number)) continue;
      this.#ports.set(number, { binding, vcpu });
      this.#connect(number);
      return number;
    }
    throw new HypercallError('ENOSPC', `all ${limit} ports are in use`);
  }

  /** EVTCHNOP_bind_virq. */
  bindVirq(virq: number, vcpu: number): number {
    if (virq >= VIRQ_COUNT) throw new HypercallError('EINVAL', `there is no VIRQ ${virq}`);
    if (!VIRQ_OF_VCPU.has(virq) && vcpu !== 0)
      throw new HypercallError('EINVAL', `VIRQ ${virq} belongs to the domain, and is bound to vCPU 0 only`);
    this.checkVcpu(vcpu);
    for (const port of this.#ports.values())
      if (port.binding.kind === 'virq' && port.binding.virq === virq && port.vcpu === vcpu)
        throw new HypercallError('EEXIST', `VIRQ ${virq} of vCPU ${vcpu} is bound already`);
    return this.bind({ kind: 'virq', virq }, vcpu);
  }

  /** EVTCHNOP_bind_interdomain with a port of the same domain, which must wait for it. */
  bindLoopback(remotePort: number): number {
    const remote = this.at(remotePort);
    if (remote?.binding.kind !== 'unbound' || remote.binding.remoteDomain !== this.#domain)
      throw new HypercallError('EINVAL', `port ${remotePort} does not wait for this domain`);
    const local = this.bind({ kind: 'interdomain', remoteDomain: this.#domain, remotePort }, 0);
    this.#rebind(remotePort, { kind: 'interdomain', remoteDomain: this.#domain, remotePort: local });
    return local;
  }

  /** EVTCHNOP_bind_vcpu: who is notified. */
  bindVcpu(number: number, vcpu: number): void {
    this.checkVcpu(vcpu);
    const port = this.at(number);
    const { binding } = port ?? {};
    const fixed = binding === undefined || binding.kind === 'ipi';
    if (fixed || (binding.kind === 'virq' && VIRQ_OF_VCPU.has(binding.virq)))
      throw new HypercallError('EINVAL', `port ${number} cannot notify another vCPU`);
    this.#ports.set(number, { binding, vcpu });
    this.#connect(number);
    if (this.#isLoopback(binding)) this.#connect(binding.remotePort);
  }

  /** EVTCHNOP_close. A loopback's other end waits for the domain again. */
  close(number: number): void {
    const port = this.at(number);
    if (port === undefined) throw new HypercallError('EINVAL', `port ${number} is closed`);
    const { binding } = port;
    this.#disconnect(number);
    if (this.#isLoopback(binding)) {
      this.#disconnect(binding.remotePort);
      this.#rebind(binding.remotePort, { kind: 'unbound', remoteDomain: this.#domain });
    }
    this.#ports.delete(number);
  }

  /** Events come by another way from now on. */
  reroute(byLine: boolean): void {
    if (byLine === this.#delivery.byLine) return;
    for (const number of this.open) this.#disconnect(number);
    this.#delivery.byLine = byLine;
    for (const number of this.open) this.#connect(number);
  }

  /** Where a loopback ends; undefined: the port is none. */
  otherEnd({ binding }: Port): Port | undefined {
    return this.#isLoopback(binding) ? this.#ports.get(binding.remotePort) : undefined;
  }

  /** Ports that are not closed, in their order. */
  get open(): readonly number[] {
    return [...this.#ports.keys()].sort((a, b) => a - b);
  }

  /** Throws HypercallError (ENOENT). */
  checkVcpu(vcpu: number): void {
    if (this.#vm.vcpus[vcpu] === undefined) throw new HypercallError('ENOENT', `there is no vCPU ${vcpu}`);
  }

  transfer(fields: SavedFields): void {
    this.#delivery.byLine = fields.value('byLine', this.#delivery.byLine);
    const ports = fields.data('ports', [...this.#ports]);
    if (!fields.restoring) return;
    this.#ports.clear();
    for (const [number, port] of ports) this.#ports.set(number, port);
    for (const [number, port] of ports)
      if (this.#canBe(number)) this.#delivery.restore(number, port, this.otherEnd(port));
  }

  #isLoopback(binding: Binding): binding is Extract<Binding, { kind: 'interdomain' }> {
    return binding.kind === 'interdomain' && binding.remoteDomain === this.#domain;
  }

  #rebind(number: number, binding: Binding): void {
    this.#ports.set(number, { ...this.#ports.get(number)!, binding });
    this.#connect(number);
  }

  #connect(number: number): void {
    const port = this.#ports.get(number)!;
    if (this.#canBe(number)) this.#delivery.connect(number, port, this.otherEnd(port));
  }

  #disconnect(number: number): void {
    const port = this.#ports.get(number)!;
    if (this.#canBe(number)) this.#delivery.disconnect(number, port, this.otherEnd(port));
  }

  /** A guest that has gone from 64-bit to 32-bit layouts may have bound ports that it can no longer have. */
  #canBe(number: number): boolean {
    return number < this.#vm.xen!.layout.ports;
  }
}

/** The number that a guest means: itself, by its number or by DOMID_SELF, or another domain. */
export const isSelf = (domain: number, self: number): boolean => domain === DOMID.SELF || domain === self;
