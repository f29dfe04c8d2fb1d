# The single-step trap and what changes TF or delivers events (vol. 3, 17.3.1.4, unless something else is said).

        .include "test/system/include/case.s"

        .equ    VECTOR, 0x41

# TF from the next instruction's end on.
        .macro step
        pushfq
        orl     $RFLAGS_TF, (%rsp)
        popfq
        .endm

# SYSCALL to label 2:, SYSRET to ring 3.
        .macro enable_syscall mask
        write_msr EFER, EFER_FIRST | EFER_SCE
        write_msr 0xc0000081, 0, KERNEL_CS | 0x20 << 16 # STAR
        write_msr 0xc0000084, \mask            # FMASK
        leaq    2f(%rip), %rax
        movq    %rax, %rdx
        shrq    $32, %rdx
        movl    $0xc0000082, %ecx               # LSTAR
        wrmsr
        .endm

        .text
cases:
        case    "INT n under TF: the handler begins without it", 1f
        step
1:      int     $VECTOR
        outcome
        show_event rflags
        show_handler rflags
        #= interrupt 41 at +2, rflags=102, handler rflags=2

        case    "INT3 under TF", 1f
        step
1:      int3
        outcome
        show_event dr6
        #= #BP at +1, dr6=ffff0ff0

        case    "a fault under TF", 1f          # vol. 3, 6.9
        step
1:      ud2
        outcome
        show_event dr6, rflags
        #= #UD, dr6=ffff0ff0, rflags=10102

        case    "POPF that clears TF still traps", 1f # vol. 3, 17.3.1.4: TF as the instruction began
        pushq   $2
        step
1:      popfq
        nop
        outcome
        show_event rflags
        #= #DB at +1, rflags=2

        case    "IRET that sets TF: after one more instruction", 1f
        leaq    1f(%rip), %rax
        movq    %rsp, %rbx
        pushq   $KERNEL_DS
        pushq   %rbx
        pushq   $(RFLAGS_TF | 2)
        pushq   $KERNEL_CS
        pushq   %rax
        iretq
1:      nop
        nop
        outcome
        #= #DB at +1

        case    "IRET that clears TF still traps", 2f # TF as the instruction began
        leaq    2f(%rip), %rax
        movq    %rsp, %rbx
        pushq   $KERNEL_DS
        pushq   %rbx
        pushq   $2
        pushq   $KERNEL_CS
        pushq   %rax
        step
        iretq
2:      nop
        outcome
        show_event rflags
        #= #DB, rflags=2

        case    "SYSENTER leaves TF and traps", 2f # vol. 2, SYSENTER
        write_msr 0x174, KERNEL_CS
        write_msr 0x175, CASE_STACK, KERNEL >> 32
        leaq    2f(%rip), %rax
        movq    %rax, %rdx
        shrq    $32, %rdx
        movl    $0x176, %ecx
        wrmsr
        user
        step
        sysenter
2:      nop
        outcome
        show_event cs, rflags
        #= #DB, cs=10, rflags=102

        case    "a step over RET FAR to ring 3", 2f
        movq    %rsp, %rbx
        pushq   $USER_DS
        pushq   %rbx
        pushq   $USER_CS
        leaq    2f(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        pushq   %rax
        step
        lretq
2:      nop
        outcome
        #= #DB, ring 3

        case    "SYSCALL that masks TF does not trap", 2f # TF as it ends: kvm-unit-tests, x86/syscall.c
        enable_syscall RFLAGS_TF
        user
        step
        syscall
2:      nop
        outcome
        show    r11
        show_event rflags
        #= ok, r11=102, rflags=2

        case    "SYSCALL that leaves TF traps", 2f # TF as it ends
        enable_syscall 0
        user
        step
        syscall
2:      nop
        outcome
        #= #DB

        case    "SYSRET that sets TF traps", 3f # TF as it ends
        enable_syscall 0
        leaq    3f(%rip), %rcx
        btrq    $KERNEL_BIT, %rcx
        movl    $(RFLAGS_TF | 2), %r11d
        sysretq
3:      nop
2:      nop
        outcome
        show_event rflags
        #= #DB, ring 3, rflags=102

        end_cases
