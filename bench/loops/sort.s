# Quicksort of 100 000 random words of 32 bits, recursive, three times over fresh data. Result in Xax: the median.
    .equ COUNT, 100000
    .equ ARRAY, 0x400000
    mov $0x2545f491, %ebp
    mov $3, %ebx
again:
    mov $ARRAY, %Xdi
    mov $COUNT, %ecx
fill:
    imul $1664525, %ebp, %ebp
    add $1013904223, %ebp
    mov %ebp, (%Xdi)
    add $4, %Xdi
    dec %ecx
    jnz fill
    push %Xbx
    push %Xbp
    mov $ARRAY, %Xdi
    mov $(ARRAY + (COUNT - 1) * 4), %Xsi
    call sort
    pop %Xbp
    pop %Xbx
    dec %ebx
    jnz again
    mov $ARRAY, %Xdi
    mov (COUNT / 2 * 4)(%Xdi), %eax
    ret
# Sorts the words from Xdi to Xsi, both included.
sort:
    cmp %Xsi, %Xdi
    jae done
    mov %Xdi, %Xbx
    mov %Xsi, %Xbp
    lea (%Xdi,%Xsi), %Xax
    shr $1, %Xax
    and $-4, %Xax
    mov (%Xax), %edx
left:
    cmp %edx, (%Xbx)
    jae right
    add $4, %Xbx
    jmp left
right:
    cmp (%Xbp), %edx
    jae meet
    sub $4, %Xbp
    jmp right
meet:
    cmp %Xbp, %Xbx
    ja split
    mov (%Xbx), %eax
    mov (%Xbp), %ecx
    mov %ecx, (%Xbx)
    mov %eax, (%Xbp)
    add $4, %Xbx
    sub $4, %Xbp
    cmp %Xbp, %Xbx
    jbe left
split:
    push %Xbx
    push %Xsi
    mov %Xbp, %Xsi
    call sort
    pop %Xsi
    pop %Xdi
    call sort
done:
    ret
