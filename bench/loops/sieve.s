# Sieve of Eratosthenes over a mebibyte, three times. Result in Xax: the number of primes.
    .equ SIZE, 0x100000
    mov $3, %Xbp
again:
    mov $0x400000, %Xdi
    mov $SIZE, %Xcx
fill:
    movb $1, -1(%Xdi,%Xcx)
    dec %ecx
    jnz fill
    mov $2, %Xcx
outer:
    cmpb $0, (%Xdi,%Xcx)
    je next
    mov %ecx, %eax
    imul %ecx, %eax
    cmp $SIZE, %eax
    jae next
inner:
    movb $0, (%Xdi,%Xax)
    add %ecx, %eax
    cmp $SIZE, %eax
    jb inner
next:
    inc %ecx
    cmp $1024, %ecx
    jb outer
    mov $2, %Xcx
    xor %ebx, %ebx
count:
    movzbl (%Xdi,%Xcx), %edx
    add %Xdx, %Xbx
    inc %ecx
    cmp $SIZE, %ecx
    jb count
    dec %ebp
    jnz again
    mov %Xbx, %Xax
    ret
