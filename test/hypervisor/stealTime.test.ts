import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { KVM_HC, KVM_MSR } from '../../src/hypervisor/names.ts';
import { KVM_VCPU, STEAL_TIME } from '../../src/hypervisor/pv/stealTime.ts';
import { pvRig, run, shutdown, store8, u32, u64, u8, vmcall } from './pvRig.ts';
import { wrmsr, type Step } from './scriptedCpu.ts';
import type { VmRig } from './vmRig.ts';

const PAGE = 0x1000;
const SLICE = 100_000;
const enable = wrmsr(KVM_MSR.STEAL_TIME, BigInt(PAGE) | 1n);
const anyExit: Step = { exit: EXIT.CPUID };
const steal = (rig: VmRig): number => Number(u64(rig, PAGE + STEAL_TIME.STEAL));

describe('steal time', () => {
  it('is 0 for a vCPU that nobody keeps waiting', () => {
    const rig = run(pvRig([[enable, { run: 10 * SLICE }, anyExit, shutdown]], { slice: SLICE }));
    expect(steal(rig)).toBeLessThan(100);
    expect(u32(rig, PAGE + STEAL_TIME.VERSION)).toBe(2);
  });

  it('is what the other thread of its CPU took, in nanoseconds, when both compute', () => {
    const mine: Step[] = [enable, { run: 5 * SLICE }, anyExit, { run: 5 }, shutdown];
    const rig = run(pvRig([mine, [{ run: 20 * SLICE }, shutdown]], { slice: SLICE, hostCpus: 1 }));
    // Its five turns were kept apart by four to six of the other.
    expect(steal(rig)).toBeGreaterThan((4 * SLICE) / 2.5);
    expect(steal(rig)).toBeLessThan((6.5 * SLICE) / 2.5);
    expect(u32(rig, PAGE + STEAL_TIME.VERSION) % 2).toBe(0);
  });

  it('is not the time of a halt', () => {
    const other: Step[] = [{ run: 3 * SLICE }, shutdown];
    const rig = pvRig([[enable, { exit: EXIT.HLT }], other], { slice: SLICE, hostCpus: 2 });
    run(rig, 50);
    expect(steal(rig)).toBeLessThan(100);
  });

  it('has an even version after junk, and wants an aligned page', () => {
    const rig = pvRig([[wrmsr(KVM_MSR.STEAL_TIME, 0x1021n), enable, { run: 5 }, shutdown]]);
    rig.vm.memory.write(PAGE + STEAL_TIME.VERSION, Uint8Array.of(5));
    run(rig);
    expect(u32(rig, PAGE + STEAL_TIME.VERSION)).toBe(8);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
  });
});

describe('the byte that says preempted', () => {
  /** vCPU 1 looks at it while it has the CPU and vCPU 0 does not. */
  const shared = (look: (rig: () => VmRig) => Step[], rest: Step[] = []): VmRig => {
    const rig: VmRig = pvRig(
      [
        [enable, { run: 3 * SLICE }, ...rest, shutdown],
        [...look(() => rig), { run: 10 * SLICE }, shutdown],
      ],
      { slice: SLICE, hostCpus: 1 },
    );
    return run(rig);
  };

  it('is set while others have its CPU, and cleared when it runs', () => {
    const seen: number[] = [];
    const rig = shared((of) => [{ then: () => void seen.push(u8(of(), PAGE + STEAL_TIME.PREEMPTED)) }]);
    expect(seen).toEqual([KVM_VCPU.PREEMPTED]);
    expect(u8(rig, PAGE + STEAL_TIME.PREEMPTED)).toBe(0);
    expect(rig.vm.vcpus[0]!.stat.preemptionReported).toBeGreaterThan(0);
  });

  it('asks for a TLB flush before the next entry when another vCPU has added the bit', () => {
    const rig = shared((of) => [store8(of, PAGE + STEAL_TIME.PREEMPTED, KVM_VCPU.PREEMPTED | KVM_VCPU.FLUSH_TLB)]);
    expect(rig.guests[0]!.flushes).toBe(1);
    const flushes = rig.events.filter(({ name }) => name === 'kvm_pv_tlb_flush').map(({ event }) => event.needFlush);
    expect(flushes.filter(Boolean)).toEqual([true]);
  });

  it('is not set by the return to userspace', () => {
    const rig = run(pvRig([[enable, { run: 5 }, shutdown]]));
    expect(u8(rig, PAGE + STEAL_TIME.PREEMPTED)).toBe(0);
  });
});

describe('KVM_HC_SCHED_YIELD', () => {
  /** Three vCPUs on one CPU; the first yields to the third as soon as all are in line. */
  const order = (steps: Step[]): number[] => {
    const turns: number[] = [];
    const turn = (id: number): Step => ({ then: () => void turns.push(id) });
    const rig = pvRig(
      [
        [...steps, { run: 5 }, turn(0), shutdown],
        [turn(1), { run: 10 }, shutdown],
        [turn(2), { run: 10 }, shutdown],
      ],
      { slice: SLICE, hostCpus: 1 },
    );
    run(rig);
    return turns;
  };

  it('lets the vCPU that is named run before all others', () => {
    expect(order([vmcall(KVM_HC.SCHED_YIELD, 2)]).slice(0, 1)).toEqual([2]);
  });

  it('does nothing for oneself, or for an APIC id that nobody has', () => {
    expect(order([vmcall(KVM_HC.SCHED_YIELD, 0), vmcall(KVM_HC.SCHED_YIELD, 77)])[0]).toBe(0);
  });
});
