# INVLPG of a page and a touch of it. Result in RAX: the rounds.
    .equ ROUNDS, 200000
    .equ PAGE, 0x800000
    mov $PAGE, %edi
    xor %eax, %eax
round:
    invlpg (%rdi)
    add %rax, (%rdi)
    inc %eax
    cmp $ROUNDS, %eax
    jb round
    ret
