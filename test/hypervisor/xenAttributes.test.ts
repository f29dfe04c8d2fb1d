// Where the structures of a Xen guest lie, and what a VMM may say about them: xen-evtchn-timer.md, sections 1, 4 and 6.

import { describe, expect, it } from 'vitest';
import {
  getXenVcpuAttr,
  getXenVmAttr,
  setXenVcpuAttr,
  setXenVmAttr,
  type XenVcpuAttr,
  type XenVmAttr,
} from '../../src/hypervisor/xen/attributes.ts';
import { XEN_LAYOUT_32, XEN_LAYOUT_64 } from '../../src/hypervisor/xen/layout.ts';
import { XEN_CONFIG } from '../../src/hypervisor/xen/names.ts';
import { pvRig, run, shutdown, u32, u64, u8 } from './pvRig.ts';
import { wrmsr, type Step } from './scriptedCpu.ts';
import { errnoOf, infoOf, only, removeMemory, SHARED, takeAway, XEN, xenRig } from './xenRig.ts';

const anyExit: Step = wrmsr(0x10, 0n);
const vmAttr = (attr: XenVmAttr): string => errnoOf(() => setXenVmAttr(xenRig([[]]).vm, attr));
const vcpuAttr = (attr: XenVcpuAttr): string => errnoOf(() => setXenVcpuAttr(only(xenRig([[]])), attr));
const START = 1_700_000_000;

describe('the layouts', () => {
  it('hold a word of words of ports, and bitmaps that follow each other', () => {
    for (const layout of [XEN_LAYOUT_32, XEN_LAYOUT_64]) {
      expect(layout.ports).toBe(layout.wordBits ** 2);
      expect(layout.mask - layout.pending).toBe(layout.ports / 8);
      expect(layout.wallClock - layout.mask).toBe(layout.ports / 8);
    }
  });

  it('have a runstate of one word, and five of 64 bits', () => {
    expect(XEN_LAYOUT_32.runstateSize).toBe(XEN_LAYOUT_32.entryTime + 5 * 8);
    expect(XEN_LAYOUT_64.runstateSize).toBe(XEN_LAYOUT_64.entryTime + 5 * 8);
  });
});

describe('shared_info', () => {
  const date = (rig: ReturnType<typeof xenRig>, at: number, high: number) => ({
    version: u32(rig, SHARED + at),
    seconds: u32(rig, SHARED + at + 4),
    ns: u32(rig, SHARED + at + 8),
    high: u32(rig, SHARED + high),
  });

  it('has the date at which system time was 0, where a 64-bit guest looks', () => {
    const rig = xenRig([[]], { startTime: START });
    expect(date(rig, 0xc00, 0xc0c)).toEqual({ version: 2, seconds: START, ns: 0, high: 0 });
  });

  it('has it where a 32-bit guest looks, once the VMM says that it is one', () => {
    const rig = xenRig([[]], { startTime: 2 ** 32 + 5 });
    setXenVmAttr(rig.vm, { type: 'LONG_MODE', longMode: false });
    expect(date(rig, 0x900, 0x924)).toEqual({ version: 2, seconds: 5, ns: 0, high: 1 });
  });

  it('is not logged as dirty when the hypervisor writes it, as vcpu_info is', () => {
    const rig = xenRig([[anyExit, shutdown]]);
    setXenVcpuAttr(only(rig), { type: 'VCPU_INFO', gpa: 0x2000 });
    const { firstPage, pages, ...slot } = rig.vm.memslots.slots[0]!;
    rig.vm.memslots.set({ ...slot, gpa: firstPage * 4096, size: pages * 4096, logDirty: true });
    rig.vm.xen!.setLongMode(true);
    run(rig);
    expect(u32(rig, SHARED + 0xc00)).toBe(4);
    expect([...rig.vm.memslots.getDirtyLog(0)]).toEqual([1 << 2]);
  });

  it('cannot lie where there is no memory, and can lie nowhere', () => {
    expect(vmAttr({ type: 'SHARED_INFO', gfn: 0x1234 })).toBe('EFAULT');
    const { vm } = xenRig([[]]);
    expect(getXenVmAttr(vm, 'SHARED_INFO')).toEqual({ type: 'SHARED_INFO', gfn: 1 });
    setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: null });
    expect(getXenVmAttr(vm, 'SHARED_INFO')).toEqual({ type: 'SHARED_INFO', gfn: null });
  });

  it('at an address of the host outlives a change of the slots, and at a frame it does not', () => {
    const rig = xenRig([[]]);
    const { page } = rig.vm.xen!.sharedInfo;
    removeMemory(rig)();
    expect(page.valid()).toBe(false);
    const { address } = rig.vm.memslots.slots[0]!;
    setXenVmAttr(rig.vm, { type: 'SHARED_INFO_HVA', address: address + SHARED });
    expect(getXenVmAttr(rig.vm, 'SHARED_INFO').gfn).toBe(null);
    removeMemory(rig)();
    expect(page.valid()).toBe(true);
    expect(getXenVmAttr(rig.vm, 'SHARED_INFO_HVA').address).toBe(address + SHARED);
    expect(vmAttr({ type: 'SHARED_INFO_HVA', address: address + 8 })).toBe('EINVAL');
    expect(vmAttr({ type: 'SHARED_INFO_HVA', address: 4096 })).toBe('EINVAL');
  });

  it('that was taken away comes back when somebody looks for it, but not without a slot', () => {
    const rig = xenRig([[]]);
    const { page } = rig.vm.xen!.sharedInfo;
    takeAway(rig, SHARED);
    expect([page.active, page.valid(), page.refresh(), page.valid()]).toEqual([true, false, true, true]);
    const restore = removeMemory(rig);
    expect([page.active, page.valid(), page.refresh()]).toEqual([true, false, false]);
    expect(errnoOf(() => rig.vm.xen!.setLongMode(true))).toBe('EFAULT');
    restore();
    expect(page.refresh()).toBe(true);
  });

  it('cannot be taken away from somebody who holds it', () => {
    const rig = xenRig([[]]);
    const { page } = rig.vm.xen!.sharedInfo;
    expect(page.hold()).toBe(true);
    expect(() => takeAway(rig, SHARED)).toThrow('while somebody holds it');
    page.release();
    takeAway(rig, SHARED);
    expect(page.hold()).toBe(false);
  });
});

describe('KVM_XEN_HVM_CONFIG', () => {
  const config = (flags: number, msr: number, blob64?: Uint8Array): string =>
    errnoOf(() => pvRig([[]], { xen: XEN }).vm.xen!.configure({ flags, msr, ...(blob64 !== undefined && { blob64 }) }));

  it('takes the three flags that a VMM may set, and no other', () => {
    const all = Object.values(XEN_CONFIG).reduce((a, b) => a | b);
    expect(config(all, XEN.msr)).toBe('no error');
    for (let bit = 0; bit < 9; bit++) {
      expect(config(1 << bit, XEN.msr)).toBe((all & (1 << bit)) !== 0 ? 'no error' : 'EINVAL');
    }
  });

  it('takes no page for hypercalls that are intercepted', () => {
    expect(config(XEN_CONFIG.INTERCEPT_HCALL, XEN.msr, new Uint8Array(4096))).toBe('EINVAL');
    expect(config(0, XEN.msr, new Uint8Array(4096))).toBe('no error');
  });

  it('takes an MSR of the range 0x40000000 to 0x4fffffff, or 0', () => {
    expect([0, 0x4000_0000, 0x4fff_ffff, 0x3fff_ffff, 0x5000_0000].map((msr) => config(0, msr))).toEqual([
      'no error',
      'no error',
      'no error',
      'EINVAL',
      'EINVAL',
    ]);
  });
});

describe('an attribute', () => {
  it('of a VM reads as it was set', () => {
    const { vm } = xenRig([[]]);
    const attrs: XenVmAttr[] = [
      { type: 'LONG_MODE', longMode: false },
      { type: 'UPCALL_VECTOR', vector: 0x20 },
      { type: 'XEN_VERSION', version: 0x40012 },
      { type: 'RUNSTATE_UPDATE_FLAG', enabled: true },
    ];
    for (const attr of attrs) setXenVmAttr(vm, attr);
    expect(attrs.map(({ type }) => getXenVmAttr(vm, type))).toEqual(attrs);
  });

  it('of a vCPU reads as it was set', () => {
    const vcpu = only(xenRig([[]]));
    const attrs: XenVcpuAttr[] = [
      { type: 'VCPU_INFO', gpa: 0x2040 },
      { type: 'VCPU_TIME_INFO', gpa: 0x3000 },
      { type: 'VCPU_ID', vcpuId: 31 },
      { type: 'UPCALL_VECTOR', vector: 0xf0 },
    ];
    for (const attr of attrs) setXenVcpuAttr(vcpu, attr);
    expect(attrs.map(({ type }) => getXenVcpuAttr(vcpu, type))).toEqual(attrs);
    setXenVcpuAttr(vcpu, { type: 'VCPU_INFO', gpa: null });
    expect(getXenVcpuAttr(vcpu, 'VCPU_INFO').gpa).toBe(null);
  });

  it('with a vector of an exception is EINVAL, and 0 is none', () => {
    for (const attr of [vmAttr, vcpuAttr]) {
      expect([0, 0x0f, 0x10, 0xff, 0x100].map((vector) => attr({ type: 'UPCALL_VECTOR', vector }))).toEqual([
        'no error',
        'EINVAL',
        'no error',
        'no error',
        'EINVAL',
      ]);
    }
  });

  it('with a Xen vCPU number that no machine has is EINVAL', () => {
    expect([0, 4095, 4096, -1].map((vcpuId) => vcpuAttr({ type: 'VCPU_ID', vcpuId }))).toEqual([
      'no error',
      'no error',
      'EINVAL',
      'EINVAL',
    ]);
  });

  it('with a structure that crosses a page is EINVAL, and without memory EFAULT', () => {
    expect(vcpuAttr({ type: 'VCPU_INFO', gpa: 0x1fd0 })).toBe('EINVAL');
    expect(vcpuAttr({ type: 'VCPU_INFO', gpa: 0x99_0000 })).toBe('EFAULT');
    expect(vcpuAttr({ type: 'VCPU_TIME_INFO', gpa: 0x1ff0 })).toBe('EINVAL');
    expect(vcpuAttr({ type: 'VCPU_INFO_HVA', address: 16 })).toBe('EINVAL');
    const rig = xenRig([[]]);
    const address = rig.vm.memslots.slots[0]!.address + 0x2000;
    setXenVcpuAttr(only(rig), { type: 'VCPU_INFO_HVA', address });
    expect(getXenVcpuAttr(only(rig), 'VCPU_INFO_HVA').address).toBe(address);
    expect(getXenVcpuAttr(only(rig), 'VCPU_INFO').gpa).toBe(null);
  });
});

describe('the clock of a vCPU', () => {
  it('stands in vcpu_info and in its own page, and says the same', () => {
    const rig = xenRig([[anyExit, { run: 10 }, shutdown]]);
    setXenVcpuAttr(only(rig), { type: 'VCPU_TIME_INFO', gpa: 0x3010 });
    run(rig);
    const at = (gpa: number) => [8, 16, 24].map((offset) => u64(rig, gpa + offset));
    expect(u32(rig, 0x3010) % 2).toBe(0);
    expect(u32(rig, 0x3010)).toBeGreaterThan(0);
    expect(at(infoOf(0) + 0x20)).toEqual(at(0x3010));
    expect(u8(rig, 0x3010 + 29)).toBe(1);
  });

  it('is never said to be stable when the VMM wants that', () => {
    const rig = xenRig([[anyExit, { run: 10 }, shutdown]]);
    rig.vm.xen!.configure({ flags: XEN_CONFIG.PVCLOCK_TSC_UNSTABLE, msr: XEN.msr });
    run(rig);
    expect(u32(rig, infoOf(0) + 0x20)).toBeGreaterThan(0);
    expect(u8(rig, infoOf(0) + 0x20 + 29)).toBe(0);
  });
});

describe('CPUID', () => {
  it('names Xen first, and KVM 0x100 leaves behind', () => {
    const { vm } = xenRig([[]]);
    const leaf = (number: number, subleaf = 0) => vm.cpuid.answer(number, subleaf, vm.vcpus[0]!.cpuidAsker);
    const text = ({ ebx, ecx, edx }: ReturnType<typeof leaf>) =>
      String.fromCharCode(...new Uint8Array(Uint32Array.of(ebx, ecx, edx).buffer));
    expect(text(leaf(0x4000_0000))).toBe('XenVMMXenVMM');
    expect(leaf(0x4000_0000).eax).toBe(0x4000_0004);
    expect(leaf(0x4000_0001).eax).toBe(0x0004_0012);
    expect(leaf(0x4000_0002)).toEqual({ eax: 1, ebx: XEN.msr, ecx: 0, edx: 0 });
    expect(leaf(0x4000_0003, 2).eax).toBe(vm.tscKhz);
    expect(leaf(0x4000_0004)).toMatchObject({ ebx: 0, ecx: 7 });
    expect(text(leaf(0x4000_0100))).toBe('KVMKVMKVM\0\0\0');
    expect(leaf(0x4000_0100).eax).toBe(0x4000_0110);
  });

  it('converts TSC to nanoseconds as the page does', () => {
    const rig = xenRig([[anyExit, { run: 10 }, shutdown]]);
    run(rig);
    const { ecx, edx } = rig.vm.cpuid.answer(0x4000_0003, 1, only(rig).cpuidAsker);
    expect([ecx, edx & 0xff]).toEqual([u32(rig, infoOf(0) + 0x20 + 24), u8(rig, infoOf(0) + 0x20 + 28)]);
  });
});
