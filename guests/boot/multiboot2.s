# A Multiboot 2 kernel without a file format that prints the tags it was handed.
#
# boot: multiboot2
# memory: 16M
# expect: magic 36d76289
# expect: tag 00000001 00000009
# expect: tag 00000002 00000011
# expect: loader trapline
# expect: tag 00000004 00000010
# expect: memory 0000027f 00003c00
# expect: tag 00000006 00000070
# expect: range 00000000 00000000 0009fc00 00000000 00000001
# expect: range 0009fc00 00000000 00000400 00000000 00000002
# expect: range 000f0000 00000000 00010000 00000000 00000002
# expect: range 00100000 00000000 00f00000 00000000 00000001
# expect: tag 00000008 00000020
# expect: tag 0000000e 0000001c
# expect: tag 0000000f 0000002c
# expect: tag 00000015 0000000c
# expect: base 00100000
# expect: end 00000000

        .set    MAGIC, 0xe85250d6
        .set    I386, 0

        .code32
        .text
header: .long   MAGIC, I386, header_end - header, -(MAGIC + I386 + header_end - header)
        .balign 8                       # information request: command line, memory, map
        .word   1, 0
        .long   20, 1, 4, 6
        .balign 8                       # addresses
        .word   2, 0
        .long   24, header, header, loaded_end, stack
        .balign 8                       # entry
        .word   3, 0
        .long   12, _start
        .balign 8                       # console: required, and text will do
        .word   4, 0
        .long   12, 3
        .balign 8                       # modules are aligned
        .word   6, 0
        .long   8
        .balign 8                       # a tag that nobody knows, which is optional
        .word   99, 1
        .long   8
        .balign 8
        .word   0, 0
        .long   8
header_end:

        .include "guests/boot/print32.s"

        .globl  _start
_start:
        movl    $stack, %esp
        movl    %eax, %edi
        leal    8(%ebx), %ebp           # the first tag
        field   magic, %edi

next:   cmpl    $0, (%ebp)
        je      end
        say     tag
        movl    (%ebp), %eax
        call    hex
        call    space
        movl    4(%ebp), %eax
        call    hex
        call    newline
        movl    (%ebp), %eax
        cmpl    $2, %eax
        je      loader
        cmpl    $3, %eax
        je      module
        cmpl    $4, %eax
        je      memory
        cmpl    $6, %eax
        je      map
        cmpl    $21, %eax
        je      base
advance:
        movl    4(%ebp), %eax
        addl    $7, %eax
        andl    $~7, %eax
        addl    %eax, %ebp
        jmp     next

loader: say     loader
        leal    8(%ebp), %esi
        call    puts
        call    newline
        jmp     advance

module: say     module
        leal    16(%ebp), %esi
        call    puts
        call    space
        movl    8(%ebp), %esi
        movl    12(%ebp), %ecx
        subl    %esi, %ecx
        call    write
        call    newline
        jmp     advance

memory: say     memory
        movl    8(%ebp), %eax
        call    hex
        call    space
        movl    12(%ebp), %eax
        call    hex
        call    newline
        jmp     advance

map:    movl    4(%ebp), %edi
        addl    %ebp, %edi              # the end of the tag
        leal    16(%ebp), %ebx
1:      cmpl    %edi, %ebx
        jae     advance
        say     range
        movl    $4, %ecx
        movl    %ebx, %esi
2:      lodsl
        call    hex
        call    space
        loop    2b
        lodsl
        call    hex
        call    newline
        addl    8(%ebp), %ebx           # as the tag says
        jmp     1b

base:   field   base, 8(%ebp)
        jmp     advance

end:    field   end, (%ebp)
        jmp     power_off

space:  movb    $' ', %al
        jmp     putc
loaded_end:

        .bss
        .skip   4096
stack:
