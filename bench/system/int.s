# INT n through an interrupt gate, and IRETQ. Result in RAX: the interrupts handled.
    .include "bench/system/gate.s"
    .equ ROUNDS, 100000
    .equ VECTOR, 0x40
    gate VECTOR
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
