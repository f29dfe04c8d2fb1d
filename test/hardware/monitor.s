# What oracle.c does, without a kernel: a guest that runs cases in ring 3 of whatever machine it is given to, in 16- and 32-bit code with an LDT, and
# tells what they did. monitor.ts makes the memory it runs in, and reads what it tells; cases are laid out as in native.ts.

        .equ    KERNEL, 0x8000000000            # all physical memory, for the supervisor
        .equ    ALIAS, 0x10000000000            # 512 GiB that are one page
        .equ    ALIAS_FRAME, 0x800
        .equ    PD_LOW, 0x3000
        .equ    STACK_END, 0x14000
        .equ    CASES, 0x200000                 # their number, then the cases

        .equ    CODE, 0x20000000
        .equ    DATA, 0x30000000
        .equ    DATA_SIZE, 0x2000
        .equ    WINDOW, 0x30000f80
        .equ    WINDOW_SIZE, 256

        .equ    CASE_LENGTH, 128
        .equ    CASE_STEP, 129
        .equ    CASE_OFFSET, 132
        .equ    CASE_GPR, 136
        .equ    CASE_RFLAGS, 264
        .equ    CASE_RIP, 272
        .equ    CASE_SELECTORS, 280             # ES CS SS DS FS GS
        .equ    CASE_WINDOW, 296
        .equ    CASE_SIZE, CASE_WINDOW + WINDOW_SIZE

        .equ    RESULT_SELECTORS, 32            # behind eight registers
        .equ    RESULT_VECTOR, 44
        .equ    RESULT_STRAY, 45
        .equ    RESULT_ERROR, 46
        .equ    RESULT_RIP, 48
        .equ    RESULT_RFLAGS, 56
        .equ    RESULT_CR2, 60
        .equ    RESULT_FS_BASE, 64
        .equ    RESULT_GS_BASE, 68
        .equ    RESULT_SIZE, 72                 # without the window

        .equ    LOCAL, 0x50
        .equ    TF, 0x100
        .equ    IF, 0x200
        .equ    BREAKPOINT, 3
        .equ    PAGE_FAULT, 14
        .equ    XCR0, 7                         # x87, SSE, AVX: VEX is #UD without
        .equ    FS_BASE, 0xc0000100
        .equ    GS_BASE, 0xc0000101
        .equ    DEBUG_PORT, 0xe9
        .equ    BEGIN, 2
        .equ    END, 4
        .equ    END_OF_CASE, ','

        .text
        .globl  _start
_start: movabsq $(KERNEL + STACK_END), %rsp
        lgdt    gdtr(%rip)
        lidt    idtr(%rip)
        movabsq $(KERNEL + PD_LOW), %rax        # where the firmware ran
        movq    $0, (%rax)
        movq    %cr3, %rax
        movq    %rax, %cr3
        movl    $LOCAL, %eax
        lldt    %ax
        movl    $0, %ecx
        movl    $0, %edx
        movl    $XCR0, %eax
        xsetbv
        movb    $0xff, %al                      # no interrupts from outside
        outb    %al, $0x21
        outb    %al, $0xa1
        movb    $BEGIN, %al
        outb    %al, $DEBUG_PORT
        movabsq $(KERNEL + CASES), %rbx
        movq    (%rbx), %rax
        movq    %rax, left(%rip)
        addq    $8, %rbx
        movq    %rbx, current(%rip)

next:   decq    left(%rip)
        js      finish
        movq    current(%rip), %rbx
        movl    CASE_OFFSET(%rbx), %edi
        addl    $CODE, %edi
        movzbl  CASE_LENGTH(%rbx), %ecx
        movq    %rbx, %rsi
        rep movsb
        movl    $WINDOW, %edi
        leaq    CASE_WINDOW(%rbx), %rsi
        movl    $(WINDOW_SIZE / 8), %ecx
        rep movsq
        movl    $0, %eax                        # the base of a null selector
        movl    $0, %edx
        movl    $FS_BASE, %ecx
        wrmsr
        movl    $GS_BASE, %ecx
        wrmsr
        movw    CASE_SELECTORS(%rbx), %es
        movw    CASE_SELECTORS + 6(%rbx), %ds
        movw    CASE_SELECTORS + 8(%rbx), %fs
        movw    CASE_SELECTORS + 10(%rbx), %gs
        # IRET to a 16-bit stack loads SP alone: bits 31:16 of ESP stay those of the stack that it reads its frame from.
        movl    CASE_GPR + 32(%rbx), %eax
        andl    $0xffff0000, %eax
        movabsq $ALIAS, %rcx
        leaq    ALIAS_FRAME(%rax, %rcx), %rsp
        movzwl  CASE_SELECTORS + 4(%rbx), %eax
        pushq   %rax
        pushq   CASE_GPR + 32(%rbx)
        movq    CASE_RFLAGS(%rbx), %rax
        orl     $IF, %eax
        cmpb    $0, CASE_STEP(%rbx)
        je      1f
        orl     $TF, %eax
1:      pushq   %rax
        movzwl  CASE_SELECTORS + 2(%rbx), %eax
        pushq   %rax
        pushq   CASE_RIP(%rbx)
        movq    CASE_GPR(%rbx), %rax
        movq    CASE_GPR + 8(%rbx), %rcx
        movq    CASE_GPR + 16(%rbx), %rdx
        movq    CASE_GPR + 40(%rbx), %rbp
        movq    CASE_GPR + 48(%rbx), %rsi
        movq    CASE_GPR + 56(%rbx), %rdi
        movq    CASE_GPR + 24(%rbx), %rbx
        iretq

# Behind the vector and the error code on the stack.
ended:  movl    %eax, result(%rip)
        movl    %ecx, result + 4(%rip)
        movl    %edx, result + 8(%rip)
        movl    %ebx, result + 12(%rip)
        movl    %ebp, result + 20(%rip)
        movl    %esi, result + 24(%rip)
        movl    %edi, result + 28(%rip)
        cld
        popq    %rdx
        movb    %dl, result + RESULT_VECTOR(%rip)
        popq    %rax
        movw    %ax, result + RESULT_ERROR(%rip)
        popq    %rax
        cmpl    $BREAKPOINT, %edx
        jne     1f
        decq    %rax                            # INT3 reports behind itself
1:      movq    %rax, result + RESULT_RIP(%rip)
        popq    %rax
        movw    %ax, result + RESULT_SELECTORS + 2(%rip)
        popq    %rax
        andl    $~TF, %eax
        movl    %eax, result + RESULT_RFLAGS(%rip)
        popq    %rax
        movl    %eax, result + 16(%rip)
        popq    %rax
        movw    %ax, result + RESULT_SELECTORS + 4(%rip)
        movl    $0, %eax
        cmpl    $PAGE_FAULT, %edx
        jne     1f
        movq    %cr2, %rax
1:      movl    %eax, result + RESULT_CR2(%rip)
        movw    %es, result + RESULT_SELECTORS(%rip)
        movw    %ds, result + RESULT_SELECTORS + 6(%rip)
        movw    %fs, result + RESULT_SELECTORS + 8(%rip)
        movw    %gs, result + RESULT_SELECTORS + 10(%rip)
        movl    $FS_BASE, %ecx
        rdmsr
        movl    %eax, result + RESULT_FS_BASE(%rip)
        movl    $GS_BASE, %ecx
        rdmsr
        movl    %eax, result + RESULT_GS_BASE(%rip)

        movl    $WINDOW, %esi
        leaq    window(%rip), %rdi
        movl    $(WINDOW_SIZE / 8), %ecx
        rep movsq
        movl    $0, %eax
        movl    $WINDOW, %edi
        movl    $(WINDOW_SIZE / 8), %ecx
        rep stosq
        movb    $0, result + RESULT_STRAY(%rip)
        movl    $DATA, %edi
        movl    $(DATA_SIZE / 8), %ecx
        repe scasq
        je      1f
        movb    $1, result + RESULT_STRAY(%rip)
        movl    $DATA, %edi
        movl    $(DATA_SIZE / 8), %ecx
        rep stosq
1:      movq    current(%rip), %rbx
        movl    CASE_OFFSET(%rbx), %edi
        addl    $CODE, %edi
        movzbl  CASE_LENGTH(%rbx), %ecx
        movb    $0xcc, %al
        rep stosb

        leaq    result(%rip), %rsi
        movl    $RESULT_SIZE, %ecx
        call    tell
        leaq    window(%rip), %rsi              # only if it has changed
        leaq    CASE_WINDOW(%rbx), %rdi
        movl    $(WINDOW_SIZE / 8), %ecx
        repe cmpsq
        je      1f
        leaq    window(%rip), %rsi
        movl    $WINDOW_SIZE, %ecx
        call    tell
1:      movb    $END_OF_CASE, %al
        outb    %al, $DEBUG_PORT
        addq    $CASE_SIZE, %rbx
        movq    %rbx, current(%rip)
        jmp     next

# Writes %ecx bytes from %rsi, each as two letters from A to P: none of them begins or ends anything.
tell:   lodsb
        movb    %al, %ah
        shrb    $4, %al
        addb    $'A', %al
        outb    %al, $DEBUG_PORT
        movb    %ah, %al
        andb    $15, %al
        addb    $'A', %al
        outb    %al, $DEBUG_PORT
        decl    %ecx
        jnz     tell
        ret

finish: movb    $END, %al
        outb    %al, $DEBUG_PORT
1:      hlt
        jmp     1b

# Where the gates lead: 16 bytes for each of 32 vectors.
        .balign 16
        .globl  stubs
stubs:
        .irp    vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        .balign 16
        .if     (0x60227d00 >> \vector) & 1     # those with an error code: 8, 10 to 14, 17, 21, 29, 30
        .else
        pushq   $0
        .endif
        pushq   $\vector
        jmp     ended
        .endr

        .data
        .balign 8
current: .quad  0
left:   .quad   0
result: .zero   RESULT_SIZE
window: .zero   WINDOW_SIZE
gdtr:   .word   0x7f
        .quad   KERNEL + 0xc000
idtr:   .word   0xfff
        .quad   KERNEL + 0xd000
