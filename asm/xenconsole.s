# The console ring of a Xen guest: bytes in a page that both ends see, and an event when there are some.
# Needs asm/paging.s, whose tables must be in use, and asm/xenevents.s.

        .equ    HVM_PARAM_CONSOLE_PFN, 17
        .equ    HVM_PARAM_CONSOLE_EVTCHN, 18
        .equ    XENCONS_OUT, 1024
        .equ    XENCONS_OUT_SIZE, 2048
        .equ    XENCONS_OUT_CONS, 3080
        .equ    XENCONS_OUT_PROD, 3084

        .text

# Asks where the console is, and maps its page into the window.
xen_console_init:
        movl    $HVM_PARAM_CONSOLE_EVTCHN, %edi
        call    xen_get_param
        movl    %eax, xen_console_port(%rip)
        movl    $HVM_PARAM_CONSOLE_PFN, %edi
        call    xen_get_param
        shlq    $12, %rax
        leaq    KERNEL_PAGE(%rax), %rsi
        movl    $WINDOW, %edi
        jmp     map_page

# Writes the string at %rdi, which ends with a zero byte, and tells the other end. While the ring is full, that end is told.
xen_console_puts:
        pushq   %rbx
        movq    %rdi, %rbx
        movl    $WINDOW, %r8d
1:      movb    (%rbx), %cl
        testb   %cl, %cl
        jz      3f
        movl    XENCONS_OUT_PROD(%r8), %eax
        movl    %eax, %edx
        subl    XENCONS_OUT_CONS(%r8), %edx
        cmpl    $XENCONS_OUT_SIZE, %edx
        jae     2f
        movl    %eax, %edx
        andl    $(XENCONS_OUT_SIZE - 1), %edx
        movb    %cl, XENCONS_OUT(%r8,%rdx)
        incl    %eax
        movl    %eax, XENCONS_OUT_PROD(%r8)     # behind the byte
        incq    %rbx
        jmp     1b
2:      leaq    xen_console_port(%rip), %rsi
        call    xen_send
        jmp     1b
3:      leaq    xen_console_port(%rip), %rsi
        popq    %rbx
        jmp     xen_send

        .data
        .balign 4
xen_console_port:
        .long   0
