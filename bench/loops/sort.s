# Quicksort of 100 000 random words, recursive, three times over fresh data. Result in RAX: the median.
    .equ COUNT, 100000
    .equ ARRAY, 0x400000
    mov $3, %r15d
    mov $0x2545f4914f6cdd1d, %r14
again:
    mov $ARRAY, %edi
    mov $COUNT, %ecx
fill:
    mov %r14, %rax
    shl $13, %rax
    xor %rax, %r14
    mov %r14, %rax
    shr $7, %rax
    xor %rax, %r14
    mov %r14, %rax
    shl $17, %rax
    xor %rax, %r14
    mov %r14d, (%rdi)
    add $4, %rdi
    dec %ecx
    jnz fill
    mov $ARRAY, %edi
    mov $(ARRAY + (COUNT - 1) * 4), %esi
    call sort
    dec %r15d
    jnz again
    mov $ARRAY, %edi
    mov (COUNT / 2 * 4)(%rdi), %eax
    ret
# Sorts the words from RDI to RSI, both included.
sort:
    cmp %rsi, %rdi
    jae done
    mov %rdi, %r8
    mov %rsi, %r9
    lea (%rdi,%rsi), %rax
    shr $1, %rax
    and $-4, %rax
    mov (%rax), %edx
left:
    cmp %edx, (%r8)
    jae right
    add $4, %r8
    jmp left
right:
    cmp (%r9), %edx
    jae meet
    sub $4, %r9
    jmp right
meet:
    cmp %r9, %r8
    ja split
    mov (%r8), %eax
    mov (%r9), %ecx
    mov %ecx, (%r8)
    mov %eax, (%r9)
    add $4, %r8
    sub $4, %r9
    cmp %r9, %r8
    jbe left
split:
    push %r8
    push %rsi
    mov %r9, %rsi
    call sort
    pop %rsi
    pop %rdi
    call sort
done:
    ret
