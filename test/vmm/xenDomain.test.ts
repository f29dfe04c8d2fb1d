// What the VMM answers to a Xen guest's hypercalls: Xen's errors, and what a call leaves behind. The calls are made as KVM
// brings them to userspace.

import { describe, expect, it } from 'vitest';
import { getXenVcpuAttr, getXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { XEN_HYPERCALL as CALL } from '../../src/hypervisor/xen/names.ts';
import {
  DOMID,
  ERRNO,
  EVTCHNOP,
  EVTCHNSTAT,
  HVM_PARAM,
  HVMOP,
  PHYSDEVOP,
  VCPUOP,
  VIRQ,
  XENMEM,
} from '../../src/vmm/xen/abi.ts';
import { CONSOLE_GPA } from '../../src/vmm/xen/consoleRing.ts';
import { u8 } from '../hypervisor/pvRig.ts';
import {
  ARGUMENT,
  bindIpi,
  domainRig,
  mapped,
  NOWHERE,
  SELF_ID,
  SHARED_GFN,
  sharedAt,
  statusOf,
  type Rig,
} from './xenDomainRig.ts';

/** What a bad call gets: hypercall, operation, structure. */
type Bad = readonly [what: string, nr: number, op: number, words: readonly number[], errno: keyof typeof ERRNO];
const EVTCHN = CALL.EVENT_CHANNEL_OP;
/* prettier-ignore */
const BAD: readonly Bad[] = [
  ['alloc_unbound in domain 0', EVTCHN, EVTCHNOP.ALLOC_UNBOUND, [0, 0], 'EPERM'],
  ['alloc_unbound in a domain that does not exist', EVTCHN, EVTCHNOP.ALLOC_UNBOUND, [99, 0], 'ESRCH'],
  ['bind_interdomain with a domain that does not exist', EVTCHN, EVTCHNOP.BIND_INTERDOMAIN, [99, 1, 0], 'ESRCH'],
  ['bind_interdomain with a port that does not wait', EVTCHN, EVTCHNOP.BIND_INTERDOMAIN, [DOMID.SELF, 77, 0], 'EINVAL'],
  ['bind_interdomain with a port beyond all', EVTCHN, EVTCHNOP.BIND_INTERDOMAIN, [DOMID.SELF, 4096, 0], 'EINVAL'],
  ['bind_virq of no VIRQ', EVTCHN, EVTCHNOP.BIND_VIRQ, [24, 0, 0], 'EINVAL'],
  ["bind_virq of the domain's VIRQ to vCPU 1", EVTCHN, EVTCHNOP.BIND_VIRQ, [2, 1, 0], 'EINVAL'],
  ['bind_virq to no vCPU', EVTCHN, EVTCHNOP.BIND_VIRQ, [VIRQ.TIMER, 9, 0], 'ENOENT'],
  ['bind_ipi to no vCPU', EVTCHN, EVTCHNOP.BIND_IPI, [9, 0], 'ENOENT'],
  ['bind_vcpu of a closed port', EVTCHN, EVTCHNOP.BIND_VCPU, [77, 0], 'EINVAL'],
  ['bind_vcpu to no vCPU', EVTCHN, EVTCHNOP.BIND_VCPU, [1, 9], 'ENOENT'],
  ['close of a closed port', EVTCHN, EVTCHNOP.CLOSE, [77], 'EINVAL'],
  ['close of a port beyond all', EVTCHN, EVTCHNOP.CLOSE, [4096], 'EINVAL'],
  ['send on a closed port', EVTCHN, EVTCHNOP.SEND, [77], 'EINVAL'],
  ['status of a port beyond all', EVTCHN, EVTCHNOP.STATUS, [DOMID.SELF, 4096, 0, 0, 0, 0], 'EINVAL'],
  ['status in another domain', EVTCHN, EVTCHNOP.STATUS, [0, 1, 0, 0, 0, 0], 'EPERM'],
  ['unmask of a port beyond all', EVTCHN, EVTCHNOP.UNMASK, [4096], 'EINVAL'],
  ['reset of another domain', EVTCHN, EVTCHNOP.RESET, [0], 'EPERM'],
  ['init_control: there is no FIFO', EVTCHN, EVTCHNOP.INIT_CONTROL, [0, 0, 0, 0], 'ENOSYS'],
  ['add_to_physmap of shared_info, page 1', CALL.MEMORY_OP, XENMEM.ADD_TO_PHYSMAP, [DOMID.SELF, 0, 1, 0, 1, 0], 'EINVAL'],
  ['add_to_physmap to where no memory is', CALL.MEMORY_OP, XENMEM.ADD_TO_PHYSMAP, [DOMID.SELF, 0, 0, 0, 0x7000, 0], 'EINVAL'],
  ['add_to_physmap of no such space', CALL.MEMORY_OP, XENMEM.ADD_TO_PHYSMAP, [DOMID.SELF, 9, 0, 0, 1, 0], 'ENOSYS'],
  ['add_to_physmap of a grant frame too many', CALL.MEMORY_OP, XENMEM.ADD_TO_PHYSMAP, [DOMID.SELF, 1, 64, 0, 1, 0], 'EINVAL'],
  ['set_param of no parameter', CALL.HVM_OP, HVMOP.SET_PARAM, [DOMID.SELF, 39, 0, 0], 'EINVAL'],
  ['set_param of the console', CALL.HVM_OP, HVMOP.SET_PARAM, [DOMID.SELF, HVM_PARAM.CONSOLE_PFN, 0, 0], 'EPERM'],
  ['set_param of a vector that is an exception', CALL.HVM_OP, HVMOP.SET_PARAM, [DOMID.SELF, 0, 0xe, 2 << 24], 'EINVAL'],
  ['get_param of one of the tools', CALL.HVM_OP, HVMOP.GET_PARAM, [DOMID.SELF, 12, 0, 0], 'EPERM'],
  ['an upcall vector that is an exception', CALL.HVM_OP, HVMOP.SET_EVTCHN_UPCALL_VECTOR, [0, 0xe], 'EINVAL'],
  ['an upcall vector of no vCPU', CALL.HVM_OP, HVMOP.SET_EVTCHN_UPCALL_VECTOR, [9, 0xf3], 'ENOENT'],
  ['physdev_op for domain 0 only: setup_gsi', CALL.PHYSDEV_OP, 21, [0, 0], 'ENOSYS'],
  ['map_pirq in domain 0', CALL.PHYSDEV_OP, PHYSDEVOP.MAP_PIRQ, [0, 1, 4, -1, 0, 0, 0, 0, 0, 0], 'EPERM'],
  ['map_pirq without a vector for events', CALL.PHYSDEV_OP, PHYSDEVOP.MAP_PIRQ, [DOMID.SELF, 1, 4, -1, 0, 0, 0, 0, 0, 0], 'EINVAL'],
  ['unmap_pirq in a domain that does not exist', CALL.PHYSDEV_OP, PHYSDEVOP.UNMAP_PIRQ, [99, 16], 'ESRCH'],
  ['eoi of a PIRQ beyond all', CALL.PHYSDEV_OP, PHYSDEVOP.EOI, [256], 'EINVAL'],
  ['eoi of a PIRQ that nobody has', CALL.PHYSDEV_OP, PHYSDEVOP.EOI, [40], 'EINVAL'],
  ['irq_status_query of a PIRQ that stands for nothing', CALL.PHYSDEV_OP, PHYSDEVOP.IRQ_STATUS_QUERY, [40, 0], 'EINVAL'],
  ['bind_pirq of a PIRQ beyond all', EVTCHN, EVTCHNOP.BIND_PIRQ, [256, 0, 0], 'EINVAL'],
  ['a second word of features', CALL.XEN_VERSION, 6, [1, 0], 'EINVAL'],
  ['a shutdown for no reason', CALL.SCHED_OP, 2, [77], 'EINVAL'],
  ['grant tables of version 2', CALL.GRANT_TABLE_OP, 8, [2], 'ENOSYS'],
];

describe('a bad call gets the error that Xen has for it', () => {
  it.each(BAD)('%s', (_what, nr, op, words, errno) => {
    expect(domainRig().call(nr, op, words).answer).toBe(-ERRNO[errno]);
  });

  it.each([
    ['event_channel_op', EVTCHN, [EVTCHNOP.BIND_IPI, NOWHERE]],
    ['memory_op', CALL.MEMORY_OP, [XENMEM.ADD_TO_PHYSMAP, NOWHERE]],
    ['hvm_op', CALL.HVM_OP, [HVMOP.GET_PARAM, NOWHERE]],
    ['vcpu_op', CALL.VCPU_OP, [VCPUOP.REGISTER_VCPU_INFO, 0, NOWHERE]],
    ['xen_version', CALL.XEN_VERSION, [1, NOWHERE]],
    ['physdev_op', CALL.PHYSDEV_OP, [PHYSDEVOP.MAP_PIRQ, NOWHERE]],
  ] as const)('%s with a structure that lies nowhere: EFAULT', (_what, nr, args) => {
    expect(domainRig().raw(nr, ...args)).toBe(-ERRNO.EFAULT);
  });

  it('and one that nobody knows is -ENOSYS, and named', () => {
    const { raw, vm } = domainRig();
    expect(raw(99)).toBe(-ERRNO.ENOSYS);
    expect(vm.diagnostics.list).toMatchObject([{ what: 'hypercall', index: 99, answer: '-ENOSYS' }]);
  });

  it('and a trace says why', () => {
    const rig = domainRig();
    rig.call(EVTCHN, EVTCHNOP.CLOSE, [77]);
    expect(rig.events.find(({ name }) => name === 'xen_hypercall_error')?.event).toMatchObject({
      nr: EVTCHN,
      why: 'port 77 is closed (EINVAL)',
    });
  });

  it('and from outside of the kernel all are refused', () => {
    const { domain, vm } = domainRig();
    const [vcpu] = vm.vcpus;
    const params = [BigInt(XENMEM.MEMORY_MAP), 0n, 0n, 0n, 0n, 0n];
    domain.serve(vcpu!, { reason: 'XEN', type: 'HCALL', longMode: true, cpl: 3, input: 12n, params });
    expect(Number(vcpu!.xen!.hypercallResult)).toBe(-ERRNO.EPERM);
  });
});

describe('ports', () => {
  it('are given out from the lowest, behind the console, and again once they are closed', () => {
    const rig = domainRig();
    expect([bindIpi(rig, 0), bindIpi(rig, 1)]).toEqual([2, 3]);
    expect(rig.call(EVTCHN, EVTCHNOP.CLOSE, [2]).answer).toBe(0);
    expect(bindIpi(rig, 1)).toBe(2);
  });

  it('say what they are bound to', () => {
    const rig = domainRig();
    const ipi = bindIpi(rig, 1);
    const unbound = rig.call(EVTCHN, EVTCHNOP.ALLOC_UNBOUND, [DOMID.SELF | (DOMID.SELF << 16), 0]).words[1]!;
    expect(statusOf(rig, ipi).slice(0, 2)).toEqual([EVTCHNSTAT.IPI, 1]);
    expect(statusOf(rig, unbound).slice(0, 3)).toEqual([EVTCHNSTAT.UNBOUND, 0, SELF_ID]);
    const local = rig.call(EVTCHN, EVTCHNOP.BIND_INTERDOMAIN, [DOMID.SELF, unbound, 0]).words[2]!;
    expect(statusOf(rig, local)).toEqual([EVTCHNSTAT.INTERDOMAIN, 0, SELF_ID, unbound]);
    expect(statusOf(rig, unbound)).toEqual([EVTCHNSTAT.INTERDOMAIN, 0, SELF_ID, local]);
    rig.call(EVTCHN, EVTCHNOP.CLOSE, [local]);
    expect(statusOf(rig, unbound).slice(0, 3)).toEqual([EVTCHNSTAT.UNBOUND, 0, SELF_ID]);
    expect(statusOf(rig, 77)[0]).toBe(EVTCHNSTAT.CLOSED);
  });

  it('run out with ENOSPC: 1023 of a 32-bit guest', () => {
    const rig = domainRig(1, false);
    for (let port = 2; port < 1024; port++) expect(bindIpi(rig, 0)).toBe(port);
    expect(rig.call(EVTCHN, EVTCHNOP.BIND_IPI, [0, 0]).answer).toBe(-ERRNO.ENOSPC);
  });

  it('of IPIs and loopbacks are delivered by KVM, which follows their vCPU and their end', () => {
    const rig = domainRig();
    const { sendPorts } = rig.vm.xen!;
    const ipi = bindIpi(rig, 1);
    expect(sendPorts.at(ipi)).toMatchObject({ kind: 'port', port: ipi, vcpu: 1 });
    const remote = rig.call(EVTCHN, EVTCHNOP.ALLOC_UNBOUND, [DOMID.SELF | (DOMID.SELF << 16), 0]).words[1]!;
    const local = rig.call(EVTCHN, EVTCHNOP.BIND_INTERDOMAIN, [DOMID.SELF, remote, 0]).words[2]!;
    expect(sendPorts.at(local)).toMatchObject({ port: remote, vcpu: 0 });
    expect(rig.call(EVTCHN, EVTCHNOP.BIND_VCPU, [remote, 1]).answer).toBe(0);
    expect(sendPorts.at(local)).toMatchObject({ port: remote, vcpu: 1 });
    expect(rig.call(EVTCHN, EVTCHNOP.BIND_VCPU, [ipi, 0]).answer).toBe(-ERRNO.EINVAL);
    expect(rig.call(EVTCHN, EVTCHNOP.RESET, [DOMID.SELF]).answer).toBe(0);
    expect([ipi, remote, local].map((port) => sendPorts.at(port))).toEqual([undefined, undefined, undefined]);
  });

  it("of VIRQ_TIMER are the timer's of their vCPU, once", () => {
    const rig = domainRig();
    const bind = () => rig.call(EVTCHN, EVTCHNOP.BIND_VIRQ, [VIRQ.TIMER, 1, 0]);
    const port = bind().words[2]!;
    expect(rig.vm.vcpus.map((vcpu) => getXenVcpuAttr(vcpu, 'TIMER').port)).toEqual([0, port]);
    expect(bind().answer).toBe(-ERRNO.EEXIST);
    rig.call(EVTCHN, EVTCHNOP.CLOSE, [port]);
    expect(getXenVcpuAttr(rig.vm.vcpus[1]!, 'TIMER').port).toBe(0);
  });

  it('that are closed while a worker has their event take it along', () => {
    const rig = mapped(domainRig(2, true, { ipi: 'workqueue' }));
    const port = bindIpi(rig, 0);
    const eventfd = rig.vm.xen!.sendPorts.at(port);
    if (eventfd?.kind !== 'eventfd') throw new Error('an IPI by the work queue has an eventfd');
    eventfd.eventfd.signal();
    const waiting = (): number =>
      rig.host.workqueues.flatMap(({ pools }) => pools.flatMap((pool) => pool.waiting)).length;
    expect(waiting()).toBe(1);
    rig.call(EVTCHN, EVTCHNOP.CLOSE, [port]);
    expect(waiting()).toBe(0);
    while (rig.host.step() === 'progress');
    expect(rig.vm.xen!.stat).toMatchObject({ delivered: 0, noTarget: 0 });
  });

  it('that are unmasked with an event waiting select their word and ask for an interrupt', () => {
    const rig = mapped(domainRig());
    const port = bindIpi(rig, 0);
    const { mask, pending, pendingSel } = rig.vm.xen!.layout;
    rig.vm.memory.write(sharedAt(mask), Uint8Array.of(1 << port));
    rig.domain.raise(port);
    expect([u8(rig, sharedAt(pending)), u8(rig, sharedAt(0))]).toEqual([1 << port, 0]);
    expect(rig.call(EVTCHN, EVTCHNOP.UNMASK, [port]).answer).toBe(0);
    expect([u8(rig, sharedAt(mask)), u8(rig, sharedAt(pending))]).toEqual([0, 1 << port]);
    expect([u8(rig, sharedAt(0)), u8(rig, sharedAt(pendingSel))]).toEqual([1, 1]);
  });

  it('lose what waits on them when they are closed', () => {
    const rig = mapped(domainRig());
    const port = bindIpi(rig, 0);
    rig.domain.raise(port);
    rig.call(EVTCHN, EVTCHNOP.CLOSE, [port]);
    expect(u8(rig, sharedAt(rig.vm.xen!.layout.pending))).toBe(0);
  });
});

describe('pages', () => {
  it('of shared_info begin with zeroes, hold the vcpu_info of each vCPU, and keep their contents when they move', () => {
    const rig = domainRig();
    rig.vm.memory.write(sharedAt(0x800), Uint8Array.of(0xff));
    mapped(rig);
    expect(u8(rig, sharedAt(0x800))).toBe(0);
    expect(getXenVmAttr(rig.vm, 'SHARED_INFO')).toMatchObject({ gfn: SHARED_GFN });
    expect(rig.vm.vcpus.map((vcpu) => getXenVcpuAttr(vcpu, 'VCPU_INFO').gpa)).toEqual([sharedAt(0), sharedAt(64)]);
    rig.vm.memory.write(sharedAt(0xa00), Uint8Array.of(0x55));
    rig.call(CALL.MEMORY_OP, XENMEM.ADD_TO_PHYSMAP, [DOMID.SELF, 0, 0, 0, 2, 0]);
    expect(u8(rig, 2 * 4096 + 0xa00)).toBe(0x55);
    expect(getXenVcpuAttr(rig.vm.vcpus[1]!, 'VCPU_INFO').gpa).toBe(2 * 4096 + 64);
  });

  it('of vcpu_info move once, and then have the guest look at every word', () => {
    const rig = mapped(domainRig());
    const register = (offset: number): number => {
      rig.vm.memory.write(ARGUMENT, new Uint8Array(Uint32Array.of(2, 0, offset, 0).buffer));
      return rig.raw(CALL.VCPU_OP, VCPUOP.REGISTER_VCPU_INFO, 0, ARGUMENT);
    };
    expect(register(4096 - 32)).toBe(-ERRNO.EINVAL);
    expect(register(0x100)).toBe(0);
    expect(getXenVcpuAttr(rig.vm.vcpus[0]!, 'VCPU_INFO').gpa).toBe(0x2100);
    expect([u8(rig, 0x2100), rig.vm.memory.readU64(0x2108)]).toEqual([1, 0xffff_ffff_ffff_ffffn]);
    expect(register(0x200)).toBe(-ERRNO.EINVAL);
  });

  it('of the grant table lie where the guest has put them', () => {
    const rig = domainRig();
    rig.call(CALL.MEMORY_OP, XENMEM.ADD_TO_PHYSMAP, [DOMID.SELF, 1, 1, 0, 2, 0]);
    expect(rig.call(CALL.GRANT_TABLE_OP, 6, [DOMID.SELF, 0, 0, 0]).words.slice(1, 3)).toEqual([2, 64]);
    expect(rig.call(CALL.GRANT_TABLE_OP, 2, [DOMID.SELF, 2, 0, 0, 0x2800, 0]).answer).toBe(0);
    expect([0x2800, 0x2808].map((at) => rig.vm.memory.readU64(at))).toEqual([0xffff_ffff_ffff_ffffn, 2n]);
  });

  it('of memory are told by the memory map, and how many entries it needs', () => {
    const rig = domainRig();
    expect(rig.call(CALL.MEMORY_OP, XENMEM.MEMORY_MAP, [0, 0, 0, 0]).words[0]).toBe(2);
    expect(rig.call(CALL.MEMORY_OP, XENMEM.MEMORY_MAP, [1, 0, 0x2000, 0]).answer).toBe(-ERRNO.ENOBUFS);
    expect(rig.call(CALL.MEMORY_OP, XENMEM.MEMORY_MAP, [9, 0, 0x2000, 0]).words[0]).toBe(2);
    expect(rig.vm.memory.readU64(0x2000 + 20)).toBe(0x100000n);
  });
});

describe('the console ring', () => {
  const OUT_CONS = CONSOLE_GPA + 3080;
  const indices = (rig: Rig, cons: number, prod: number): void =>
    void rig.vm.memory.write(OUT_CONS, new Uint8Array(Uint32Array.of(cons, prod).buffer));
  const send = (rig: Rig) => rig.call(EVTCHN, EVTCHNOP.SEND, [1]).answer;

  it('prints what the guest has written, across the end of the ring and of the count, and answers with an event', () => {
    const rig = mapped(domainRig());
    rig.vm.memory.write(CONSOLE_GPA + 1024 + 2046, new TextEncoder().encode('He'));
    rig.vm.memory.write(CONSOLE_GPA + 1024, new TextEncoder().encode('llo'));
    indices(rig, 0xffff_fffe, 3);
    expect(send(rig)).toBe(0);
    expect(rig.console.text).toBe('Hello');
    expect(rig.vm.memory.readU64(OUT_CONS)).toBe(0x3_0000_0003n);
    expect(u8(rig, sharedAt(rig.vm.xen!.layout.pending))).toBe(1 << 1);
  });

  it('is left alone when it cannot be: more bytes than it has', () => {
    const rig = mapped(domainRig());
    indices(rig, 0, 2049);
    expect(send(rig)).toBe(0);
    expect([rig.console.text, rig.vm.memory.readU64(OUT_CONS)]).toEqual(['', 2049n << 32n]);
  });

  const IN_CONS = CONSOLE_GPA + 3072;
  const read = (rig: Rig, at: number, bytes: number): string =>
    new TextDecoder().decode(rig.vm.memory.read(CONSOLE_GPA + at, bytes)!);
  const consumed = (rig: Rig): [number, number] => {
    const counts = rig.vm.memory.readU64(IN_CONS)!;
    return [Number(counts & 0xffff_ffffn), Number(counts >> 32n)];
  };
  const consume = (rig: Rig, cons: number): void =>
    void rig.vm.memory.write(IN_CONS, new Uint8Array(Uint32Array.of(cons).buffer));

  it('takes what is typed, across the end of the ring and of the count, and sends an event', () => {
    const rig = mapped(domainRig());
    rig.vm.memory.write(IN_CONS, new Uint8Array(Uint32Array.of(0xffff_fffe, 0xffff_fffe).buffer));
    rig.domain.console.type([...'hello'].map((letter) => letter.charCodeAt(0)));
    expect(read(rig, 1022, 2) + read(rig, 0, 3)).toBe('hello');
    expect(consumed(rig)).toEqual([0xffff_fffe, 3]);
    expect(u8(rig, sharedAt(rig.vm.xen!.layout.pending))).toBe(1 << 1);
  });

  it('keeps what does not fit until the guest tells that it has taken some', () => {
    const rig = mapped(domainRig());
    rig.domain.console.type(Array.from({ length: 1030 }, (_, i) => 0x41 + (i % 26)));
    expect([consumed(rig), rig.domain.console.backlog]).toEqual([[0, 1024], 1030]);
    consume(rig, 1000);
    expect(rig.domain.console.listens).toBe(false);
    send(rig);
    expect(rig.domain.console.listens).toBe(true);
    expect([consumed(rig), rig.domain.console.backlog]).toEqual([[1000, 1030], 30]);
    expect(read(rig, 0, 6)).toBe(String.fromCharCode(...[0, 1, 2, 3, 4, 5].map((i) => 0x41 + ((1024 + i) % 26))));
  });

  it('is left alone when the guest says that it has taken more than there was', () => {
    const rig = mapped(domainRig());
    consume(rig, 5000);
    rig.domain.console.type([0x41]);
    expect([consumed(rig), rig.domain.console.backlog > 0]).toEqual([[5000, 0], true]);
  });

  it('is found by parameters; a xenstore is not', () => {
    const rig = domainRig();
    const param = (index: number): number =>
      rig.call(CALL.HVM_OP, HVMOP.GET_PARAM, [DOMID.SELF, index, 1, 0]).words[2]!;
    expect([HVM_PARAM.CONSOLE_PFN, HVM_PARAM.CONSOLE_EVTCHN].map(param)).toEqual([CONSOLE_GPA / 4096, 1]);
    expect([HVM_PARAM.STORE_PFN, HVM_PARAM.STORE_EVTCHN].map(param)).toEqual([0, 0]);
  });
});

describe('the rest', () => {
  it('vcpu_op knows who is up', () => {
    const rig = domainRig();
    const vcpuOp = (op: number, vcpu: number): number => rig.raw(CALL.VCPU_OP, op, vcpu);
    rig.vm.vcpus[1]!.mpState = 'uninitialized';
    expect([vcpuOp(VCPUOP.IS_UP, 0), vcpuOp(VCPUOP.IS_UP, 1), vcpuOp(VCPUOP.IS_UP, 2)]).toEqual([1, 0, -ERRNO.ENOENT]);
    expect([vcpuOp(VCPUOP.UP, 0), vcpuOp(VCPUOP.UP, 1)]).toEqual([0, -ERRNO.EINVAL]);
  });

  it('vm_assist has the update flag of runstates, and nothing else for an HVM guest', () => {
    const rig = domainRig();
    expect(rig.raw(CALL.VM_ASSIST, 0, 5)).toBe(0);
    expect(getXenVmAttr(rig.vm, 'RUNSTATE_UPDATE_FLAG').enabled).toBe(true);
    expect(rig.raw(CALL.VM_ASSIST, 1, 5)).toBe(0);
    expect(getXenVmAttr(rig.vm, 'RUNSTATE_UPDATE_FLAG').enabled).toBe(false);
    expect([rig.raw(CALL.VM_ASSIST, 0, 2), rig.raw(CALL.VM_ASSIST, 7, 5)]).toEqual([-ERRNO.EINVAL, -ERRNO.ENOSYS]);
  });

  it('xen_version tells of the features of an HVM guest', () => {
    const rig = domainRig();
    expect(rig.call(CALL.XEN_VERSION, 6, [0, 0]).words[1]).toBe(0x704);
    expect(rig.raw(CALL.XEN_VERSION, 7)).toBe(4096);
  });

  it('a vector is an upcall of all vCPUs, or of one', () => {
    const rig = domainRig();
    expect(rig.call(CALL.HVM_OP, HVMOP.SET_PARAM, [DOMID.SELF, 0, 0xf3, 2 << 24]).answer).toBe(0);
    expect(rig.call(CALL.HVM_OP, HVMOP.SET_EVTCHN_UPCALL_VECTOR, [1, 0xf4]).answer).toBe(0);
    expect(getXenVmAttr(rig.vm, 'UPCALL_VECTOR').vector).toBe(0xf3);
    expect(rig.vm.vcpus.map((vcpu) => getXenVcpuAttr(vcpu, 'UPCALL_VECTOR').vector)).toEqual([0, 0xf4]);
  });

  it('a domain shuts down for a reason', () => {
    const rig = domainRig();
    for (const reason of [0, 1, 3]) rig.call(CALL.SCHED_OP, 2, [reason]);
    expect(rig.ended).toEqual(['power-off', 'reset by SCHEDOP_shutdown', 'crash by SCHEDOP_shutdown']);
  });
});
