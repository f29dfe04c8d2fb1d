# What is no instruction, or too long a one (vol. 2, 2.3 and appendix A; vol. 3, 6.15, interrupts 6 and 13).

        .include "test/system/include/case.s"

        .text
cases:
        case    "UD2"
        ud2
        outcome
        #= #UD

        case    "UD1"
        .byte   0x0f, 0xb9, 0xc0
        outcome
        #= #UD

        case    "UD0"
        .byte   0x0f, 0xff, 0xc0
        outcome
        #= #UD

        case    "0F 04"
        .byte   0x0f, 0x04
        outcome
        #= #UD

        case    "PUSH ES"                       # vol. 2, appendix A: invalid in 64-bit mode
        .byte   0x06
        outcome
        #= #UD

        case    "POP DS"
        .byte   0x1f
        outcome
        #= #UD

        case    "DAA"
        .byte   0x27
        outcome
        #= #UD

        case    "AAM"
        .byte   0xd4, 0x0a
        outcome
        #= #UD

        case    "SALC"
        .byte   0xd6
        outcome
        #= #UD

        case    "PUSHA"
        .byte   0x60
        outcome
        #= #UD

        case    "82 as ADD"
        .byte   0x82, 0xc0, 0x01
        outcome
        #= #UD

        case    "JMP FAR direct"
        .byte   0xea, 0, 0, 0, 0, 0, 0
        outcome
        #= #UD

        case    "group 3 of FE"
        .byte   0xfe, 0xd0
        outcome
        #= #UD

        case    "MOV to memory with /1"         # C7 /1
        .byte   0xc7, 0x08, 0, 0, 0, 0
        outcome
        #= #UD

        case    "POP with /1"                   # 8F /1
        .byte   0x8f, 0xc8
        outcome
        #= #UD

        case    "LEA of a register"             # vol. 2, LEA
        .byte   0x8d, 0xc0
        outcome
        #= #UD

        case    "CMPXCHG8B of a register"       # vol. 2, CMPXCHG8B
        .byte   0x0f, 0xc7, 0xc8
        outcome
        #= #UD

        case    "LOCK ADD"                      # vol. 2, LOCK
        lock addl $1, word(%rip)
        outcome
        #= ok

        case    "LOCK with a register"          # vol. 2, LOCK
        .byte   0xf0, 0x01, 0xc0
        outcome
        #= #UD

        case    "LOCK ADD to a register from memory" # vol. 2, LOCK
        .byte   0xf0, 0x03, 0x03
        outcome
        #= #UD

        case    "LOCK CMP"                      # vol. 2, LOCK
        .byte   0xf0, 0x39, 0x03
        outcome
        #= #UD

        case    "LOCK MOV"                      # vol. 2, LOCK
        .byte   0xf0, 0x89, 0x03
        outcome
        #= #UD

        case    "LOCK NOP"                      # vol. 2, LOCK
        .byte   0xf0, 0x90
        outcome
        #= #UD

        case    "LOCK XCHG"                     # vol. 2, LOCK
        lock xchgl %eax, word(%rip)
        outcome
        #= ok

        case    "LOCK BT"                       # vol. 2, LOCK: BT does not write
        .byte   0xf0, 0x0f, 0xa3, 0x03
        outcome
        #= #UD

        case    "LOCK before #PF"               # vol. 3, table 6-2
        movabsq $0x7f00000000, %rbx
1:      .byte   0xf0, 0x39, 0x03
        outcome
        show_event cr2
        #= #UD at +a, cr2=0

        case    "15 bytes"                      # vol. 2, 2.3.11
        .fill   14, 1, 0x66
        nop
        outcome
        #= ok

        case    "16 bytes"                      # vol. 2, 2.3.11
        .fill   15, 1, 0x66
        nop
        outcome
        #= #GP(0)

        case    "a REX prefix that a legacy prefix follows is ignored" # vol. 2, 2.2.1
        movq    $-1, %rax
        movl    $0x1234, %ebx
        .byte   0x48, 0x66, 0x89, 0xd8          # mov %bx, %ax
        outcome
        show    rax
        #= ok, rax=ffffffffffff1234

        case    "REX.W before 66"               # vol. 2, 2.2.1.2
        .byte   0x66, 0x48, 0x89, 0xe0          # mov %rsp, %rax
        subq    %rsp, %rax
        outcome
        show    rax
        #= ok, rax=0

        case    "a 32-bit address is cut off"   # vol. 2, 2.2.1.3 and vol. 1, 3.3.7
        movabsq $0x12340000ffffffff, %rbx
        .byte   0x67, 0x8d, 0x43, 0x02          # lea 2(%ebx), %eax
        outcome
        show    rax
        #= ok, rax=1

        case    "CMPXCHG16B that is not aligned", 1f # vol. 2, CMPXCHG16B
1:      cmpxchg16b word+8(%rip)
        outcome
        #= #GP(0)

        case    "DIV by zero", 1f               # vol. 2, DIV
        movl    $1, %eax
1:      divl    %ecx
        outcome
        #= #DE

        case    "DIV whose quotient is too large", 1f # vol. 2, DIV
        movl    $1, %edx
        movl    $1, %ecx
1:      divl    %ecx
        outcome
        show    rax, rdx
        #= #DE, rax=0, rdx=1

        case    "IDIV of the most negative by -1", 1f # vol. 2, IDIV
        movl    $0x80000000, %eax
        cltd
        movl    $-1, %ecx
1:      idivl   %ecx
        outcome
        #= #DE

        case    "VMXON without VMXE"            # vol. 2, VMXON
        .byte   0xf3, 0x0f, 0xc7, 0x33          # vmxon (%rbx)
        outcome
        #= #UD

        case    "RSM outside of SMM"            # vol. 2, RSM
        rsm
        outcome
        #= #UD

        end_cases

        .data
        .balign 16
word:   .quad   0, 0
