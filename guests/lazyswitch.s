# The guest's own switch of the lazy TSC deadline, at run time: on, off with a far deadline still pending, and on again. Each
# tick is put off four times before it comes; with the switch on that costs one MSR write, with the switch off five.
#
# features: lazy-tscdeadline
# max-cycles: 100M
# expect: on: 20 ticks, 20 MSR writes, 0 early, 0 unasked
# expect: off: 20 ticks, 100 MSR writes, 0 early, 0 unasked
# expect: on again: 20 ticks, 20 MSR writes, 0 early, 0 unasked

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .include "asm/pv.s"
        .include "asm/deadline.s"

        .equ    LOCAL_TIMER_VECTOR, 0xec
        .equ    TICKS, 20
        .equ    FIRST, 20000                    # cycles to the deadline that a tick is asked for first
        .equ    LATER, 10000                    # ... and by which each of the others puts it off
        .equ    TIMES, 5
        .equ    FAR, 2000000                    # of the deadline that is pending when the switch goes off

        .text
        .globl  _start
_start:
        call    percpu_init
        call    idt_init
        set_gate LOCAL_TIMER_VECTOR, local_timer_interrupt
        call    x2apic_enable
        movl    $LOCAL_TIMER_VECTOR, %edi
        call    timer_init
        call    kvm_lazy_tscdeadline_online

        leaq    on(%rip), %rdi
        call    phase

        movl    $FAR, %edi
        call    set_next_event
        movl    $0, apic_lazy_tsc_deadline(%rip)
        incl    %gs:cause(%rip)
        leaq    off(%rip), %rdi
        call    phase

        movl    $1, apic_lazy_tsc_deadline(%rip)
        incl    %gs:cause(%rip)
        leaq    on_again(%rip), %rdi
        call    phase
        jmp     power_off

# levt->set_next_event, which the switch chooses.
set_next_event:
        cmpl    $0, apic_lazy_tsc_deadline(%rip)
        jne     kvm_lapic_next_deadline
        jmp     lapic_next_deadline

# Waits for TICKS ticks, then for a time in which none is asked for, and prints what came, under the name at %rdi.
phase:
        pushq   %rbx
        pushq   %r12
        movq    %rdi, %r12
        movl    $0, early(%rip)
        movl    $0, unasked(%rip)
        movl    $TICKS, %ebx
1:      call    tick
        decl    %ebx
        jnz     1b
        sti
        read_tsc
        leaq    2 * FAR(%rax), %rcx
2:      movl    $10000, %eax                    # a guest that halted here would not come back
3:      decl    %eax
        jnz     3b
        read_tsc
        cmpq    %rcx, %rax
        jb      2b
        cli
        leaq    format(%rip), %rdi
        movq    %r12, %rsi
        movl    $TICKS, %edx
        movl    %gs:cause(%rip), %ecx
        leaq    written(%rip), %rax
        movl    %gs:(%rax,%rcx,4), %ecx
        movl    early(%rip), %r8d
        movl    unasked(%rip), %r9d
        call    printk
        popq    %r12
        popq    %rbx
        ret

# Asks for a tick, puts it off, and sleeps until it comes.
tick:
        pushq   %r12
        pushq   %r13
        movl    $FIRST, %r12d
        movl    $TIMES, %r13d
1:      read_tsc
        addq    %r12, %rax
        movq    %rax, expected(%rip)
        movq    %r12, %rdi
        call    set_next_event
        addl    $LATER, %r12d
        decl    %r13d
        jnz     1b
2:      sti                                     # takes effect after HLT has begun
        hlt
        cli
        cmpq    $0, expected(%rip)
        jne     2b
        popq    %r13
        popq    %r12
        ret

local_timer_interrupt:
        push_registers
        read_tsc
        cmpq    $0, expected(%rip)
        je      1f
        cmpq    expected(%rip), %rax
        jb      2f
        movq    $0, expected(%rip)
        jmp     3f
1:      incl    unasked(%rip)
        jmp     3f
2:      incl    early(%rip)
3:      x2apic_eoi
        pop_registers
        iretq

        .data
format: .asciz  "%s: %u ticks, %u MSR writes, %u early, %u unasked\n"
on:     .asciz  "on"
off:    .asciz  "off"
on_again:
        .asciz  "on again"
        .balign 8
expected:                                       # TSC of the tick that was asked for; 0: none is
        .quad   0
apic_lazy_tsc_deadline:                         # the switch, as a sysctl would be
        .long   1
early:  .long   0
unasked:
        .long   0

        percpu_begin
lazy:   .skip   LAZY_SIZE
cause:  .skip   4                               # the phase
written:
        .skip   4 * 3
        percpu_end
