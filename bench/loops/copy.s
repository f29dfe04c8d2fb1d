# Copies a mebibyte word by word, fifty times. Result in Xax: the last word.
    mov $0x400000, %Xdi
    mov $(0x100000 / WORD), %Xcx
    xor %eax, %eax
init:
    mov %Xax, (%Xdi)
    add $WORD, %Xdi
    add %Xcx, %Xax
    dec %Xcx
    jnz init
    mov $50, %ebx
round:
    mov $0x400000, %Xsi
    mov $0x600000, %Xdi
    mov $(0x100000 / WORD), %Xcx
word:
    mov (%Xsi), %Xax
    mov %Xax, (%Xdi)
    add $WORD, %Xsi
    add $WORD, %Xdi
    dec %Xcx
    jnz word
    dec %ebx
    jnz round
    mov -WORD(%Xdi), %Xax
    ret
