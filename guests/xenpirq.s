# Interrupts of a PCI function as PIRQs: each of its MSI-X vectors writes a message that names a PIRQ, which is bound to a port. The
# vectors stay masked, as they were: Xen unmasks PIRQs in the guest's place. Then a line of the board as a PIRQ, which interrupts
# again at each EOI while it is high.
#
# xen: domain
# device: msix-test
# expect: vector 0, PIRQ 255: 1 events, masked 1
# expect: vector 1, PIRQ 254: 1 events, masked 1
# expect: vector 2, PIRQ 253: 1 events, masked 1
# expect: vector 3, PIRQ 252: 1 events, masked 1
# expect: later: 1 events
# expect: line high, PIRQ 16: 1 events
# expect: EOI: 2 events
# expect: line low, EOI: 2 events
# max-cycles: 40M
#
# case: eventfd
# xen-route: pirq=eventfd
#
# case: the hypervisor
# xen-route: pirq=hypervisor
#
# case: a worker
# xen-route: pirq=workqueue
#
# case: userspace
# xen-route: pirq=userspace

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/paging.s"
        .include "asm/pci.s"
        .include "asm/msixtest.s"
        .include "asm/xen.s"
        .include "asm/xenevents.s"

        .equ    UPCALL_VECTOR, 0xf3
        .equ    VECTORS, 4
        .equ    MSI_ADDRESS, 0xfee00000
        .equ    MSI_DEST_SHIFT, 12              # where a PIRQ's number stands; the message's data is 0
        .equ    DELAY, 50000
        .equ    GSI, 20
        .equ    PORT_LINE, 0x2000 + GSI         # of pc-testdev: drives the line

        .text
        .globl  _start
_start:
        call    idt_init
        set_gate UPCALL_VECTOR, upcall
        call    paging_init
        call    xen_init
        leaq    event(%rip), %rax
        movq    %rax, xen_event_handler(%rip)
        movl    $UPCALL_VECTOR, %edi
        call    xen_set_callback_vector
        call    msixtest_init

        xorl    %ebx, %ebx
1:      call    xen_get_free_pirq
        movl    %eax, %r12d
        movl    %ebx, %edi
        movl    %eax, %esi
        shll    $MSI_DEST_SHIFT, %esi
        orl     $MSI_ADDRESS, %esi
        xorl    %edx, %edx
        call    msixtest_message
        movl    %r12d, %edi
        call    xen_bind_pirq
        movl    %eax, %r13d
        movl    %ebx, DEVICE_DOORBELL
        movl    %r13d, %edi
        movl    $1, %esi
        call    await
        movl    %eax, %ecx
        movl    %ebx, %eax
        shll    $4, %eax
        movl    MSIX_TABLE+MSIX_ENTRY_CONTROL(%rax), %r8d
        leaq    format(%rip), %rdi
        movl    %ebx, %esi
        movl    %r12d, %edx
        call    printk
        incl    %ebx
        cmpl    $VECTORS, %ebx
        jb      1b

        movl    $0, events(,%r13,4)
        movl    $DELAY, DEVICE_DELAY
        movl    $(VECTORS - 1), DEVICE_DOORBELL
        movl    %r13d, %edi
        movl    $1, %esi
        call    await
        movl    %eax, %esi
        leaq    later(%rip), %rdi
        call    printk

        movl    $GSI, %edi
        call    xen_map_gsi
        movl    %eax, %r12d
        movl    %eax, %edi
        call    xen_bind_pirq
        movl    %eax, %r13d
        movl    $1, %edi
        call    drive
        movl    %r13d, %edi
        movl    $1, %esi
        call    await
        movl    %eax, %edx
        leaq    high(%rip), %rdi
        movl    %r12d, %esi
        call    printk
        movl    %r12d, %edi
        call    xen_eoi_pirq
        movl    %r13d, %edi
        movl    $2, %esi
        call    await
        movl    %eax, %esi
        leaq    eoi(%rip), %rdi
        call    printk
        xorl    %edi, %edi
        call    drive
        movl    %r12d, %edi
        call    xen_eoi_pirq
        movl    events(,%r13,4), %esi
        leaq    low(%rip), %rdi
        call    printk
        jmp     xen_power_off

# Drives the line to %edi.
drive:
        movl    %edi, %eax
        movl    $PORT_LINE, %edx
        outb    %al, %dx
        ret

# Halts until there have been %esi events of port %edi, and returns how many there have been.
await:
        cli
        movl    events(,%rdi,4), %eax
        cmpl    %esi, %eax
        jae     1f
        sti                                     # takes effect after HLT has begun: no event slips in between
        hlt
        jmp     await
1:      ret

upcall:
        push_registers
        leaq    shared_info(%rip), %rdi
        call    xen_take_events
        pop_registers
        iretq

event:
        incl    events(,%rdi,4)
        ret

        .data
format:
        .asciz  "vector %u, PIRQ %u: %u events, masked %u\n"
later:  .asciz  "later: %u events\n"
high:   .asciz  "line high, PIRQ %u: %u events\n"
eoi:    .asciz  "EOI: %u events\n"
low:    .asciz  "line low, EOI: %u events\n"

        .bss
        .balign 4
events:                                         # of each port
        .skip   64 * 4
