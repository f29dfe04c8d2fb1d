# Sieve of Eratosthenes over a mebibyte, three times. Result in RAX: the number of primes.
    .equ SIZE, 0x100000
    mov $3, %r10d
again:
    mov $0x400000, %edi
    mov $SIZE, %ecx
fill:
    movb $1, -1(%rdi,%rcx)
    dec %ecx
    jnz fill
    mov $2, %ecx
outer:
    cmpb $0, (%rdi,%rcx)
    je next
    mov %ecx, %eax
    imul %ecx, %eax
    cmp $SIZE, %eax
    jae next
inner:
    movb $0, (%rdi,%rax)
    add %ecx, %eax
    cmp $SIZE, %eax
    jb inner
next:
    inc %ecx
    cmp $1024, %ecx
    jb outer
    mov $2, %ecx
    xor %ebx, %ebx
count:
    movzbl (%rdi,%rcx), %edx
    add %rdx, %rbx
    inc %ecx
    cmp $SIZE, %ecx
    jb count
    dec %r10d
    jnz again
    mov %rbx, %rax
    ret
