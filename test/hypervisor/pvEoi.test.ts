import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { KVM_MSR } from '../../src/hypervisor/names.ts';
import { NONE, highestVector } from '../../src/hypervisor/lapic/priority.ts';
import { APIC } from '../../src/hypervisor/lapic/registers.ts';
import { X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { pvRig, run, shutdown, store8, u8 } from './pvRig.ts';
import { sti, wrmsr, type Step } from './scriptedCpu.ts';
import type { VmRig } from './vmRig.ts';

const WORD = 0x1000;
const enableApic = wrmsr(X2APIC_MSR.SIVR, 0x1ffn);
const enablePvEoi = wrmsr(KVM_MSR.PV_EOI_EN, BigInt(WORD) | 1n);
const selfIpi = (vector: number): Step => wrmsr(X2APIC_MSR.SELF_IPI, BigInt(vector));
const anyExit: Step = { exit: EXIT.CPUID };

/** Runs a guest that has the page and takes interrupt 0x40; `rest` is what it does then. */
function guest(rest: (look: Step, rig: () => VmRig) => Step[]): { rig: VmRig; words: number[] } {
  const words: number[] = [];
  const look: Step = { then: () => void words.push(u8(rig, WORD)) };
  const rig: VmRig = pvRig([
    [enableApic, enablePvEoi, sti, selfIpi(0x40), { run: 2 }, ...rest(look, () => rig), shutdown],
  ]);
  return { rig: run(rig), words };
}

const inService = ({ vm }: VmRig): number => highestVector(vm.lapics[0]!.regs, APIC.ISR);
const eois = (rig: VmRig): string[] =>
  rig.events.filter(({ name }) => name === 'kvm_eoi' || name === 'kvm_pv_eoi').map(({ name }) => name);

describe('the word of the paravirtual EOI', () => {
  it('is set while one interrupt is in service; cleared by the guest, it ends the interrupt at the next exit', () => {
    const { rig, words } = guest((look, of) => [look, store8(of, WORD, 0), anyExit, look]);
    expect(words).toEqual([1, 0]);
    expect(inService(rig)).toBe(NONE);
    expect(eois(rig)).toEqual(['kvm_eoi', 'kvm_pv_eoi']);
  });

  it('is taken back at an exit when the guest has not cleared it, and the EOI by MSR works', () => {
    const { rig, words } = guest((look) => [look, anyExit, look, wrmsr(X2APIC_MSR.EOI, 0n), { run: 1 }]);
    expect(words).toEqual([1, 0]);
    expect(inService(rig)).toBe(NONE);
    expect(eois(rig)).toEqual(['kvm_eoi']);
  });

  it('is not set while another interrupt is requested: its end must be seen', () => {
    const { words } = guest((look) => [selfIpi(0x30), { run: 1 }, look]);
    expect(words).toEqual([0]);
  });

  it('is not set with nothing in service', () => {
    const { words } = guest((look) => [wrmsr(X2APIC_MSR.EOI, 0n), { run: 1 }, look]);
    expect(words).toEqual([0]);
  });

  it('is forgotten by INIT', () => {
    const { rig } = guest(() => []);
    rig.vm.vcpus[0]!.reset(true);
    expect(rig.vm.vcpus[0]!.pv.eoi).toMatchObject({ msrVal: 0n, pending: false });
  });

  it('must be aligned, and memory', () => {
    const rig = run(pvRig([[wrmsr(KVM_MSR.PV_EOI_EN, 0x1003n), wrmsr(KVM_MSR.PV_EOI_EN, 0x9000_0001n), shutdown]]));
    expect(rig.guests[0]!.delivered).toHaveLength(2);
  });
});
