# A Multiboot kernel without a file format (the header says where its bytes belong) that prints what it was handed.
#
# boot: multiboot
# memory: 16M
# expect: magic 2badb002
# expect: lower 0000027f
# expect: upper 00003c00
# expect: command *
# expect: modules 00000000
# expect: memory 00000000 00000000 0009fc00 00000000 00000001
# expect: memory 0009fc00 00000000 00000400 00000000 00000002
# expect: memory 000f0000 00000000 00010000 00000000 00000002
# expect: memory 00100000 00000000 00f00000 00000000 00000001
# expect: bss 00000000
# expect: segments 08 10

        .set    MAGIC, 0x1badb002
        .set    PAGE_ALIGNED_MODULES, 1 << 0
        .set    MEMORY_MAP, 1 << 1
        .set    ADDRESSES, 1 << 16
        .set    FLAGS, PAGE_ALIGNED_MODULES | MEMORY_MAP | ADDRESSES

        .code32
        .text
header: .long   MAGIC, FLAGS, -(MAGIC + FLAGS)
        .long   header, header, loaded_end, stack, _start

        .include "guests/boot/print32.s"

        .globl  _start
_start:
        movl    $stack, %esp
        movl    %ebx, %ebp              # the information
        movl    %eax, %edi
        field   magic, %edi
        field   lower, 4(%ebp)
        field   upper, 8(%ebp)

        # Behind the kernel's own name, which is a path for some boot loaders.
        say     command
        movl    16(%ebp), %esi
1:      cmpb    $0, (%esi)
        je      2f
        cmpb    $' ', (%esi)
        je      2f
        incl    %esi
        jmp     1b
2:      call    puts
        call    newline

        field   modules, 20(%ebp)
        movl    20(%ebp), %edi
        movl    24(%ebp), %ebx
1:      testl   %edi, %edi
        jz      2f
        testl   $0xfff, (%ebx)
        jnz     4f
        say     module
        movl    (%ebx), %esi
        movl    4(%ebx), %ecx
        subl    %esi, %ecx
        call    write
        call    newline
        addl    $16, %ebx
        decl    %edi
        jmp     1b

        # The map, whose entries say how long they are.
2:      movl    48(%ebp), %ebx
        movl    44(%ebp), %edi
        addl    %ebx, %edi
3:      cmpl    %edi, %ebx
        jae     5f
        say     memory
        movl    $4, %ecx
        leal    4(%ebx), %esi
1:      lodsl
        call    hex
        movb    $' ', %al
        call    putc
        loop    1b
        lodsl
        call    hex
        call    newline
        addl    (%ebx), %ebx
        addl    $4, %ebx
        jmp     3b

4:      say     unaligned
5:      field   bss, counter
        say     segments
        movw    %cs, %ax
        call    selector
        movb    $' ', %al
        call    putc
        movw    %ss, %ax
        call    selector
        call    newline
        jmp     power_off

# AL in hexadecimal.
selector:
        movb    %al, %ah
        shrb    $4, %al
        addb    $'0', %al
        call    putc
        movb    %ah, %al
        andb    $15, %al
        addb    $'0', %al
        jmp     putc

loaded_end:

        .bss
counter:
        .skip   4
        .skip   4096
stack:
