# How long an interrupt takes from one vCPU to another: from the sender's WRMSR of the interrupt command register to the first
# instruction of the target's handler, and until the sender goes on. Half of them find the target running, half of them halted. Every
# sample stays in memory, for `trapline lab ipi-fastpath`.
#
# vcpus: 2
# expect: running target: 1000 interrupts, * cycles on average
# expect: halted target: 1000 interrupts, * cycles on average
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/ipi.s"
        .include "asm/random.s"
        .include "asm/samples.s"
        .include "asm/target.s"

        .equ    VECTOR, 0xfb                    # CALL_FUNCTION_SINGLE_VECTOR of Linux
        .equ    SAMPLES, 1000
        .equ    TARGET, 1

        .text
        .globl  _start
_start:
        movl    %esi, %ebp
        movl    %edi, %ebx
        testl   %ebx, %ebx
        jnz     1f
        call    idt_init
        set_gate VECTOR, arrived
1:      call    x2apic_enable
        movl    %ebp, %edi
        call    barrier                         # the table is filled, both can receive
        call    idt_load
        testl   %ebx, %ebx
        jnz     target

        leaq    running(%rip), %rbp
        call    measure
        movl    $1, halts(%rip)
        leaq    halted(%rip), %rbp
        call    measure

        leaq    running(%rip), %rdi
        leaq    running_format(%rip), %rsi
        call    samples_report
        leaq    halted(%rip), %rdi
        leaq    halted_format(%rip), %rsi
        call    samples_report
        jmp     power_off

# Sends SAMPLES interrupts. What each took to arrive goes to the array at %rbp, what it held up its sender to the one behind.
measure:
        xorl    %r12d, %r12d
1:      call    pause_a_while
        movl    $0, answered(%rip)
        movl    $VECTOR, %esi
        movl    $TARGET, %edi
        read_tsc
        movq    %rax, %r13
        movl    %esi, %eax
        movl    %edi, %edx
        movl    $X2APIC_ICR, %ecx
        wrmsr
        read_tsc
        subq    %r13, %rax
        movl    %eax, 4*SAMPLES(%rbp,%r12,4)
2:      pause
        cmpl    $0, answered(%rip)
        je      2b
        movq    taken(%rip), %rax
        subq    %r13, %rax
        movl    %eax, (%rbp,%r12,4)
        incl    %r12d
        cmpl    $SAMPLES, %r12d
        jb      1b
        ret

arrived:
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        read_tsc
        movq    %rax, taken(%rip)
        x2apic_eoi
        movl    $1, answered(%rip)
        popq    %rdx
        popq    %rcx
        popq    %rax
        iretq

        .data
running_format:
        .asciz  "running target: %u interrupts, %u cycles on average\n"
halted_format:
        .asciz  "halted target: %u interrupts, %u cycles on average\n"
        .balign 4
answered:
        .long   0
        .balign 8
taken:  .quad   0

        .bss
        .balign 4
running:
        .skip   4 * SAMPLES
running_sender:
        .skip   4 * SAMPLES
halted: .skip   4 * SAMPLES
halted_sender:
        .skip   4 * SAMPLES
