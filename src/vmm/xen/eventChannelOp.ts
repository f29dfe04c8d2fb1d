// HYPERVISOR_event_channel_op, but for sends that KVM delivers by itself: ports are made, bound, asked about and closed
// (Xen common/event_channel.c, and its order of errors).

import { setEvtchn } from '../../hypervisor/xen/evtchn.ts';
import { PRIO_2LEVEL } from '../../hypervisor/xen/names.ts';
import { DOMID, EVTCHNOP, EVTCHNSTAT } from './abi.ts';
import type { XenDomain } from './domain.ts';
import { HypercallError, type Hypercall } from './hypercall.ts';
import { isSelf, type Binding } from './ports.ts';

/** Null: there is no such operation. */
export function eventChannelOp(domain: XenDomain, call: Hypercall): number | null {
  const { ports } = domain;
  const argument = call.pointer(1);
  switch (call.u32(0)) {
    case EVTCHNOP.ALLOC_UNBOUND:
      return call.update(argument, 8, (alloc) => {
        mustBeSelf(domain, alloc.getUint16(0, true));
        const remote = alloc.getUint16(2, true);
        const remoteDomain = remote === DOMID.SELF ? domain.id : remote;
        alloc.setUint32(4, ports.bind({ kind: 'unbound', remoteDomain }, 0), true);
      });
    case EVTCHNOP.BIND_INTERDOMAIN:
      return call.update(argument, 12, (bind) => {
        const remote = bind.getUint16(0, true);
        if (!isSelf(remote, domain.id)) throw noSuchDomain(remote, 'EINVAL');
        const local = ports.bindLoopback(bind.getUint32(4, true));
        bind.setUint32(8, local, true);
        // Sends on the other end may have been lost while nobody was bound to it.
        domain.raise(local);
      });
    case EVTCHNOP.BIND_VIRQ:
      return call.update(argument, 12, (bind) => {
        bind.setUint32(8, ports.bindVirq(bind.getUint32(0, true), bind.getUint32(4, true)), true);
      });
    case EVTCHNOP.BIND_IPI:
      return call.update(argument, 8, (bind) => {
        const vcpu = bind.getUint32(0, true);
        ports.checkVcpu(vcpu);
        bind.setUint32(4, ports.bind({ kind: 'ipi' }, vcpu), true);
      });
    case EVTCHNOP.BIND_VCPU: {
      const bind = call.copyFrom(argument, 8);
      ports.bindVcpu(bind.getUint32(0, true), bind.getUint32(4, true));
      return 0;
    }
    case EVTCHNOP.BIND_PIRQ:
      return call.update(argument, 12, (bind) => bind.setUint32(8, domain.bindPirq(bind.getUint32(0, true)), true));
    case EVTCHNOP.CLOSE:
      domain.close(call.copyFrom(argument, 4).getUint32(0, true));
      return 0;
    case EVTCHNOP.SEND:
      send(domain, call.copyFrom(argument, 4).getUint32(0, true));
      return 0;
    case EVTCHNOP.STATUS:
      return call.update(argument, 24, (status) => describe(domain, status));
    case EVTCHNOP.UNMASK:
      unmask(domain, call.copyFrom(argument, 4).getUint32(0, true));
      return 0;
    case EVTCHNOP.RESET: {
      mustBeSelf(domain, call.copyFrom(argument, 2).getUint16(0, true));
      for (const port of ports.open) if (ports.at(port) !== undefined) domain.close(port);
      return 0;
    }
    default:
      // init_control among them: guests then take 2-level event channels.
      return null;
  }
}

/** EVTCHNOP_send on a port that KVM does not deliver: to the console, to nobody yet, or to this domain by userspace. */
function send(domain: XenDomain, number: number): void {
  const port = domain.ports.at(number);
  if (port === undefined) throw new HypercallError('EINVAL', `port ${number} is closed`);
  const { binding } = port;
  if (binding.kind === 'virq' || binding.kind === 'pirq')
    throw new HypercallError('EINVAL', `port ${number} is no sending end`);
  if (number === domain.console.port) domain.console.notified();
  else if (binding.kind === 'ipi') domain.raise(number);
  else if (domain.ports.otherEnd(port) !== undefined && binding.kind === 'interdomain')
    domain.raise(binding.remotePort);
}

/** EVTCHNOP_unmask: an event that came while the port was masked is one now. */
function unmask(domain: XenDomain, number: number): void {
  const port = domain.ports.at(number);
  const { layout } = domain.vm.xen!;
  const { pages } = domain;
  if (!pages.testAndClear(layout.mask, number) || !pages.testAndClear(layout.pending, number)) return;
  setEvtchn(domain.vm, { port: number, vcpu: port?.vcpu ?? 0, priority: PRIO_2LEVEL });
  domain.callbackLine.update();
}

/* prettier-ignore */
const STATUS: Readonly<Record<Binding['kind'], number>> = {
  unbound: EVTCHNSTAT.UNBOUND, interdomain: EVTCHNSTAT.INTERDOMAIN, pirq: EVTCHNSTAT.PIRQ, virq: EVTCHNSTAT.VIRQ, ipi: EVTCHNSTAT.IPI,
};

/** struct evtchn_status. */
function describe(domain: XenDomain, status: DataView): void {
  mustBeSelf(domain, status.getUint16(0, true));
  const port = domain.ports.at(status.getUint32(4, true));
  status.setUint32(8, port === undefined ? EVTCHNSTAT.CLOSED : STATUS[port.binding.kind], true);
  status.setUint32(12, port?.vcpu ?? 0, true);
  if (port === undefined) return;
  const { binding } = port;
  if (binding.kind === 'unbound') status.setUint16(16, binding.remoteDomain, true);
  if (binding.kind === 'virq') status.setUint32(16, binding.virq, true);
  if (binding.kind === 'pirq') status.setUint32(16, binding.pirq, true);
  if (binding.kind !== 'interdomain') return;
  status.setUint16(16, binding.remoteDomain, true);
  status.setUint32(20, binding.remotePort, true);
}

/** Only privileged domains may look at others. */
export function mustBeSelf(domain: XenDomain, asked: number): void {
  if (!isSelf(asked, domain.id)) throw noSuchDomain(asked, 'EPERM');
}

const noSuchDomain = (asked: number, ofBackend: 'EPERM' | 'EINVAL'): HypercallError =>
  new HypercallError(asked === DOMID.BACKEND ? ofBackend : 'ESRCH', `domain ${asked} is not this one`);
