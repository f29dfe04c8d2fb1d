# How late Xen's singleshot timer is: from the system time that was asked for to the first instruction of the upcall's handler, and
# what arming it holds the vCPU up. Half of the sleeps find the vCPU running, half of them halted; their lengths are chance. A watchdog,
# the local APIC's timer, goes on when no event comes: the tick was lost, is counted, and armed again. Every sample stays in memory, for
# `trapline lab xen-timer`, which also says by which kind of vector events come.
#
# xen: domain
# expect: running: 300 ticks, * ns late on average
# expect: halted: 300 ticks, * ns late on average
# expect: 600 armed, 600 taken, 0 lost
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .include "asm/pv.s"
        .include "asm/xen.s"
        .include "asm/xenevents.s"
        .include "asm/xenvector.s"
        .include "asm/random.s"
        .include "asm/samples.s"

        .equ    UPCALL_VECTOR, 0xf3
        .equ    WATCHDOG_VECTOR, 0xec
        .equ    VCPUOP_SET_SINGLESHOT_TIMER, 8
        .equ    VCPUOP_REGISTER_VCPU_INFO, 10
        .equ    SAMPLES, 300
        .equ    NEAREST, 20000                  # nanoseconds ahead, and up to 65535 more
        .equ    SPREAD, 65535
        .equ    WATCHDOG, 5000000               # cycles between two looks
        .equ    OVERDUE, 1000000                # nanoseconds after which a tick is lost

        .text
        .globl  _start
_start:
        call    idt_init
        set_gate UPCALL_VECTOR, upcall
        set_gate WATCHDOG_VECTOR, watchdog
        call    x2apic_enable
        call    xen_init
        call    place_vcpu_info
        xorl    %edi, %edi
        movl    $UPCALL_VECTOR, %esi
        call    choose_vector
        movl    $VIRQ_TIMER, %edi
        xorl    %esi, %esi
        call    xen_bind_virq
        movl    %eax, port(%rip)
        movl    $WATCHDOG_VECTOR, %edi
        call    timer_init
        call    watch

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
        leaq    count_format(%rip), %rdi
        movq    armed(%rip), %rsi
        movq    handled(%rip), %rdx
        movq    lost(%rip), %rcx
        call    printk
        jmp     xen_power_off

# vcpu_info gets a page of its own, so that it and shared_info can go away one by one.
place_vcpu_info:
        leaq    vcpu_info(%rip), %rax
        shrq    $12, %rax
        movq    %rax, register_info(%rip)
        movl    $VCPUOP_REGISTER_VCPU_INFO, %edi
        xorl    %esi, %esi
        leaq    register_info(%rip), %rdx
        hypercall HYPERVISOR_VCPU_OP
        xen_must
        ret

# Sleeps until SAMPLES ticks have come. How late each was goes to the array at %rbp, in nanoseconds; what arming it took, in cycles, to
# the one behind.
measure:
        xorl    %r12d, %r12d
1:      call    random
        movl    %eax, %ebx
        andl    $SPREAD, %ebx
        addl    $NEAREST, %ebx
        call    now
        addq    %rax, %rbx
        movq    %rbx, timer(%rip)
        movl    $0, answered(%rip)
        movl    $0, overdue(%rip)
        read_tsc
        movq    %rax, %r13
        movl    $VCPUOP_SET_SINGLESHOT_TIMER, %edi
        xorl    %esi, %esi
        leaq    timer(%rip), %rdx
        hypercall HYPERVISOR_VCPU_OP
        xen_must
        read_tsc
        subq    %r13, %rax
        movl    %eax, 4*SAMPLES(%rbp,%r12,4)
        incq    armed(%rip)
2:      cmpl    $0, halts(%rip)
        je      3f
        sti                                     # takes effect after HLT has begun
        hlt
        cli
        jmp     5f
3:      sti
4:      movl    answered(%rip), %eax
        orl     overdue(%rip), %eax
        jz      4b
        cli
5:      cmpl    $0, answered(%rip)
        jne     6f
        cmpl    $0, overdue(%rip)
        je      2b
        incq    lost(%rip)
        jmp     1b
6:      movq    taken(%rip), %rsi
        leaq    vcpu_info+VCPU_TIME(%rip), %rdi
        call    pvclock_at
        subq    %rbx, %rax
        movl    %eax, (%rbp,%r12,4)
        incl    %r12d
        cmpl    $SAMPLES, %r12d
        jb      1b
        ret

# The timer's port is the only one. It is counted before its bit goes away: whoever stops the vCPU in between finds one of both.
upcall:
        push_registers
        read_tsc
        movq    %rax, %rsi
        movb    $0, vcpu_info+UPCALL_PENDING(%rip)
        xorl    %eax, %eax
        xchgq   %rax, vcpu_info+PENDING_SEL(%rip)
        movl    port(%rip), %ecx
        leaq    shared_info(%rip), %rdx
        btq     %rcx, EVTCHN_PENDING(%rdx)
        jnc     1f
        movq    %rsi, taken(%rip)
        incq    handled(%rip)
        movl    $1, answered(%rip)
        lock btrq %rcx, EVTCHN_PENDING(%rdx)
1:      cmpq    $0, own_vector(%rip)
        je      2f
        x2apic_eoi
2:      pop_registers
        iretq

watchdog:
        push_registers
        x2apic_eoi
        call    now
        subq    timer(%rip), %rax
        cmpq    $OVERDUE, %rax
        jl      1f
        movl    $1, overdue(%rip)
1:      call    watch
        pop_registers
        iretq

watch:  read_tsc
        addq    $WATCHDOG, %rax
        movq    %rax, %rdi
        jmp     timer_arm

# System time in nanoseconds -> %rax.
now:
        leaq    vcpu_info+VCPU_TIME(%rip), %rdi
        jmp     pvclock_read

        .data
running_format:
        .asciz  "running: %u ticks, %u ns late on average\n"
halted_format:
        .asciz  "halted: %u ticks, %u ns late on average\n"
count_format:
        .asciz  "%u armed, %u taken, %u lost\n"
        .balign 8
armed:  .quad   0
handled:
        .quad   0
lost:   .quad   0
taken:  .quad   0
timer:                                          # struct vcpu_set_singleshot_timer: time, flags, padding
        .quad   0
        .quad   0
register_info:                                  # struct vcpu_register_vcpu_info: frame, offset, padding
        .quad   0
        .quad   0
port:   .long   0
halts:  .long   0
answered:
        .long   0
overdue:
        .long   0

        .bss
        .balign 4096
vcpu_info:
        .skip   PAGE_SIZE
running:
        .skip   4 * SAMPLES
running_arming:
        .skip   4 * SAMPLES
halted: .skip   4 * SAMPLES
halted_arming:
        .skip   4 * SAMPLES
