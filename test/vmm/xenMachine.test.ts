// A machine whose guest is Xen's, as the guest finds it: CPUID, the unplug port, a vCPU that blocks, and what there is without Xen.

import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { getXenVcpuAttr } from '../../src/hypervisor/xen/attributes.ts';
import { RUNSTATE } from '../../src/hypervisor/xen/names.ts';
import { loadTestGuest, runGuest } from '../../src/testing/bootGuest.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { exitStatus } from '../../src/vmm/result.ts';
import { GPR } from '../../src/x86/names/registers.ts';

const INCLUDES = ['start', 'msr', 'console', 'idt', 'pv', 'xen', 'xenevents'];
const source = (code: string, more = ''): string =>
  `${INCLUDES.map((name) => `        .include "asm/${name}.s"`).join('\n')}
        .globl  _start
_start:
${code}
${more}`;
const run = (code: string, more = ''): Promise<Machine> => runGuest(source(code, more), { xen: 'domain' });
const gpr = (machine: Machine, register: number): bigint => machine.vm.vcpus[0]!.guest.state.gpr(register);

it("has Xen's CPUID leaves first, and KVM's behind them", async () => {
  const machine = await run(`
        call    xen_cpuid_base
        movl    %eax, %r12d
        call    kvm_cpuid_base
        movl    %eax, %r13d
        jmp     power_off`);
  expect([gpr(machine, GPR.R12), gpr(machine, GPR.R13)]).toEqual([0x4000_0000n, 0x4000_0100n]);
});

it('answers at the unplug port: the magic number, to a driver that has named itself, too, and a protocol of version 1', async () => {
  const machine = await run(`
        xorl    %eax, %eax
        inw     $0x10, %ax
        movl    %eax, %r12d
        inb     $0x12, %al
        movzbl  %al, %r13d
        movw    $3, %ax                         # Linux
        outw    %ax, $0x12
        movl    $1, %eax
        outl    %eax, $0x10
        xorl    %eax, %eax
        inw     $0x10, %ax
        movl    %eax, %r14d
        movw    $3, %ax                         # unplugs disks and network cards
        outw    %ax, $0x10
        jmp     power_off`);
  expect([GPR.R12, GPR.R13, GPR.R14].map((register) => gpr(machine, register))).toEqual([0x49d2n, 1n, 0x49d2n]);
  expect(machine.diagnostics).toEqual([]);
});

it('lets a vCPU block until its timer, and goes on behind the hypercall', async () => {
  const machine = await run(
    `
        call    idt_init
        set_gate 0xf3, upcall
        call    xen_init
        movl    $0xf3, %edi
        call    xen_set_callback_vector
        leaq    event(%rip), %rax
        movq    %rax, xen_event_handler(%rip)
        xorl    %edi, %edi
        xorl    %esi, %esi
        call    xen_bind_virq
        leaq    shared_info+VCPU_TIME(%rip), %rdi
        call    pvclock_read
        addq    $500000, %rax
        movq    %rax, timer(%rip)
        movl    $8, %edi                        # VCPUOP_set_singleshot_timer
        xorl    %esi, %esi
        leaq    timer(%rip), %rdx
        hypercall HYPERVISOR_VCPU_OP
        sti
        movl    $1, %edi                        # SCHEDOP_block
        hypercall HYPERVISOR_SCHED_OP
        cli
        movq    %rax, %r13
        jmp     xen_power_off
upcall: push_registers
        leaq    shared_info(%rip), %rdi
        call    xen_take_events
        pop_registers
        iretq
event:  incl    %r12d
        ret`,
    `
        .data
        .balign 8
timer:  .quad   0, 0`,
  );
  expect(machine.result?.kind).toBe('power-off');
  expect([gpr(machine, GPR.R12), gpr(machine, GPR.R13)]).toEqual([1n, 0n]);
  const { times, entryTime } = getXenVcpuAttr(machine.vm.vcpus[0]!, 'RUNSTATE_DATA');
  expect(times[RUNSTATE.BLOCKED]).toBeGreaterThan(450_000n);
  expect(times[RUNSTATE.BLOCKED]).toBeLessThan(500_000n);
  expect(times.reduce((sum, time) => sum + time)).toBe(entryTime);
});

it('is none without the option, and says so', async () => {
  const file = fileURLToPath(new URL('../../guests/xenhello.s', import.meta.url));
  const { image } = await loadTestGuest(file);
  const machine = Machine.boot({ image });
  expect(exitStatus(machine.run({ maxCycles: 10_000_000 }))).toBe(3);
  expect(machine.console.text).toBe('There is no Xen: run with --xen.\n');
});

it('reads arguments from pages that the guest has never touched', async () => {
  const machine = await run(
    `
        call    xen_init
        xorl    %edi, %edi
        call    xen_bind_ipi
        leaq    port(%rip), %rsi
        movl    $EVTCHNOP_SEND, %edi
        hypercall HYPERVISOR_EVENT_CHANNEL_OP
        movq    %rax, %r12
        jmp     xen_power_off`,
    `
        .data
        .balign 4096
port:   .long   2
        .balign 4096`,
  );
  expect(gpr(machine, GPR.R12)).toBe(0n);
});

it.each([true, false])(
  'lets the line of its events fall at the next access that userspace serves (in place: %s)',
  async (inPlace) => {
    const machine = await runGuest(
      source(
        `
        call    xen_init
        movq    $20, xen_param+8(%rip)          # HVM_PARAM_CALLBACK_IRQ: GSI 20, whose pin is masked
        movl    $HVMOP_SET_PARAM, %edi
        leaq    xen_param(%rip), %rsi
        hypercall HYPERVISOR_HVM_OP
        xorl    %edi, %edi
        call    xen_bind_ipi
        movl    %eax, port(%rip)
        leaq    port(%rip), %rsi
        call    xen_send
        outb    %al, $0x80
        movb    $0, shared_info+UPCALL_PENDING(%rip)
        outb    %al, $0x80
        jmp     power_off`,
        `
        .data
port:   .long   0`,
      ),
      { xen: 'domain', noInPlace: !inPlace },
    );
    expect(machine.result?.kind).toBe('power-off');
    expect(machine.vm.xen!.stat.delivered).toBe(1);
    expect(machine.vm.irqs.save()[20]).toBe(0);
  },
);
