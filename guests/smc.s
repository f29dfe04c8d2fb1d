# Self-modifying code: a store into the instruction stream counts from the next instruction on, wherever it hits.
#
# expect: ahead in the same block: 2
# expect: inside a loop: 5050
# expect: an opcode, not only an operand: 7
# expect: a whole function written at run time: 42
# expect: an instruction across two pages: 9

        .include "asm/start.s"
        .include "asm/console.s"

        .equ    IMMEDIATE, 1                    # offset of the operand in `movl $imm, %reg`
        .equ    OPCODE_INC_EAX, 0xc0ff
        .equ    OPCODE_MOV_EAX, 0xb8
        .equ    OPCODE_RET, 0xc3

        .text
        .globl  _start
_start:
        movl    $2, ahead+IMMEDIATE(%rip)
ahead:  movl    $1, %esi                        # becomes movl $2
        leaq    ahead_format(%rip), %rdi
        call    printk

        xorl    %eax, %eax                      # the sum of 1 to 100, counted in an operand of the loop itself
count:  movl    $1, %ecx
        addl    %ecx, %eax
        incl    count+IMMEDIATE(%rip)
        cmpl    $101, count+IMMEDIATE(%rip)
        jb      count
        movl    %eax, %esi
        leaq    loop_format(%rip), %rdi
        call    printk

        movl    $6, %eax
        movw    $OPCODE_INC_EAX, opcode(%rip)
opcode: decl    %eax                            # becomes incl %eax
        movl    %eax, %esi
        leaq    opcode_format(%rip), %rdi
        call    printk

        movl    $41, %edi
        leaq    written(%rip), %rbx
        call    write_function
        call    *%rbx                           # decoded as returning 41 ...
        movl    $42, %edi
        call    write_function
        call    *%rbx                           # ... and 42 the second time
        movl    %eax, %esi
        leaq    function_format(%rip), %rdi
        call    printk

        leaq    written+PAGE_SIZE-3(%rip), %rbx
        movl    $8, %edi
        call    write_function
        call    *%rbx
        movb    $9, IMMEDIATE(%rbx)             # still on the first page
        movb    $0, 3(%rbx)                     # on the second
        call    *%rbx
        movl    %eax, %esi
        leaq    pages_format(%rip), %rdi
        call    printk
        jmp     power_off

# Writes a function that returns %edi to %rbx.
write_function:
        movb    $OPCODE_MOV_EAX, (%rbx)
        movl    %edi, IMMEDIATE(%rbx)
        movb    $OPCODE_RET, 5(%rbx)
        ret

        .data
ahead_format:
        .asciz  "ahead in the same block: %u\n"
loop_format:
        .asciz  "inside a loop: %u\n"
opcode_format:
        .asciz  "an opcode, not only an operand: %u\n"
function_format:
        .asciz  "a whole function written at run time: %u\n"
pages_format:
        .asciz  "an instruction across two pages: %u\n"

        .bss
        .balign 4096
written:
        .skip   2 * PAGE_SIZE
