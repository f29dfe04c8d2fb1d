import { describe, expect, it } from 'vitest';
import { KVM_HC, KVM_MSR } from '../../src/hypervisor/names.ts';
import { CODE } from '../../src/cpu/segments/codeMode.ts';
import { X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { noteRax, pvRig, rax, run, shutdown, u64, vmcall } from './pvRig.ts';
import { cli, hlt, sti, wrmsr, type Step } from './scriptedCpu.ts';
import type { RigOptions, VmRig } from './vmRig.ts';

const enableApic = wrmsr(X2APIC_MSR.SIVR, 0x1ffn);
const ICR_ASSERT = 1 << 14;

/** RAX after each hypercall of a guest with one vCPU. */
function answers(calls: Step[], options: RigOptions = {}): bigint[] {
  const found: bigint[] = [];
  const rig = pvRig([[...calls.flatMap((call) => [call, noteRax(found)]), shutdown]], options);
  run(rig);
  return found;
}
const vectors = ({ guests }: VmRig, vcpu: number): number[] => guests[vcpu]!.delivered.map(({ vector }) => vector);

describe('a hypercall', () => {
  it('that does not exist is answered -KVM_ENOSYS', () => {
    expect(answers([vmcall(99), vmcall(KVM_HC.MMU_OP)])).toEqual([-1000n, -1000n]);
  });

  it('is refused outside of CPL 0', () => {
    const found: bigint[] = [];
    const user: Step = { then: ({ state }) => void (state.cpl = 3) };
    run(pvRig([[user, vmcall(KVM_HC.VAPIC_POLL_IRQ), noteRax(found), shutdown]]));
    expect(found).toEqual([-1n]);
  });

  it('has 32-bit arguments and a 32-bit answer outside of 64-bit mode', () => {
    const rig = pvRig([[vmcall(99), shutdown]]);
    rig.guests[0]!.state.mode = CODE.LONG ^ 1;
    run(rig);
    expect(rig.guests[0]!.state.gpr(GPR.RAX)).toBe(BigInt.asUintN(32, -1000n));
  });

  it('of a feature that is not offered works all the same, unless KVM is to enforce CPUID', () => {
    const call = vmcall(KVM_HC.SEND_IPI, 0, 0, 0, 0x40);
    expect(answers([call])).not.toEqual([-1000n]);
    expect(answers([call], { params: { enforcePvFeatureCpuid: true } })).toEqual([-1000n]);
    expect(answers([call], { params: { enforcePvFeatureCpuid: true }, features: ['kvm-pv-ipi'] })).not.toEqual([
      -1000n,
    ]);
  });
});

describe('KVM_HC_SEND_IPI', () => {
  const receiver = (): Step[] => [enableApic, sti, { run: 100_000 }, shutdown];

  it('interrupts every vCPU of the bitmap, and says how many', () => {
    const found: bigint[] = [];
    const send = vmcall(KVM_HC.SEND_IPI, 0b110, 0, 0, 0x41 | ICR_ASSERT);
    const rig = run(
      pvRig([[enableApic, { run: 10_000 }, send, noteRax(found), shutdown], receiver(), receiver(), receiver()]),
    );
    expect(found).toEqual([2n]);
    expect([1, 2, 3].map((vcpu) => vectors(rig, vcpu))).toEqual([[0x41], [0x41], []]);
  });

  it('counts from the lowest APIC id, through both words', () => {
    const found: bigint[] = [];
    const first = vmcall(KVM_HC.SEND_IPI, 1, 0, 2, 0x41);
    const beyond = vmcall(KVM_HC.SEND_IPI, 0, 1n << 63n, 0xffff_ffffn, 0x42);
    const rig = run(
      pvRig([[{ run: 10_000 }, first, noteRax(found), beyond, noteRax(found), shutdown], receiver(), receiver()]),
    );
    expect(found).toEqual([1n, 0n]);
    expect(vectors(rig, 2)).toEqual([0x41]);
  });

  it('takes no destination of its own: a shorthand or a logical one is -KVM_EINVAL', () => {
    expect(answers([vmcall(KVM_HC.SEND_IPI, 1, 0, 0, 0x41 | (1 << 18)), vmcall(KVM_HC.SEND_IPI, 1, 0, 0, 0x41 | (1 << 11))])) // prettier-ignore
      .toEqual([-22n, -22n]);
  });
});

describe('KVM_HC_KICK_CPU', () => {
  it('wakes a vCPU that is halted with interrupts off', () => {
    let woken = 0;
    const rig = pvRig([
      [{ run: 50_000 }, vmcall(KVM_HC.KICK_CPU, 0, 1), shutdown],
      [cli, hlt, { then: () => void woken++ }, shutdown],
    ]);
    run(rig);
    expect(woken).toBe(1);
    expect(rax(rig.guests[0]!)).toBe(0n);
  });
});

describe('KVM_HC_CLOCK_PAIRING', () => {
  it('writes the date and the TSC of one moment', () => {
    const rig = pvRig([[{ run: 25_000 }, vmcall(KVM_HC.CLOCK_PAIRING, 0x1000, 0), shutdown]], {
      startTime: 1_700_000_000,
    });
    run(rig);
    expect(rax(rig.guests[0]!)).toBe(0n);
    expect(u64(rig, 0x1000)).toBe(1_700_000_000n);
    expect(u64(rig, 0x1008)).toBe((u64(rig, 0x1010) * 2n) / 5n);
  });

  it('knows no other clock, and needs memory and a master clock', () => {
    expect(answers([vmcall(KVM_HC.CLOCK_PAIRING, 0x1000, 1), vmcall(KVM_HC.CLOCK_PAIRING, 0x9000_0000, 0)])).toEqual([
      -95n,
      -14n,
    ]);
    const old = wrmsr(KVM_MSR.SYSTEM_TIME, 0x1001n);
    const found: bigint[] = [];
    run(pvRig([[old, vmcall(KVM_HC.CLOCK_PAIRING, 0x2000, 0), noteRax(found), shutdown]]));
    expect(found).toEqual([-95n]);
  });
});
