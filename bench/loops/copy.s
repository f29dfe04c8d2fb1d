# Copies a mebibyte word by word, fifty times. Result in RAX: the last word.
    mov $0x400000, %edi
    mov $0x20000, %ecx
    xor %eax, %eax
init:
    mov %rax, (%rdi)
    add $8, %rdi
    add %rcx, %rax
    dec %rcx
    jnz init
    mov $50, %r8d
round:
    mov $0x400000, %esi
    mov $0x600000, %edi
    mov $0x20000, %ecx
word:
    mov (%rsi), %rax
    mov %rax, (%rdi)
    add $8, %rsi
    add $8, %rdi
    dec %rcx
    jnz word
    dec %r8d
    jnz round
    mov -8(%rdi), %rax
    ret
