// The lazy TSC deadline of each vCPU as a person sees it, and a kick that a person forces.

import { describe, expect, it } from 'vitest';
import { LAZY_VERSIONS, type LazyVersion } from '../../src/hypervisor/params.ts';
import type { LazyWords } from '../../src/hypervisor/pv/lazyDebugfs.ts';
import { LAZY_TSCDEADLINE } from '../../src/hypervisor/pv/lazyTscDeadline.ts';
import { bootGuest } from '../../src/testing/index.ts';
import type { Machine } from '../../src/vmm/machine.ts';

/** A guest that enables its page, sets a deadline and puts it off as told, and then halts or spins. Its other vCPUs spin. */
async function guestWith(
  { armed, pending, spins = false, vcpus = 1 }: { armed: number; pending: number; spins?: boolean; vcpus?: number },
  lazyTscdeadline: LazyVersion = 'fixed',
): Promise<Machine> {
  const source = `
        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/idt.s"
        .include "asm/console.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .include "asm/pv.s"
        .text
        .globl _start
_start: testl   %edi, %edi
1:      jnz     1b
        call    idt_init
        set_gate 0xec, expired
        call    x2apic_enable
        movl    $0xec, %edi
        call    timer_init
        leaq    lazy(%rip), %rdi
        call    kvm_lazy_tscdeadline_enable
        movq    $${armed}, %rdi
        movq    %rdi, lazy+LAZY_PENDING(%rip)
        testq   %rdi, %rdi
        jz      1f
        call    timer_arm
1:      movq    $${pending}, %rdi
        movq    %rdi, lazy+LAZY_PENDING(%rip)
        movl    $1, ready(%rip)
        sti
2:      ${spins ? 'nop' : 'hlt'}
        jmp     2b
expired:
        incl    interrupts(%rip)
        iretq
        .bss
        .balign 64
lazy:   .skip   LAZY_SIZE
interrupts: .skip 4
ready:  .skip   4
`;
  const machine = await bootGuest(source, {
    features: ['lazy-tscdeadline'],
    params: { lazyTscdeadline },
    vcpus,
  });
  machine.run({ maxCycles: LOOK });
  expect(word(machine, 'ready')).toBe(1);
  return machine;
}
const LOOK = 2_000_000;
const FAR = 50_000_000;
const FARTHER = 80_000_000;
const word = (machine: Machine, symbol: string): number => {
  const { address } = machine.image.symbols.find(symbol)!;
  return Number(machine.vm.memory.readU64(Number(address))! & 0xffff_ffffn);
};
const view = (machine: Machine): LazyWords => machine.lazyDeadlines[0] as LazyWords;

describe('the view of a vCPU', () => {
  it('without the feature says that CPUID does not have it', async () => {
    expect((await bootGuest('guests/hello.s')).lazyDeadlines).toEqual([{ vcpu: 0, state: 'not in CPUID' }]);
  });

  it('before the guest has opened the page says so', async () => {
    const machine = await bootGuest('guests/hello.s', { features: ['lazy-tscdeadline'], vcpus: 2 });
    expect(machine.lazyDeadlines).toEqual([0, 1].map((vcpu) => ({ vcpu, state: 'not open in guest' })));
  });

  it.each([
    ['idle', 0, 0],
    ['armed', FAR, FAR],
    ['extended', FAR, FARTHER],
  ] as const)('is %s with armed %i and pending %i', async (state, armed, pending) => {
    const machine = await guestWith({ armed, pending });
    const address = machine.image.symbols.find('lazy')!.address;
    expect(view(machine)).toMatchObject({
      state,
      gpa: address,
      armed: BigInt(armed),
      pending: BigInt(pending),
      cachedArmed: BigInt(armed),
    });
    expect(Number(view(machine).now)).toBeGreaterThan(0);
  });

  it('is stale when armed says a deadline that nobody carries', async () => {
    const machine = await guestWith({ armed: 0, pending: FAR });
    spoil(machine, BigInt(FAR));
    expect(view(machine)).toMatchObject({ state: 'stale', cachedArmed: 0n });
  });
});

/** What a host that forgets would leave behind: an armed without a timer. */
function spoil(machine: Machine, armed: bigint): void {
  const { address } = machine.image.symbols.find('lazy')!;
  machine.vm.memory.writeU64(Number(address) + LAZY_TSCDEADLINE.ARMED, armed);
}

describe('a forced kick', () => {
  /** Kicks, and lets a little time pass. */
  const kick = (machine: Machine): void => {
    expect(machine.kickLazyDeadline(0)).toBe(true);
    machine.run({ maxCycles: LOOK + 100_000 });
  };

  it.each([false, true])('arms what is pending in place of what was armed (spins: %s)', async (spins) => {
    const machine = await guestWith({ armed: FAR, pending: FARTHER, spins });
    kick(machine);
    expect(view(machine)).toMatchObject({ state: 'armed', armed: BigInt(FARTHER), cachedArmed: BigInt(FARTHER) });
    expect([view(machine).counters.rearms, word(machine, 'interrupts')]).toEqual([1, 0]);
  });

  it.each([false, true])('interrupts where nothing was put off, once (spins: %s)', async (spins) => {
    const machine = await guestWith({ armed: FAR, pending: FAR, spins });
    kick(machine);
    expect(view(machine)).toMatchObject({ state: 'idle', armed: 0n });
    expect(word(machine, 'interrupts')).toBe(1);
    machine.run({ maxCycles: FAR + LOOK });
    expect(word(machine, 'interrupts')).toBe(1);
  });

  it('rescues a vCPU that sleeps behind a stale armed: the page is put right, and it is interrupted', async () => {
    // The other vCPU keeps the machine going: without it nothing could happen any more, and it would have ended.
    const machine = await guestWith({ armed: 0, pending: FAR, vcpus: 2 });
    spoil(machine, BigInt(FAR));
    kick(machine);
    expect(view(machine)).toMatchObject({ state: 'idle', armed: 0n });
    expect(word(machine, 'interrupts')).toBe(1);
  });

  it.each(['v2', 'v3'] as const)(
    '%s: is looked at before an entry, so a vCPU that halts sleeps on',
    async (version) => {
      const machine = await guestWith({ armed: FAR, pending: FARTHER }, version);
      kick(machine);
      expect([view(machine).state, view(machine).counters.kicks]).toEqual(['extended', 0]);
      const running = await guestWith({ armed: FAR, pending: FARTHER, spins: true }, version);
      kick(running);
      expect([view(running).state, view(running).counters.kicks]).toEqual(['armed', 1]);
    },
  );

  it.each(LAZY_VERSIONS)('%s: is refused where the page is not open, or the machine has ended', async (version) => {
    const options = { features: ['lazy-tscdeadline'], params: { lazyTscdeadline: version } } as const;
    const machine = await bootGuest('guests/hello.s', options);
    expect(machine.kickLazyDeadline(0)).toBe(false);
    machine.run();
    expect(machine.kickLazyDeadline(0)).toBe(false);
    expect(() => machine.kickLazyDeadline(1)).toThrow('there is no vCPU 1, only 0 to 0');
  });
});
