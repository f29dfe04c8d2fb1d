# CRC-32, bit by bit, over 512 KiB. Result in Xax.
    mov $0x400000, %Xsi
    mov $0x80000, %Xcx
    xor %ebx, %ebx
init:
    movb %bl, (%Xsi,%Xbx)
    inc %Xbx
    cmp %Xcx, %Xbx
    jb init
    mov $-1, %eax
byte:
    movzbl (%Xsi), %edx
    xor %edx, %eax
    mov $8, %edi
bit:
    shr $1, %eax
    jnc even
    xor $0xedb88320, %eax
even:
    dec %edi
    jnz bit
    inc %Xsi
    dec %Xcx
    jnz byte
    not %eax
    ret
