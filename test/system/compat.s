# Compatibility mode (vol. 3, 2.2, 5.3.1, 5.8.3.1, 6.14; vol. 2, CALL, RET, IRET, SYSCALL and the like): 32-bit code on tables of
# IA-32e mode, and the ways between it and 64-bit mode.

        .include "test/system/include/case.s"
        .include "test/system/include/legacy.s"

        .equ    STAR_LOW, 0
        .equ    STAR_HIGH, ((CODE32 | 3) << 16) | KERNEL_CS

# Puts a descriptor in the place of a call gate. Needs %rax and %rdx.
        .macro descriptor selector, value
        movabsq $\value, %rax
        movabsq $(KERNEL + GDT + (\selector)), %rdx
        movq    %rax, (%rdx)
        .endm

        .macro es selector
        movl    $(\selector), %eax
        movl    %eax, %es
        .endm

# The far pointer at `far`, in 64-bit code.
        .macro point selector, label=2f
        leaq    \label(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        movq    %rax, far(%rip)
        movw    $(\selector), far+8(%rip)
        .endm

        .text
cases:
        case    "32-bit code is executed"
        compat
        .byte   0x40                            # INC EAX, a REX prefix in 64-bit mode
        movl    %cs, %ebx
        outcome
        show    rax, rbx
        #= ok, rax=1, rbx=8

        case    "in ring 3"
        compat_user
        movl    %cs, %ebx
        movl    %ss, %ecx
        outcome
        show    rbx, rcx
        #= ok, ring 3, rbx=23, rcx=2b

        case    "JMP FAR with 64 bits to 32-bit code"
        point   CODE32
        .byte   0x48
        ljmp    *far(%rip)
        .code32
2:      movl    %cs, %ebx
        outcome
        show    rbx
        #= ok, rbx=8

        case    "JMP FAR with 64 bits beyond 4 GiB", 1f
        point   CODE32
        btsq    $KERNEL_BIT, far(%rip)
1:      .byte   0x48
        ljmp    *far(%rip)
2:      outcome
        #= #GP(0)

        case    "JMP FAR to 64-bit code and back"
        compat
        ljmp    $KERNEL_CS, $2f
        .code64
2:      movl    %cs, %ebx
        movabsq $0x123456789abcdef0, %rcx
        pushq   $CODE32
        pushq   $3f
        lretq
        .code32
3:      movl    %cs, %edx
        outcome
        show    rbx, rcx, rdx
        #= ok, rbx=10, rcx=123456789abcdef0, rdx=8

        case    "CALL FAR to 64-bit code pushes words of 32 bits"
        compat
        lcall   $KERNEL_CS, $2f
3:      jmp     4f
        .code64
2:      movl    (%rsp), %eax
        subl    $3b, %eax
        movl    4(%rsp), %ebx
        lretl
        .code32
4:      outcome
        show    rax, rbx
        #= ok, rax=0, rbx=8

        case    "an interrupt pushes five words of 64 bits" # vol. 3, 6.14.2
        idt_handler 0x40, 2f
        compat
        int     $0x40
        .code64
2:      movq    8(%rsp), %rax
        movq    24(%rsp), %rbx
        movq    32(%rsp), %rcx
        movl    %ss, %edx
        outcome
        show    rax, rbx, rcx, rdx
        #= ok, rsp-28, rax=8, rbx=800000, rcx=18, rdx=18

        case    "an interrupt in ring 3 and back"
        idt_handler 0x40, 2f
        idt_gate 0x40, 0xee
        compat_user
        int     $0x40
        .code32
        movl    %cs, %ecx
        jmp     3f
        .code64
2:      movl    %cs, %ebx
        movl    %ss, %edx
        iretq
        .code32
3:      outcome
        show    rbx, rcx, rdx
        #= ok, ring 3, rbx=10, rcx=23, rdx=0

        case    "IRET pops three words within a privilege level"
        compat
        pushl   $0x246
        pushl   $CODE32
        pushl   $2f
        iretl
2:      outcome
        show_event rflags
        #= ok, rflags=246

        case    "IRET to 64-bit code"
        compat
        pushl   $2
        pushl   $KERNEL_CS
        pushl   $2f
        iretl
        .code64
2:      movl    %cs, %ebx
        outcome
        show    rbx
        #= ok, rbx=10

        case    "IRET to ring 3"
        compat
        pushl   $USER_DS
        pushl   $CASE_STACK
        pushl   $2
        pushl   $USER_CODE32
        pushl   $2f
        iretl
2:      movl    %cs, %ebx
        outcome
        show    rbx
        #= ok, ring 3, rbx=23

        case    "IRET under NT", 1f             # no task to return to
        compat
        pushl   $(RFLAGS_NT | 2)
        popfl
        pushl   $2
        pushl   $CODE32
        pushl   $2f
1:      iretl
2:      outcome
        #= #GP(0), rsp-c

        case    "IRET from 64-bit code onto a 16-bit stack loads SP alone"
        descriptor GATE, 0x000093000000ffff
        pushq   $GATE
        pushq   $0x12345678
        pushq   $2
        pushq   $CODE32
        leaq    2f(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        pushq   %rax
        iretq
        .code32
2:      movl    %esp, %ebx
        movl    $KERNEL_DS, %eax
        movl    %eax, %ss
        movl    $CASE_STACK, %esp
        outcome
        show    rbx
        #= ok, rbx=7f5678

        case    "IRET from 64-bit code to a null stack", 1f
        pushq   $0
        pushq   $CASE_STACK
        pushq   $2
        pushq   $CODE32
        pushq   $0
1:      iretq
        outcome
        #= #GP(0), rsp-28

        case    "a null SS", 1f
        compat
        xorl    %eax, %eax
1:      movl    %eax, %ss
        outcome
        #= #GP(0)

        case    "a read through a null selector", 1f
        compat
        es      0
1:      movb    %es:0x100000, %al
        outcome
        #= #GP(0)

        case    "limits count", 1f
        descriptor GATE, 0x0040931000000fff
        compat
        es      GATE
        movb    %es:0xfff, %al
1:      movb    %es:0x1000, %al
        outcome
        #= #GP(0)

        case    "bases count, and addresses wrap at 4 GiB"
        compat
        es      BASED
        movl    %es:0xfff09000, %eax
        xorl    PML4, %eax
        outcome
        show    rax
        #= ok, rax=0

        case    "FS and GS have 32-bit bases again"
        compat
        movl    $BASED, %eax
        movl    %eax, %fs
        movl    %fs:0x10, %ebx
        xorl    0x100010, %ebx
        outcome
        show    rbx
        #= ok, rbx=0

        case    "a page fault", 1f
        compat
1:      movl    0xe0000000, %eax
        outcome
        #= #PF(0), cr2=e0000000

        case    "SYSCALL", 1f                   # vol. 2, SYSCALL: only in 64-bit mode
        write_msr EFER, EFER_FIRST | EFER_SCE
        compat_user
1:      syscall
        outcome
        #= #UD, ring 3

        case    "SYSRET", 1f
        write_msr EFER, EFER_FIRST | EFER_SCE
        compat
1:      sysret
        outcome
        #= #UD

        case    "SYSRET of 32 bits from 64-bit code"
        write_msr EFER, EFER_FIRST | EFER_SCE
        write_msr 0xc0000081, STAR_LOW, STAR_HIGH
        leaq    2f(%rip), %rcx
        movl    $2, %r11d
        movl    $CASE_STACK, %esp
        sysretl
        .code32
2:      movl    %cs, %ebx
        movl    %ss, %edx
        outcome
        show    rbx, rdx
        #= ok, ring 3, rbx=b, rdx=13

        case    "SYSENTER from ring 3, and SYSEXIT of 32 bits"
        write_msr 0x174, KERNEL_CS
        write_msr 0x175, CASE_STACK, KERNEL >> 32
        leaq    2f(%rip), %rax
        movq    %rax, %rdx
        shrq    $32, %rdx
        movl    $0x176, %ecx
        wrmsr
        compat_user
        sysenter
        .code64
2:      movl    %cs, %ebx
        movq    %rsp, %rsi
        leaq    3f(%rip), %rdx
        movl    $CASE_STACK, %ecx
        sysexitl
        .code32
3:      movl    %cs, %eax
        movl    %ss, %edi
        outcome
        show    rbx, rsi, rax, rdi
        #= ok, ring 3, rbx=10, rsi=8000800000, rax=23, rdi=2b

        case    "a call gate to ring 0, and back" # vol. 3, 5.8.3.1: to 64-bit code
        call_gate GATE, 2f, KERNEL_CS, 0xec
        compat_user
        lcall   $(GATE | 3), $0
        movl    %cs, %ecx
        jmp     3f
        .code64
2:      movq    8(%rsp), %rax
        movq    16(%rsp), %rbx
        movq    24(%rsp), %rdx
        lretq
        .code32
3:      outcome
        show    rax, rbx, rcx, rdx
        #= ok, ring 3, rax=23, rbx=800000, rcx=23, rdx=2b

        case    "a call gate within ring 0 pushes words of 64 bits"
        call_gate GATE, 2f, KERNEL_CS, 0x8c
        compat
        lcall   $GATE, $0
        .code64
2:      movq    8(%rsp), %rax
        outcome
        show    rax
        #= ok, rsp-10, rax=8

        case    "a 16-bit call gate", 1f
        call_gate GATE, 2f, CODE32, 0x84
        compat
1:      lcall   $GATE, $0
2:      outcome
        #= #GP(100)

        case    "JMP FAR to a TSS", 1f
        compat
1:      ljmp    $SPARE_TASK, $0
        outcome
        #= #GP(80)

        case    "LLDT takes 16 bytes"
        compat
        movl    $LOCAL, %eax
        lldt    %ax
        es      LOCAL_DATA
        movl    %es, %ebx
        outcome
        show    rbx
        #= ok, rbx=4

        case    "RET FAR to 64-bit code"
        compat
        pushl   $KERNEL_CS
        pushl   $2f
        lretl
        .code64
2:      movl    %cs, %ebx
        outcome
        show    rbx
        #= ok, rbx=10

        case    "RET FAR from 64-bit code to ring 3"
        pushq   $USER_DS
        pushq   $CASE_STACK
        pushq   $USER_CODE32
        leaq    2f(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        pushq   %rax
        lretq
        .code32
2:      movl    %cs, %ebx
        movl    %esp, %ecx
        outcome
        show    rbx, rcx
        #= ok, ring 3, rbx=23, rcx=800000

        case    "L counts only in IA-32e mode"
        protected
        ljmp    $P_CODE64, $2f
        .code16
2:      movw    $0x1234, %ax
        outcome
        show    rax
        #= ok, rax=1234

        end_cases

        .data
        .balign 16
far:    .quad   0, 0
