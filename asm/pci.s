# PCI's configuration space by mechanism 1. A function is known by its address there: PCI_ENABLE | device << 11 | function << 8.

        .equ    PCI_ADDRESS, 0xcf8
        .equ    PCI_DATA, 0xcfc
        .equ    PCI_ENABLE, 1 << 31
        .equ    PCI_FUNCTIONS, 256              # of a bus
        .equ    PCI_COMMAND, 0x04
        .equ    PCI_BAR0, 0x10
        .equ    PCI_CAPABILITIES, 0x34
        .equ    PCI_COMMAND_MEMORY, 1 << 1
        .equ    PCI_COMMAND_MASTER, 1 << 2

        .text

# Returns the four bytes of function %edi at the offset %esi, a multiple of four.
pci_read:
        leal    (%rdi,%rsi), %eax
        movl    $PCI_ADDRESS, %edx
        outl    %eax, %dx
        movl    $PCI_DATA, %edx
        inl     %dx, %eax
        ret

# Writes %ecx there.
pci_write:
        leal    (%rdi,%rsi), %eax
        movl    $PCI_ADDRESS, %edx
        outl    %eax, %dx
        movl    %ecx, %eax
        movl    $PCI_DATA, %edx
        outl    %eax, %dx
        ret

# Returns the first function of bus 0 whose device and vendor numbers are %edi (device << 16 | vendor), or 0.
pci_find:
        movl    %edi, %r8d
        xorl    %r9d, %r9d
        xorl    %esi, %esi
1:      movl    %r9d, %edi
        shll    $8, %edi
        orl     $PCI_ENABLE, %edi
        call    pci_read
        cmpl    %r8d, %eax
        je      2f
        incl    %r9d
        cmpl    $PCI_FUNCTIONS, %r9d
        jb      1b
        xorl    %eax, %eax
        ret
2:      movl    %edi, %eax
        ret

# Returns the offset of the capability with the number %esi of function %edi, or 0.
pci_capability:
        movl    %esi, %r8d
        movl    $PCI_CAPABILITIES, %esi
        call    pci_read
1:      movzbl  %al, %esi
        andl    $0xfc, %esi
        jz      2f
        call    pci_read
        cmpb    %r8b, %al
        je      2f
        shrl    $8, %eax
        jmp     1b
2:      movl    %esi, %eax
        ret
