# SCHEDOP_poll: a vCPU waits for a port without an interrupt, interrupts off, and the other one sends on it; then it waits for a
# port on which nobody sends, until the time is over.
#
# xen: domain
# vcpus: 2
# expect: 100 polls, each woken by its event
# expect: a poll that nobody wakes ends
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/xen.s"
        .include "asm/xenevents.s"

        .equ    POLLS, 100
        .equ    TIMEOUT, 3000000                # nanoseconds

        .text
        .globl  _start
_start:
        movl    %esi, %ebp
        testl   %edi, %edi
        jnz     sender
        call    xen_init
        xorl    %edi, %edi
        call    xen_bind_ipi
        movl    %eax, port(%rip)
        leaq    shared_info(%rip), %rdx
        lock btsl %eax, EVTCHN_MASK(%rdx)       # a poll wakes up by masked ports, too
        movl    %ebp, %edi
        call    barrier

        xorl    %ebx, %ebx
1:      incl    %ebx
        movl    %ebx, asked(%rip)               # the other vCPU may send
2:      movq    $0, poll_timeout(%rip)
        call    poll
        movl    port(%rip), %eax
        leaq    shared_info(%rip), %rdx
        lock btrl %eax, EVTCHN_PENDING(%rdx)
        jnc     2b                              # it may have been woken by something else
        cmpl    %ebx, sent(%rip)
        jne     wrong
        cmpl    $POLLS, %ebx
        jb      1b
        leaq    format(%rip), %rdi
        movl    %ebx, %esi
        call    printk

        movq    $TIMEOUT, poll_timeout(%rip)
        call    poll
        movl    port(%rip), %eax
        leaq    shared_info(%rip), %rdx
        btl     %eax, EVTCHN_PENDING(%rdx)
        jc      wrong
        leaq    timeout_text(%rip), %rdi
        call    console_puts
        jmp     xen_power_off

wrong:
        movl    $EXIT_FAILURE, %edi
        jmp     debug_exit

# Waits for the port.
poll:
        leaq    port(%rip), %rax
        movq    %rax, poll_ports(%rip)
        movl    $SCHEDOP_POLL, %edi
        leaq    poll_ports(%rip), %rsi
        hypercall HYPERVISOR_SCHED_OP
        xen_must
        ret

# The other vCPU: an event for each poll.
sender:
        movl    %ebp, %edi
        call    barrier
        xorl    %ebx, %ebx
1:      incl    %ebx
2:      pause
        cmpl    %ebx, asked(%rip)
        jne     2b
        movl    %ebx, sent(%rip)
        leaq    port(%rip), %rsi
        call    xen_send
        cmpl    $POLLS, %ebx
        jb      1b
        jmp     park

        .data
format:
        .asciz  "%u polls, each woken by its event\n"
timeout_text:
        .asciz  "a poll that nobody wakes ends\n"
        .balign 8
poll_ports:                                     # struct sched_poll: ports, how many, timeout
        .quad   0
        .long   1
        .long   0
poll_timeout:
        .quad   0
port:
        .long   0
asked:                                          # the poll that has begun
        .long   0
sent:                                           # the event that was sent last
        .long   0
