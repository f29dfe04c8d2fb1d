# How long an event takes from one vCPU to another through Xen's event channels: from before the sender's EVTCHNOP_send to the first
# instruction of the target's upcall. Half of them find the target running, half of them halted. Every sample stays in memory, for
# `trapline lab xen-evtchn`, which also says by which kind of vector events come; guests/ipilatency.s is the same by x2APIC.
#
# xen: domain
# vcpus: 2
# expect: running target: 300 events, * cycles on average
# expect: halted target: 300 events, * cycles on average
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/xen.s"
        .include "asm/xenevents.s"
        .include "asm/xenvector.s"
        .include "asm/random.s"
        .include "asm/samples.s"
        .include "asm/target.s"

        .equ    UPCALL_VECTOR, 0xf3
        .equ    SAMPLES, 300
        .equ    TARGET, 1

        .text
        .globl  _start
_start:
        movl    %esi, %ebp
        movl    %edi, %ebx
        testl   %ebx, %ebx
        jnz     1f
        call    idt_init
        set_gate UPCALL_VECTOR, upcall
        call    xen_init
        movl    $TARGET, %edi
        movl    $UPCALL_VECTOR, %esi
        call    choose_vector
        movl    $TARGET, %edi
        call    xen_bind_ipi
        movl    %eax, port(%rip)
1:      call    x2apic_enable
        movl    %ebp, %edi
        call    barrier                         # the table is filled, the port is bound
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
        jmp     xen_power_off

# Sends SAMPLES events. What each took to arrive goes to the array at %rbp, what it held up its sender to the one behind.
measure:
        xorl    %r12d, %r12d
1:      call    pause_a_while
        movl    $0, answered(%rip)
        read_tsc
        movq    %rax, %r13
        leaq    port(%rip), %rsi
        call    xen_send
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

# The port is the only one of this vCPU.
upcall:
        push_registers
        read_tsc
        movq    %rax, %rsi
        leaq    shared_info(%rip), %rdi
        movb    $0, TARGET*VCPU_INFO_SIZE+UPCALL_PENDING(%rdi)
        xorl    %eax, %eax
        xchgq   %rax, TARGET*VCPU_INFO_SIZE+PENDING_SEL(%rdi)
        movl    port(%rip), %ecx
        lock btrq %rcx, EVTCHN_PENDING(%rdi)
        jnc     1f
        movq    %rsi, taken(%rip)
        incq    handled(%rip)
1:      cmpq    $0, own_vector(%rip)
        je      2f
        x2apic_eoi
2:      movl    $1, answered(%rip)
        pop_registers
        iretq

        .data
running_format:
        .asciz  "running target: %u events, %u cycles on average\n"
halted_format:
        .asciz  "halted target: %u events, %u cycles on average\n"
        .balign 8
handled:
        .quad   0
taken:  .quad   0
port:   .long   0
answered:
        .long   0

        .bss
        .balign 4
running:
        .skip   4 * SAMPLES
running_sender:
        .skip   4 * SAMPLES
halted: .skip   4 * SAMPLES
halted_sender:
        .skip   4 * SAMPLES
