# How long an interrupt of a device takes as a PIRQ: from the device's interrupt to the first instruction of the upcall. Half of them
# find the vCPU running, half of them halted. The guest rings the device's doorbell itself, and so sees the way to the device too; or
# `trapline lab xen-evtchn` has the device interrupt at chance moments, says when, and reads the samples.
#
# xen: domain
# device: msix-test
# expect: running: 300 interrupts, * cycles on average
# expect: halted: 300 interrupts, * cycles on average
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/paging.s"
        .include "asm/x2apic.s"
        .include "asm/pci.s"
        .include "asm/msixtest.s"
        .include "asm/xen.s"
        .include "asm/xenevents.s"
        .include "asm/xenvector.s"
        .include "asm/samples.s"

        .equ    UPCALL_VECTOR, 0xf3
        .equ    SAMPLES, 300
        .equ    MSI_ADDRESS, 0xfee00000
        .equ    MSI_DEST_SHIFT, 12              # where a PIRQ's number stands; the message's data is 0
        .equ    DELAY, 10000                    # nanoseconds
        .equ    DELAY_CYCLES, DELAY * 5 / 2

        .text
        .globl  _start
_start:
        call    idt_init
        set_gate UPCALL_VECTOR, upcall
        call    paging_init
        call    x2apic_enable
        call    xen_init
        xorl    %edi, %edi
        movl    $UPCALL_VECTOR, %esi
        call    choose_vector
        call    xen_get_free_pirq
        movl    %eax, %ebx
        movl    %eax, %edi
        call    xen_bind_pirq
        movl    %eax, port(%rip)
        call    msixtest_init
        movl    $DELAY, DEVICE_DELAY
        xorl    %edi, %edi
        movl    %ebx, %esi
        shll    $MSI_DEST_SHIFT, %esi
        orl     $MSI_ADDRESS, %esi
        xorl    %edx, %edx
        call    msixtest_message                # from here on the device may interrupt

        movl    $SAMPLES, %ebp
        call    measure
        movl    $1, halts(%rip)
        movl    $2*SAMPLES, %ebp
        call    measure

        leaq    running(%rip), %rdi
        leaq    running_format(%rip), %rsi
        call    samples_report
        leaq    halted(%rip), %rdi
        leaq    halted_format(%rip), %rsi
        call    samples_report
        jmp     xen_power_off

# Waits until %ebp interrupts have come.
measure:
        movq    handled(%rip), %r12
        cmpq    $0, rings(%rip)
        je      2f
        read_tsc
        addq    $DELAY_CYCLES, %rax
        movq    %rax, sent(%rip)
        movl    $0, DEVICE_DOORBELL
2:      cmpl    $0, halts(%rip)
        je      3f
        cli
        cmpq    %r12, handled(%rip)
        jne     4f
        sti                                     # takes effect after HLT has begun
        hlt
        jmp     2b
3:      sti
        cmpq    %r12, handled(%rip)
        je      3b
        cli
4:      cmpl    %ebp, handled(%rip)
        jb      measure
        ret

# The port is the only one.
upcall:
        push_registers
        read_tsc
        leaq    shared_info(%rip), %rdi
        movb    $0, UPCALL_PENDING(%rdi)
        xorl    %edx, %edx
        xchgq   %rdx, PENDING_SEL(%rdi)
        movl    port(%rip), %ecx
        lock btrq %rcx, EVTCHN_PENDING(%rdi)
        jnc     1f
        subq    sent(%rip), %rax
        movq    handled(%rip), %rcx
        leaq    running(%rip), %rdx             # those of the halted one lie behind
        movl    %eax, (%rdx,%rcx,4)
        incq    handled(%rip)
1:      cmpq    $0, own_vector(%rip)
        je      2f
        x2apic_eoi
2:      pop_registers
        iretq

        .data
running_format:
        .asciz  "running: %u interrupts, %u cycles on average\n"
halted_format:
        .asciz  "halted: %u interrupts, %u cycles on average\n"
        .balign 8
rings:  .quad   1                               # told by the lab: 0, as it has the device interrupt
sent:   .quad   0                               # told by the lab then: the TSC at which the device interrupted
handled:
        .quad   0
port:   .long   0
halts:  .long   0

        .bss
        .balign 4
running:
        .skip   4 * SAMPLES
halted: .skip   4 * SAMPLES
