// What a snapshot keeps of a Xen guest: each class hands its fields over, and takes them back.

import { expect, it } from 'vitest';
import { getXenVcpuAttr, getXenVmAttr, setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { EVTCHNSTAT, PRIO_2LEVEL } from '../../src/hypervisor/xen/names.ts';
import { Loader, Saver } from '../../src/vmm/snapshot/fields.ts';
import { infoOf, only, raise, takeAway, xenRig } from '../hypervisor/xenRig.ts';
import type { VmRig } from '../hypervisor/vmRig.ts';

const plain = (): VmRig => xenRig([[]]);
const PORT = { port: 66, vcpu: 0, priority: PRIO_2LEVEL };

/** A guest with something in every field. */
function busy(): VmRig {
  const rig = plain();
  const vcpu = only(rig);
  rig.host.cpus[0]!.now = 10_000;
  rig.vm.xen!.configure({ flags: 0, msr: 0x4000_0200, blob64: new Uint8Array(4096).fill(7) });
  setXenVmAttr(rig.vm, { type: 'UPCALL_VECTOR', vector: 0x33 });
  setXenVmAttr(rig.vm, { type: 'XEN_VERSION', version: 0x40011 });
  setXenVmAttr(rig.vm, { type: 'RUNSTATE_UPDATE_FLAG', enabled: true });
  setXenVmAttr(rig.vm, { type: 'EVTCHN', change: { op: 'assign', sendPort: 5, channel: EVTCHNSTAT.INTERDOMAIN, deliver: { kind: 'port', ...PORT } } }); // prettier-ignore
  rig.vm.xen!.routes.route(40, PORT);
  const { address } = rig.vm.memslots.slots[0]!;
  setXenVmAttr(rig.vm, { type: 'SHARED_INFO_HVA', address: address + 0x1000 });
  setXenVcpuAttr(vcpu, { type: 'VCPU_ID', vcpuId: 9 });
  setXenVcpuAttr(vcpu, { type: 'UPCALL_VECTOR', vector: 0x44 });
  setXenVcpuAttr(vcpu, { type: 'VCPU_TIME_INFO', gpa: 0x3000 });
  setXenVcpuAttr(vcpu, { type: 'RUNSTATE_ADDR', gpa: 0x3000 - 15 });
  setXenVcpuAttr(vcpu, { type: 'RUNSTATE_DATA', state: 2, entryTime: 10n, times: [1n, 2n, 3n, 4n] });
  setXenVcpuAttr(vcpu, { type: 'TIMER', port: 13, priority: PRIO_2LEVEL, expiresNs: 5_000_000n });
  takeAway(rig, infoOf(0));
  raise(rig, 66);
  vcpu.xen!.hypercallRip = 0x1234n;
  vcpu.xen!.hypercallResult = -38n;
  return rig;
}

const everything = ({ vm, ...rig }: VmRig): unknown => {
  const vcpu = only({ vm, ...rig });
  const xen = vcpu.xen!;
  const { start } = vm.memslots.arena;
  return {
    config: vm.xen!.config,
    longMode: vm.xen!.longMode,
    shared: getXenVmAttr(vm, 'SHARED_INFO_HVA').address - start,
    vector: getXenVmAttr(vm, 'UPCALL_VECTOR').vector,
    version: getXenVmAttr(vm, 'XEN_VERSION').version,
    flag: getXenVmAttr(vm, 'RUNSTATE_UPDATE_FLAG').enabled,
    sends: vm.xen!.sendPorts.at(5),
    routed: vm.xen!.routes.has(40),
    vcpu: (['VCPU_INFO', 'VCPU_TIME_INFO', 'VCPU_ID', 'UPCALL_VECTOR', 'RUNSTATE_ADDR', 'RUNSTATE_DATA'] as const).map((type) => getXenVcpuAttr(vcpu, type)), // prettier-ignore
    shadow: xen.shadow.words,
    expires: xen.timer.expires,
    enabled: xen.timer.enabled,
    hypercall: [xen.hypercallRip, xen.hypercallResult],
  };
};

it('a Xen guest has every field that it had', () => {
  const source = busy();
  const saver = new Saver(source.host);
  source.vm.xen!.transfer(saver.part('vm'));
  only(source).xen!.transfer(saver.part('vcpu'));
  const text = JSON.stringify(saver.tree);

  const target = plain();
  const loader = new Loader(target.host, JSON.parse(text) as typeof saver.tree);
  target.vm.xen!.transfer(loader.part('vm'));
  only(target).xen!.transfer(loader.part('vcpu'));
  expect(everything(target)).toEqual(everything(source));
  expect(everything(plainWithTime())).not.toEqual(everything(source));
});

/** One that was not restored. */
function plainWithTime(): VmRig {
  const rig = plain();
  setXenVcpuAttr(only(rig), { type: 'RUNSTATE_ADDR', gpa: 0x2000 });
  return rig;
}
