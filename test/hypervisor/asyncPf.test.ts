import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { KVM_MSR } from '../../src/hypervisor/names.ts';
import { APF_DATA, ASYNC_PF } from '../../src/hypervisor/pv/asyncPf.ts';
import { X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { CR0 } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { pvRig, run, shutdown, u32 } from './pvRig.ts';
import { cli, hlt, sti, wrmsr, type Step } from './scriptedCpu.ts';
import type { VmRig } from './vmRig.ts';

const DATA = 0x1000;
/** The page that is paged out. */
const PAGE = 3;
const READY = 0xf3;
const DELAY = 50_000;

const enableApic = wrmsr(X2APIC_MSR.SIVR, 0x1ffn);
const enable = (flags = ASYNC_PF.ENABLED | ASYNC_PF.AS_INT | ASYNC_PF.SEND_ALWAYS): Step[] => [
  wrmsr(KVM_MSR.ASYNC_PF_INT, BigInt(READY)),
  wrmsr(KVM_MSR.ASYNC_PF_EN, BigInt(DATA) | flags),
];
const touch = (page = PAGE): Step => ({
  exit: EXIT.EPT_VIOLATION,
  set: (state) => {
    state.exitGpa = BigInt(page) << 12n;
    state.exitGva = 0x7000_0123n;
    state.exitLength = 0;
  },
});
const word = (rig: () => VmRig, offset: number, value: number): Step => ({
  then: () => void rig().vm.memory.write(DATA + offset, Uint8Array.of(value, 0, 0, 0)),
});
/** Switched on, with the first token behind it; interrupts are on. */
const enabled = (rig: () => VmRig): Step[] => [
  sti,
  ...enable(),
  { run: 1 },
  ...ack(rig),
  wrmsr(X2APIC_MSR.EOI, 0n),
  sti,
];
/** The guest has taken the token: it clears it and says so. */
const ack = (rig: () => VmRig): Step[] => [word(rig, APF_DATA.TOKEN, 0), wrmsr(KVM_MSR.ASYNC_PF_ACK, 1n)];

function guest(steps: (rig: () => VmRig) => Step[]): VmRig {
  const rig: VmRig = pvRig([[enableApic, ...steps(() => rig), shutdown]], { swap: { delay: DELAY } });
  rig.guests[0]!.state.cr0 |= CR0.PE;
  rig.vm.swap!.pageOut(PAGE, 1);
  return run(rig);
}
const vectors = ({ guests }: VmRig): number[] => guests[0]!.delivered.map(({ vector }) => vector);
const pfEvents = ({ events }: VmRig): string[] =>
  events.map(({ name }) => name).filter((name) => name.includes('async'));

describe('switching async page faults on', () => {
  it('wakes all who may have waited: token ~0 and the interrupt', () => {
    const rig = guest(() => [sti, ...enable(), { run: 5 }]);
    expect(vectors(rig)).toEqual([READY]);
    expect(u32(rig, DATA + APF_DATA.TOKEN)).toBe(0xffff_ffff);
  });

  it('is #GP with reserved bits, for nested guests, with a vector beyond 8 bits, or without memory', () => {
    const rig = guest(() => [
      wrmsr(KVM_MSR.ASYNC_PF_EN, BigInt(DATA) | 0x11n),
      wrmsr(KVM_MSR.ASYNC_PF_EN, BigInt(DATA) | 5n),
      wrmsr(KVM_MSR.ASYNC_PF_INT, 0x100n),
      wrmsr(KVM_MSR.ASYNC_PF_EN, 0x9000_0000n | 9n),
    ]);
    expect(vectors(rig)).toEqual([VECTOR.GP, VECTOR.GP, VECTOR.GP, VECTOR.GP]);
  });
});

describe('a page that the host has paged out', () => {
  it('is "not present" by #PF with a token, and "ready" by interrupt with the same token', () => {
    const tokens: number[] = [];
    const times: number[] = [];
    const rig = guest((of) => [
      ...enabled(of),
      touch(),
      { then: ({ state }) => void tokens.push(Number(state.cr2), u32(of(), DATA + APF_DATA.FLAGS)) },
      { then: () => void times.push(of().vm.vcpus[0]!.cpu.now) },
      word(of, APF_DATA.FLAGS, 0),
      sti,
      hlt,
      { then: () => void tokens.push(u32(of(), DATA + APF_DATA.TOKEN)) },
      { then: () => void times.push(of().vm.vcpus[0]!.cpu.now) },
      ...ack(of),
    ]);
    expect(tokens).toEqual([0x1000, 1, 0x1000]);
    expect(vectors(rig).filter((vector) => vector === VECTOR.PF)).toHaveLength(1);
    expect(vectors(rig).at(-1)).toBe(READY);
    expect(times[1]! - times[0]!).toBeGreaterThan(DELAY / 2);
    expect(rig.vm.swap!.isOut(PAGE)).toBe(false);
    expect(pfEvents(rig)).toEqual([
      'kvm_async_pf_ready', // the token that wakes all
      'kvm_try_async_get_page',
      'kvm_async_pf_not_present',
      'kvm_async_pf_completed',
      'kvm_async_pf_ready',
    ]);
  });

  it('halts a vCPU whose guest knows nothing of it, until the page is there', () => {
    const times: number[] = [];
    const now = (of: () => VmRig): Step => ({ then: () => void times.push(of().vm.vcpus[0]!.cpu.now) });
    const rig = guest((of) => [sti, now(of), touch(), now(of)]);
    expect(vectors(rig)).toEqual([]);
    expect(times[1]! - times[0]!).toBeGreaterThan(DELAY);
    expect(pfEvents(rig)).toContain('kvm_async_pf_not_present');
  });

  it('lets interrupts through during that halt', () => {
    const rig = pvRig(
      [
        [enableApic, sti, touch(), { run: 10 }, shutdown],
        [{ run: 10_000 }, wrmsr(X2APIC_MSR.ICR, 0x40n), { run: 10 }, shutdown],
      ],
      { swap: { delay: DELAY } },
    );
    rig.vm.swap!.pageOut(PAGE, 1);
    run(rig);
    expect(vectors(rig)).toEqual([0x40]);
    const injected = rig.events.find(({ name }) => name === 'kvm_inj_virq')!;
    expect(injected.time).toBeLessThan(DELAY);
  });

  it('is waited for in the fault while interrupts are off', () => {
    const times: number[] = [];
    const now = (of: () => VmRig): Step => ({ then: () => void times.push(of().vm.vcpus[0]!.cpu.now) });
    const rig = guest((of) => [cli, ...enable(), now(of), touch(), now(of)]);
    expect(times[1]! - times[0]!).toBeGreaterThan(DELAY);
    expect(pfEvents(rig)).not.toContain('kvm_async_pf_not_present');
    expect(rig.vm.swap!.isOut(PAGE)).toBe(false);
  });

  it('is no #PF in the guest’s kernel unless it asked for that', () => {
    const rig = guest((of) => [...enable(ASYNC_PF.ENABLED | ASYNC_PF.AS_INT), ...ack(of), sti, touch()]);
    expect(vectors(rig)).not.toContain(VECTOR.PF);
  });

  it('halts a guest that touches it again while it is read', () => {
    const rig = guest((of) => [...enabled(of), touch(), word(of, APF_DATA.FLAGS, 0), sti, touch(), { run: 1 }]);
    expect(vectors(rig).filter((vector) => vector === VECTOR.PF)).toHaveLength(1);
    expect(rig.events.filter(({ name }) => name === 'kvm_async_pf_not_present')).toHaveLength(1);
  });
});

describe('a host that keeps only some pages', () => {
  it('pages out what became resident first', () => {
    const rig = pvRig([[sti, touch(0), touch(1), touch(2), touch(0), touch(0), shutdown]], {
      swap: { limit: 8192, delay: DELAY },
    });
    run(rig);
    // 0 went when 2 came; when it came back, 1 went.
    expect([0, 1, 2].map((page) => rig.vm.swap!.isOut(page))).toEqual([false, true, false]);
  });
});
