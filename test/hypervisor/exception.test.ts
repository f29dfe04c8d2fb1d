// #UD exits, as under KVM: the other vendor's hypercall is replaced where it stands, every other #UD is the guest's own.

import { describe, expect, it } from 'vitest';
import { Machine } from '../../src/vmm/machine.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { imageOf, POWER_OFF } from '../vmm/guest.ts';

/** Runs code behind an IDT whose handler of #UD counts in R15 and steps over two bytes. */
async function run(code: string): Promise<Machine> {
  const image = await imageOf(`
        .include "asm/start.s"
        .include "asm/idt.s"
        .include "asm/console.s"
        .globl _start
_start: xorl %r15d, %r15d
        movl $6, %edi
        leaq ud(%rip), %rsi
        call idt_set_gate
        call idt_load
        ${code}
        ${POWER_OFF}
ud:     incl %r15d
        movq 16(%rsp), %r14             # RFLAGS
        addq $2, (%rsp)
        iretq`);
  const machine = Machine.boot({ image });
  expect(machine.run({ maxCycles: 10_000_000 }).kind).toBe('power-off');
  return machine;
}
const gpr = (machine: Machine, register: number): bigint => machine.vm.vcpus[0]!.guest.state.gpr(register);

describe('#UD under the hypervisor', () => {
  it('of VMMCALL makes it VMCALL, which then calls: the guest sees no exception', async () => {
    const machine = await run('movl $9999, %eax; again: vmmcall; movl again(%rip), %ebp');
    expect(gpr(machine, 15)).toBe(0n);
    expect(gpr(machine, GPR.RBP) & 0xffffffn).toBe(0xc1010fn);
    expect(machine.counters.byReason.get('EXCEPTION_NMI')).toBe(1);
    expect(machine.counters.byReason.get('VMCALL')).toBe(1);
  });

  it('of anything else reaches the guest, with RF set as the processor itself would', async () => {
    const machine = await run('ud2; ud2');
    expect(gpr(machine, 15)).toBe(2n);
    expect(gpr(machine, 14) & 0x10000n).toBe(0x10000n);
    expect(machine.counters.byReason.get('EXCEPTION_NMI')).toBe(2);
  });
});
