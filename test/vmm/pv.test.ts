// Paravirtual features through a whole machine: which are offered, and guests that use what only the machine can give them.

import { describe, expect, it } from 'vitest';
import { KVM_CPUID, KVM_FEATURE } from '../../src/hypervisor/names.ts';
import { DEFAULT_PV_FEATURES, PV_FEATURES } from '../../src/hypervisor/pv/features.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { bootGuest, corpus, MEMORY, POWER_OFF } from './guest.ts';
import { Machine } from '../../src/vmm/machine.ts';

const bits = async (options: Partial<BootOptions>): Promise<number> => {
  const { vm } = await bootGuest('hlt', options);
  return vm.cpuid.answer(KVM_CPUID.FEATURES, 0, vm.vcpus[0]!.cpuidAsker).eax;
};
const mask = (names: readonly (keyof typeof PV_FEATURES)[]): number =>
  names.flatMap((name): readonly number[] => PV_FEATURES[name]).reduce((word, bit) => word | (1 << bit), 0) >>> 0;

describe('CPUID leaf 0x40000001', () => {
  it('offers what upstream KVM offers, and not the lazy deadline', async () => {
    expect(await bits({})).toBe(mask(DEFAULT_PV_FEATURES));
    expect((await bits({})) & (1 << KVM_FEATURE.LAZY_TSCDEADLINE)).toBe(0);
  });

  it('takes wishes in turn: a feature more, one less, none', async () => {
    const all = mask(DEFAULT_PV_FEATURES);
    expect(await bits({ features: ['lazy-tscdeadline'] })).toBe(all | (1 << KVM_FEATURE.LAZY_TSCDEADLINE));
    expect(await bits({ features: ['-kvm-pv-eoi'] })).toBe(all & ~(1 << KVM_FEATURE.PV_EOI));
    expect(await bits({ features: ['-all', 'kvm-pv-ipi'] })).toBe(1 << KVM_FEATURE.PV_SEND_IPI);
  });

  it('does not offer a kick to guests that halt without an exit', async () => {
    expect((await bits({ params: { hltInGuest: true } })) & (1 << KVM_FEATURE.PV_UNHALT)).toBe(0);
  });

  it('an unknown feature is refused with the names there are', async () => {
    await expect(bits({ features: ['-kvm-pv' as never] })).rejects.toThrow("no feature '-kvm-pv', only kvmclock");
  });
});

describe('a page that is paged out', () => {
  const READ = 0x30_0000;

  it('comes back when the guest touches it, later', async () => {
    const read = `movl ${READ}, %ebx; ${POWER_OFF}`;
    const cycles = async (swap: boolean): Promise<number> => {
      const machine = await bootGuest(read);
      machine.vm.memory.write(READ, Uint8Array.of(0x42));
      if (swap) machine.swapOut(READ, 4096);
      expect(machine.run({ maxCycles: 10_000_000 }).kind).toBe('power-off');
      expect(machine.processor.cpus[0]!.state.gpr(GPR.RBX)).toBe(0x42n);
      return machine.vm.vcpus[0]!.cpu.now;
    };
    const longer = (await cycles(true)) - (await cycles(false));
    expect(longer).toBeGreaterThan(250_000); // 100 µs
    expect(longer).toBeLessThan(300_000);
  });

  it('does not change what a guest computes in little memory', async () => {
    const image = await corpus('sieve');
    const run = (options: Partial<BootOptions>): string => {
      const machine = Machine.boot({ image, memory: MEMORY, ...options });
      machine.run({ maxCycles: 2_000_000_000 });
      return machine.console.text;
    };
    const text = run({});
    expect(text).not.toBe('');
    expect(run({ swap: { limit: 64 * 4096, delay: 1000 } })).toBe(text);
  });
});

it('the date at the start is what the wall clock says', async () => {
  const machine = Machine.boot({ image: await corpus('pv'), vcpus: 2, memory: MEMORY, startTime: 1_700_000_000 });
  machine.run({ maxCycles: 200_000_000 });
  expect(machine.console.text).toContain('the date at 0 is 1700000000');
});
