# The single-step trap (vol. 3, 17.3.1.4, unless something else is said).

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
        case    "a step", 1f
        step
1:      nop
        nop
        outcome
        show_event dr6, rflags
        show_handler rflags
        #= #DB at +1, dr6=ffff4ff0, rflags=102, handler rflags=2

        case    "a step in ring 3", 1f
        user
        step
1:      nop
        outcome
        show_event dr6
        #= #DB at +1, ring 3, dr6=ffff4ff0

        case    "a step adds to DR6", 1f        # vol. 3, 17.2.3: the processor never clears BS, BD and BT
        movl    $0xffff2ff0, %eax               # BD
        movq    %rax, %dr6
        step
1:      nop
        outcome
        show_event dr6
        #= #DB at +1, dr6=ffff6ff0

        case    "a step over a jump", 2f
        step
        jmp     2f
        nop
2:      nop
        outcome
        #= #DB

        case    "a step over MOV SS comes one instruction later", 1f # vol. 3, 6.8.3
        movl    $KERNEL_DS, %eax
        step
1:      movl    %eax, %ss                       # 2 bytes
        nop
        nop
        outcome
        #= #DB at +3

        case    "MOV SS and an INT: no step", 1f # vol. 3, 6.8.3 and 6.12.1.2
        movl    $KERNEL_DS, %eax
        step
        movl    %eax, %ss
1:      int     $VECTOR
        outcome
        show_event dr6, rflags
        #= interrupt 41 at +2, dr6=ffff0ff0, rflags=102

        case    "a step over LSS", 1f           # vol. 3, 6.8.3: LSS holds nothing off
        movq    $0, far(%rip)
        movw    $KERNEL_DS, far+4(%rip)
        step
1:      lssl    far(%rip), %eax
2:      nop
        outcome
        #= #DB at +7

        case    "a step over STI", 1f           # vol. 2, STI: only interrupts wait
        step
1:      sti
        nop
        outcome
        show_event rflags
        #= #DB at +1, rflags=302

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

        case    "a step over an iteration of REP", 1f # vol. 3, 17.3.1.4; RF: 17.3.1.1
        leaq    far(%rip), %rsi
        leaq    far(%rip), %rdi
        movl    $3, %ecx
        step
1:      rep movsb
        outcome
        show    rcx
        show_event rflags
        #= #DB, rcx=2, rflags=10102

        case    "a step over the last iteration of REP", 1f # vol. 3, 17.3.1.1
        leaq    far(%rip), %rsi
        leaq    far(%rip), %rdi
        movl    $1, %ecx
        step
1:      rep movsb
        outcome
        show    rcx
        show_event rflags
        #= #DB at +2, rcx=0, rflags=102

        case    "a step over REP OUTSB", 1f
        leaq    text(%rip), %rsi
        movl    $0xe9, %edx
        movl    $2, %ecx
        step
1:      rep outsb
        outcome
        show    rcx
        #= .#DB, rcx=1

        case    "a step over CPUID", 1f
        step
1:      cpuid
        outcome
        #= #DB at +2

        case    "a step over RDMSR", 1f
        movl    $EFER, %ecx
        step
1:      rdmsr
        outcome
        show    rax
        #= #DB at +2, rax=500

        case    "a step over WRMSR", 1f
        movl    $EFER, %ecx
        movl    $EFER_FIRST, %eax
        step
1:      wrmsr
        outcome
        #= #DB at +2

        case    "a step over MOV CR0", 1f
        movq    %cr0, %rax
        step
1:      movq    %rax, %cr0
        outcome
        #= #DB at +3

        case    "a step over IN", 1f
        step
1:      inb     $0xe9, %al
        outcome
        show    rax
        #= #DB at +2, rax=e9

        case    "a step over INVLPG", 1f
        step
1:      invlpg  (%rax)
        outcome
        #= #DB at +3

        case    "a step over REP of nothing", 1f
        step
1:      rep movsb
        outcome
        #= #DB at +2

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

        case    "a step over LGDT", 1f
        step
1:      lgdt    gdt_register(%rip)              # 7 bytes
        outcome
        #= #DB at +7

        case    "a step over LTR", 1f
        movl    $SPARE_TASK, %eax
        step
1:      ltr     %ax
        outcome
        #= #DB at +3

        case    "a step over CLI", 1f
        step
1:      cli
        outcome
        #= #DB at +1

        case    "a step over WBINVD", 1f
        step
1:      wbinvd
        outcome
        #= #DB at +2

        case    "a step over RDTSC", 1f
        step
1:      rdtsc
        outcome
        #= #DB at +2

        case    "a step over SWAPGS", 1f
        step
1:      swapgs
        outcome
        #= #DB at +3

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

        .data
        .balign 16
far:    .quad   0, 0
text:   .ascii  ".."
