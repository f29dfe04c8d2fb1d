# Prints one byte by its first instructions and powers off.

        .text
        .globl  _start
_start: movb    $'!', %al
        outb    %al, $0xe9
        movw    $0x604, %dx
        movw    $0x2000, %ax
        outw    %ax, %dx
        hlt
