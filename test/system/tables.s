# GDTR, IDTR, LDTR and TR: loads, stores, and UMIP.

        .include "test/system/include/case.s"

        .macro load register, selector
        movl    $(\selector), %eax
1:      movl    %eax, %\register
        .endm

        .text
cases:
        case    "LGDT with a base that is not canonical", 1f # vol. 2, LGDT
1:      lgdt    far_table(%rip)
        outcome
        #= #GP(0)

        case    "LIDT with a base that is not canonical", 1f # vol. 2, LIDT
1:      lidt    far_table(%rip)
        outcome
        #= #GP(0)

        case    "LGDT in ring 3", 1f            # vol. 2, LGDT
        user
1:      lgdt    far_table(%rip)
        outcome
        #= #GP(0), ring 3

        case    "SGDT"                          # vol. 2, SGDT: 10 bytes
        movq    $-1, far+8(%rip)
        sgdt    far(%rip)
        movq    far(%rip), %rax
        movq    far+8(%rip), %rbx
        outcome
        show    rax, rbx
        #= ok, rax=8000400000013f, rbx=ffffffffffff0000

        case    "SIDT ignores the operand size" # vol. 2, SIDT
        movq    $-1, far+8(%rip)
        .byte   0x66
        sidt    far(%rip)
        movq    far(%rip), %rax
        movq    far+8(%rip), %rbx
        outcome
        show    rax, rbx
        #= ok, rax=80004010000fff, rbx=ffffffffffff0000

        case    "SGDT in ring 3"                # vol. 2, SGDT
        user
        sgdt    far(%rip)
        outcome
        #= ok, ring 3

        case    "SGDT in ring 3 under UMIP", 1f # vol. 2, SGDT
        set_cr  cr4, CR4_UMIP
        user
1:      sgdt    far(%rip)
        outcome
        #= #GP(0), ring 3

        case    "STR in ring 3 under UMIP", 1f  # vol. 2, STR
        set_cr  cr4, CR4_UMIP
        user
1:      str     %ax
        outcome
        #= #GP(0), ring 3

        case    "UMIP does not concern ring 0"  # vol. 3, 2.5
        set_cr  cr4, CR4_UMIP
        sldt    %ax
        outcome
        #= ok

        case    "SGDT of a register does not exist" # vol. 2, SGDT
        .byte   0x0f, 0x01, 0xc2                # VMLAUNCH, which is not offered
        outcome
        #= #UD

        case    "LLDT, and what it finds"       # vol. 2, LLDT
        movl    $LOCAL, %eax
        lldt    %ax
        load    ds, LOCAL_DATA
        sldt    %ebx
        outcome
        show    rbx
        show_handler ds
        #= ok, rbx=70, handler ds=4

        case    "beyond the LDT", 1f            # vol. 2, MOV
        movl    $LOCAL, %eax
        lldt    %ax
        load    ds, LOCAL_END
        outcome
        #= #GP(14)

        case    "LLDT null"                     # vol. 2, LLDT
        movl    $3, %eax
        lldt    %ax
        sldt    %ebx
        outcome
        show    rbx
        #= ok, rbx=3

        case    "LLDT of a TSS", 1f             # vol. 2, LLDT
        movl    $SPARE_TASK, %eax
1:      lldt    %ax
        outcome
        #= #GP(80)

        case    "LLDT from an LDT", 1f          # vol. 2, LLDT
        movl    $(LOCAL | 4), %eax
1:      lldt    %ax
        outcome
        #= #GP(74)

        case    "LLDT absent", 1f               # vol. 2, LLDT
        movl    $LOCAL_ABSENT, %eax
1:      lldt    %ax
        outcome
        #= #NP(d8)

        case    "LLDT with a base that is not canonical", 1f # vol. 2, LLDT
        movl    $FAR_LOCAL, %eax
1:      lldt    %ax
        outcome
        #= #GP(e8)

        case    "LLDT in ring 3", 1f            # vol. 2, LLDT
        user
1:      lldt    %ax
        outcome
        #= #GP(0), ring 3

        case    "LTR makes the TSS busy"        # vol. 2, LTR
        movl    $(SPARE_TASK | 3), %eax
        ltr     %ax
        movabsq $(KERNEL + GDT + SPARE_TASK + 5), %rbx
        movzbl  (%rbx), %ebx
        str     %ecx
        outcome
        show    rbx, rcx
        #= ok, rbx=8b, rcx=83

        case    "LTR null", 1f                  # vol. 2, LTR
1:      ltr     %ax
        outcome
        #= #GP(0)

        case    "LTR of a busy TSS", 1f         # vol. 2, LTR
        movl    $TASK, %eax
1:      ltr     %ax
        outcome
        #= #GP(40)

        case    "LTR absent", 1f                # vol. 2, LTR
        movl    $TASK_ABSENT, %eax
1:      ltr     %ax
        outcome
        #= #NP(c8)

        case    "LTR of a 16-bit TSS", 1f       # vol. 2, LTR
        movl    $TSS16, %eax
1:      ltr     %ax
        outcome
        #= #GP(b0)

        case    "LTR in ring 3", 1f             # vol. 2, LTR
        user
1:      ltr     %ax
        outcome
        #= #GP(0), ring 3

        case    "STR of 64 bits zeroes the rest" # vol. 2, STR
        movq    $-1, %rbx
        str     %rbx
        outcome
        show    rbx
        #= ok, rbx=40

        end_cases

        .data
        .balign 16
far_table:
        .word   0xffff
        .quad   0x800000000000
        .balign 16
far:    .quad   0, 0
