# A hash table with linear probing: 40 000 keys into 65 536 slots, looked up eight times each. Result in RAX: probes.
    .equ SLOTS, 0x10000
    .equ TABLE, 0x400000
    .equ KEYS, 40000
    xor %eax, %eax
    mov $TABLE, %edi
    mov $(SLOTS * 2), %ecx
clear:
    movq $0, (%rdi)
    add $8, %rdi
    dec %ecx
    jnz clear
    mov $9, %r10d
round:
    mov $1, %ebx
    mov $KEYS, %ecx
key:
    mov $0x9e3779b97f4a7c15, %rdx
    imul %rbx, %rdx
    shr $48, %rdx
probe:
    inc %rax
    mov %rdx, %rsi
    shl $4, %rsi
    mov TABLE(%rsi), %r8
    test %r8, %r8
    je insert
    cmp %rbx, %r8
    je found
    inc %edx
    and $(SLOTS - 1), %edx
    jmp probe
insert:
    mov %rbx, TABLE(%rsi)
    mov %rcx, TABLE+8(%rsi)
found:
    add $7, %rbx
    dec %ecx
    jnz key
    dec %r10d
    jnz round
    ret
