# INT n through an interrupt gate, and IRETQ. Result in RAX: the interrupts handled.
    .equ ROUNDS, 100000
    .equ IDT, 0x500000
    .equ VECTOR, 0x40
    lea handler(%rip), %rax
    mov $IDT, %edi
    mov %ax, 16 * VECTOR(%rdi)
    mov %cs, 16 * VECTOR + 2(%rdi)
    movw $0x8e00, 16 * VECTOR + 4(%rdi)
    shr $16, %rax
    mov %rax, 16 * VECTOR + 6(%rdi)
    movw $0xfff, pointer(%rip)
    mov %rdi, pointer + 2(%rip)
    lidt pointer(%rip)
    mov $ROUNDS, %ecx
    xor %eax, %eax
round:
    int $VECTOR
    dec %ecx
    jnz round
    ret
    .balign 16
handler:
    inc %eax
    iretq
    .balign 16
pointer:
    .skip 16
