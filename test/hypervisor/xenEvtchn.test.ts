// Delivery of event channels: xen-evtchn-timer.md, section 3, step by step, for both word sizes.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { HostEvent } from '../../src/host/queue.ts';
import { setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { injectPendingEvents, sendEvtchn, setEvtchn, xenHasInterrupt } from '../../src/hypervisor/xen/evtchn.ts';
import { PRIO_2LEVEL } from '../../src/hypervisor/xen/names.ts';
import { X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { run, shutdown } from './pvRig.ts';
import { hlt, sti, wrmsr, type Step } from './scriptedCpu.ts';
import type { VmRig } from './vmRig.ts';
import {
  errnoOf,
  infoAt,
  infoOf,
  isPending,
  mask,
  only,
  raise,
  removeMemory,
  SHARED,
  takeAway,
  takeEvents,
  UPCALL_VECTOR,
  xenRig,
} from './xenRig.ts';

const evtchn = (port: number, vcpu = 0, priority = PRIO_2LEVEL) => ({ port, vcpu, priority });
const vectors = (rig: VmRig, vcpu = 0): number[] => rig.guests[vcpu]!.delivered.map(({ vector }) => vector);
const UNBLOCK = 2;
const isAsked = (rig: VmRig): boolean => (only(rig).requests.bits & (1 << UNBLOCK)) !== 0;

describe.each([
  { bits: 64, longMode: true, ports: 4096, word: 1n },
  { bits: 32, longMode: false, ports: 1024, word: 2n },
])('an event of a $bits-bit guest', ({ longMode, ports, word }) => {
  const rigOf = (): VmRig => xenRig([[]], {}, longMode);

  it('sets its bit, the word of that bit, and upcall_pending, and asks the vCPU to look: 1', () => {
    const rig = rigOf();
    expect(raise(rig, 66)).toBe(1);
    expect(isPending(rig, 66)).toBe(true);
    expect(infoAt(rig, 0)).toEqual({ upcall: 1, sel: 1n << word });
    expect(isAsked(rig)).toBe(true);
  });

  it('that is pending already is coalesced and does nothing: 0', () => {
    const rig = rigOf();
    raise(rig, 66);
    rig.vm.memory.write(infoOf(0), new Uint8Array(16));
    expect(raise(rig, 66)).toBe(0);
    expect(infoAt(rig, 0)).toEqual({ upcall: 0, sel: 0n });
  });

  it('that is masked stays pending and interrupts nobody: ENOTCONN', () => {
    const rig = rigOf();
    mask(rig, 66);
    expect(raise(rig, 66)).toBe(-107);
    expect(isPending(rig, 66)).toBe(true);
    expect(infoAt(rig, 0)).toEqual({ upcall: 0, sel: 0n });
    expect(isAsked(rig)).toBe(false);
  });

  it('that is unmasked while it is pending makes no event by itself: the VMM must do that', () => {
    const rig = rigOf();
    mask(rig, 66);
    raise(rig, 66);
    mask(rig, 66, false);
    expect(raise(rig, 66)).toBe(0);
    expect(infoAt(rig, 0).upcall).toBe(0);
  });

  it('has the highest port that a word of words holds: behind it EINVAL, as for a vCPU that there is not', () => {
    const rig = rigOf();
    expect([raise(rig, ports - 1), raise(rig, ports), raise(rig, 1, 1)]).toEqual([1, -22, -22]);
    expect(isPending(rig, ports - 1)).toBe(true);
    expect(infoAt(rig, 0).sel).toBe(1n << BigInt(longMode ? 63 : 31));
  });

  it('without shared_info changes nothing and cannot wait: EWOULDBLOCK; a thread that may sleep brings it back', () => {
    const rig = rigOf();
    takeAway(rig, SHARED);
    expect(raise(rig, 66)).toBe(-11);
    expect(isPending(rig, 66)).toBe(false);
    expect(setEvtchn(rig.vm, evtchn(66))).toBe(1);
    expect(isPending(rig, 66)).toBe(true);
  });

  it('without vcpu_info is pending, its word is kept aside, and goes to the guest when the vCPU runs', () => {
    const rig = rigOf();
    setXenVcpuAttr(only(rig), { type: 'VCPU_INFO', gpa: 0x2000 });
    takeAway(rig, 0x2000);
    expect(raise(rig, 66)).toBe(1);
    expect(isPending(rig, 66)).toBe(true);
    expect(isAsked(rig)).toBe(true);
    expect(only(rig).xen!.shadow.words).toBe(1n << word);
    expect(rig.vm.memory.read(0x2000, 16)).toEqual(new Uint8Array(16));
    injectPendingEvents(only(rig));
    expect(only(rig).xen!.shadow.pending).toBe(false);
    expect(rig.vm.memory.read(0x2000, 1)![0]).toBe(1);
  });

  it('keeps the words of the guest that were selected before when the shadow follows', () => {
    const rig = rigOf();
    raise(rig, 5);
    takeAway(rig, SHARED);
    setXenVmAttr(rig.vm, { type: 'SHARED_INFO_HVA', address: rig.vm.memslots.slots[0]!.address + SHARED });
    expect(raise(rig, 66)).toBe(1);
    injectPendingEvents(only(rig));
    expect(infoAt(rig, 0)).toEqual({ upcall: 1, sel: 1n | (1n << word) });
  });
});

describe('the slow path', () => {
  it('ends with EFAULT when no slot has the page, and with EINVAL when there is none at all', () => {
    const rig = xenRig([[]]);
    const restore = removeMemory(rig);
    expect(setEvtchn(rig.vm, evtchn(5))).toBe(-14);
    restore();
    expect(setEvtchn(rig.vm, evtchn(5))).toBe(1);
    setXenVmAttr(rig.vm, { type: 'SHARED_INFO', gfn: null });
    expect(setEvtchn(rig.vm, evtchn(6))).toBe(-22);
    // Each looked for the page once; the one in between found it.
    expect(rig.vm.xen!.stat).toMatchObject({ wouldBlock: 3, slow: 3, dropped: 2, delivered: 1 });
  });

  it('is not for a hard interrupt: that is an error of the host, which names both', () => {
    const rig = xenRig([[]]);
    takeAway(rig, SHARED);
    const [cpu] = rig.host.cpus;
    cpu!.hardirq = new HostEvent({ name: 'a device', onEvent: () => undefined }, 'interrupt');
    expect(() => setEvtchn(rig.vm, evtchn(5))).toThrow('where it must not');
  });
});

describe('KVM_XEN_HVM_EVTCHN_SEND', () => {
  const send = (port: number, vcpu = 0, priority?: number): string => {
    const rig = xenRig([[]]);
    mask(rig, 7);
    return errnoOf(() => sendEvtchn(rig.vm, evtchn(port, vcpu, priority)));
  };

  it('knows ports from 1 on, and 2-level channels only', () => {
    expect([send(1), send(4095), send(0), send(4096), send(1, 9), send(1, 0, 0)]).toEqual([
      'no error',
      'no error',
      'EINVAL',
      'EINVAL',
      'EINVAL',
      'EINVAL',
    ]);
  });

  it('does not mind a port that is masked', () => {
    expect(send(7)).toBe('no error');
  });
});

describe('the global callback vector', () => {
  it('is taken by a guest that runs, once it has interrupts on', () => {
    const rig = xenRig([[{ run: 1000 }, { then: () => void raise(rig, 5) }, { exit: EXIT.CPUID }, { run: 1000 }, sti, { run: 1000 }, shutdown]]); // prettier-ignore
    run(rig);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR]);
  });

  it('wakes a halted guest, and is neither in IRR nor in ISR', () => {
    const rig: VmRig = xenRig([
      [sti, hlt, { run: 10 }, shutdown],
      [{ run: 90_000 }, { then: () => void raise(rig, 5, 0) }, shutdown],
    ]);
    run(rig);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR]);
    expect([...only(rig).lapic.regs].filter((word) => word === 1 << (UPCALL_VECTOR % 32))).toEqual([]);
  });

  it('is a level: taken again until the guest has cleared upcall_pending', () => {
    const taken: number[][] = [];
    const end: Step = { then: () => void taken.push(takeEvents(rig, 0)) };
    const rig: VmRig = xenRig([[{ then: () => void raise(rig, 5) }, { exit: EXIT.CPUID }, sti, { run: 100 }, sti, { run: 100 }, end, sti, { run: 100 }, shutdown]]); // prettier-ignore
    run(rig);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR, UPCALL_VECTOR]);
    expect(taken).toEqual([[5]]);
  });

  it('is not requested without a vector, without vcpu_info, or while Xen is off', () => {
    const rig = xenRig([[]]);
    raise(rig, 5);
    expect(xenHasInterrupt(only(rig))).toBe(true);
    setXenVmAttr(rig.vm, { type: 'UPCALL_VECTOR', vector: 0 });
    expect(xenHasInterrupt(only(rig))).toBe(false);
    setXenVmAttr(rig.vm, { type: 'UPCALL_VECTOR', vector: 0x20 });
    rig.vm.xen!.configure({ flags: 0, msr: 0 });
    expect(xenHasInterrupt(only(rig))).toBe(false);
    rig.vm.xen!.configure({ flags: 0, msr: 0x4000_0000 });
    expect(xenHasInterrupt(only(rig))).toBe(true);
    setXenVcpuAttr(only(rig), { type: 'VCPU_INFO', gpa: null });
    expect(xenHasInterrupt(only(rig))).toBe(false);
  });

  it('counts as requested where nobody may look the page up, and is looked up where one may', () => {
    const rig = xenRig([[]]);
    takeAway(rig, SHARED);
    const [cpu] = rig.host.cpus;
    cpu!.disablePreemption();
    expect(xenHasInterrupt(only(rig))).toBe(true);
    cpu!.enablePreemption();
    expect(xenHasInterrupt(only(rig))).toBe(false);
    removeMemory(rig);
    expect(xenHasInterrupt(only(rig))).toBe(false);
  });
});

describe('a vector of the vCPU’s own', () => {
  const OWN = 0x51;
  const enable = [wrmsr(X2APIC_MSR.SIVR, 0x1ffn), sti];
  const eoi = wrmsr(X2APIC_MSR.EOI, 0n);

  it('comes by the LAPIC, once for each event that found its word not selected', () => {
    const rig: VmRig = xenRig([[...enable, { then: () => void [raise(rig, 5), raise(rig, 6)] }, { exit: EXIT.CPUID }, { run: 100 }, eoi, sti, { run: 100 }, shutdown]]); // prettier-ignore
    setXenVcpuAttr(only(rig), { type: 'UPCALL_VECTOR', vector: OWN });
    setXenVmAttr(rig.vm, { type: 'UPCALL_VECTOR', vector: 0 });
    run(rig);
    expect(vectors(rig)).toEqual([OWN]);
    expect(infoAt(rig, 0)).toEqual({ upcall: 1, sel: 1n });
    expect(rig.vm.xen!.stat).toMatchObject({ delivered: 2, ownVector: 1, selected: 1 });
  });

  it('comes when the LAPIC is enabled, for an event that came before', () => {
    const rig: VmRig = xenRig([[sti, { then: () => void raise(rig, 5) }, { run: 100 }, enable[0]!, { run: 100 }, shutdown]]); // prettier-ignore
    setXenVcpuAttr(only(rig), { type: 'UPCALL_VECTOR', vector: OWN });
    setXenVmAttr(rig.vm, { type: 'UPCALL_VECTOR', vector: 0 });
    run(rig);
    expect(vectors(rig)).toEqual([OWN]);
  });

  it('waits for the vCPU while vcpu_info is not there', () => {
    const rig: VmRig = xenRig([[...enable, { run: 10 }, { then: () => { takeAway(rig, 0x2000); raise(rig, 5); } }, { exit: EXIT.CPUID }, { run: 100 }, shutdown]]); // prettier-ignore
    setXenVcpuAttr(only(rig), { type: 'VCPU_INFO', gpa: 0x2000 });
    setXenVcpuAttr(only(rig), { type: 'UPCALL_VECTOR', vector: OWN });
    setXenVmAttr(rig.vm, { type: 'UPCALL_VECTOR', vector: 0 });
    run(rig);
    expect(vectors(rig)).toEqual([OWN]);
    expect(rig.vm.memory.read(0x2000, 1)![0]).toBe(1);
  });
});

describe('the first design', () => {
  const rigOf = (script: Step[]): VmRig => xenRig([script], { params: { xenEvtchn: 'shadow' } });

  it('never touches vcpu_info where the event comes from', () => {
    const rig = rigOf([]);
    expect(raise(rig, 66)).toBe(1);
    expect(infoAt(rig, 0)).toEqual({ upcall: 0, sel: 0n });
    expect(only(rig).xen!.shadow.words).toBe(2n);
  });

  it('moves the shadow when interrupts are looked for', () => {
    const rig = rigOf([]);
    raise(rig, 66);
    expect(xenHasInterrupt(only(rig))).toBe(true);
    expect(infoAt(rig, 0)).toEqual({ upcall: 1, sel: 2n });
    expect(only(rig).xen!.shadow.pending).toBe(false);
  });

  it('delivers what the final one does', () => {
    const guest = (): Step[] => [sti, hlt, { run: 10 }, shutdown];
    const sender = (rig: () => VmRig): Step[] => [{ run: 90_000 }, { then: () => void raise(rig(), 5) }, shutdown];
    const outcomes = (['shadow', 'direct'] as const).map((xenEvtchn) => {
      const rig: VmRig = xenRig([guest(), sender(() => rig)], { params: { xenEvtchn } });
      run(rig);
      return [vectors(rig), infoAt(rig, 0), isPending(rig, 5)];
    });
    expect(outcomes[0]).toEqual(outcomes[1]);
    expect(outcomes[0]![0]).toEqual([UPCALL_VECTOR]);
  });
});

describe('a halted vCPU', () => {
  it('wakes up for an event that came while vcpu_info was not there', () => {
    const taken: number[][] = [];
    const rig: VmRig = xenRig([
      [sti, hlt, { then: () => void taken.push(takeEvents(rig, 0)) }, shutdown],
      [{ run: 90_000 }, { then: () => { takeAway(rig, 0x2000); raise(rig, 5); } }, shutdown],
    ]); // prettier-ignore
    setXenVcpuAttr(only(rig), { type: 'VCPU_INFO', gpa: 0x2000 });
    run(rig);
    expect(rig.guests[0]!.script).toEqual([]);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR]);
  });

  it('goes on at once when vcpu_info is away, as KVM has it: the fast path may not look it up, and an entry does', () => {
    const rig: VmRig = xenRig([[sti, { then: () => takeAway(rig, SHARED) }, hlt, { exit: EXIT.CPUID }, hlt, { run: 10 }]]); // prettier-ignore
    run(rig);
    expect(rig.guests[0]!.script).toEqual([{ run: 10 }]);
    expect(vectors(rig)).toEqual([]);
  });

  it('tells whoever traces what became of each event', () => {
    const rig = xenRig([[]]);
    mask(rig, 7);
    raise(rig, 5);
    raise(rig, 5);
    raise(rig, 7);
    expect(rig.events.filter(({ name }) => name === 'kvm_xen_evtchn').map(({ event }) => event)).toEqual([
      { vcpu: 0, port: 5, result: 1 },
      { vcpu: 0, port: 5, result: 0 },
      { vcpu: 0, port: 7, result: -107 },
    ]);
  });
});
