# Every exception and interrupt comes here: it is written down, the machine is made what it was, and the case ends.

        .text
        .balign 8
        .equ    STUB_SIZE, 5
stubs:
        .rept   256
        call    event
        .endr

event:  pushfq
        popq    handler_rflags(%rip)
        movq    %rax, event_rax(%rip)
        movq    %rbx, event_rbx(%rip)
        movq    %rcx, event_rcx(%rip)
        movq    %rdx, event_rdx(%rip)
        movq    %rsi, event_rsi(%rip)
        movq    %rdi, event_rdi(%rip)
        movq    %rbp, event_rbp(%rip)
        movq    %r8, event_r8(%rip)
        movq    %r9, event_r9(%rip)
        movq    %r10, event_r10(%rip)
        movq    %r11, event_r11(%rip)
        movq    %r12, event_r12(%rip)
        movq    %r13, event_r13(%rip)
        movq    %r14, event_r14(%rip)
        movq    %r15, event_r15(%rip)
        popq    %rax
        leaq    stubs+STUB_SIZE(%rip), %rcx
        subq    %rcx, %rax
        xorl    %edx, %edx
        movl    $STUB_SIZE, %ecx
        divl    %ecx
        movl    %eax, event_vector(%rip)
        movq    %rsp, event_frame(%rip)
        movq    $-1, event_error(%rip)
        testb   $8, %spl                        # the frame began at a multiple of 16: 5 words, or 6 with an error code
        jnz     1f
        popq    event_error(%rip)
1:      popq    event_rip(%rip)
        popq    event_cs(%rip)
        popq    event_rflags(%rip)
        popq    event_rsp(%rip)
        popq    event_ss(%rip)
        movq    %cr2, %rax
        movq    %rax, event_cr2(%rip)
        movq    %dr6, %rax
        movq    %rax, event_dr6(%rip)
        movq    %dr7, %rax
        movq    %rax, event_dr7(%rip)
        .irp    segment, cs, ss, ds, es, fs, gs
        movl    %\segment, %eax
        movq    %rax, handler_\segment(%rip)
        .endr
event_taken:
        movabsq $(KERNEL + CASE_STACK), %rsp
        call    machine_reset
        cmpb    $0, case_active(%rip)
        je      1f
        movb    $0, case_active(%rip)
        jmp     *case_resume(%rip)
1:      leaq    unexpected(%rip), %rsi
        call    print
        call    print_event
        movb    $4, %al                         # END
        outb    %al, $0xe9
2:      hlt
        jmp     2b

# Prints what came of the case, and loads the registers that it left, RSP excepted.
case_outcome:
        call    print_event
        movq    event_rax(%rip), %rax
        movq    event_rbx(%rip), %rbx
        movq    event_rcx(%rip), %rcx
        movq    event_rdx(%rip), %rdx
        movq    event_rsi(%rip), %rsi
        movq    event_rdi(%rip), %rdi
        movq    event_rbp(%rip), %rbp
        movq    event_r8(%rip), %r8
        movq    event_r9(%rip), %r9
        movq    event_r10(%rip), %r10
        movq    event_r11(%rip), %r11
        movq    event_r12(%rip), %r12
        movq    event_r13(%rip), %r13
        movq    event_r14(%rip), %r14
        movq    event_r15(%rip), %r15
        ret

print_event:
        movl    event_vector(%rip), %eax
        cmpl    $CASE_END, %eax
        jne     1f
        leaq    ok(%rip), %rsi
        call    print
        jmp     4f
1:      cmpl    $32, %eax
        jae     2f
        leaq    names(%rip), %rsi
        leaq    (%rsi,%rax,4), %rsi
        call    print
        cmpq    $-1, event_error(%rip)
        je      3f
        movb    $'(', %al
        outb    %al, $0xe9
        movq    event_error(%rip), %rdi
        call    print_hex
        movb    $')', %al
        outb    %al, $0xe9
        jmp     3f
2:      leaq    interrupt(%rip), %rsi
        call    print
        movl    event_vector(%rip), %edi
        call    print_hex
3:      movq    event_rip(%rip), %rdi
        movq    case_mark(%rip), %rsi
        leaq    at(%rip), %rdx
        call    print_place
4:      movq    event_cs(%rip), %rdi
        andl    $3, %edi
        jz      5f
        leaq    ring(%rip), %rsi
        call    print
        call    print_hex
5:      cmpl    $14, event_vector(%rip)
        jne     6f
        cmpq    $-1, event_error(%rip)
        je      6f
        leaq    cr2(%rip), %rdi
        movq    event_cr2(%rip), %rsi
        call    print_value
6:      movq    event_rsp(%rip), %rdi
        movl    $CASE_STACK, %esi
        leaq    rsp(%rip), %rdx

# Prints %rdi as a distance from %rsi, after the text at %rdx; as it is if it is far away. Nothing if there is no distance.
print_place:
        movq    %rdi, %rax
        btrq    $KERNEL_BIT, %rax
        btrq    $KERNEL_BIT, %rsi
        subq    %rsi, %rax
        jz      3f
        movq    %rdx, %rsi
        call    print
        leaq    0x10000(%rax), %rsi
        cmpq    $0x20000, %rsi
        jae     2f
        testq   %rax, %rax
        movb    $'+', %sil
        jns     1f
        negq    %rax
        movb    $'-', %sil
1:      movq    %rax, %rdi
        movl    %esi, %eax
        outb    %al, $0xe9
        jmp     print_hex
2:      movb    $'=', %al
        outb    %al, $0xe9
        jmp     print_hex
3:      ret

        .data
names:
        .irp    name, "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#09", "#TS", "#NP", "#SS", "#GP", "#PF", "#0f", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP", "#16", "#17", "#18", "#19", "#1a", "#1b", "#1c", "#1d", "#1e", "#1f"
        .asciz  "\name"
        .endr
colon:  .asciz  ": "
ok:     .asciz  "ok"
at:     .asciz  " at "
ring:   .asciz  ", ring "
cr2:    .asciz  "cr2"
rsp:    .asciz  ", rsp"
interrupt:
        .asciz  "interrupt "
unexpected:
        .asciz  ", unexpected outside of a case: "

        .bss
        .balign 8
        .irp    name, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15, frame, error, rip, cs, rflags, rsp, ss, cr2, dr6, dr7, vector
event_\name:
        .skip   8
        .endr
        .irp    name, rflags, cs, ss, ds, es, fs, gs
handler_\name:
        .skip   8
        .endr
