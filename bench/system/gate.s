# `gate VECTOR`: loads an IDT whose only gate, an interrupt gate, leads to the label handler. Changes RAX and RDI.
    .equ IDT, 0x500000
    .macro gate vector
    lea handler(%rip), %rax
    mov $IDT, %edi
    mov %ax, 16 * \vector(%rdi)
    mov %cs, 16 * \vector + 2(%rdi)
    movw $0x8e00, 16 * \vector + 4(%rdi)
    shr $16, %rax
    mov %rax, 16 * \vector + 6(%rdi)
    movw $0xfff, pointer(%rip)
    mov %rdi, pointer + 2(%rip)
    lidt pointer(%rip)
    .pushsection .data
    .balign 16
pointer:
    .skip 16
    .popsection
    .endm
