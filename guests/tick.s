# A periodic tick from a timer that fires only once: the handler of each tick arms TSC_DEADLINE for the next one, one
# period after the tick that was due, so that lateness never adds up. Prints how late the ticks were.
#
# expect: 10 ticks of 100000 cycles
# expect: late by * to * cycles
# max-cycles: 20M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"

        .equ    TICK_VECTOR, 0xec               # LOCAL_TIMER_VECTOR of Linux
        .equ    TICK_PERIOD, 100000             # cycles
        .equ    TICKS, 10

        .text
        .globl  _start
_start:
        call    idt_init
        set_gate TICK_VECTOR, tick
        call    x2apic_enable
        movl    $TICK_VECTOR, %edi
        call    timer_init

        read_tsc
        leaq    TICK_PERIOD(%rax), %rdi
        movq    %rdi, deadline(%rip)
        call    timer_arm

idle:
        sti                                     # takes effect after HLT has begun: no tick is lost between the two
        hlt
        cli
        cmpl    $TICKS, ticks(%rip)
        jb      idle

        leaq    ticks_format(%rip), %rdi
        movl    ticks(%rip), %esi
        movl    $TICK_PERIOD, %edx
        call    printk
        leaq    late_format(%rip), %rdi
        movq    earliest(%rip), %rsi
        movq    latest(%rip), %rdx
        call    printk
        jmp     power_off

tick:
        push_registers
        read_tsc
        subq    deadline(%rip), %rax            # how late this tick is
        cmpq    earliest(%rip), %rax
        jae     1f
        movq    %rax, earliest(%rip)
1:      cmpq    latest(%rip), %rax
        jbe     2f
        movq    %rax, latest(%rip)
2:      incl    ticks(%rip)
        cmpl    $TICKS, ticks(%rip)
        je      3f
        addq    $TICK_PERIOD, deadline(%rip)
        movq    deadline(%rip), %rdi
        call    timer_arm
3:      x2apic_eoi
        pop_registers
        iretq

        .data
ticks_format:
        .asciz  "%u ticks of %u cycles\n"
late_format:
        .asciz  "late by %u to %u cycles\n"
earliest:
        .quad   -1
latest:
        .quad   0
deadline:
        .quad   0
ticks:
        .long   0
