# How late a timer's interrupt is: from the deadline in TSC_DEADLINE to the first instruction of the handler, and what arming it holds
# the vCPU up. Half of the deadlines find it running, half of them halted. Every sample stays in memory, for `trapline lab timer-latency`.
#
# expect: running: 1000 deadlines, * cycles late on average
# expect: halted: 1000 deadlines, * cycles late on average
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .include "asm/random.s"
        .include "asm/samples.s"

        .equ    VECTOR, 0xec                    # LOCAL_TIMER_VECTOR of Linux
        .equ    SAMPLES, 1000
        .equ    NEAREST, 20000                  # cycles ahead, and up to 8191 more

        .text
        .globl  _start
_start:
        call    idt_init
        set_gate VECTOR, expired
        call    x2apic_enable
        movl    $VECTOR, %edi
        call    timer_init

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

# Waits for SAMPLES deadlines. How late each was goes to the array at %rbp, what arming it took to the one behind.
measure:
        xorl    %r12d, %r12d
1:      call    random
        movl    %eax, %ebx
        andl    $8191, %ebx
        addl    $NEAREST, %ebx
        shrl    $24, %eax                       # in no step with what grain the host's timer may have
6:      decl    %eax
        jns     6b
        movl    $0, answered(%rip)
        read_tsc
        movq    %rax, %r13
        addq    %rax, %rbx
        movq    %rbx, %rdi
        call    timer_arm
        read_tsc
        subq    %r13, %rax
        movl    %eax, 4*SAMPLES(%rbp,%r12,4)
2:      cmpl    $0, halts(%rip)
        je      3f
        sti                                     # takes effect after HLT has begun
        hlt
        cli
        jmp     5f
3:      sti
4:      cmpl    $0, answered(%rip)
        je      4b
        cli
5:      cmpl    $0, answered(%rip)
        je      2b
        movq    taken(%rip), %rax
        subq    %rbx, %rax
        movl    %eax, (%rbp,%r12,4)
        incl    %r12d
        cmpl    $SAMPLES, %r12d
        jb      1b
        ret

expired:
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
        .asciz  "running: %u deadlines, %u cycles late on average\n"
halted_format:
        .asciz  "halted: %u deadlines, %u cycles late on average\n"
        .balign 8
taken:  .quad   0
halts:  .long   0
answered:
        .long   0

        .bss
        .balign 4
running:
        .skip   4 * SAMPLES
running_arming:
        .skip   4 * SAMPLES
halted: .skip   4 * SAMPLES
halted_arming:
        .skip   4 * SAMPLES
