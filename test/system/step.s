# The single-step trap (vol. 3, 17.3.1.4, unless something else is said).

        .include "test/system/include/case.s"

        .equ    VECTOR, 0x41

# TF from the next instruction's end on.
        .macro step
        pushfq
        orl     $RFLAGS_TF, (%rsp)
        popfq
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

        end_cases

        .data
        .balign 16
far:    .quad   0, 0
text:   .ascii  ".."
