# A clock-event device of Xen: VIRQ_TIMER with a singleshot timer that each event arms again, one period after the time that was
# due, so that lateness never adds up. Time is that of vcpu_info. Prints how late the ticks were.
#
# xen: domain
# expect: 10 ticks of 100000 ns, 0 early
# expect: late by * to * ns
# max-cycles: 40M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/pv.s"
        .include "asm/xen.s"
        .include "asm/xenevents.s"

        .equ    UPCALL_VECTOR, 0xf3
        .equ    VCPUOP_SET_SINGLESHOT_TIMER, 8
        .equ    TICK_PERIOD, 100000             # nanoseconds
        .equ    TICKS, 10

        .text
        .globl  _start
_start:
        call    idt_init
        set_gate UPCALL_VECTOR, upcall
        call    xen_init
        leaq    tick(%rip), %rax
        movq    %rax, xen_event_handler(%rip)
        movl    $UPCALL_VECTOR, %edi
        call    xen_set_callback_vector
        movl    $VIRQ_TIMER, %edi
        xorl    %esi, %esi
        call    xen_bind_virq

        call    now
        addq    $TICK_PERIOD, %rax
        call    arm

idle:
        sti                                     # takes effect after HLT has begun: no tick is lost between the two
        hlt
        cli
        cmpl    $TICKS, ticks(%rip)
        jb      idle

        leaq    ticks_format(%rip), %rdi
        movl    ticks(%rip), %esi
        movl    $TICK_PERIOD, %edx
        movl    early(%rip), %ecx
        call    printk
        leaq    late_format(%rip), %rdi
        movq    earliest(%rip), %rsi
        movq    latest(%rip), %rdx
        call    printk
        jmp     xen_power_off

upcall:
        push_registers
        leaq    shared_info(%rip), %rdi
        call    xen_take_events
        pop_registers
        iretq

# The timer's port is the only one.
tick:
        call    now
        subq    timer(%rip), %rax               # how late this tick is
        jns     1f
        incl    early(%rip)
1:      cmpq    earliest(%rip), %rax
        jae     2f
        movq    %rax, earliest(%rip)
2:      cmpq    latest(%rip), %rax
        jbe     3f
        movq    %rax, latest(%rip)
3:      incl    ticks(%rip)
        cmpl    $TICKS, ticks(%rip)
        je      4f
        movq    timer(%rip), %rax
        addq    $TICK_PERIOD, %rax
        jmp     arm
4:      ret

# Has VIRQ_TIMER raised at system time %rax.
arm:
        movq    %rax, timer(%rip)
        movl    $VCPUOP_SET_SINGLESHOT_TIMER, %edi
        xorl    %esi, %esi
        leaq    timer(%rip), %rdx
        hypercall HYPERVISOR_VCPU_OP
        xen_must
        ret

# System time in nanoseconds -> %rax.
now:
        leaq    shared_info+VCPU_TIME(%rip), %rdi
        jmp     pvclock_read

        .data
ticks_format:
        .asciz  "%u ticks of %u ns, %u early\n"
late_format:
        .asciz  "late by %u to %u ns\n"
        .balign 8
timer:                                          # struct vcpu_set_singleshot_timer: time, flags, padding
        .quad   0
        .quad   0
earliest:
        .quad   -1
latest:
        .quad   0
ticks:
        .long   0
early:
        .long   0
