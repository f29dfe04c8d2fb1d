# Far JMP, CALL and RET to code segments in 64-bit mode (vol. 2, JMP, CALL, RET).

        .include "test/system/include/case.s"

# A far pointer at `far`, in user mode's memory or the supervisor's.
        .macro point selector, label=2f
        leaq    \label(%rip), %rax
        movq    %rax, far(%rip)
        movw    $(\selector), far+8(%rip)
        .endm

        .macro jump_far
        .byte   0x48
        ljmp    *far(%rip)
        .endm

        .macro call_far
        .byte   0x48
        lcall   *far(%rip)
        .endm

        .text
cases:
        case    "JMP FAR"
        point KERNEL_CS
        jump_far
        ud2
2:      outcome
        #= ok

        case    "CALL FAR pushes CS and RIP"
        point KERNEL_CS
        call_far
3:
2:      leaq    3b(%rip), %rcx
        subq    (%rsp), %rcx
        movq    8(%rsp), %rdx
        outcome
        show    rcx, rdx
        #= ok, rsp-10, rcx=0, rdx=10

        case    "JMP FAR null", 1f
        point 0
1:      jump_far
2:      outcome
        #= #GP(0)

        case    "JMP FAR beyond the GDT", 1f
        point GDT_END
1:      jump_far
2:      outcome
        #= #GP(140)

        case    "JMP FAR to data", 1f
        point KERNEL_DS
1:      jump_far
2:      outcome
        #= #GP(18)

        case    "JMP FAR to a TSS", 1f          # vol. 3, 7.7: no task switches
        point SPARE_TASK
1:      jump_far
2:      outcome
        #= #GP(80)

        case    "JMP FAR to code that is absent", 1f
        point CODE_ABSENT
1:      jump_far
2:      outcome
        #= #NP(50)

        case    "JMP FAR to code of another privilege", 1f
        point USER_CS
1:      jump_far
2:      outcome
        #= #GP(30)

        case    "JMP FAR with an RPL above the CPL", 1f
        point KERNEL_CS | 3
1:      jump_far
2:      outcome
        #= #GP(10)

        case    "JMP FAR from ring 3 to ring 0", 1f
        user
        point KERNEL_CS
1:      jump_far
2:      outcome
        #= #GP(10), ring 3

        case    "CALL FAR from ring 3 to conforming code"
        user
        point CONFORMING
        call_far
2:      movl    %cs, %ecx
        movq    8(%rsp), %rdx
        outcome
        show    rcx, rdx
        #= ok, ring 3, rsp-10, rcx=3b, rdx=33

        case    "JMP FAR from ring 0 to conforming code of ring 3", 1f
        point USER_CONFORMING
1:      jump_far
2:      outcome
        #= #GP(f8)

        case    "JMP FAR to an offset that is not canonical", 1f
        movabsq $0x800000000000, %rax
        movq    %rax, far(%rip)
        movw    $KERNEL_CS, far+8(%rip)
1:      jump_far
        outcome
        #= #GP(0)

        case    "a far pointer in a register does not exist"
        .byte   0xff, 0xe8
        outcome
        #= #UD

        case    "CALL FAR direct does not exist in 64-bit mode" # vol. 2, CALL
        .byte   0x9a, 0, 0, 0, 0, 0, 0
        outcome
        #= #UD

        case    "RET FAR to ring 0"
        pushq   $KERNEL_CS
        leaq    2f(%rip), %rax
        pushq   %rax
        lretq
2:      outcome
        #= ok

        case    "RET FAR that releases bytes"
        subq    $24, %rsp
        pushq   $KERNEL_CS
        leaq    2f(%rip), %rax
        pushq   %rax
        lretq   $24
2:      outcome
        #= ok

        case    "RET FAR to ring 3"
        movq    %rsp, %rbx
        pushq   $USER_DS
        pushq   %rbx
        pushq   $USER_CS
        leaq    2f(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        pushq   %rax
        lretq
2:      outcome
        show_event ss
        show_handler ds
        #= ok, ring 3, ss=2b, handler ds=0

        case    "RET FAR to ring 3 that releases bytes" # on both stacks
        leaq    -8(%rsp), %rbx
        pushq   $USER_DS
        pushq   %rbx
        pushq   $0
        pushq   $USER_CS
        leaq    2f(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        pushq   %rax
        lretq   $8
2:      outcome
        #= ok, ring 3

        case    "RET FAR to ring 3 with a null SS", 1f
        pushq   $3
        pushq   %rsp
        pushq   $USER_CS
        pushq   $0
1:      lretq
        outcome
        #= #GP(0), rsp-20

        case    "RET FAR to more privilege", 1f
        user
        pushq   $KERNEL_CS
        pushq   $0
1:      lretq
        outcome
        #= #GP(10), ring 3, rsp-10

        case    "RET FAR null", 1f
        pushq   $0
        pushq   $0
1:      lretq
        outcome
        #= #GP(0), rsp-10

        case    "RET FAR to a RIP that is not canonical", 1f
        movabsq $0x800000000000, %rax
        pushq   $KERNEL_CS
        pushq   %rax
1:      lretq
        outcome
        #= #GP(0), rsp-10

        end_cases

        .data
        .balign 16
far:    .quad   0, 0
