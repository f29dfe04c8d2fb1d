# Small kernels: what their handlers set right goes on where it stopped, through several privilege levels and events
# within events. Each case counts what it met.

        .include "test/system/include/case.s"
        .include "test/system/include/window.s"

# What stands between these is not in the way of the case: handlers and the like.
        .macro elsewhere
        .pushsection .text.elsewhere
        .endm
        .macro back
        .popsection
        .endm

        .text
cases:
        case    "demand paging: REP MOVSB goes on after each page fault" # vol. 3, 6.5; vol. 2, REP
        map     0
        idt_handler 14, 5f
        leaq    0x10(%rbx), %rdi
        movl    $PML4, %esi                     # any three pages
        movl    $0x2800, %ecx
        xorl    %r8d, %r8d
        xorl    %r9d, %r9d
        user
        rep movsb
        elsewhere
5:      pushq   %rax                            # a handler that maps what is missing
        pushq   %rdx
        incl    %r8d                            # faults
        movq    16(%rsp), %r9                   # the last error code
        movq    %cr2, %rax
        subq    %rbx, %rax
        shrq    $12, %rax
        movabsq $(KERNEL + WINDOW_PT), %rdx
        leaq    (%rdx,%rax,8), %rdx
        shlq    $12, %rax
        addq    $(PAGE | ALL), %rax
        movq    %rax, (%rdx)
        popq    %rdx
        popq    %rax
        addq    $8, %rsp
        iretq
        back
        outcome
        subq    %rbx, %rdi
        show    r8, r9, rcx, rdi
        #= ok, ring 3, r8=3, r9=6, rcx=0, rdi=2810

        case    "an accessed page is read without a fault, then written with one" # vol. 3, 4.8
        set_cr  cr0, CR0_WP
        map     PAGE | P | U
        idt_handler 14, 5f
        xorl    %r8d, %r8d
        user
        movl    (%rbx), %eax
        movl    $0x1234, (%rbx)
        movl    (%rbx), %eax
        elsewhere
5:      popq    %r8                             # a handler that makes the page writable
        pushq   %rax
        movabsq $(KERNEL + WINDOW_PT), %rax
        orl     $W, (%rax)
        invlpg  (%rbx)
        popq    %rax
        iretq
        back
        outcome
        show    r8, rax
        #= ok, ring 3, r8=7, rax=1234

        case    "the steps of a program are counted" # vol. 3, 17.3.1.4
        idt_handler 1, 5f
        xorl    %r8d, %r8d
        xorl    %eax, %eax
        user
        pushfq
        orl     $RFLAGS_TF, (%rsp)
        popfq
        movl    $3, %ecx                        # 1
2:      incl    %eax                            # 3 times 3
        decl    %ecx
        jnz     2b
        call    3f                              # 1
        pushfq                                  # 1
        andl    $~RFLAGS_TF, (%rsp)             # 1
        popfq                                   # 1
        nop
        elsewhere
3:      ret                                     # 1
5:      incl    %r8d
        iretq
        back
        outcome
        show    r8, rax
        #= ok, ring 3, r8=f, rax=3

        case    "a handler turns stepping off" # vol. 3, 17.3.1.4
        idt_handler 1, 5f
        xorl    %r8d, %r8d
        user
        pushfq
        orl     $RFLAGS_TF, (%rsp)
        popfq
        nop
        nop
        nop
        nop
        elsewhere
5:      incl    %r8d
        cmpl    $2, %r8d
        jne     6f
        andl    $~RFLAGS_TF, 16(%rsp)
6:      iretq
        back
        outcome
        show    r8
        show_event rflags
        #= ok, ring 3, r8=2, rflags=46

        case    "a kernel is not stepped through its system call" # TF as SYSCALL ends
        write_msr EFER, EFER_FIRST | EFER_SCE
        write_msr 0xc0000081, 0, KERNEL_CS | 0x20 << 16 # STAR
        write_msr 0xc0000084, RFLAGS_TF         # FMASK
        leaq    7f(%rip), %rax
        movq    %rax, %rdx
        shrq    $32, %rdx
        movl    $0xc0000082, %ecx               # LSTAR
        wrmsr
        idt_handler 1, 5f
        xorl    %r8d, %r8d
        xorl    %r10d, %r10d
        user
        pushfq
        orl     $RFLAGS_TF, (%rsp)
        popfq
        syscall                                 # 1, at its return
        nop                                     # 2
        syscall                                 # 3
        pushfq                                  # 4
        andl    $~RFLAGS_TF, (%rsp)             # 5
        popfq                                   # 6
        elsewhere
7:      incl    %r10d
        sysretq
5:      incl    %r8d
        testb   $3, 8(%rsp)
        jnz     6f
        incl    %r9d                            # steps in ring 0
6:      iretq
        back
        outcome
        show    r8, r9, r10
        #= ok, ring 3, r8=6, r9=0, r10=2

        case    "#NP, and the segment is brought in" # vol. 3, 6.15, interrupt 11
        idt_handler 11, 5f
        xorl    %r8d, %r8d
        movl    $DATA_ABSENT, %eax
        movl    %eax, %ds
        movl    %ds, %ecx
        elsewhere
5:      popq    %r8
        pushq   %rax
        movabsq $(KERNEL + GDT + DATA_ABSENT), %rax
        orb     $0x80, 5(%rax)
        popq    %rax
        iretq
        back
        outcome
        show    r8, rcx
        #= ok, r8=58, rcx=58

        case    "#DE, and the divisor is set right" # vol. 3, 6.15, interrupt 0
        idt_handler 0, 5f
        movl    $100, %eax
        xorl    %edx, %edx
        user
        divl    %ecx
        elsewhere
5:      movl    $7, %ecx
        iretq
        back
        outcome
        show    rax, rdx
        #= ok, ring 3, rax=e, rdx=2

        case    "a kernel that reads a bad pointer of its user's" # an exception within a system call, and its fix-up
        idt_handler 0x41, 7f
        movabsq $(KERNEL + IDT + 16 * 0x41), %rax
        movb    $0xee, 5(%rax)
        idt_handler 14, 5f
        movabsq $0x7f00000000, %rdi
        xorl    %eax, %eax
        user
        int     $0x41
        movl    %eax, %ebx
        leaq    100f(%rip), %rdi
        int     $0x41
        elsewhere
7:      movl    (%rdi), %eax
        iretq
8:      movl    $-14, %eax                      # -EFAULT
        iretq
5:      popq    %r8
        pushq   %rax
        leaq    8b(%rip), %rax
        movq    %rax, 8(%rsp)
        popq    %rax
        iretq
100:    .long   0x99
        back
        outcome
        show    rax, rbx, r8
        show_event ss
        #= ok, ring 3, rax=99, rbx=fffffff2, r8=0, ss=2b

        case    "a double fault from which a kernel recovers" # vol. 3, 6.15, interrupt 8: on a stack of its own
        idt_handler 8, 5f
        idt_gate 8, 0x8e, 1
        idt_gate 13, 0x0e
        leaq    6f(%rip), %r9
        movl    $GDT_END, %eax
        movl    %eax, %ds
        ud2
        elsewhere
5:      popq    %r8
        movq    %r9, (%rsp)
        iretq
        back
6:      outcome
        show    r8
        #= ok, r8=0

        case    "events on one IST stack overwrite each other's frames" # vol. 3, 6.14.5
        idt_handler 0x41, 5f
        idt_gate 0x41, 0x8e, 1
        xorl    %r8d, %r8d
        xorl    %r9d, %r9d
        int     $0x41
        elsewhere
5:      incl    %r9d
        leaq    -8(%rsp), %r11
        testl   %r8d, %r8d
        jnz     6f
        movq    %rsp, %r8
        int     $0x41
        ud2
6:      movq    %rsp, %r10
        subq    %r8, %r10                       # both frames are at one place
        movq    24(%rsp), %rcx                  # RSP as the second one found it: the first one's
        int     $CASE_END
        ud2
        back
        outcome
        show    r9, r10
        #= ok, rsp=800082ffd8, r9=2, r10=0

        case    "down and up through all rings", 8f # vol. 3, 5.8
        call_gate GATE, 6f, RING1_CS, 0xec
        call_gate GATE + 16, 7f, KERNEL_CS, 0xac
        user
        movw    $(GATE | 3), far+4(%rip)
        lcall   *far(%rip)
        movl    %cs, %eax
        elsewhere
6:      movl    %cs, %ebx
        movw    $(GATE + 16 | 1), far+4(%rip)
        lcall   *far(%rip)
        movl    %cs, %edx
        lretq
7:      movl    %cs, %ecx
8:      lretq
        back
        outcome
        show    rax, rbx, rcx, rdx
        #= ok, ring 3, rax=33, rbx=99, rcx=10, rdx=99

        case    "code that a step's handler changes" # vol. 3, 8.1.3: IRET serialises
        idt_handler 1, 5f
        leaq    6f(%rip), %r9
        xorl    %eax, %eax
        pushfq
        orl     $RFLAGS_TF, (%rsp)
        popfq
        nop
6:      incl    %eax                            # becomes decl %eax
        nop
        elsewhere
5:      movb    $0xc8, 1(%r9)
        andl    $~RFLAGS_TF, 16(%rsp)
        iretq
        back
        outcome
        movb    $0xc0, 1(%r9)
        show    rax
        #= ok, rax=ffffffff

        end_cases

        .data
        .balign 16
far:    .quad   0, 0
