# CRC-32, bit by bit, over 512 KiB. Result in RAX.
    mov $0x400000, %esi
    mov $0x80000, %ecx
    xor %ebx, %ebx
init:
    movb %bl, (%rsi,%rbx)
    inc %rbx
    cmp %rcx, %rbx
    jb init
    mov $-1, %eax
byte:
    movzbl (%rsi), %edx
    xor %edx, %eax
    mov $8, %r8d
bit:
    shr $1, %eax
    jnc even
    xor $0xedb88320, %eax
even:
    dec %r8d
    jnz bit
    inc %rsi
    dec %rcx
    jnz byte
    not %eax
    ret
