# Fibonacci by recursion: calls, returns, pushes, pops. Result in RAX.
    mov $30, %edi
    call fib
    ret
fib:
    push %rbx
    mov %edi, %ebx
    cmp $2, %edi
    jb base
    lea -1(%rbx), %edi
    call fib
    push %rax
    lea -2(%rbx), %edi
    call fib
    pop %rcx
    add %rcx, %rax
    pop %rbx
    ret
base:
    mov %edi, %eax
    pop %rbx
    ret
