# Instructions that 64-bit mode does not have, and what real mode does not have.

        .include "test/system/include/case.s"
        .include "test/system/include/legacy.s"

        .equ    CF, 1
        .equ    AF, 0x10
        .equ    SZP, 0xc4
        .equ    SZAPC, SZP | AF | CF

# The flags that the mask leaves, in EBX.
        .macro flags mask
        pushfl
        popl    %ebx
        andl    $(\mask), %ebx
        .endm

# BOUND %eax, limits: keystone has none.
        .macro bounds
        .byte   0x62, 0x05
        .long   limits
        .endm

        .text
cases:
        case    "DAA adds 6 to each digit that left its range" # vol. 2, DAA
        protected
        movb    $0x9a, %al
        daa
        flags   SZAPC
        outcome
        show    rax, rbx
        #= ok, rax=0, rbx=55

        case    "DAA takes AF and CF for digits that carried"
        protected
        movw    $0x1112, %ax
        sahf
        daa
        flags   SZAPC
        outcome
        show    rax, rbx
        #= ok, rax=1178, rbx=15

        case    "DAS borrows from the low digit alone" # vol. 2, DAS
        protected
        movw    $0x1000, %ax
        sahf
        das
        flags   SZAPC
        outcome
        show    rax, rbx
        #= ok, rax=10fa, rbx=95

        case    "AAA carries into AH" # vol. 2, AAA
        protected
        movw    $0x00ff, %ax
        aaa
        flags   CF | AF
        outcome
        show    rax, rbx
        #= ok, rax=205, rbx=11

        case    "AAS borrows from AH" # vol. 2, AAS
        protected
        movw    $0x1005, %ax
        sahf
        movb    $1, %ah
        aas
        flags   CF | AF
        outcome
        show    rax, rbx
        #= ok, rax=ff0f, rbx=11

        case    "AAM divides by its operand" # vol. 2, AAM
        protected
        movw    $0x5563, %ax
        aam
        flags   SZP
        outcome
        show    rax, rbx
        #= ok, rax=909, rbx=4

        case    "AAM 0 is a division by zero", 1f
        protected
        movw    $0x5563, %ax
1:      .byte   0xd4, 0
        outcome
        show    rax
        #= #DE, rax=5563

        case    "AAD multiplies by its operand" # vol. 2, AAD
        protected
        movw    $0x0909, %ax
        aad
        flags   SZP
        outcome
        show    rax, rbx
        #= ok, rax=63, rbx=4

        case    "SALC fills AL with CF" # not in the manual
        protected
        stc
        .byte   0xd6
        movb    %al, %bl
        clc
        .byte   0xd6
        outcome
        show    rax, rbx
        #= ok, rax=0, rbx=ff

        case    "82 is 80" # vol. 2, appendix A.2
        protected
        .byte   0x82, 0xc0, 0x05
        outcome
        show    rax
        #= ok, rax=5

        case    "BOUND lets the limits themselves pass" # vol. 2, BOUND
        protected
        movl    $-3, limits
        movl    $5, limits + 4
        movl    $-3, %eax
        bounds
        movl    $5, %eax
        bounds
        outcome
        #= ok

        case    "BOUND raises #BR below the lower limit", 1f
        protected
        movl    $-3, limits
        movl    $5, limits + 4
        movl    $-4, %eax
1:      bounds
        outcome
        #= #BR

        case    "BOUND of words raises #BR above the upper limit", 1f
        protected
        movl    $0x0005fffd, limits
        movl    $0x12340006, %eax
1:      .byte   0x66
        bounds
        outcome
        #= #BR

        case    "BOUND in real mode"
        real
        movw    %sp, %bx
        subw    $4, %bx
        movw    $-3, %ss:(%bx)
        movw    $5, %ss:2(%bx)
        movw    $-3, %ax
        .byte   0x36, 0x62, 0x07                # bound %ax, %ss:(%bx)
        outcome
        #= ok

        case    "ARPL raises a lower RPL" # vol. 2, ARPL
        protected
        movl    $0x12345671, %eax
        movl    $0xfffb, %ecx
        arpl    %cx, %ax
        flags   0x40
        outcome
        show    rax, rbx
        #= ok, rax=12345673, rbx=40

        case    "ARPL leaves a higher RPL, and clears ZF"
        protected
        movl    $0x12345672, %eax
        movl    $0xfff9, %ecx
        cmpl    %eax, %eax
        arpl    %cx, %ax
        flags   0x40
        outcome
        show    rax, rbx
        #= ok, rax=12345672, rbx=0

        case    "ARPL wants to write, even where nothing changes", 1f
        protected
        movw    $P_READ_ONLY, %dx
        movw    %dx, %ds
        movl    $limits, %ebx
1:      arpl    %cx, (%ebx)
        outcome
        #= #GP(0)

        case    "ARPL is undefined in real mode", 1f
        real
1:      .byte   0x63, 0xc8
        outcome
        #= #UD

        case    "VEX in protected mode" # vol. 2, ANDN
        protected
        movl    $0x0f, %ecx
        movl    $0xff, %edx
        andn    %edx, %ecx, %eax
        outcome
        show    rax
        #= ok, rax=f0

        case    "VEX in real mode is undefined", 1f
        real
1:      .byte   0xc4, 0xe2, 0x70, 0xf2, 0xc2
        outcome
        #= #UD

        .code64
        end_cases

        .data
        .balign 8
limits: .quad   0
