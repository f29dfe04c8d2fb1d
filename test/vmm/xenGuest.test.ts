// A Xen guest on the real processor: its hypercalls, events and timer, with a VMM that sets attributes and nothing else.

import { beforeAll, describe, expect, it } from 'vitest';
import { setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { EVTCHNSTAT, PRIO_2LEVEL, XEN_CONFIG } from '../../src/hypervisor/xen/names.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import type { Image } from '../../src/vmm/image.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import { imageOf, MEMORY } from './guest.ts';

const XEN = { version: { major: 4, minor: 18 }, msr: 0x4000_0000, domainId: 1 };
const SHARED = 0x20_0000;
const INFO = SHARED + 0x40;
const HYPERCALL_PAGE = 0x20_1000;
const VIRQ_TIMER = 13;
const IPI = 66;
const POLLED = 130;
const UPCALL = 0xf3;

const GUEST = `
        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .macro hypercall nr
        movl    $(${HYPERCALL_PAGE} + 32 * \\nr), %eax
        call    *%rax
        .endm
        .text
        .globl  _start
_start: call    idt_init
        set_gate ${UPCALL}, upcall
        movl    $0x40000002, %eax
        cpuid
        movl    %ebx, %ecx
        movl    $${HYPERCALL_PAGE}, %eax
        xorl    %edx, %edx
        wrmsr

        xorl    %edi, %edi
        hypercall 17                            # xen_version(XENVER_version)
        movq    %rax, version(%rip)

        movl    $8, %edi                        # vcpu_op(set_singleshot_timer, 0, &timer)
        xorl    %esi, %esi
        leaq    timer(%rip), %rdx
        hypercall 24
1:      sti
        hlt
        cli
        cmpl    $0, timer_events(%rip)
        je      1b

        movl    $4, %edi                        # event_channel_op(send, &port)
        leaq    port(%rip), %rsi
        hypercall 32
        sti
        nop
        nop
        cli

        btsq    $${POLLED % 64}, mask                # sched_op(poll, &poll): with interrupts off, of a masked port
        movl    $3, %edi
        leaq    poll(%rip), %rsi
        hypercall 29
        movq    %rax, polled(%rip)

        hypercall 40
        leaq    format(%rip), %rdi
        movq    version(%rip), %rsi
        movl    timer_events(%rip), %edx
        movl    ipi_events(%rip), %ecx
        movq    polled(%rip), %r8
        negq    %rax
        movq    %rax, %r9
        call    printk
        jmp     power_off

upcall: pushq   %rax
        movb    $0, ${INFO}
        xorl    %eax, %eax
        xchgq   %rax, ${INFO + 8}
        lock btrq $${VIRQ_TIMER}, ${SHARED + 0x800}
        jnc     1f
        incl    timer_events(%rip)
1:      lock btrq $${IPI % 64}, ${SHARED + 0x808}
        jnc     1f
        incl    ipi_events(%rip)
1:      popq    %rax
        iretq

        .data
        .equ    mask, ${SHARED + 0xa10}
format: .asciz  "xen %x, timer %u, ipi %u, poll %u, error %u\\n"
        .balign 8
version: .quad  0
polled: .quad   0
timer:  .quad   2000000
        .quad   0
port:   .long   15
timer_events: .long 0
ipi_events: .long 0
        .balign 8
poll:   .quad   ports
        .quad   1
        .quad   3000000
ports:  .long   ${POLLED}
`;

let image: Image;
beforeAll(async () => {
  image = await imageOf(GUEST);
});

/** A machine at the guest's entry, as its VMM prepares it. */
function boot(options: Partial<BootOptions> = {}): Machine {
  const machine = Machine.boot({ image, memory: MEMORY, xen: XEN, ...options });
  const { vm } = machine;
  vm.xen!.configure({ flags: XEN_CONFIG.INTERCEPT_HCALL | XEN_CONFIG.EVTCHN_SEND, msr: XEN.msr });
  setXenVmAttr(vm, { type: 'LONG_MODE', longMode: true });
  setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: SHARED / 4096 });
  setXenVmAttr(vm, { type: 'UPCALL_VECTOR', vector: UPCALL });
  setXenVmAttr(vm, { type: 'XEN_VERSION', version: 0x40012 });
  setXenVmAttr(vm, { type: 'EVTCHN', change: { op: 'assign', sendPort: 15, channel: EVTCHNSTAT.INTERDOMAIN, deliver: { kind: 'port', port: IPI, vcpu: 0, priority: PRIO_2LEVEL } } }); // prettier-ignore
  const vcpu = vm.vcpus[0]!;
  setXenVcpuAttr(vcpu, { type: 'VCPU_INFO', gpa: INFO });
  setXenVcpuAttr(vcpu, { type: 'TIMER', port: VIRQ_TIMER, priority: PRIO_2LEVEL, expiresNs: 0n });
  return machine;
}
const countsOf = (machine: Machine) => {
  machine.run({ maxCycles: 100_000_000 });
  return machine.vm.xen!.stat;
};
const LINE = 'xen 40012, timer 1, ipi 1, poll 0, error 38\n';

describe('a Xen guest', () => {
  it('gets its version, its timer, its own event, the end of a poll, and ENOSYS', () => {
    const machine = boot();
    expect(machine.run({ maxCycles: 100_000_000 })).toMatchObject({ kind: 'power-off' });
    expect(machine.console.text).toBe(LINE);
    expect(machine.vm.diagnostics.list.map(({ what, index, answer }) => [what, index, answer])).toEqual([
      ['hypercall', 40, '-ENOSYS'],
    ]);
  });

  it('has a count of each path that was taken', () => {
    const { timersFast, timersDeferred, shadowed, ...stat } = countsOf(boot());
    expect(stat).toMatchObject({ delivered: 2, slow: 0, polls: 1, hypercalls: 4, hypercallExits: 1 });
    expect([timersFast, timersDeferred, shadowed]).toEqual([1, 0, 0]);
    expect(stat).toMatchObject({ timersArmed: 1, pollTimeouts: 1, pollWakeUps: 0, hypercallErrors: 1, ownVector: 0 });
    expect(countsOf(boot({ params: { xenTimer: 'slow' } }))).toMatchObject({ timersFast: 0, timersDeferred: 1 });
    expect(countsOf(boot({ params: { xenEvtchn: 'shadow' } }))).toMatchObject({ delivered: 2, shadowed: 2, synced: 2 });
  });

  it.each([
    { noInPlace: true },
    { engine: 'bigint' },
    { params: { xenEvtchn: 'shadow' } },
    { params: { xenTimer: 'slow' } },
    { params: { apicv: true } },
    { params: { module: 'kvm_amd' } },
  ] as Partial<BootOptions>[])('says the same with %o', (options) => {
    const machine = boot(options);
    machine.run({ maxCycles: 100_000_000 });
    expect(machine.console.text).toBe(LINE);
  });

  it('takes the same time whether exits leave generated code or not', () => {
    const end = (options: Partial<BootOptions>) => {
      const machine = boot(options);
      machine.run({ maxCycles: 100_000_000 });
      return machine.host.cpus[0]!.now;
    };
    expect(end({ noInPlace: true })).toBe(end({}));
  });

  it('waits for its timer and for its poll, and no longer', () => {
    const machine = boot();
    machine.run({ maxCycles: 100_000_000 });
    const ms = machine.host.cpus[0]!.now / machine.host.tscKhz;
    expect(ms).toBeGreaterThan(2 + 2);
    expect(ms).toBeLessThan(2 + 3 + 0.2);
  });

  it.each([1_000_000, 5_500_000, 8_000_000, 12_000_000])('goes on from a snapshot at %d cycles', (maxCycles) => {
    const machine = boot();
    machine.run({ maxCycles });
    const restored = Machine.restore(snapshotFromBytes(snapshotToBytes(machine.snapshot())));
    for (const each of [machine, restored]) each.run({ maxCycles: 100_000_000 });
    expect(restored.console.text).toBe(LINE);
    expect(restored.host.cpus[0]!.now).toBe(machine.host.cpus[0]!.now);
  });
});
