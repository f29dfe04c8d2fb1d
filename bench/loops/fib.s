# Fibonacci by recursion: calls, returns, pushes, pops. Result in Xax.
    mov $30, %edi
    call fib
    ret
fib:
    push %Xbx
    mov %edi, %ebx
    cmp $2, %edi
    jb base
    lea -1(%Xbx), %edi
    call fib
    push %Xax
    lea -2(%Xbx), %edi
    call fib
    pop %Xcx
    add %Xcx, %Xax
    pop %Xbx
    ret
base:
    mov %edi, %eax
    pop %Xbx
    ret
