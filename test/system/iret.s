# IRETQ in 64-bit mode (vol. 2, IRET).

        .include "test/system/include/case.s"

# Pushes a frame and returns to label 2: which the case defines. Label 1: is the IRETQ.
        .macro return_to cs, ss, rflags=2
        leaq    2f(%rip), %rax
        movq    %rsp, %rbx
        pushq   $(\ss)
        pushq   %rbx
        pushq   $(\rflags)
        pushq   $(\cs)
        pushq   %rax
1:      iretq
        .endm

# The same, to ring 3 and its addresses.
        .macro return_to_user rflags=2
        leaq    2f(%rip), %rax
        movq    %rsp, %rbx
        btrq    $KERNEL_BIT, %rax
        btrq    $KERNEL_BIT, %rbx
        pushq   $USER_DS
        pushq   %rbx
        pushq   $(\rflags)
        pushq   $USER_CS
        pushq   %rax
1:      iretq
        .endm

        .text
cases:
        case    "a return to the same privilege takes SS and RSP too"
        return_to KERNEL_CS, KERNEL_DS
        ud2
2:      outcome
        show_event cs, ss
        #= ok, cs=10, ss=18

        case    "a null SS in ring 0"
        return_to KERNEL_CS, 0
2:      outcome
        show_event ss
        #= ok, ss=0

        case    "a null SS with another RPL", 1f
        return_to KERNEL_CS, 3
2:      outcome
        #= #GP(0), rsp-28

        case    "a null SS in ring 3", 1f
        return_to USER_CS, 3
2:      outcome
        #= #GP(0), rsp-28

        case    "a null CS", 1f
        return_to 0, KERNEL_DS
2:      outcome
        #= #GP(0), rsp-28

        case    "CS beyond the GDT", 1f
        return_to GDT_END, KERNEL_DS
2:      outcome
        #= #GP(140), rsp-28

        case    "CS with data", 1f
        return_to KERNEL_DS, KERNEL_DS
2:      outcome
        #= #GP(18), rsp-28

        case    "CS absent", 1f
        return_to CODE_ABSENT, KERNEL_DS
2:      outcome
        #= #NP(50), rsp-28

        case    "CS with L and D", 1f
        return_to CODE_L_AND_D, KERNEL_DS
2:      outcome
        #= #GP(a8), rsp-28

        case    "CS whose RPL is not its DPL", 1f
        return_to KERNEL_CS | 3, USER_DS
2:      outcome
        #= #GP(10), rsp-28

        case    "SS whose RPL is not that of CS", 1f
        return_to USER_CS, KERNEL_DS
2:      outcome
        #= #GP(18), rsp-28

        case    "SS absent", 1f
        return_to KERNEL_CS, DATA_ABSENT
2:      outcome
        #= #SS(58), rsp-28

        case    "SS that cannot be written", 1f
        return_to KERNEL_CS, READ_ONLY
2:      outcome
        #= #GP(60), rsp-28

        case    "to more privilege", 1f
        user
        return_to KERNEL_CS, KERNEL_DS
2:      outcome
        #= #GP(10), ring 3, rsp-28

        case    "to ring 3 and conforming code"
        leaq    2f(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        movq    %rsp, %rbx
        pushq   $USER_DS
        pushq   %rbx
        pushq   $2
        pushq   $(CONFORMING | 3)
        pushq   %rax
        iretq
2:      outcome
        show_event cs
        #= ok, ring 3, cs=3b

        case    "to ring 1"
        return_to RING1_CS, RING1_DS
2:      outcome
        show_event cs, ss
        #= ok, ring 1, cs=99, ss=a1

        case    "a null SS in ring 1"
        return_to RING1_CS, 1
2:      outcome
        show_event ss
        #= ok, ring 1, ss=1

        case    "ring 1 is not ring 0", 2f
        return_to RING1_CS, RING1_DS
2:      hlt
        outcome
        #= #GP(0), ring 1

        case    "a RIP that is not canonical", 1f
        movabsq $0x800000000000, %rax
        movq    %rsp, %rbx
        pushq   $KERNEL_DS
        pushq   %rbx
        pushq   $2
        pushq   $KERNEL_CS
        pushq   %rax
1:      iretq
        outcome
        #= #GP(0), rsp-28

        case    "an RSP that is not canonical"
        leaq    2f(%rip), %rax
        movabsq $0x800000000000, %rbx
        pushq   $KERNEL_DS
        pushq   %rbx
        pushq   $2
        pushq   $KERNEL_CS
        pushq   %rax
        iretq
2:      movq    %rsp, %rcx
        movabsq $(KERNEL + CASE_STACK), %rsp
        outcome
        show    rcx
        #= ok, rcx=800000000000

        case    "NT", 1f
        pushq   $(RFLAGS_NT | 2)
        popfq
        return_to KERNEL_CS, KERNEL_DS
2:      outcome
        #= #GP(0), rsp-28

        case    "NT may be loaded"
        return_to KERNEL_CS, KERNEL_DS, RFLAGS_NT | 2
2:      outcome
        show_event rflags
        #= ok, rflags=4002

        case    "flags in ring 0, VM and reserved ones excepted"
        return_to KERNEL_CS, KERNEL_DS, 0x26feff & ~RFLAGS_RF
2:      outcome
        show_event rflags
        #= ok, rflags=247ed7

        case    "flags in ring 3: neither IF nor IOPL"
        user
        leaq    2f(%rip), %rax
        movq    %rsp, %rbx
        pushq   $USER_DS
        pushq   %rbx
        pushq   $0x3202
        pushq   $USER_CS
        pushq   %rax
        iretq
2:      outcome
        show_event rflags
        #= ok, ring 3, rflags=2

        case    "flags of ring 3 come from ring 0"
        return_to_user 0x3202
2:      outcome
        show_event rflags
        #= ok, ring 3, rflags=3202

        case    "data segments of ring 0 become null"
        movl    $USER_DS, %ecx
        movl    %ecx, %es
        movl    $CONFORMING, %ecx
        movl    %ecx, %gs
        return_to_user
2:      outcome
        show_handler ds, es, fs, gs
        #= ok, ring 3, handler ds=0, handler es=2b, handler fs=0, handler gs=38

        case    "IRET of 32 bits"
        leaq    2f(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        subq    $20, %rsp
        movl    %eax, (%rsp)
        movl    $KERNEL_CS, 4(%rsp)
        movl    $2, 8(%rsp)
        movl    $CASE_STACK, 12(%rsp)
        movl    $KERNEL_DS, 16(%rsp)
        iretl
2:      outcome
        show_event rsp
        #= ok, rsp=800000

        case    "marks CS and SS accessed"
        return_to FRESH_CODE, FRESH_DATA
2:      movabsq $(KERNEL + GDT + FRESH_CODE + 5), %rax
        movzbl  (%rax), %eax
        movabsq $(KERNEL + GDT + FRESH_DATA + 5), %rbx
        movzbl  (%rbx), %ebx
        outcome
        show    rax, rbx
        #= ok, rax=9b, rbx=93

        end_cases
