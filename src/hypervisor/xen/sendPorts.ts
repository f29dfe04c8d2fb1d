// The channels that a guest may send on without leaving for userspace (EVTCHNOP_send): where each leads, as the VMM has bound it
// (KVM_XEN_ATTR_TYPE_EVTCHN; kvm_xen_eventfd_assign, _update, _deassign and _reset of Linux 6.16 arch/x86/kvm/xen.c).

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cells } from '../../host/cells.ts';
import type { Vm } from '../vm.ts';
import { checkEvtchn, type Evtchn } from './evtchn.ts';
import { EVTCHNSTAT, PRIO_2LEVEL, XenError } from './names.ts';

/** An eventfd, as far as one is signalled: whoever waits for it runs when it has time. */
export interface Eventfd {
  signal(): void;
}

/** Where a sending port leads: to a port of this guest, or to whoever has the eventfd. */
export type SendTarget = ({ readonly kind: 'port' } & Evtchn) | { readonly kind: 'eventfd'; readonly eventfd: Eventfd };

/** KVM_XEN_ATTR_TYPE_EVTCHN, by what it does. */
export type SendPortChange =
  | { readonly op: 'assign'; readonly sendPort: number; readonly channel: number; readonly deliver: SendTarget }
  /** Another vCPU; nothing else may change. */
  | { readonly op: 'update'; readonly sendPort: number; readonly channel: number; readonly deliver: SendTarget }
  | { readonly op: 'deassign'; readonly sendPort: number }
  | { readonly op: 'reset' };

interface SendPort {
  /** An EVTCHNSTAT. */
  readonly channel: number;
  readonly deliver: SendTarget;
}

/** The same in a snapshot; deliver null: an eventfd. */
interface SavedSendPort {
  readonly channel: number;
  readonly deliver: Extract<SendTarget, { kind: 'port' }> | null;
}

export class SendPorts {
  readonly #vm: Vm;
  readonly #ports: Cells<Map<number, SendPort>> = new Map();
  /** Ports of a restored guest that led to an eventfd, and wait for one. */
  readonly #orphans = new Set<number>();

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  at(port: number): SendTarget | undefined {
    return this.#ports.get(port)?.deliver;
  }

  /** Throws XenError and changes nothing. */
  change(change: SendPortChange): void {
    if (change.op === 'reset') {
      this.#ports.clear();
      return;
    }
    checkEvtchn(this.#vm, { port: change.sendPort, vcpu: 0, priority: PRIO_2LEVEL });
    if (change.op === 'assign') this.#assign(change);
    else if (change.op === 'update') this.#update(change);
    else if (!this.#ports.delete(change.sendPort))
      throw new XenError('ENOENT', `nobody sends on port ${change.sendPort}`);
  }

  /** Eventfds are the VMM's: whoever restores a guest assigns them to the same ports, before or behind this. */
  transfer(fields: SavedFields): void {
    const saved: [number, SavedSendPort][] = [];
    const eventfds = new Map<number, SendPort>();
    this.#ports.forEach((of, port) => {
      if (of.deliver.kind === 'eventfd') eventfds.set(port, of);
      saved.push([port, { channel: of.channel, deliver: of.deliver.kind === 'port' ? of.deliver : null }]);
    });
    const ports = fields.data('ports', saved);
    if (!fields.restoring) return;
    this.#ports.clear();
    for (const [port, { channel, deliver }] of ports) {
      const of = deliver === null ? eventfds.get(port) : { channel, deliver };
      if (of === undefined) this.#orphans.add(port);
      else this.#ports.set(port, of);
    }
  }

  /** Refuses a guest that was restored and lacks an eventfd. */
  mustBeWhole(fields: SavedFields): void {
    for (const port of this.#orphans)
      if (!this.#ports.has(port))
        fields.refuse(`port ${port} leads to an eventfd, and has none here`, 'assign it to the new machine (option connect)'); // prettier-ignore
    this.#orphans.clear();
  }

  #assign({ sendPort, channel, deliver }: Extract<SendPortChange, { op: 'assign' }>): void {
    if (channel !== EVTCHNSTAT.IPI && channel !== EVTCHNSTAT.INTERDOMAIN)
      throw new XenError('EINVAL', `channels of status ${channel} are not sent on: only IPIs and interdomain ones are`);
    if (channel === EVTCHNSTAT.IPI && (deliver.kind !== 'port' || deliver.port !== sendPort))
      throw new XenError('EINVAL', `an IPI leads to its own port ${sendPort}`);
    if (deliver.kind === 'port') checkEvtchn(this.#vm, deliver);
    if (this.#ports.has(sendPort)) throw new XenError('EEXIST', `port ${sendPort} leads somewhere already`);
    this.#ports.set(sendPort, { channel, deliver });
  }

  #update({ sendPort, channel, deliver }: Extract<SendPortChange, { op: 'update' }>): void {
    const old = this.#ports.get(sendPort);
    if (old === undefined) throw new XenError('ENOENT', `nobody sends on port ${sendPort}`);
    const sameEnd = old.deliver.kind === 'port' && deliver.kind === 'port' && old.deliver.port === deliver.port;
    if (old.channel !== channel || !sameEnd)
      throw new XenError('EINVAL', `of the channel on port ${sendPort} only the vCPU can be changed`);
    checkEvtchn(this.#vm, deliver);
    this.#ports.set(sendPort, { channel, deliver });
  }
}
