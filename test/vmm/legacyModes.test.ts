// Guests that the hypervisor meets outside 64-bit mode: exits, interrupts and state there.

import { describe, expect, it } from 'vitest';
import { isRealMode } from '../../src/cpu/segments/codeMode.ts';
import type { Machine } from '../../src/vmm/machine.ts';
import { bootGuest, POWER_OFF } from './guest.ts';

/** vCPU 0 copies `code` to 0x8000 and starts vCPU 1 there in real mode, then waits for the word at 0x7800 and powers off. */
const startAt8000 = (code: string): string => `
  testl %edi, %edi; jnz 2f
  leaq trampoline(%rip), %rsi; movl $0x8000, %edi; movl $trampolineEnd - trampoline, %ecx; rep movsb
  movl $0x830, %ecx; movl $1, %edx; movl $0x4500, %eax; wrmsr     # INIT to APIC 1
  movl $0x4608, %eax; wrmsr                                       # SIPI, page 8
1: pause; cmpw $0, 0x7800; je 1b
  ${POWER_OFF}
2: hlt
  .code16
trampoline:
  ${code}
  .code64
trampolineEnd:`;

const wordsAt = (machine: Machine, gpa: bigint, count: number): number[] => [
  ...new Uint16Array(machine.processor.cpus[0]!.mmu.peek(gpa, 2 * count)!.slice().buffer),
];

describe('real mode', () => {
  it('takes interrupts of the local APIC through the vector table, and halts between them', async () => {
    const machine = await bootGuest(
      startAt8000(`
        xorw %ax, %ax; movw %ax, %ds; movw %ax, %ss; movw $0x7000, %sp
        movw $(handler - trampoline), 4 * 0x40; movw %cs, 4 * 0x40 + 2
        movl $0x1b, %ecx; rdmsr; orl $0xc00, %eax; wrmsr             # x2APIC
        movl $0x80f, %ecx; movl $0x1ff, %eax; xorl %edx, %edx; wrmsr # software-enabled
        movl $0x832, %ecx; movl $0x40040, %eax; wrmsr                # TSC deadline, vector 0x40
        movw $3, %bp
     1: rdtsc; addl $20000, %eax; adcl $0, %edx; movl $0x6e0, %ecx; wrmsr
        sti; hlt; cli
        decw %bp; jnz 1b
        movw $1, 0x7800
     2: hlt; jmp 2b
handler:
        incw 0x7802; movw %sp, 0x7804; movw (%esp), %ax; movw %ax, 0x7806; movw 2(%esp), %ax; movw %ax, 0x7808
        movl $0x80b, %ecx; xorl %eax, %eax; xorl %edx, %edx; wrmsr   # EOI
        iretw`),
      { vcpus: 2 },
    );
    expect(machine.run({ maxCycles: 10_000_000 })).toMatchObject({ kind: 'power-off' });
    const [done, interrupts, sp, ip, cs] = wordsAt(machine, 0x7800n, 5);
    expect({ done, interrupts, sp, cs }).toEqual({ done: 1, interrupts: 3, sp: 0x7000 - 6, cs: 0x800 });
    expect(machine.vm.vcpus[1]!.guest.state.rip).toBeGreaterThan(BigInt(ip!));
    expect(isRealMode(machine.vm.vcpus[1]!.guest.state)).toBe(true);
  });

  it('does port I/O with strings, through segments', async () => {
    const machine = await bootGuest(
      startAt8000(`
        movw $0x780, %ax; movw %ax, %es; movw %cs, %ax; movw %ax, %ds
        movw $0xe9, %dx; movw $(text - trampoline), %si; movw $3, %cx; cld; rep outsb
        movw $0x92, %dx; movw $0x10, %di; movw $2, %cx; rep insb
        movw %di, %es:2; movw %si, %es:4; movw $1, %es:0
     1: hlt; jmp 1b
text:   .ascii "abc"`),
      { vcpus: 2 },
    );
    let written = '';
    machine.console.listen((byte) => (written += String.fromCharCode(byte)));
    expect(machine.run({ maxCycles: 10_000_000 })).toMatchObject({ kind: 'power-off' });
    expect(written).toBe('abc');
    const [, di] = wordsAt(machine, 0x7800n, 3);
    expect(di).toBe(0x12);
  });

  it('ends in a triple fault when its vector table is too short, and says what came first', async () => {
    const machine = await bootGuest(
      startAt8000(`lidtl %cs:(none - trampoline); ud2
none:   .word 0; .long 0`),
      { vcpus: 2 },
    );
    const result = machine.run({ maxCycles: 10_000_000 });
    expect(result).toMatchObject({ kind: 'triple-fault', vcpu: { vcpu: 1 }, fault: { first: { vector: 6 } } });
  });
});

describe('compatibility mode', () => {
  const user32 = (code: string): string => `
        testl %edi, %edi; jnz 9f
        leaq gdt(%rip), %rax; movq %rax, gdtr+2(%rip); lgdt gdtr(%rip)
        pushq $0x18; pushq $1f; lretq
     1: pushq $0x08; leaq 2f(%rip), %rax; pushq %rax; lretq
        .code32
     2: ${code}
        .code64
     9: cli; hlt; jmp 9b
        .balign 8, 0
gdt:    .quad 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00af9b000000ffff
gdtr:   .word 31; .quad 0`;

  it('exits like any code, and RIP goes on within 32 bits', async () => {
    const machine = await bootGuest(
      user32(`movl $0x10, %ecx; rdmsr; movl %esp, %ebp; movl $0xf4, %edx; movl $5, %eax; outl %eax, %dx`),
    );
    expect(machine.run({ maxCycles: 1_000_000 })).toMatchObject({ kind: 'debug-exit', value: 5 });
    expect(machine.vm.vcpus[0]!.guest.state.rip >> 32n).toBe(0n);
  });
});
