# The device of --device msix-test: a PCI function that interrupts by one of its MSI-X vectors when it is told to.
# Needs asm/console.s, asm/paging.s, whose tables must be in use, and asm/pci.s.

        .equ    MSIX_TEST_ID, 0x7e571234
        .equ    MSIX_TEST_VECTORS, 8
        .equ    DEVICE, WINDOW + 0x10000        # registers, each of four bytes, and behind them the page of the table
        .equ    DEVICE_VECTORS, DEVICE
        .equ    DEVICE_DOORBELL, DEVICE + 4     # the number of a vector
        .equ    DEVICE_DELAY, DEVICE + 8        # nanoseconds from there to the interrupt
        .equ    DEVICE_REFUSED, DEVICE + 12     # doorbells with the number of no vector
        .equ    MSIX_TABLE, DEVICE + 0x1000
        .equ    MSIX_PENDING, MSIX_TABLE + 0x800
        .equ    MSIX_ENTRY_SIZE, 16
        .equ    MSIX_ENTRY_DATA, 8
        .equ    MSIX_ENTRY_CONTROL, 12
        .equ    MSIX_MASKED, 1 << 0

        .equ    PCI_CAP_MSIX, 0x11
        .equ    MSIX_ENABLE, 1 << 31            # of the capability's first four bytes
        .equ    MSIX_FUNCTION_MASK, 1 << 30

        .text

# Finds the device, maps its pages, lets it write messages, and turns MSI-X on. All vectors are masked as they were.
msixtest_init:
        pushq   %rbx
        movl    $MSIX_TEST_ID, %edi
        call    pci_find
        testl   %eax, %eax
        jz      msixtest_missing
        movl    %eax, %ebx
        movl    %eax, msixtest_function(%rip)
        movl    %ebx, %edi
        movl    $PCI_BAR0, %esi
        call    pci_read
        andl    $-16, %eax
        leaq    KERNEL_PAGE(%rax), %rsi
        movl    $DEVICE, %edi
        call    map_page
        movl    %ebx, %edi
        movl    $(PCI_BAR0 + 4), %esi
        call    pci_read
        andl    $-16, %eax
        leaq    KERNEL_PAGE(%rax), %rsi
        movl    $MSIX_TABLE, %edi
        call    map_page
        movl    %ebx, %edi
        movl    $PCI_COMMAND, %esi
        movl    $(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER), %ecx
        call    pci_write
        movl    $MSIX_ENABLE, %edi
        popq    %rbx
        jmp     msixtest_control

# Sets MSI-X's enable and function mask bits to those of %edi.
msixtest_control:
        pushq   %rdi
        movl    msixtest_function(%rip), %edi
        movl    $PCI_CAP_MSIX, %esi
        call    pci_capability
        testl   %eax, %eax
        jz      msixtest_missing
        movl    msixtest_function(%rip), %edi
        movl    %eax, %esi
        popq    %rcx
        jmp     pci_write

# Has vector %edi write %edx to the address %rsi; whether it is masked stays.
msixtest_message:
        shll    $4, %edi
        movq    %rsi, MSIX_TABLE(%rdi)
        movl    %edx, MSIX_TABLE+MSIX_ENTRY_DATA(%rdi)
        ret

# Masks vector %edi (%esi = MSIX_MASKED) or unmasks it (0).
msixtest_mask:
        shll    $4, %edi
        movl    %esi, MSIX_TABLE+MSIX_ENTRY_CONTROL(%rdi)
        ret

msixtest_missing:
        leaq    msixtest_missing_text(%rip), %rdi
        call    console_puts
        movl    $EXIT_FAILURE, %edi
        jmp     debug_exit

        .data
msixtest_missing_text:
        .asciz  "There is no such device: run with --device msix-test.\n"
        .balign 4
msixtest_function:
        .long   0
