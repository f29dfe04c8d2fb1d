# Printing for guests in 32-bit mode: on the first serial port. Registers are kept but for EAX and ESI; EDX is lost.

        .set    COM1, 0x3f8
        .set    LINE_STATUS, COM1 + 5
        .set    TRANSMITTER_EMPTY, 1 << 6
        .set    POWER, 0x604
        .set    SLEEP_S5, 0x2000

        .text
# AL: a character.
putc:
        movw    $COM1, %dx
        outb    %al, %dx
        ret

# ESI: a string that ends with a zero byte.
puts:
        lodsb
        testb   %al, %al
        jz      1f
        call    putc
        jmp     puts
1:      ret

# ECX bytes at ESI.
write:
        jecxz   1f
        lodsb
        call    putc
        decl    %ecx
        jmp     write
1:      ret

# EAX in hexadecimal, eight digits.
hex:
        pushl   %ecx
        pushl   %ebx
        movl    %eax, %ebx
        movl    $8, %ecx
1:      roll    $4, %ebx
        movl    %ebx, %eax
        andl    $15, %eax
        movb    digits(%eax), %al
        call    putc
        loop    1b
        popl    %ebx
        popl    %ecx
        ret

digits: .ascii  "0123456789abcdef"

newline:
        movb    $'\n', %al
        jmp     putc

# A word and a space. EAX is kept.
        .macro  say word
        pushl   %eax
        movl    $91f, %esi
        call    puts
        popl    %eax
        jmp     92f
91:     .asciz  "\word "
92:
        .endm

# A word, a value in hexadecimal, and the end of the line.
        .macro  field word, value
        movl    \value, %eax
        say     \word
        call    hex
        call    newline
        .endm

power_off:
        movw    $LINE_STATUS, %dx
1:      inb     %dx, %al
        testb   $TRANSMITTER_EMPTY, %al
        jz      1b
        movw    $POWER, %dx
        movw    $SLEEP_S5, %ax
        outw    %ax, %dx
        hlt
