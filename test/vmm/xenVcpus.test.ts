// VCPUOP_initialise, _up and _down: what Xen refuses of the state in which a vCPU is to begin, what it begins with, and a machine
// that is paused or moved while one is down.

import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RUN_POINT } from '../../src/hypervisor/runPoint.ts';
import { getXenVcpuAttr } from '../../src/hypervisor/xen/attributes.ts';
import { XEN_HYPERCALL as CALL, RUNSTATE } from '../../src/hypervisor/xen/names.ts';
import { bootGuest } from '../../src/testing/bootGuest.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import { ERRNO, VCPUOP } from '../../src/vmm/xen/abi.ts';
import { reportVcpu } from '../../src/vmm/vcpuReport.ts';
import { HypercallError } from '../../src/vmm/xen/hypercall.ts';
import { readVcpuContext, VCPU_CONTEXT_SIZE, type VcpuContext } from '../../src/vmm/xen/vcpuContext.ts';
import { ARGUMENT, domainRig, NOWHERE, type Rig } from './xenDomainRig.ts';

const [MODE_32B, MODE_64B] = [0, 1];
const PG = 0x8000_0001n;

/** Offsets from the beginning, of what the tests change. */
const IN_64 = { RIP: 72, CR0: 88, CR4: 104, EFER: 112 };
const IN_32 = { EIP: 40, CR0: 48, PAD1: 60, EFER: 64, CS_LIMIT: 92, CS_AR: 112, DS_AR: 114, SS_AR: 116, ES_AR: 118, TR_AR: 120, PAD2: 124 }; // prettier-ignore

function context64(): DataView {
  const view = new DataView(new ArrayBuffer(VCPU_CONTEXT_SIZE));
  view.setUint32(0, MODE_64B, true);
  view.setBigUint64(IN_64.RIP, 0x10_0000n, true);
  view.setBigUint64(IN_64.CR0, PG, true);
  view.setBigUint64(IN_64.CR4, 0x20n, true);
  view.setBigUint64(IN_64.EFER, 0x100n, true);
  return view;
}
function context32(): DataView {
  const view = new DataView(new ArrayBuffer(VCPU_CONTEXT_SIZE));
  view.setUint32(0, MODE_32B, true);
  view.setUint32(IN_32.EIP, 0x10_0000, true);
  view.setUint32(IN_32.CR0, 1, true);
  for (const i of [0, 1, 2, 3]) view.setUint32(IN_32.CS_LIMIT + 4 * i, 0xffff_ffff, true);
  view.setUint32(IN_32.CS_LIMIT + 16, 0x67, true);
  view.setUint16(IN_32.CS_AR, 0xc9a, true);
  for (const at of [IN_32.DS_AR, IN_32.SS_AR, IN_32.ES_AR]) view.setUint16(at, 0xc92, true);
  view.setUint16(IN_32.TR_AR, 0x89, true);
  return view;
}
const changed = (view: DataView, change: (view: DataView) => void): DataView => {
  change(view);
  return view;
};
const why = (view: DataView): string => {
  try {
    readVcpuContext(view);
  } catch (error) {
    if (error instanceof HypercallError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'none';
};

describe('the state in which a vCPU is to begin', () => {
  it('is 64-bit code with flat segments, and EFER.LMA', () => {
    const { regs, sregs }: VcpuContext = readVcpuContext(context64());
    expect(regs).toMatchObject({ rip: 0x10_0000n, rflags: 2n });
    expect(sregs).toMatchObject({ cr0: PG, efer: 0x500n });
    expect(sregs.cs).toMatchObject({ l: 1, db: 0, type: 0xb, limit: 0xffff_ffff });
    expect(sregs.tr).toMatchObject({ type: 0xb, s: 0, limit: 0x67 });
  });

  it('is 32-bit code with the segments that it says, accessed and busy', () => {
    const view = changed(context32(), (of) => of.setUint16(IN_32.ES_AR, 0, true));
    const { regs, sregs } = readVcpuContext(view);
    expect(regs.rip).toBe(0x10_0000n);
    expect(sregs.cs).toMatchObject({ type: 0xb, db: 1, l: 0, g: 1 });
    expect(sregs.ds).toMatchObject({ type: 3, unusable: 0 });
    expect(sregs.es.unusable).toBe(1);
    expect(sregs.tr.type).toBe(0xb);
  });

  it.each([
    ['a mode that there is not', () => changed(context64(), (of) => of.setUint32(0, 2, true)), 'no mode 2'],
    ['padding', () => changed(context64(), (of) => of.setUint32(4, 1, true)), 'padding'],
    ['a RIP that is none', () => changed(context64(), (of) => of.setBigUint64(IN_64.RIP, 1n << 63n, true)), 'canonical'],
    ['64-bit code without paging', () => changed(context64(), (of) => of.setBigUint64(IN_64.CR0, 1n, true)), 'CR0.PG'],
    ['64-bit code without PAE', () => changed(context64(), (of) => of.setBigUint64(IN_64.CR4, 0n, true)), 'CR4.PAE'],
    ['64-bit code without LME', () => changed(context64(), (of) => of.setBigUint64(IN_64.EFER, 0n, true)), 'EFER.LME'],
    ['padding of 32-bit code', () => changed(context32(), (of) => of.setUint32(IN_32.PAD1, 1, true)), 'padding'],
    ['padding at its end', () => changed(context32(), (of) => of.setUint16(IN_32.PAD2, 1, true)), 'padding'],
    ['LMA without LME', () => changed(context32(), (of) => of.setBigUint64(IN_32.EFER, 0x400n, true)), 'EFER.LMA'],
    ['an EIP beyond CS', () => changed(context32(), (of) => { of.setUint32(IN_32.CS_LIMIT, 0xff, true); of.setUint16(IN_32.CS_AR, 0x49a, true); }), 'beyond the limit'],
    ['bits of attributes', () => changed(context32(), (of) => of.setUint16(IN_32.DS_AR, 0x1c92, true)), 'bits 15:12'],
    ['no CS', () => changed(context32(), (of) => of.setUint16(IN_32.CS_AR, 0, true)), 'system segment'],
    ['a CS of data', () => changed(context32(), (of) => of.setUint16(IN_32.CS_AR, 0xc92, true)), 'no code'],
    ['an SS of code', () => changed(context32(), (of) => of.setUint16(IN_32.SS_AR, 0xc9a, true)), 'no stack'],
    ['an SS that is read-only', () => changed(context32(), (of) => of.setUint16(IN_32.SS_AR, 0xc90, true)), 'no stack'],
    ['a DS that is execute-only', () => changed(context32(), (of) => of.setUint16(IN_32.DS_AR, 0xc98, true)), 'cannot be read'],
    ['a TR of data', () => changed(context32(), (of) => of.setUint16(IN_32.TR_AR, 0x93, true)), 'no 32-bit TSS'],
    ['an ES that is not present', () => changed(context32(), (of) => of.setUint16(IN_32.ES_AR, 0xc12, true)), 'not present'],
    ['an SS of another ring', () => changed(context32(), (of) => of.setUint16(IN_32.SS_AR, 0xcf2, true)), 'SS.DPL'],
    ['a DS of an outer ring', () => changed(context32(), (of) => of.setUint16(IN_32.DS_AR, 0xcf2, true)), 'DS.DPL'],
  ] as const)('with %s is EINVAL', (_what, view, part) => {
    expect(why(view())).toMatch(new RegExp(`^EINVAL.*${part}`));
  }); // prettier-ignore
});

const vcpuOp = (rig: Rig, op: number, vcpu: number, view?: DataView): number => {
  if (view !== undefined) rig.vm.memory.write(ARGUMENT, new Uint8Array(view.buffer));
  return rig.raw(CALL.VCPU_OP, op, vcpu, ARGUMENT);
};

describe('VCPUOP', () => {
  it('initialise refuses what lies nowhere, what runs already, and bits that the processor has not', () => {
    const rig = domainRig(3);
    expect(rig.raw(CALL.VCPU_OP, VCPUOP.INITIALISE, 1, NOWHERE)).toBe(-ERRNO.EFAULT);
    expect(vcpuOp(rig, VCPUOP.INITIALISE, 1, context64())).toBe(-ERRNO.EEXIST);
    rig.vm.vcpus[2]!.mpState = 'init-received';
    expect(vcpuOp(rig, VCPUOP.UP, 2)).toBe(-ERRNO.EINVAL);
    const badCr4 = changed(context64(), (of) => of.setBigUint64(IN_64.CR4, 0x20n | (1n << 40n), true));
    expect(vcpuOp(rig, VCPUOP.INITIALISE, 2, badCr4)).toBe(-ERRNO.EINVAL);
    const badEfer = changed(context64(), (of) => of.setBigUint64(IN_64.EFER, 0x100n | (1n << 40n), true));
    expect(vcpuOp(rig, VCPUOP.INITIALISE, 2, badEfer)).toBe(-ERRNO.EINVAL);
    expect(vcpuOp(rig, VCPUOP.INITIALISE, 2, context64())).toBe(0);
    expect(vcpuOp(rig, VCPUOP.INITIALISE, 2, context64())).toBe(-ERRNO.EEXIST);
    expect(vcpuOp(rig, VCPUOP.IS_UP, 2)).toBe(0);
    expect([vcpuOp(rig, VCPUOP.UP, 2), vcpuOp(rig, VCPUOP.IS_UP, 2)]).toEqual([0, 1]);
  });

  it('down ends the domain with the last vCPU that is up', () => {
    const rig = domainRig(2);
    expect(vcpuOp(rig, VCPUOP.DOWN, 1)).toBe(0);
    expect(rig.ended).toEqual([]);
    expect(vcpuOp(rig, VCPUOP.IS_UP, 1)).toBe(0);
    expect(vcpuOp(rig, VCPUOP.DOWN, 0)).toBe(0);
    expect(rig.ended).toEqual(['power-off']);
  });
});

it('whatever is not refused is a state in which the vCPU begins', () => {
  let begun = 0;
  const bytes = fc.array(fc.tuple(fc.nat({ max: VCPU_CONTEXT_SIZE - 1 }), fc.nat({ max: 255 })), { maxLength: 4 });
  const property = fc.property(fc.boolean(), bytes, (is64, changes) => {
    const view = is64 ? context64() : context32();
    for (const [at, byte] of changes) view.setUint8(at, byte);
    const rig = domainRig(2);
    const vcpu = rig.vm.vcpus[1]!;
    vcpu.mpState = 'init-received';
    const answer = vcpuOp(rig, VCPUOP.INITIALISE, 1, view);
    if (answer !== 0) expect(answer).toBe(-ERRNO.EINVAL);
    else {
      vcpuOp(rig, VCPUOP.UP, 1);
      expect([...rig.domain.vcpus.wait(vcpu, RUN_POINT.START, () => false)]).toEqual([]);
      expect(vcpu.mpState).toBe('runnable');
      begun++;
    }
  });
  fc.assert(property, { numRuns: 300, seed: 1 });
  expect(begun).toBeGreaterThan(50);
});

it('a machine with a vCPU that is down can be paused, and goes on', async () => {
  const machine = await bootGuest(fileURLToPath(new URL('../../guests/xenvcpus.s', import.meta.url)));
  machine.run({ until: ({ xen, vm }) => !xen!.vcpus.isUp(vm.vcpus[1]!) && vm.vcpus[1]!.mpState === 'runnable' });
  for (let times = 0; times < 5; times++) {
    expect(machine.pause()).toBe(null);
    machine.resume();
    machine.run({ maxCycles: machine.host.cpus[0]!.now + 20_000 });
  }
  expect(machine.run().kind).toBe('power-off');
  expect(machine.console.text).toMatch(/up 1, goes on\n$/);
});

it('a vCPU that is down while the machine is moved has been offline since it was brought down', async () => {
  const machine = await bootGuest(fileURLToPath(new URL('../../guests/xenvcpus.s', import.meta.url)));
  const isDown = ({ vm }: Machine): boolean => vm.vcpus[1]!.place.point === RUN_POINT.DOWN;
  machine.run({ until: isDown });
  const runstate = ({ vm }: Machine) => getXenVcpuAttr(vm.vcpus[1]!, 'RUNSTATE_DATA');
  const { entryTime } = runstate(machine);
  expect(reportVcpu(machine.vm.vcpus[1]!).waitsFor).toBe('vCPU 1 is down until VCPUOP_up');
  const moved = Machine.restore(snapshotFromBytes(snapshotToBytes(machine.snapshot())));
  // A signal wakes its thread, which finds it down still.
  moved.pause();
  moved.resume();
  moved.run({ maxCycles: moved.host.cpus[1]!.now + 2000 });
  expect(isDown(moved)).toBe(true);
  expect(runstate(moved)).toMatchObject({ state: RUNSTATE.OFFLINE, entryTime });
});
