// Events that interrupt by a line: which one the parameter names, when it rises and falls, and that KVM delivers nothing meanwhile.

import { describe, expect, it } from 'vitest';
import { IRQCHIP } from '../../src/hypervisor/irqchip/routing.ts';
import { getXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { XEN_HYPERCALL as CALL } from '../../src/hypervisor/xen/names.ts';
import { DOMID, EVTCHNOP, HVM_PARAM, HVMOP, VCPUOP, VIRQ } from '../../src/vmm/xen/abi.ts';
import { gsiOfCallback } from '../../src/vmm/xen/callbackLine.ts';
import { bindIpi, domainRig, mapped, sharedAt, type Rig } from './xenDomainRig.ts';

const [GSI, PCI_INTX, VECTOR] = [0, 1, 2];
const via = (rig: Rig, type: number, value: number): number =>
  rig.call(CALL.HVM_OP, HVMOP.SET_PARAM, [DOMID.SELF, HVM_PARAM.CALLBACK_IRQ, value, type << 24]).answer;
const send = (rig: Rig, port: number): number => rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.SEND, [port]).answer;
const isHigh = (rig: Rig, gsi: number): boolean => rig.vm.irqs.save()[gsi] !== 0;
/** The guest takes its events: upcall_pending and the selected words. */
const clearPending = (rig: Rig): void => void rig.vm.memory.write(sharedAt(0), new Uint8Array(16));
const serve = (rig: Rig): void => {
  while (rig.host.step() === 'progress');
};

it.each([
  [0x0000_0000_0000_0000n, null],
  [0x0000_0000_0000_0014n, 20],
  [0x0000_0000_0000_0018n, null],
  [0x0100_0000_0000_0800n, 10],
  [0x0100_0000_0000_0801n, 10],
  [0x0100_0000_0000_0802n, 11],
  [0x0100_0000_0000_1003n, 10],
  [0x0100_0000_0000_0000n, 11],
  [0x0200_0000_0000_00f3n, null],
  [0x7f00_0000_0000_0014n, null],
])('HVM_PARAM_CALLBACK_IRQ %i names the line of GSI %s', (param, gsi) => {
  expect(gsiOfCallback(param)).toBe(gsi);
});

describe('the line', () => {
  it('rises with an event for vCPU 0, and falls at the EOI, behind which there may be more', () => {
    const rig = mapped(domainRig());
    const port = bindIpi(rig, 0);
    expect(via(rig, GSI, 20)).toBe(0);
    expect(isHigh(rig, 20)).toBe(false);
    send(rig, port);
    expect(isHigh(rig, 20)).toBe(true);
    rig.vm.irqs.acked(IRQCHIP.IOAPIC, 20);
    expect(isHigh(rig, 20)).toBe(false);
    serve(rig);
    expect(isHigh(rig, 20)).toBe(true);
    clearPending(rig);
    rig.vm.irqs.acked(IRQCHIP.IOAPIC, 20);
    serve(rig);
    expect(isHigh(rig, 20)).toBe(false);
  });

  it('falls where vCPU 0 comes out of KVM_RUN, if its events are taken by then', () => {
    const rig = mapped(domainRig());
    via(rig, PCI_INTX, 1 << 11);
    send(rig, bindIpi(rig, 0));
    rig.domain.callbackLine.settle();
    expect(isHigh(rig, 10)).toBe(true);
    clearPending(rig);
    rig.domain.callbackLine.settle();
    expect(isHigh(rig, 10)).toBe(false);
    rig.domain.raise(bindIpi(rig, 0));
    expect(isHigh(rig, 10)).toBe(true);
  });

  it('is not for other vCPUs, and rises at once when events wait already', () => {
    const rig = mapped(domainRig());
    via(rig, GSI, 20);
    send(rig, bindIpi(rig, 1));
    expect(isHigh(rig, 20)).toBe(false);
    rig.domain.raise(bindIpi(rig, 0));
    via(rig, GSI, 21);
    expect([isHigh(rig, 20), isHigh(rig, 21)]).toEqual([false, true]);
  });

  it('rises when an event that waits is unmasked, and when vcpu_info moves', () => {
    const rig = mapped(domainRig());
    via(rig, GSI, 20);
    const port = bindIpi(rig, 0);
    rig.vm.memory.write(sharedAt(0xa00), Uint8Array.of(1 << port));
    send(rig, port);
    expect(isHigh(rig, 20)).toBe(false);
    rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.UNMASK, [port]);
    expect(isHigh(rig, 20)).toBe(true);
    const other = mapped(domainRig());
    via(other, GSI, 20);
    other.vm.memory.write(0x3000, new Uint8Array(new BigUint64Array([2n, 0n]).buffer));
    expect(other.raw(CALL.VCPU_OP, VCPUOP.REGISTER_VCPU_INFO, 0, 0x3000)).toBe(0);
    expect(isHigh(other, 20)).toBe(true);
  });
});

describe('while events interrupt by a line', () => {
  it('all of them go by the VMM, and by KVM again once there is a vector', () => {
    const rig = mapped(domainRig());
    const port = bindIpi(rig, 0);
    rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_VIRQ, [VIRQ.TIMER, 0, 0]);
    const inKvm = () => [rig.vm.xen!.sendPorts.at(port) !== undefined, rig.vm.vcpus[0]!.xen!.timer.enabled];
    expect(inKvm()).toEqual([true, true]);
    via(rig, GSI, 20);
    expect(inKvm()).toEqual([false, false]);
    via(rig, VECTOR, 0xf3);
    expect(inKvm()).toEqual([true, true]);
    expect(getXenVmAttr(rig.vm, 'UPCALL_VECTOR').vector).toBe(0xf3);
  });

  it('ports that a 32-bit guest cannot have are left alone', () => {
    const rig = mapped(domainRig());
    for (let i = 0; i < 1030; i++) bindIpi(rig, 0);
    rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_VIRQ, [VIRQ.TIMER, 0, 0]);
    rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_PIRQ, [40, 0, 0]);
    rig.vm.xen!.setLongMode(false);
    for (const param of [20n, 0n, 20n]) {
      rig.domain.callbackVia = param;
      rig.domain.callbackChanged();
      rig.domain.pirqs.message(40);
      serve(rig);
    }
    expect(isHigh(rig, 20)).toBe(false);
  });

  it('a vector of vCPU 0 comes first', () => {
    const rig = mapped(domainRig());
    via(rig, GSI, 20);
    rig.call(CALL.HVM_OP, HVMOP.SET_EVTCHN_UPCALL_VECTOR, [0, 0xf3]);
    rig.domain.raise(bindIpi(rig, 0));
    expect(isHigh(rig, 20)).toBe(false);
  });

  it.each([
    ['a GSI that there is not', GSI, 24],
    ['a type that there is not', 9, 20],
    ['nothing', GSI, 0],
  ])('%s is no way to interrupt, and no error', (_what, type, value) => {
    const rig = mapped(domainRig());
    via(rig, GSI, 20);
    expect(via(rig, type, value)).toBe(0);
    rig.domain.raise(bindIpi(rig, 0));
    expect([isHigh(rig, 20), getXenVmAttr(rig.vm, 'UPCALL_VECTOR').vector]).toEqual([false, 0]);
  });
});
