// Physical interrupts of a domain that come as events: PIRQs (Xen arch/x86/irq.c, arch/x86/hvm/irq.c, arch/x86/physdev.c).
//
// Theory: a PIRQ is a number for an interrupt that a guest binds to a port, in place of a vector. It stands for a GSI, which the
// guest maps to it; or for a vector of MSI or MSI-X, which the guest never says to Xen by a hypercall. It writes the vector's
// message instead: data of vector 0, which no interrupt has, and the number where else the APIC's is (Linux's
// xen_msi_compose_msg). Whoever takes the message knows by that what it is. As masks of PIRQs are Xen's business, guests leave
// the mask bit of such a vector as it was, which is set (seed 001).
//
// So a message is looked at when it comes. By `userspace` that is in the main loop: KVM could not translate the message, the
// device's eventfd ends here, and the VMM raises the event. Else a GSI leads to the port, and an eventfd drives it.

import type { SavedFields } from '../../cpu/savedFields.ts';
import { setMsi } from '../../hypervisor/irqchip/msi.ts';
import { GSI_COUNT } from '../../hypervisor/irqchip/routing.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import type { Message, MessageSink } from '../devices/pci/msix.ts';
import type { MainLoop, Source } from '../mainLoop.ts';
import { MAP_PIRQ_TYPE } from './abi.ts';
import type { Delivery } from './delivery.ts';
import { HypercallError } from './hypercall.ts';

/** As many as an MSI address of 32 bits can name; QEMU's default. */
export const PIRQ_COUNT = 256;
/** NR_ISA_IRQS: lines that are edges, and no PIRQ's number is given out for. */
const ISA_GSIS = 16;
const VECTOR = 0xff;
const DEST = { SHIFT: 12n, MASK: 0xffn, HIGH: 0xffff_ff00n } as const;

interface Pirq {
  /** What it stands for: nothing, messages of a device, or the line of a GSI. */
  readonly meaning: 'nothing' | 'msi' | number;
  /** Given out by PHYSDEVOP_get_free_pirq, for good, as in Xen. */
  readonly reserved: boolean;
  /** 0: bound to none. */
  readonly port: number;
}
const UNKNOWN: Pirq = { meaning: 'nothing', reserved: false, port: 0 };

/** The PIRQ that a message names; null: it is an interrupt like any other. */
export function pirqOfMessage({ address, data }: Message): number | null {
  if ((data & VECTOR) !== 0) return null;
  return Number(((address >> DEST.SHIFT) & DEST.MASK) | ((address >> 32n) & DEST.HIGH));
}

/** Where devices of a machine send their messages: to its LAPICs, but for those that are PIRQs of a Xen guest (null: it is none). */
export function messageSink(vm: Vm, pirqsOf: () => Pirqs | null): MessageSink {
  const pirqOf = (message: Message): number | null => (pirqsOf() === null ? null : pirqOfMessage(message));
  return {
    ignoresMask: (message) => pirqOf(message) !== null,
    send(message) {
      const pirq = pirqOf(message);
      if (pirq === null) setMsi(vm, message.address, message.data);
      else pirqsOf()!.message(pirq);
    },
  };
}

export class Pirqs implements Source {
  readonly name = 'interrupts of PIRQs';
  readonly #vm: Vm;
  readonly #delivery: Delivery;
  readonly #loop: MainLoop;
  readonly #raise: (port: number) => void;
  readonly #pirqs = new Map<number, Pirq>();
  /** Lines that are high. */
  readonly #high = new Set<number>();
  /** Interrupts that wait for the main loop. */
  readonly #bounced = new Set<number>();

  /** `raise`: sends the guest an event. */
  constructor(vm: Vm, delivery: Delivery, loop: MainLoop, raise: (port: number) => void) {
    this.#vm = vm;
    this.#delivery = delivery;
    this.#loop = loop;
    this.#raise = raise;
    loop.watch(this);
  }

  /** PHYSDEVOP_get_free_pirq: those of lines count up, all others down. Throws HypercallError (ENOSPC). */
  allocate(type: number): number {
    const pirq = this.#free(type);
    this.#change(pirq, { reserved: true });
    return pirq;
  }

  /** PHYSDEVOP_map_pirq of a line; below 0: of a PIRQ that is free. What either is mapped to already stays. Throws HypercallError. */
  mapGsi(gsi: number, asked: number): number {
    if (gsi < 0 || gsi >= GSI_COUNT) throw new HypercallError('EINVAL', `there is no GSI ${gsi}`);
    const pirq = asked < 0 ? this.#free(MAP_PIRQ_TYPE.GSI) : asked;
    if (pirq >= PIRQ_COUNT) throw noSuchPirq(asked);
    if (this.#at(pirq).meaning === 'nothing' && this.#ofGsi(gsi) === undefined) this.#change(pirq, { meaning: gsi });
    return pirq;
  }

  /** PHYSDEVOP_unmap_pirq; one that stands for nothing stays as it is. */
  unmap(pirq: number): void {
    this.#change(pirq, { meaning: 'nothing' });
  }

  /** EVTCHNOP_bind_pirq: `bind` gives it a port. Throws HypercallError. */
  bind(pirq: number, bind: () => number): number {
    if (pirq >= PIRQ_COUNT) throw noSuchPirq(pirq);
    const bound = this.#at(pirq).port;
    if (bound !== 0) throw new HypercallError('EEXIST', `PIRQ ${pirq} is bound to port ${bound}`);
    const port = bind();
    this.#change(pirq, { port });
    return port;
  }

  /** Its port is closed. */
  unbind(pirq: number): void {
    this.#change(pirq, { port: 0 });
  }

  /** PHYSDEVOP_eoi: a line that is still high is another event. Throws HypercallError. */
  eoi(pirq: number): void {
    if (!this.#pirqs.has(pirq)) throw noSuchPirq(pirq);
    const { meaning } = this.#at(pirq);
    if (typeof meaning === 'number' && meaning >= ISA_GSIS && this.#high.has(meaning)) this.#interrupt(pirq);
  }

  /** PHYSDEVOP_irq_status_query: it stands for something, and wants an EOI. Throws HypercallError. */
  checkMapped(pirq: number): void {
    if (this.#at(pirq).meaning === 'nothing') throw noSuchPirq(pirq);
  }

  /** hvm_inject_msi(): a device's message that names a PIRQ, which stands for messages from the first one on. */
  message(pirq: number): void {
    const { meaning } = this.#at(pirq);
    if (pirq === 0 || pirq >= PIRQ_COUNT) this.#trace(pirq, 'there is no such PIRQ');
    else if (typeof meaning === 'number') this.#trace(pirq, `it stands for GSI ${meaning}`);
    else {
      this.#change(pirq, { meaning: 'msi' });
      this.#interrupt(pirq);
    }
  }

  /** A device drives a line: true if it rises as a PIRQ's, and not an interrupt controller's. */
  line(gsi: number, level: boolean): boolean {
    const rises = level && !this.#high.has(gsi);
    if (level) this.#high.add(gsi);
    else this.#high.delete(gsi);
    const pirq = this.#ofGsi(gsi);
    if (!level || pirq === undefined || this.#at(pirq).port === 0) return false;
    if (rises) this.#interrupt(pirq);
    return true;
  }

  /** The main loop: what has bounced. */
  serve(): void {
    for (const pirq of this.#bounced) {
      this.#bounced.delete(pirq);
      const { port } = this.#at(pirq);
      if (port !== 0) this.#raise(port);
    }
  }

  transfer(fields: SavedFields): void {
    const pirqs = fields.data('pirqs', [...this.#pirqs]);
    const high = fields.data('high', [...this.#high]);
    const bounced = fields.data('bounced', [...this.#bounced]);
    if (!fields.restoring) return;
    this.#pirqs.clear();
    this.#high.clear();
    this.#bounced.clear();
    for (const [number, pirq] of pirqs) this.#pirqs.set(number, pirq);
    for (const gsi of high) this.#high.add(gsi);
    for (const pirq of bounced) this.#bounced.add(pirq);
  }

  /** send_guest_pirq(): also from a hard interrupt of the host. */
  #interrupt(pirq: number): void {
    const { port } = this.#at(pirq);
    const route = this.#delivery.route('pirq');
    this.#trace(pirq, port === 0 ? 'it is bound to no port' : route);
    if (port === 0) return;
    if (route === 'userspace') {
      this.#bounced.add(pirq);
      this.#loop.notify();
    } else this.#delivery.interrupt(port);
  }

  #at(pirq: number): Pirq {
    return this.#pirqs.get(pirq) ?? UNKNOWN;
  }

  #change(pirq: number, change: Partial<Pirq>): void {
    const changed = { ...this.#at(pirq), ...change };
    if (changed.meaning === 'nothing' && !changed.reserved && changed.port === 0) this.#pirqs.delete(pirq);
    else this.#pirqs.set(pirq, changed);
  }

  #ofGsi(gsi: number): number | undefined {
    for (const [number, { meaning }] of this.#pirqs) if (meaning === gsi) return number;
    return undefined;
  }

  /** get_free_pirq(). Throws HypercallError (ENOSPC). */
  #free(type: number): number {
    const isFree = (pirq: number): boolean => this.#at(pirq).meaning === 'nothing' && !this.#at(pirq).reserved;
    if (type === MAP_PIRQ_TYPE.GSI) for (let pirq = ISA_GSIS; pirq < GSI_COUNT; pirq++) if (isFree(pirq)) return pirq;
    for (let pirq = PIRQ_COUNT - 1; pirq >= GSI_COUNT; pirq--) if (isFree(pirq)) return pirq;
    throw new HypercallError('ENOSPC', `all ${PIRQ_COUNT} PIRQs are in use`);
  }

  #trace(pirq: number, what: string): void {
    const { probes, host } = this.#vm;
    if (probes.active) probes.fire('xen_pirq', { pirq, what }, host.thisCpu.now);
  }
}

const noSuchPirq = (pirq: number): HypercallError => new HypercallError('EINVAL', `there is no PIRQ ${pirq} to take`);
