# Addresses that are not canonical (vol. 1, 3.3.7.1), near transfers to them (vol. 2, JMP, CALL, RET), and INVPCID's operands.

        .include "test/system/include/case.s"

        .equ    NOT_CANONICAL, 0x800000000000

        .equ    TABLE, 0x501000                 # its last entry is itself, at each level
        .equ    ALL, 7                          # P, W, U

# Maps the last page below the hole.
        .macro map_last_page
        movabsq $(KERNEL + TABLE + 0xff8), %rax
        movq    $(TABLE | ALL), (%rax)
        movabsq $(KERNEL + PML4 + 0x7f8), %rax
        movq    $(TABLE | ALL), (%rax)
        .endm

        .text
cases:
        case    "a read", 1f
        movabsq $NOT_CANONICAL, %rbx
1:      movl    (%rbx), %eax
        outcome
        #= #GP(0)

        case    "a read through RBP", 1f
        movabsq $NOT_CANONICAL, %rbp
1:      movl    (%rbp), %eax
        outcome
        #= #SS(0)

        case    "a read through RBP as an index", 1f # the base decides
        movabsq $NOT_CANONICAL, %rbp
1:      movl    (%rbx,%rbp), %eax
        outcome
        #= #GP(0)

        case    "a read through FS", 1f
        movl    $0xc0000100, %ecx
        movl    $0xfffff000, %eax
        movl    $0x7fff, %edx
        wrmsr
1:      movl    %fs:0x1000, %eax
        outcome
        #= #GP(0)

        case    "a read that ends beyond", 1f
        map_last_page
        movabsq $(NOT_CANONICAL - 4), %rbx
        movl    (%rbx), %eax
1:      movq    (%rbx), %rax
        outcome
        #= #GP(0)

        case    "a write that ends beyond changes nothing", 1f
        map_last_page
        movabsq $(NOT_CANONICAL - 4), %rbx
        movl    (%rbx), %ecx
        movq    $-1, %rax
1:      movq    %rax, (%rbx)
        outcome
        movl    (%rbx), %edx
        show    rdx                             # the upper half of TABLE's last entry
        #= #GP(0), rdx=0

# The last page is TABLE itself, and its last two bytes are bits 63:48 of an entry: NX and reserved bits must stay clear.

        case    "code that runs into the hole"  # vol. 1, 3.3.7.1
        map_last_page
        movabsq $(NOT_CANONICAL - 2), %rbx
        movw    $0x5090, (%rbx)                 # nop; push %rax
        jmp     *%rbx
        outcome
        #= #GP(0) at =800000000000, rsp-8

        case    "a short jump into the hole"    # vol. 2, Jcc
        map_last_page
        movabsq $(NOT_CANONICAL - 2), %rbx
        movw    $0x1070, (%rbx)                 # jo, 16 bytes on
        pushq   $0x802                          # OF
        popfq
        jmp     *%rbx
        outcome
        #= #GP(0) at =7ffffffffffe

        case    "CALL onto a stack that is not canonical", 1f # vol. 2, CALL
        idt_gate 12, 0x8e, 1
        movabsq $(NOT_CANONICAL + 0x100), %rsp
1:      call    1b
        outcome
        #= #SS(0), rsp=800000000100

        case    "POP from a stack that is not canonical", 1f # vol. 2, POP
        idt_gate 12, 0x8e, 1
        movabsq $(NOT_CANONICAL + 0x100), %rsp
1:      popq    %rax
        outcome
        #= #SS(0), rsp=800000000100

        case    "LEAVE with an RBP that is not canonical", 1f # vol. 2, LEAVE
        movabsq $NOT_CANONICAL, %rbp
1:      leave
        outcome
        #= #SS(0)

        case    "STOSB", 1f                     # vol. 2, STOS: ES, and #GP
        movabsq $NOT_CANONICAL, %rdi
1:      stosb
        outcome
        #= #GP(0)

        case    "DS does not override SS in 64-bit mode", 1f # vol. 1, 3.4.2.1: the prefix is ignored
        movabsq $NOT_CANONICAL, %rbp
1:      .byte   0x3e
        movl    (%rbp), %eax
        outcome
        #= #SS(0)

        case    "SS does not override DS in 64-bit mode", 1f # vol. 1, 3.4.2.1: the prefix is ignored
        movabsq $NOT_CANONICAL, %rbx
1:      .byte   0x36
        movl    (%rbx), %eax
        outcome
        #= #GP(0)

        case    "LEA does not look"
        movabsq $NOT_CANONICAL, %rbx
        leaq    (%rbx), %rax
        outcome
        #= ok

        case    "JMP", 1f
        movabsq $NOT_CANONICAL, %rbx
1:      jmp     *%rbx
        outcome
        #= #GP(0)

        case    "CALL pushes nothing", 1f
        movabsq $NOT_CANONICAL, %rbx
1:      call    *%rbx
        outcome
        #= #GP(0)

        case    "RET pops nothing", 1f
        movabsq $NOT_CANONICAL, %rbx
        pushq   %rbx
1:      ret
        outcome
        #= #GP(0), rsp-8

        case    "INVPCID in ring 3", 1f         # vol. 2, INVPCID
        user
1:      invpcid descriptor(%rip), %rax
        outcome
        #= #GP(0), ring 3

        case    "INVPCID of a register does not exist" # vol. 2, INVPCID
        .byte   0x66, 0x0f, 0x38, 0x82, 0xc0
        outcome
        #= #UD

        case    "INVPCID of type 4", 1f         # vol. 2, INVPCID
        movl    $4, %eax
1:      invpcid descriptor(%rip), %rax
        outcome
        #= #GP(0)

        case    "INVPCID of a PCID without PCIDE", 1f # vol. 2, INVPCID
        movl    $1, %eax
        movq    $5, descriptor(%rip)
1:      invpcid descriptor(%rip), %rax
        outcome
        #= #GP(0)

        case    "INVPCID with reserved bits", 1f # vol. 2, INVPCID
        movl    $2, %eax
        movq    $0x1000, descriptor(%rip)
1:      invpcid descriptor(%rip), %rax
        outcome
        #= #GP(0)

        case    "INVPCID of an address that is not canonical", 1f # vol. 2, INVPCID
        movabsq $NOT_CANONICAL, %rbx
        movq    $0, descriptor(%rip)
        movq    %rbx, descriptor+8(%rip)
1:      invpcid descriptor(%rip), %rax
        outcome
        #= #GP(0)

        case    "INVPCID of everything", 1f     # vol. 2, INVPCID: the address does not count
        movabsq $NOT_CANONICAL, %rbx
        movq    $0, descriptor(%rip)
        movq    %rbx, descriptor+8(%rip)
        movl    $2, %eax
1:      invpcid descriptor(%rip), %rax
        outcome
        #= ok

        end_cases

        .data
        .balign 16
descriptor:
        .quad   0, 0
