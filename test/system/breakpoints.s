# Instruction breakpoints (vol. 3, 17.3.1.1, unless something else is said), and INT1.

        .include "test/system/include/case.s"
        .include "test/system/include/breakpoint.s"

        .equ    VECTOR, 0x41

        .text
cases:
        case    "a breakpoint is a fault, and pushes RF as it is", 1f
        breakpoint 0, 1f(%rip)
        nop
1:      incl    %ecx
        outcome
        show    rcx
        show_event dr6, dr7, rflags
        #= #DB, rcx=0, dr6=ffff0ff1, dr7=401, rflags=2

        case    "the global enable, and the last breakpoint", 1f # vol. 3, 17.2.4
        breakpoint 3, 1f(%rip), ON_EXECUTION, DR7_G0
1:      nop
        outcome
        show_event dr6
        #= #DB, dr6=ffff0ff8

        case    "two breakpoints on one instruction", 1f
        breakpoint 1, 1f(%rip)
        breakpoint 2, 1f(%rip)
1:      nop
        outcome
        show_event dr6
        #= #DB, dr6=ffff0ff6

        case    "B0 to B3 of an earlier #DB are cleared", 1f # vol. 3, 17.2.3
        movl    $0xffff0ffd, %eax
        movq    %rax, %dr6
        breakpoint 1, 1f(%rip)
1:      nop
        outcome
        show_event dr6
        #= #DB, dr6=ffff0ff2

        case    "a breakpoint that is not enabled"
        leaq    1f(%rip), %rax
        movq    %rax, %dr0
1:      nop
        outcome
        #= ok

        case    "a breakpoint within an instruction"
        breakpoint 0, 1f+1(%rip)
1:      movl    $5, %ecx
        outcome
        show    rcx
        #= ok, rcx=5

        case    "a breakpoint is at a linear address" # user mode sees the same page at another one
        breakpoint 0, 1f(%rip)
        user
1:      nop
        outcome
        #= ok, ring 3

        case    "a breakpoint in ring 3", 1f
        leaq    1f(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        movq    %rax, %dr0
        movl    $(DR7_FIRST | DR7_L0), %eax
        movq    %rax, %dr7
        clc
        user
1:      nop
        outcome
        show_event rflags
        #= #DB, ring 3, rflags=2

        case    "IRET loads RF: one instruction runs"
        breakpoint 0, 1f(%rip)
        iret_to 1f, 2 | RFLAGS_RF
1:      incl    %ecx
        outcome
        show    rcx
        #= ok, rcx=1

        case    "RF lasts for one instruction", 1f
        breakpoint 0, 1f(%rip)
        iret_to 1f, 2 | RFLAGS_RF
1:      incl    %ecx
        jmp     1b
        outcome
        show    rcx
        #= #DB, rcx=1

        case    "RF does not hold off the breakpoint behind", 1f
        breakpoint 0, 1f(%rip)
        iret_to 2f, 2 | RFLAGS_RF
2:      nop
1:      nop
        outcome
        #= #DB

        case    "POPF does not load RF", 1f
        breakpoint 0, 1f(%rip)
        pushq   $(2 | RFLAGS_RF)
        popfq
1:      nop
        outcome
        #= #DB

        case    "PUSHF does not store RF"       # vol. 2, PUSHF
        iret_to 1f, 2 | RFLAGS_RF
1:      pushfq
        popq    %rcx
        outcome
        show    rcx
        #= ok, rcx=2

        case    "SYSCALL does not save RF"      # vol. 2, SYSCALL
        write_msr EFER, EFER_FIRST | EFER_SCE
        write_msr 0xc0000081, 0, KERNEL_CS | 0x20 << 16
        write_msr 0xc0000084, 0
        leaq    2f(%rip), %rax
        movq    %rax, %rdx
        shrq    $32, %rdx
        movl    $0xc0000082, %ecx
        wrmsr
        iret_to 1f, 2 | RFLAGS_RF
1:      syscall
2:      nop
        outcome
        show    r11
        show_event rflags
        #= ok, r11=2, rflags=2

        case    "a debugger's handler sets RF: every round meets the breakpoint once"
        idt_handler 1, sets_rf
        breakpoint 0, 1f(%rip)
        movl    $3, %ecx
1:      decl    %ecx
        jnz     1b
        outcome
        show    rcx, r8
        #= ok, rcx=0, r8=3

        case    "a handler that does not set RF meets the breakpoint again"
        idt_handler 1, sets_rf_at_last
        breakpoint 0, 1f(%rip)
1:      incl    %ecx
        outcome
        show    rcx, r8
        #= ok, rcx=1, r8=3

        case    "no breakpoint behind MOV SS"   # vol. 3, 6.8.3: as if RF were 1
        movl    $KERNEL_DS, %ecx
        breakpoint 0, 1f(%rip)
        movl    %ecx, %ss
1:      nop
        outcome
        #= ok

        case    "a breakpoint one instruction behind MOV SS", 1f # vol. 3, 6.8.3
        movl    $KERNEL_DS, %ecx
        breakpoint 0, 1f(%rip)
        movl    %ecx, %ss
        nop
1:      nop
        outcome
        #= #DB

        case    "a breakpoint behind STI", 1f   # vol. 2, STI: only interrupts wait
        breakpoint 0, 1f(%rip)
        sti
1:      nop
        outcome
        show_event rflags
        #= #DB, rflags=202

        case    "a jump into a breakpoint", 1f
        breakpoint 0, 1f(%rip)
        jmp     1f
        nop
1:      nop
        outcome
        #= #DB

        case    "a call into a breakpoint in another page, which was called before", elsewhere
        call    elsewhere
        call    elsewhere
        breakpoint 0, elsewhere(%rip)
        call    elsewhere
        outcome
        show    r9
        #= #DB, rsp-8, r9=2

        case    "a return into a breakpoint", 1f
        breakpoint 0, 1f(%rip)
        call    elsewhere
1:      nop
        outcome
        show    r9
        #= #DB, r9=1

        case    "an IRET into a breakpoint", 1f
        breakpoint 0, 1f(%rip)
        iret_to 1f, 2
1:      nop
        outcome
        #= #DB

        case    "the breakpoint comes before what the instruction raises", 1f # vol. 3, 6.9
        breakpoint 0, 1f(%rip)
1:      ud2
        outcome
        #= #DB

        case    "the breakpoint comes before what fetching the instruction raises", 1f # vol. 3, 6.9
        movl    $0x40000000, %ecx
        breakpoint 0, (%rcx)
1:      jmp     *%rcx
        outcome
        show_event dr6
        #= #DB at =40000000, dr6=ffff0ff1

        case    "a fault pushes RF, which holds off the breakpoint when it runs again", 1f
        breakpoint 0, 1f(%rip)
        iret_to 1f, 2 | RFLAGS_RF
1:      ud2
        outcome
        show_event rflags
        #= #UD, rflags=10002

        case    "a breakpoint on a software interrupt", 1f
        breakpoint 0, 1f(%rip)
1:      int     $VECTOR
        outcome
        #= #DB

        case    "a step into a breakpoint: one #DB tells of both", 1f # as in kvm-unit-tests, x86/debug.c
        breakpoint 0, 1f(%rip)
        iret_to 2f, 2 | RFLAGS_TF
2:      nop
1:      nop
        outcome
        show_event dr6
        #= #DB, dr6=ffff4ff1

        case    "a breakpoint under TF comes before the step", 1f
        breakpoint 0, 1f(%rip)
        iret_to 1f, 2 | RFLAGS_TF
1:      nop
        outcome
        show_event dr6, rflags
        #= #DB, dr6=ffff0ff1, rflags=102

        case    "RF and TF: one step", 1f
        breakpoint 0, 1f(%rip)
        iret_to 1f, 2 | RFLAGS_TF | RFLAGS_RF
1:      nop
        outcome
        show_event dr6, rflags
        #= #DB at +1, dr6=ffff4ff0, rflags=102

        case    "a breakpoint on REP comes before its iterations", 1f
        leaq    bytes(%rip), %rsi
        leaq    bytes(%rip), %rdi
        movl    $3, %ecx
        breakpoint 0, 1f(%rip)
1:      rep movsb
        outcome
        show    rcx
        #= #DB, rcx=3

        case    "RF holds off a breakpoint on REP for all iterations"
        leaq    bytes(%rip), %rsi
        leaq    bytes(%rip), %rdi
        movl    $3, %ecx
        breakpoint 0, 1f(%rip)
        iret_to 1f, 2 | RFLAGS_RF
1:      rep movsb
        outcome
        show    rcx
        #= ok, rcx=0

        case    "steps between iterations: RF holds off the breakpoint on REP"
        idt_handler 1, counts
        leaq    bytes(%rip), %rsi
        leaq    bytes(%rip), %rdi
        movl    $3, %ecx
        breakpoint 0, 1f(%rip)
        iret_to 1f, 2 | RFLAGS_RF | RFLAGS_TF
1:      rep movsb
        outcome
        show    rcx, r8
        #= ok, rcx=0, r8=3

        case    "a breakpoint that is set again from within its page", 1f
        breakpoint 0, 2f(%rip)
        iret_to 2f, 2 | RFLAGS_RF
2:      leaq    1f(%rip), %rax
        movq    %rax, %dr0
        nop
1:      nop
        outcome
        #= #DB

        case    "a breakpoint that is disabled"
        breakpoint 0, 1f(%rip)
        movl    $DR7_FIRST, %eax
        movq    %rax, %dr7
1:      nop
        outcome
        #= ok

        case    "INT1 under TF: no step", 1f    # vol. 3, 17.3.1.4
        iret_to 1f, 2 | RFLAGS_TF
1:      .byte   0xf1
        outcome
        show_event dr6, rflags
        #= #DB at +1, dr6=ffff0ff0, rflags=102

        case    "MOV SS and INT1 under TF: no step", 1f # as in kvm-unit-tests, x86/debug.c
        movl    $KERNEL_DS, %ecx
        iret_to 2f, 2 | RFLAGS_TF
2:      movl    %ecx, %ss
1:      .byte   0xf1
        outcome
        show_event dr6
        #= #DB at +1, dr6=ffff0ff0

        case    "MOV SS holds off no general detection", 1f # as in kvm-unit-tests, x86/debug.c
        movl    $KERNEL_DS, %ecx
        movl    $(DR7_FIRST | DR7_GD), %eax
        movq    %rax, %dr7
        iret_to 2f, 2 | RFLAGS_TF
2:      movl    %ecx, %ss
1:      movq    %dr0, %rax
        outcome
        show_event dr6
        #= #DB, dr6=ffff2ff0

        end_cases

# Handlers of #DB. They count in %r8.
sets_rf:
        orl     $RFLAGS_RF, 16(%rsp)
counts: incl    %r8d
        iretq
sets_rf_at_last:
        incl    %r8d
        cmpl    $3, %r8d
        jb      1f
        orl     $RFLAGS_RF, 16(%rsp)
1:      iretq

        .balign 4096
elsewhere:
        incl    %r9d
        ret
        .balign 4096

        .data
bytes:  .quad   0
