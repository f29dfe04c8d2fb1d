# UD2, whose handler steps over it, and IRETQ. Result in RAX: the exceptions handled.
    .include "bench/system/gate.s"
    .equ ROUNDS, 100000
    .equ VECTOR, 6
    gate VECTOR
    mov $ROUNDS, %ecx
    xor %eax, %eax
round:
    ud2
    dec %ecx
    jnz round
    ret
    .balign 16
handler:
    inc %eax
    addq $2, (%rsp)
    iretq
