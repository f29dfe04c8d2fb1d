# A PCI function interrupts by MSI-X: each vector by the message that its entry of the table holds, but not while the vector, or
# the function, is masked. What is kept back shows as a pending bit, and comes when the mask goes.
#
# device: msix-test
# expect: unmasked: 1 interrupts, pending 0
# expect: masked: 0 interrupts, pending 2
# expect: unmasked: 1 interrupts, pending 0
# expect: function masked: 0 interrupts, pending 4
# expect: unmasked: 1 interrupts, pending 0
# expect: later: 1 interrupts, pending 0
# expect: vector 8: 1 refused
# max-cycles: 20M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/paging.s"
        .include "asm/pci.s"
        .include "asm/msixtest.s"

        .equ    FIRST_VECTOR, 0x40              # of the interrupts: that of vector 0
        .equ    MSI_ADDRESS, 0xfee00000         # to APIC 0
        .equ    DELAY, 50000

        .macro ring vector
        movl    $\vector, DEVICE_DOORBELL
        .endm

        .macro tell what
        leaq    \what(%rip), %rdi
        call    report
        .endm

        .text
        .globl  _start
_start:
        call    x2apic_enable
        call    idt_init
        set_gate FIRST_VECTOR, interrupt
        set_gate (FIRST_VECTOR + 1), interrupt
        set_gate (FIRST_VECTOR + 2), interrupt
        call    paging_init
        call    msixtest_init
        xorl    %ebx, %ebx
1:      movl    %ebx, %edi
        movl    $MSI_ADDRESS, %esi
        leal    FIRST_VECTOR(%rbx), %edx
        call    msixtest_message
        incl    %ebx
        cmpl    $3, %ebx
        jb      1b

        xorl    %edi, %edi
        xorl    %esi, %esi
        call    msixtest_mask
        ring    0
        tell    unmasked

        ring    1
        tell    masked
        movl    $1, %edi
        xorl    %esi, %esi
        call    msixtest_mask
        tell    unmasked

        movl    $2, %edi
        xorl    %esi, %esi
        call    msixtest_mask
        movl    $(MSIX_ENABLE | MSIX_FUNCTION_MASK), %edi
        call    msixtest_control
        ring    2
        tell    function
        movl    $MSIX_ENABLE, %edi
        call    msixtest_control
        tell    unmasked

        movl    $DELAY, DEVICE_DELAY
        ring    0
1:      cli
        cmpl    $0, interrupts(%rip)
        jne     2f
        sti
        hlt
        jmp     1b
2:      tell    later

        ring    MSIX_TEST_VECTORS
        leaq    refused(%rip), %rdi
        movl    $MSIX_TEST_VECTORS, %esi
        movl    DEVICE_REFUSED, %edx
        call    printk
        jmp     power_off

# Takes the interrupts that wait, and prints %rdi, how many there were since it was called last, and the pending bits.
report:
        sti
        nop
        cli
        movq    %rdi, %rsi
        leaq    format(%rip), %rdi
        xorl    %edx, %edx
        xchgl   interrupts(%rip), %edx
        movq    MSIX_PENDING, %rcx
        jmp     printk

interrupt:
        push_registers
        incl    interrupts(%rip)
        x2apic_eoi
        pop_registers
        iretq

        .data
unmasked:
        .asciz  "unmasked"
masked: .asciz  "masked"
function:
        .asciz  "function masked"
later:  .asciz  "later"
format: .asciz  "%s: %u interrupts, pending %x\n"
refused:
        .asciz  "vector %u: %u refused\n"
        .balign 4
interrupts:
        .long   0
