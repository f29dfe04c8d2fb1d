# The guest's half of xenStagesVmm.ts: at each stage it tells the VMM, which prepares something, and then looks, calls or waits.
# STAGE_*, the addresses and the ports come from there.

        .include "asm/start.s"
        .include "asm/console.s"
        .include "asm/idt.s"

        .equ    HYPERVISOR_SET_TIMER_OP, 15
        .equ    HYPERVISOR_SCHED_OP, 29
        .equ    HYPERVISOR_EVENT_CHANNEL_OP, 32
        .equ    SCHEDOP_POLL, 3
        .equ    EVTCHNOP_SEND, 4
        .equ    UPCALL_PENDING, 0               # struct vcpu_info
        .equ    PENDING_SEL, 8
        .equ    PENDING, 0x800                  # struct shared_info
        .equ    STATE, 0                        # struct vcpu_runstate_info
        .equ    ENTRY_TIME, 8
        .equ    RUNNABLE, 0x18
        .equ    BLOCKED, 0x20
        .equ    OFFLINE, 0x28
        .equ    RACING_POLLS, 100

        .macro stage number
        movl    $\number, %eax
        outl    %eax, $PORT_STAGE
        .endm

        .macro hypercall nr
        movl    $\nr, %eax
        vmcall
        testq   %rax, %rax
        jnz     wrong
        .endm

# The event that the VMM has announced; the handler has told it already.
        .macro wait_for_event
1:      pause
        btrl    $0, seen(%rip)
        jnc     1b
        .endm

        .macro poll timeout
        movq    $\timeout, poll_timeout(%rip)
        movl    $SCHEDOP_POLL, %edi
        leaq    poll_ports(%rip), %rsi
        hypercall HYPERVISOR_SCHED_OP
        .endm

        .macro send port
        movl    $\port, port(%rip)
        movl    $EVTCHNOP_SEND, %edi
        leaq    port(%rip), %rsi
        hypercall HYPERVISOR_EVENT_CHANNEL_OP
        .endm

        .text
        .globl  _start
_start: call    idt_init
        set_gate UPCALL_VECTOR, upcall
        movl    $RUNSTATE, %ebx
        sti
        nop

        stage   STAGE_INJECT_VECTOR
        wait_for_event

        .macro runstate_of stage, time
        stage   \stage
        cmpq    $0, \time(%rbx)
        je      wrong
        cmpl    $0, STATE(%rbx)
        jne     wrong
        .endm
        runstate_of STAGE_RUNSTATE_RUNNABLE, RUNNABLE
        runstate_of STAGE_RUNSTATE_BLOCKED, BLOCKED
        runstate_of STAGE_RUNSTATE_OFFLINE, OFFLINE

        stage   STAGE_RUNSTATE_ADJUST
        cmpq    $0x5a, BLOCKED(%rbx)
        jne     wrong
        cmpq    $0x6b6b, OFFLINE(%rbx)
        jne     wrong

        stage   STAGE_RUNSTATE_DATA
        cmpq    $0x8000, ENTRY_TIME(%rbx)
        jb      wrong
        cmpq    $0, RUNNABLE(%rbx)
        jne     wrong
        cmpq    $0x6b6b, BLOCKED(%rbx)
        jne     wrong
        cmpq    $0x5a, OFFLINE(%rbx)
        jne     wrong

        stage   STAGE_STEAL_TIME                # another thread wants this CPU from here on
1:      pause
        cmpq    $LEAST_STEAL_NS, RUNNABLE(%rbx)
        jb      1b

        stage   STAGE_EVENT_MASKED
1:      pause
        cmpq    $0, SHARED_INFO + PENDING
        je      1b

        stage   STAGE_EVENT_UNMASKED
        wait_for_event
        stage   STAGE_EVENT_SLOW_PATH
        wait_for_event
        stage   STAGE_EVENT_SEND_IOCTL
        wait_for_event
        stage   STAGE_HYPERCALL
        send    SENT_TO_PORT
        wait_for_event
        stage   STAGE_HYPERCALL_SLOW_PATH
        send    SENT_TO_PORT
        wait_for_event
        stage   STAGE_HYPERCALL_EVENTFD
        send    SENT_TO_EVENTFD
        wait_for_event

        stage   STAGE_TIMER_SETUP
        movq    ENTRY_TIME(%rbx), %rdi
        addq    $TIMER_NS, %rdi
        hypercall HYPERVISOR_SET_TIMER_OP
        stage   STAGE_TIMER_WAIT
        wait_for_event
        stage   STAGE_TIMER_RESTORE
        wait_for_event

        movl    $PORT_TIMER, polled(%rip)
        stage   STAGE_POLL_READY
        poll    0
        stage   STAGE_POLL_TIMEOUT
        poll    TIMER_NS
        stage   STAGE_POLL_MASKED
        poll    0
        movl    $PORT_TIMER + 1, polled(%rip)
        stage   STAGE_POLL_WAKE
        poll    0
        wait_for_event

        stage   STAGE_SET_VCPU_INFO
        stage   STAGE_TIMER_PAST
        wait_for_event

        stage   STAGE_RACE_SEND
        wait_for_event

        movl    $0, polled(%rip)                # pending already: each poll looks, and goes on
        stage   STAGE_RACE_POLL
2:      movl    $RACING_POLLS, %ebp
3:      btrl    $0, seen(%rip)
        jc      4f
        movq    $0, poll_timeout(%rip)
        movl    $SCHEDOP_POLL, %edi
        leaq    poll_ports(%rip), %rsi
        movl    $HYPERVISOR_SCHED_OP, %eax
        vmcall                                  # whatever it answers while shared_info comes and goes
        decl    %ebp
        jnz     3b
        stage   STAGE_RACE_POLL_TIMEOUT         # an expiry without shared_info is lost: the VMM arms the timer again
        jmp     2b
4:      stage   STAGE_DONE
        jmp     power_off

wrong:  movl    $EXIT_FAILURE, %edi
        jmp     debug_exit

upcall: pushq   %rax
        movb    $0, VCPU_INFO + UPCALL_PENDING
        xorl    %eax, %eax
        xchgq   %rax, VCPU_INFO + PENDING_SEL
        stage   STAGE_SAW_EVENT
        movl    $1, seen(%rip)
        popq    %rax
        iretq

        .data
        .balign 8
poll_ports:
        .quad   polled
        .quad   1
poll_timeout:
        .quad   0
polled: .long   0
port:   .long   0
seen:   .long   0
