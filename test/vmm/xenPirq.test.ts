// PIRQs as a guest asks Xen for them: numbers, what they stand for, and which events they make by each way.

import { describe, expect, it } from 'vitest';
import { XEN_HYPERCALL as CALL } from '../../src/hypervisor/xen/names.ts';
import { DOMID, ERRNO, EVTCHNOP, EVTCHNSTAT, HVMOP, MAP_PIRQ_TYPE, PHYSDEVOP } from '../../src/vmm/xen/abi.ts';
import { pirqOfMessage } from '../../src/vmm/xen/pirqs.ts';
import { XEN_ROUTES, type XenRoute } from '../../src/vmm/xen/routing.ts';
import { u8 } from '../hypervisor/pvRig.ts';
import { domainRig, mapped, sharedAt, statusOf, takes, type Rig } from './xenDomainRig.ts';

const physdev = (rig: Rig, op: number, words: readonly number[]) => rig.call(CALL.PHYSDEV_OP, op, words);
const free = (rig: Rig, type: number): number => physdev(rig, PHYSDEVOP.GET_FREE_PIRQ, [type, 0]).words[1]!;
const map = (rig: Rig, gsi: number, pirq = -1, type: number = MAP_PIRQ_TYPE.GSI) => {
  const { answer, words } = physdev(rig, PHYSDEVOP.MAP_PIRQ, [DOMID.SELF, type, gsi, pirq, 0, 0, 0, 0, 0, 0]);
  return { answer, pirq: words[3]! | 0 };
};
const unmap = (rig: Rig, pirq: number): number => physdev(rig, PHYSDEVOP.UNMAP_PIRQ, [DOMID.SELF, pirq]).answer;
const bind = (rig: Rig, pirq: number) => rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_PIRQ, [pirq, 0, 0]);
const eoi = (rig: Rig, pirq: number): number => physdev(rig, PHYSDEVOP.EOI, [pirq]).answer;

/** A guest with a callback vector and shared_info. */
function guest(route: XenRoute = 'eventfd', vcpus = 2): Rig {
  const rig = mapped(domainRig(vcpus, true, { pirq: route }));
  rig.call(CALL.HVM_OP, HVMOP.SET_PARAM, [DOMID.SELF, 0, 0xf3, 2 << 24]);
  return rig;
}
const traced = (rig: Rig): unknown[] => rig.events.filter(({ name }) => name === 'xen_pirq').map(({ event }) => event.what); // prettier-ignore

describe('the number of a PIRQ', () => {
  it('counts down from 255 for messages, and up from 16 for lines', () => {
    const rig = guest();
    const { MSI, GSI } = MAP_PIRQ_TYPE;
    expect([free(rig, MSI), free(rig, MSI), free(rig, GSI), free(rig, GSI)]).toEqual([255, 254, 16, 17]);
    expect(map(rig, 20)).toEqual({ answer: 0, pirq: 18 });
  });

  it('runs out with ENOSPC', () => {
    const rig = guest();
    for (let i = 0; i < 256 - 24; i++) expect(free(rig, MAP_PIRQ_TYPE.MSI)).toBe(255 - i);
    expect(physdev(rig, PHYSDEVOP.GET_FREE_PIRQ, [MAP_PIRQ_TYPE.MSI, 0]).answer).toBe(-ERRNO.ENOSPC);
  });

  it('stands in the message: data of vector 0, and its lower byte where the APIC ID is', () => {
    expect(pirqOfMessage({ address: 0xfeef_f000n, data: 0 })).toBe(255);
    expect(pirqOfMessage({ address: 0x0000_0300_fee1_2000n, data: 0x4300 })).toBe(0x312);
    expect(pirqOfMessage({ address: 0xfeef_f000n, data: 0x30 })).toBe(null);
  });
});

describe('a line', () => {
  it('is mapped once, to a PIRQ that stands for nothing else', () => {
    const rig = guest();
    expect(map(rig, 20, 40)).toEqual({ answer: 0, pirq: 40 });
    expect(map(rig, 21, 40)).toEqual({ answer: 0, pirq: 40 });
    expect(physdev(rig, PHYSDEVOP.IRQ_STATUS_QUERY, [40, 0])).toEqual({ answer: 0, words: [40, 1] });
    expect(unmap(rig, 40)).toBe(0);
    expect(unmap(rig, 40)).toBe(0);
    expect(physdev(rig, PHYSDEVOP.IRQ_STATUS_QUERY, [40, 0]).answer).toBe(-ERRNO.EINVAL);
  });

  it.each([
    ['beyond all', 24, -1],
    ['below all', -1, -1],
    ['to a PIRQ beyond all', 20, 256],
  ])('%s cannot be: EINVAL', (_what, gsi, pirq) => {
    expect(map(guest(), gsi, pirq).answer).toBe(-ERRNO.EINVAL);
  });

  it('is what a guest maps; its messages name PIRQs by themselves', () => {
    expect(map(guest(), 20, -1, MAP_PIRQ_TYPE.MSI).answer).toBe(-ERRNO.EINVAL);
  });

  it.each(XEN_ROUTES)('interrupts when it rises, and at an EOI while it is high, by %s', (route) => {
    const rig = guest(route);
    const { pirqs } = rig.domain;
    const { pirq } = map(rig, 20);
    expect(pirqs.line(20, true)).toBe(false);
    pirqs.line(20, false);
    const port = bind(rig, pirq).words[2]!;
    expect([pirqs.line(20, true), takes(rig, port)]).toEqual([true, true]);
    expect([pirqs.line(20, true), takes(rig, port)]).toEqual([true, false]);
    expect([eoi(rig, pirq), takes(rig, port)]).toEqual([0, true]);
    expect([pirqs.line(20, false), eoi(rig, pirq), takes(rig, port)]).toEqual([false, 0, false]);
  });

  it('of the ISA bus is an edge: an EOI asks for nothing', () => {
    const rig = guest();
    const port = bind(rig, map(rig, 5).pirq).words[2]!;
    rig.domain.pirqs.line(5, true);
    expect(takes(rig, port)).toBe(true);
    expect([eoi(rig, 16), takes(rig, port)]).toEqual([0, false]);
  });
});

describe('a port of a PIRQ', () => {
  it('is one, says so, and is free for another when it is closed', () => {
    const rig = guest();
    const pirq = free(rig, MAP_PIRQ_TYPE.MSI);
    const port = bind(rig, pirq).words[2]!;
    expect(bind(rig, pirq).answer).toBe(-ERRNO.EEXIST);
    expect(statusOf(rig, port).slice(0, 3)).toEqual([EVTCHNSTAT.PIRQ, 0, pirq]);
    expect(rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.SEND, [port]).answer).toBe(-ERRNO.EINVAL);
    expect(rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.CLOSE, [port]).answer).toBe(0);
    expect(bind(rig, pirq).answer).toBe(0);
  });

  it.each(XEN_ROUTES)('gets one event for each message, by %s, at the vCPU that it notifies', (route) => {
    const rig = guest(route);
    const pirq = free(rig, MAP_PIRQ_TYPE.MSI);
    const port = bind(rig, pirq).words[2]!;
    rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_VCPU, [port, 1]);
    rig.domain.pirqs.message(pirq);
    expect([takes(rig, port), takes(rig, port)]).toEqual([true, false]);
    expect(u8(rig, sharedAt(64))).toBe(1);
    expect(u8(rig, sharedAt(0))).toBe(0);
    expect(traced(rig)).toEqual([route]);
  });

  it('gets none when it is closed before the main loop looks', () => {
    const rig = guest('userspace');
    const port = bind(rig, 40).words[2]!;
    rig.domain.pirqs.message(40);
    rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.CLOSE, [port]);
    expect(takes(rig, port)).toBe(false);
  });
});

it('messages of a PIRQ that nobody takes are dropped, and a trace says why', () => {
  const rig = guest();
  const { pirqs } = rig.domain;
  map(rig, 20, 40);
  for (const pirq of [0, 255, 256, 40]) pirqs.message(pirq);
  expect(traced(rig)).toEqual([
    'there is no such PIRQ',
    'it is bound to no port',
    'there is no such PIRQ',
    'it stands for GSI 20',
  ]);
});
