# A PVH kernel's code: prints the start info that it was handed. The note that makes it one is put into an ELF file around it.

        .code32
        .include "guests/boot/print32.s"

        .text
        .globl  _start
_start:
        movl    $stack, %esp
        movl    %ebx, %ebp
        field   magic, (%ebp)
        field   version, 4(%ebp)
        say     command
        movl    24(%ebp), %esi
        call    puts
        call    newline

        field   modules, 12(%ebp)
        movl    12(%ebp), %edi
        movl    16(%ebp), %ebx
1:      testl   %edi, %edi
        jz      2f
        say     module
        movl    (%ebx), %esi
        movl    8(%ebx), %ecx
        call    write
        call    newline
        addl    $32, %ebx
        decl    %edi
        jmp     1b

2:      movl    40(%ebp), %ebx
        movl    48(%ebp), %edi
3:      testl   %edi, %edi
        jz      4f
        say     range
        movl    %ebx, %esi
        movl    $5, %ecx
1:      lodsl
        call    hex
        movb    $' ', %al
        call    putc
        loop    1b
        call    newline
        addl    $24, %ebx
        decl    %edi
        jmp     3b

4:      movl    %cr0, %eax
        say     cr0
        call    hex
        call    newline
        movl    %cr4, %eax
        say     cr4
        call    hex
        call    newline
        strl    %eax
        jmp     power_off

        .balign 16
        .skip   4096
stack:
