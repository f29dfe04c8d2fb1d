// Events that are restored are delivered, before the guest executes anything else.

import { describe, expect, it } from 'vitest';
import { getVcpuEvents, setVcpuEvents, type VcpuEvents } from '../../src/hypervisor/state/vcpuEvents.ts';
import type { RunResult } from '../../src/vmm/result.ts';
import { bootGuest } from '../vmm/guest.ts';

/** Spins with interrupts off; each handler ends the machine with a number of its own. #GP adds its error code, NMI one if it interrupted #GP's handler. */
const GUEST = `
        .include "asm/start.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .text
        .globl  _start
_start: call    idt_init
        set_gate 2, nmi
        set_gate 6, undefined
        set_gate 13, protection
        set_gate 0x31, interrupt
1:      incl    %ebx
        jmp     1b
nmi:    leaq    protection(%rip), %rcx
        xorl    %eax, %eax
        cmpq    %rcx, (%rsp)
        sete    %al
        addl    $0x200, %eax
        outl    %eax, $0xf4
undefined:
        movl    $0x600, %eax
        outl    %eax, $0xf4
protection:
        popq    %rax
        addl    $0xd00, %eax
        outl    %eax, $0xf4
interrupt:
        movl    $0x3100, %eax
        outl    %eax, $0xf4
`;

type Change = (events: VcpuEvents) => Partial<VcpuEvents>;
const exception = (which: 'pending' | 'injected', nr: number, errorCode: number | null): Change => {
  const hasErrorCode = errorCode !== null;
  return (events) => ({
    exception: { ...events.exception, [which]: true, nr, hasErrorCode, errorCode: errorCode ?? 0 },
  });
};

/** Stops the guest in its loop, changes what is on its way, and lets it go on. */
async function delivered(change: Change): Promise<RunResult> {
  const machine = await bootGuest(GUEST);
  machine.run({ maxCycles: 100_000 });
  machine.pause();
  const vcpu = machine.vm.vcpus[0]!;
  const events = getVcpuEvents(vcpu);
  setVcpuEvents(vcpu, { ...events, ...change(events) });
  machine.resume();
  return machine.run({ maxCycles: 200_000 });
}

describe('what is on its way', () => {
  it.each<[string, number, Change]>([
    ['an exception that is pending', 0xd18, exception('pending', 13, 0x18)],
    ['an exception that is injected', 0xd18, exception('injected', 13, 0x18)],
    ['an exception without error code', 0x600, exception('injected', 6, null)],
    [
      'an interrupt that is injected, though interrupts are off: it was acknowledged before',
      0x3100,
      ({ interrupt }) => ({ interrupt: { ...interrupt, injected: true, nr: 0x31 } }),
    ],
    ['an NMI that is pending', 0x200, ({ nmi }) => ({ nmi: { ...nmi, pending: 1 } })],
    ['an NMI that is injected', 0x200, ({ nmi }) => ({ nmi: { ...nmi, injected: true } })],
    [
      'an exception before an NMI, which then interrupts the handler,',
      0x201,
      (events) => ({ ...exception('injected', 13, 0)(events), nmi: { ...events.nmi, pending: 1 } }),
    ],
  ])('%s is delivered', async (_, value, change) => {
    expect(await delivered(change)).toEqual({ kind: 'debug-exit', value, vcpu: 0 });
  });

  it('an NMI that is pending while NMIs are masked waits', async () => {
    expect(await delivered(({ nmi }) => ({ nmi: { ...nmi, pending: 1, masked: true } }))).toMatchObject({
      kind: 'budget',
    });
  });
});
