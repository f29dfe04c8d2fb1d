# 64-bit call gates (vol. 3, 5.8; vol. 2, CALL and JMP).

        .include "test/system/include/case.s"

        .equ    PRESENT, 0x8c
        .equ    DPL3, 0x60

        .text
cases:
        case    "a call gate from ring 3 to ring 0" # vol. 3, 5.8.5.1: SS becomes null
        call_gate GATE, 2f, KERNEL_CS, PRESENT | DPL3
        user
        movw    $(GATE | 3), far+4(%rip)
        lcall   *far(%rip)
3:
2:      leaq    3b(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        subq    (%rsp), %rax
        movq    8(%rsp), %rbx
        movq    16(%rsp), %rcx
        movq    24(%rsp), %rdx
        movq    %rsp, %rsi
        movl    %ss, %edi
        movabsq $(KERNEL + CASE_STACK), %rsp
        outcome
        show    rax, rbx, rcx, rdx, rsi, rdi
        #= ok, rax=0, rbx=33, rcx=800000, rdx=2b, rsi=800080ffe0, rdi=0

        case    "a call gate and back"
        call_gate GATE, 2f, KERNEL_CS, PRESENT | DPL3
        user
        movw    $(GATE | 3), far+4(%rip)
        lcall   *far(%rip)
        jmp     3f
2:      movl    %cs, %ebx
        lretq
3:      movl    %ss, %ecx
        outcome
        show    rbx, rcx
        #= ok, ring 3, rbx=10, rcx=2b

        case    "a call gate to ring 1 uses RSP1"
        call_gate GATE, 2f, RING1_CS, PRESENT | DPL3
        user
        movw    $(GATE | 3), far+4(%rip)
        lcall   *far(%rip)
2:      movq    %rsp, %rsi
        movl    %ss, %edi
        movabsq $(KERNEL + CASE_STACK), %rsp
        outcome
        show    rsi, rdi
        #= ok, ring 1, rsi=800081ffe0, rdi=1

        case    "a call gate within ring 0"
        call_gate GATE, 2f, KERNEL_CS, PRESENT
        movw    $GATE, far+4(%rip)
        lcall   *far(%rip)
2:      movl    %ss, %edi
        outcome
        show    rdi
        #= ok, rsp-10, rdi=18

        case    "a call gate of DPL 0 in ring 3", 1f
        call_gate GATE, 2f, KERNEL_CS, PRESENT
        user
        movw    $GATE, far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #GP(100), ring 3

        case    "a call gate whose DPL is below the RPL", 1f
        call_gate GATE, 2f, KERNEL_CS, PRESENT
        movw    $(GATE | 3), far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #GP(100)

        case    "a call gate that is absent", 1f
        call_gate GATE, 2f, KERNEL_CS, 0x0c
        movw    $GATE, far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #NP(100)

        case    "a call gate whose upper type is not 0", 1f # vol. 3, 5.8.3.1
        call_gate GATE, 2f, KERNEL_CS, PRESENT
        movl    $0x1c00, 12(%rdx)
        movw    $GATE, far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #GP(100)

        case    "a call gate at the end of the GDT", 1f # half of it lies beyond the limit
        movabsq $(KERNEL + GDT + GDT_END - 8), %rdx
        movabsq $0x00008c0000100000, %rax
        movq    %rax, (%rdx)
        movw    $(GDT_END - 8), far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #GP(138)

        case    "a call gate to a null selector", 1f
        call_gate GATE, 2f, 0, PRESENT
        movw    $GATE, far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #GP(0)

        case    "a call gate to 32-bit code", 1f # vol. 3, 5.8.3.1
        call_gate GATE, 2f, CODE32, PRESENT
        movw    $GATE, far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #GP(8)

        case    "a call gate to code that is absent", 1f
        call_gate GATE, 2f, CODE_ABSENT, PRESENT
        movw    $GATE, far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #NP(50)

        case    "a call gate to less privilege", 1f
        call_gate GATE, 2f, USER_CS, PRESENT
        movw    $GATE, far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #GP(30)

        case    "JMP through a gate to more privilege", 1f
        call_gate GATE, 2f, KERNEL_CS, PRESENT | DPL3
        user
        movw    $(GATE | 3), far+4(%rip)
1:      ljmp    *far(%rip)
2:      outcome
        #= #GP(10), ring 3

        case    "JMP through a gate within ring 0"
        call_gate GATE, 2f, KERNEL_CS, PRESENT
        movw    $GATE, far+4(%rip)
        ljmp    *far(%rip)
        ud2
2:      outcome
        #= ok

        case    "a call gate onto an RSP0 that is not there", 1f
        call_gate GATE, 2f, KERNEL_CS, PRESENT | DPL3
        idt_gate 14, 0x8e, 1
        movabsq $(KERNEL + TSS + TSS_RSP0), %rax
        movabsq $0x7f00000000, %rcx
        movq    %rcx, (%rax)
        user
        movw    $(GATE | 3), far+4(%rip)
1:      lcall   *far(%rip)
2:      outcome
        #= #PF(2), ring 3, cr2=7efffffff8

        case    "a call gate does not align the stack" # vol. 3, 5.8.5.1
        call_gate GATE, 2f, KERNEL_CS, PRESENT | DPL3
        movabsq $(KERNEL + TSS + TSS_RSP0), %rax
        subq    $3, (%rax)
        user
        movw    $(GATE | 3), far+4(%rip)
        lcall   *far(%rip)
2:      movq    %rsp, %rsi
        movabsq $(KERNEL + CASE_STACK), %rsp
        outcome
        show    rsi
        #= ok, rsi=800080ffdd

        end_cases

        .data
        .balign 16
far:    .quad   0, 0
