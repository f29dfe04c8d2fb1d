# Loads and stores of segment registers.

        .include "test/system/include/case.s"

        .macro load register, selector
        movl    $(\selector), %eax
1:      movl    %eax, %\register
        .endm

        .text
cases:
        case    "DS null", 1f                   # vol. 2, MOV
        load    ds, 3
        movl    %ds, %ebx
        outcome
        show    rbx
        #= ok, rbx=3

        case    "DS beyond the GDT", 1f         # vol. 2, MOV
        load    ds, GDT_END | 3
        outcome
        #= #GP(140)

        case    "DS from the LDT while there is none", 1f # vol. 2, MOV
        load    ds, LOCAL_DATA
        outcome
        #= #GP(4)

        case    "DS absent", 1f                 # vol. 2, MOV
        load    ds, DATA_ABSENT
        outcome
        #= #NP(58)

        case    "DS with code that cannot be read", 1f # vol. 2, MOV
        load    ds, EXECUTE_ONLY
        outcome
        #= #GP(68)

        case    "DS with a TSS", 1f             # vol. 2, MOV
        load    ds, TASK
        outcome
        #= #GP(40)

        case    "DS with an RPL above the DPL", 1f # vol. 2, MOV
        load    ds, KERNEL_DS | 3
        outcome
        #= #GP(18)

        case    "DS of ring 0 in ring 3", 1f    # vol. 2, MOV
        user
        load    ds, KERNEL_DS
        outcome
        #= #GP(18), ring 3

        case    "DS with conforming code in ring 3" # vol. 2, MOV: no privilege check
        user
        load    ds, CONFORMING | 3
        outcome
        show_handler ds
        #= ok, ring 3, handler ds=3b

        case    "MOV to CS does not exist"      # vol. 2, MOV
        .byte   0x8e, 0xc8
        outcome
        #= #UD

        case    "segment register 6 does not exist" # vol. 2, MOV
        .byte   0x8e, 0xf0
        outcome
        #= #UD

        case    "segment register 7 cannot be read" # vol. 2, MOV
        .byte   0x8c, 0xf8
        outcome
        #= #UD

        case    "SS null in ring 0"             # vol. 2, MOV: in 64-bit mode, CPL < 3
        load    ss, 0
        outcome
        show_event ss
        #= ok, ss=0

        case    "SS null with another RPL", 1f  # vol. 2, MOV
        load    ss, 1
        outcome
        #= #GP(0)

        case    "SS null in ring 3", 1f         # vol. 2, MOV
        user
        load    ss, 3
        outcome
        #= #GP(0), ring 3

        case    "SS that cannot be written", 1f # vol. 2, MOV
        load    ss, READ_ONLY
        outcome
        #= #GP(60)

        case    "SS with code", 1f              # vol. 2, MOV
        load    ss, KERNEL_CS
        outcome
        #= #GP(10)

        case    "SS of another privilege", 1f   # vol. 2, MOV
        load    ss, USER_DS
        outcome
        #= #GP(28)

        case    "SS absent", 1f                 # vol. 2, MOV
        load    ss, DATA_ABSENT
        outcome
        #= #SS(58)

        case    "a load sets A in memory"       # vol. 3, 3.4.5.1
        load    ds, FRESH_DATA
        movabsq $(KERNEL + GDT + FRESH_DATA + 5), %rbx
        movzbl  (%rbx), %ebx
        outcome
        show    rbx
        #= ok, rbx=93

        case    "64-bit mode ignores the base of DS" # vol. 3, 3.2.4
        load    ds, BASED
        movq    $5, word(%rip)
        movq    %ds:word(%rip), %rbx
        outcome
        show    rbx
        #= ok, rbx=5

        case    "FS has the base of its descriptor" # vol. 3, 3.4.4
        load    fs, BASED
        movl    $0xc0000100, %ecx
        rdmsr
        outcome
        show    rax, rdx
        #= ok, rax=100000, rdx=0

        case    "FS null has base 0"            # vol. 3, 3.4.4
        movl    $0xc0000100, %ecx
        movl    $0x1000, %eax
        movl    $0, %edx
        wrmsr
        load    fs, 0
        movl    $1, %eax
        rdmsr
        outcome
        show    rax
        #= ok, rax=0

        case    "POP FS takes 8 bytes"          # vol. 2, POP
        pushq   $KERNEL_DS
        popq    %fs
        movl    %fs, %eax
        outcome
        show    rax
        #= ok, rax=18

        case    "POP GS that faults leaves RSP", 1f # vol. 2, POP
        pushq   $DATA_ABSENT
1:      popq    %gs
        outcome
        #= #NP(58), rsp-8

        case    "PUSH FS of 16 bits"            # vol. 2, PUSH
        pushw   %fs
        outcome
        #= ok, rsp-2

        case    "LSS loads SS and the register" # vol. 2, LSS
        movq    $0x123456, far(%rip)
        movq    $KERNEL_DS, far+8(%rip)
        .byte   0x48                            # REX.W
        lssl    far(%rip), %eax
        outcome
        show    rax
        #= ok, rax=123456

        case    "LFS that faults leaves the register", 1f # vol. 2, LFS
        movl    $1, far(%rip)
        movq    $DATA_ABSENT, far+4(%rip)
        movl    $7, %ebx
1:      lfsl    far(%rip), %ebx
        outcome
        show    rbx
        #= #NP(58), rbx=7

        case    "LSS of a register does not exist" # vol. 2, LSS
        .byte   0x0f, 0xb2, 0xc0
        outcome
        #= #UD

        end_cases

        .data
        .balign 16
word:   .quad   0
        .balign 16
far:    .quad   0, 0
