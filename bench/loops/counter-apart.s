# The same loop with its counter in another page: what sharing a page costs. Result in RAX: the counter.
    mov $6000000, %ecx
    mov $0x400000, %edi
    movq $0, (%rdi)
    jmp loop
    .balign 64
loop:
    incq (%rdi)
    mov %rcx, %rdx
    and $7, %edx
    add %rdx, %rbx
    dec %ecx
    jnz loop
    mov (%rdi), %rax
    ret
