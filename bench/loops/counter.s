# A loop whose counter lies in the page of its code, in a line of its own. Result in RAX: the counter.
    mov $6000000, %ecx
    movq $0, counter(%rip)
    jmp loop
    .balign 64
counter:
    .quad 0
    .balign 64
loop:
    incq counter(%rip)
    mov %rcx, %rdx
    and $7, %edx
    add %rdx, %rbx
    dec %ecx
    jnz loop
    mov counter(%rip), %rax
    ret
