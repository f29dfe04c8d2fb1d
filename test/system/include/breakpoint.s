# Breakpoints (vol. 3, 17.2.4).

        .equ    ON_EXECUTION, 0                 # R/W
        .equ    ON_WRITE, 1
        .equ    ON_PORT, 2
        .equ    ON_ACCESS, 3
        .equ    BYTES_1, 0 << 2                 # LEN
        .equ    BYTES_2, 1 << 2
        .equ    BYTES_4, 3 << 2
        .equ    BYTES_8, 2 << 2
        .equ    DR7_L0, 1
        .equ    DR7_G0, 2
        .equ    DR7_FIRST, 0x400
        .equ    DR7_GD, 1 << 13

# Sets and enables breakpoint `index`, and lets the others be. Needs %rax and %r15.
        .macro breakpoint index, address, fields=ON_EXECUTION, enable=DR7_L0
        leaq    \address, %rax
        movq    %rax, %dr\index
        movq    %dr7, %rax
        movl    $(((\enable) << (2 * \index)) | ((\fields) << (16 + 4 * \index))), %r15d
        orq     %r15, %rax
        movq    %rax, %dr7
        .endm

# IRETQ to an address, with these flags. Needs %rax and %rbx.
        .macro iret_to label, flags
        leaq    \label(%rip), %rax
        movq    %rsp, %rbx
        pushq   $KERNEL_DS
        pushq   %rbx
        pushq   $(\flags)
        pushq   $KERNEL_CS
        pushq   %rax
        iretq
        .endm
