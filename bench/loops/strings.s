# Copies and clears as kernels do, by REP MOVS and STOS of bytes and words, 64 KiB at a time. Result in RAX: what is left of it.
    mov $40, %r8d
    mov $0x400000, %edi
    mov $0x1234567, %eax
    mov $0x8000, %ecx
    rep stosq
round:
    mov $0x400000, %esi
    mov $0x600000, %edi
    mov $0x10000, %ecx
    rep movsb
    mov $0x600003, %esi
    mov $0x420000, %edi
    mov $0x2000, %ecx
    rep movsq
    mov $0x600000, %edi
    mov $0x8000, %ecx
    mov %r8d, %eax
    rep stosw
    dec %r8d
    jnz round
    mov 0x420100, %rax
    ret
