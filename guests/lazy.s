# The guest half of "KVM: x86: add lazy tscdeadline support" (RFC, 2023): a clock-event device that stores the
# deadline it wants where the host looks when the armed one expires, and writes MSR_TSC_DEADLINE only for an earlier
# one. The same guest runs with the feature on or off and prints how many of the deadlines that it asked for became
# MSR writes.
#
# The load is that of netperf's TCP_RR: a client sends a request, a server answers, and each sleeps while it waits. What
# moves the timer meanwhile is what moves it in a tickless Linux (6.x, high resolution timers, no cpuidle driver), by the
# names of its functions: on the way into idle the tick is put off to the next timer of the wheel, on the way out it is
# cancelled, which brings up the next hrtimer (the watchdog's), and started again; the tick itself; an interrupt that finds
# nothing expired. The retransmit timer of each message sits in the wheel: it programs nothing by itself.
#
# A laboratory may write `requests`, `run_cycles` and `work` before the start, and finds what each vCPU counted at `counts`.
#
# vcpus: 2
# max-cycles: 500M
#
# case: on
# features: lazy-tscdeadline
# expect: lazy tscdeadline on: 2000 requests, * cycles each
# expect: vcpu 0 asked for * deadlines: * MSR writes, * timer interrupts, * ticks
# expect: vcpu 0 was interrupted at most * cycles late; * early, 0 lost
# expect: vcpu 1 asked for * deadlines: * MSR writes, * timer interrupts, * ticks
# expect: vcpu 1 was interrupted at most * cycles late; * early, 0 lost
#
# case: off
# expect: lazy tscdeadline off: 2000 requests, * cycles each
# expect: vcpu 0 asked for * deadlines: * MSR writes, * timer interrupts, * ticks
# expect: vcpu 0 was interrupted at most * cycles late; * early, 0 lost
# expect: vcpu 1 asked for * deadlines: * MSR writes, * timer interrupts, * ticks
# expect: vcpu 1 was interrupted at most * cycles late; * early, 0 lost

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .include "asm/ipi.s"
        .include "asm/pv.s"
        .include "asm/deadline.s"

        .equ    LOCAL_TIMER_VECTOR, 0xec
        .equ    CALL_FUNCTION_SINGLE_VECTOR, 0xfb

        .equ    CLIENT, 0                       # vCPU indices
        .equ    SERVER, 1

        .equ    TICK, 2500000                   # cycles: 1 ms, HZ = 1000
        .equ    WATCHDOG, 4000 * TICK           # sample period of the soft lockup watchdog
        .equ    TCP_RTO_MIN, 200                # ticks
        .equ    WHEEL_SHIFT, 3                  # the wheel keeps timers of 64 to 511 ticks in steps of 8
        .equ    KTIME_MAX, 0x7fffffffffffffff
        .equ    MIN_DELTA, 0xf                  # as Linux registers lapic-deadline
        .equ    LATE_AFTER, 25000               # cycles: 10 us
        .equ    LOST_AFTER, TICK / 2            # an interrupt that is so late will not come
        .equ    WIND_DOWN, 1000                 # turns of a loop between a message and the wait for the answer

# Why the clock-event device is programmed.
        .equ    IDLE_STOP, 0                    # the tick is put off on the way into idle
        .equ    IDLE_CANCEL, 1                  # ... and cancelled on the way out
        .equ    IDLE_RESTART, 2                 # ... and started again
        .equ    TICKED, 3                       # an hrtimer expired
        .equ    NOTHING_EXPIRED, 4              # an interrupt came before anything had expired
        .equ    CAUSES, 5

        .text
        .globl  _start
_start:
        movl    %edi, %ebx
        movl    %esi, %ebp
        call    percpu_init
        cmpl    $CLIENT, %ebx
        jne     1f
        call    idt_init
        set_gate LOCAL_TIMER_VECTOR, local_timer_interrupt
        set_gate CALL_FUNCTION_SINGLE_VECTOR, wakeup_interrupt
1:      movl    %ebp, %edi
        call    barrier                         # the table is filled
        call    idt_load
        call    x2apic_enable
        call    setup_apic_timer
        movl    %ebp, %edi
        call    barrier                         # both can be interrupted
        sti
        cmpl    $CLIENT, %ebx
        jne     server

client:
        read_tsc
        movq    %rax, %r13
        movl    $1, %r12d                       # the request
1:      movl    work(%rip), %eax
        call    spend
        movl    $SERVER, %edi
        call    send_mail
        call    wait_for_mail
        read_tsc
        subq    %r13, %rax
        movq    run_cycles(%rip), %rcx
        testq   %rcx, %rcx
        jz      2f
        cmpq    %rcx, %rax
        jae     3f
2:      incl    %r12d
        cmpl    requests(%rip), %r12d
        jbe     1b
        decl    %r12d

3:      movq    %rax, %r13
        movl    %r12d, requests(%rip)           # that were made, and how long they took
        movq    %rax, run_cycles(%rip)
        movl    $1, done(%rip)
        movl    $SERVER, %edi
        call    wake
        xorl    %edx, %edx
        movq    %r13, %rax
        movl    %r12d, %ecx
        divq    %rcx
        movq    %rax, %r13                      # cycles for each request
        call    shutdown
        movl    %ebp, %edi
        call    barrier
        jmp     report

server:
        movl    $1, %r12d
1:      call    wait_for_mail
        cmpl    $0, done(%rip)
        jne     2f
        movl    work(%rip), %eax
        call    spend
        movl    $CLIENT, %edi
        call    send_mail
        incl    %r12d
        jmp     1b
2:      call    shutdown
        movl    %ebp, %edi
        call    barrier
        jmp     park

# Spends %eax turns of a loop.
spend:  decl    %eax
        jnz     spend
        ret

# Sends vCPU %edi a message, with a timer that would send it again.
send_mail:
        call    tcp_rearm_rto
        call    wake
        movl    $WIND_DOWN, %eax
        jmp     spend

# ttwu_queue_wakelist(): wakes whoever sleeps on vCPU %edi.
wake:   movl    $CALL_FUNCTION_SINGLE_VECTOR, %esi
        jmp     ipi_send

# mod_timer() of the retransmit timer: into the bucket of the wheel behind now + RTO. The answer takes it back only in
# name (inet_csk_clear_xmit_timer): it stays in the wheel, where the next message moves it.
tcp_rearm_rto:
        incl    %gs:rto_armed(%rip)
        read_tsc
        xorl    %edx, %edx
        movl    $TICK, %ecx
        divq    %rcx                            # jiffies
        addq    $(TCP_RTO_MIN + (1 << WHEEL_SHIFT)), %rax
        shrq    $WHEEL_SHIFT, %rax
        shlq    $WHEEL_SHIFT, %rax
        imulq   $TICK, %rax, %rax
        cmpq    %gs:next_expiry(%rip), %rax
        je      1f
        movq    %rax, %gs:next_expiry(%rip)
        incl    %gs:rto_moved(%rip)
1:      ret

# do_idle(): sleeps until message number %r12d has come.
wait_for_mail:
        cli
        cmpl    %r12d, %gs:mail(%rip)
        jae     2f
1:      call    tick_nohz_idle_stop_tick
        sti                                     # takes effect after HLT has begun: no interrupt slips in between
        hlt
        cli
        cmpl    %r12d, %gs:mail(%rip)           # need_resched()
        jb      1b
        call    tick_nohz_idle_exit
2:      sti
        ret

wakeup_interrupt:
        push_registers
        incl    %gs:mail(%rip)
        incl    %gs:ipis(%rip)
        x2apic_eoi
        pop_registers
        iretq

# Puts the tick off to the next timer of the wheel, unless that is due within a tick.
tick_nohz_idle_stop_tick:
        cmpl    $0, %gs:tick_stopped(%rip)
        jne     1f
        movq    %gs:next_expiry(%rip), %rdi
        read_tsc
        addq    $TICK, %rax
        cmpq    %rax, %rdi
        jbe     1f
        movq    %gs:sched_timer(%rip), %rax
        movq    %rax, %gs:last_tick(%rip)
        movl    $1, %gs:tick_stopped(%rip)
        movq    %rdi, %gs:sched_timer(%rip)
        movl    $IDLE_STOP, %esi
        jmp     hrtimer_force_reprogram
1:      ret

# tick_nohz_restart(): the tick is cancelled, and started again at its next time.
tick_nohz_idle_exit:
        cmpl    $0, %gs:tick_stopped(%rip)
        je      1f
        movl    $0, %gs:tick_stopped(%rip)
        movq    $KTIME_MAX, %rax
        movq    %rax, %gs:sched_timer(%rip)
        movl    $IDLE_CANCEL, %esi
        call    hrtimer_force_reprogram
        read_tsc
        movq    %gs:last_tick(%rip), %rdi
        call    hrtimer_forward
        movl    $IDLE_RESTART, %esi
        jmp     hrtimer_force_reprogram
1:      ret

# Moves the tick to the first one behind %rax, from %rdi on.
hrtimer_forward:
        cmpq    %rax, %rdi
        ja      1f
        addq    $TICK, %rdi
        jmp     hrtimer_forward
1:      movq    %rdi, %gs:sched_timer(%rip)
        ret

# Programs the first hrtimer of this CPU, if it is not the one that is programmed. %esi says why.
hrtimer_force_reprogram:
        movq    %gs:sched_timer(%rip), %rdi
        cmpq    %gs:watchdog_timer(%rip), %rdi
        cmovaq  %gs:watchdog_timer(%rip), %rdi
        cmpq    %gs:expires_next(%rip), %rdi
        je      tick_skip

# tick_program_event(): asks the clock-event device for an interrupt when the TSC reaches %rdi, in place of the one asked
# for before. Interrupts are off.
tick_program_event:
        leaq    asked(%rip), %r8
        incl    %gs:(%r8,%rsi,4)
        movl    %esi, %gs:cause(%rip)
        read_tsc
        movq    %gs:expires_next(%rip), %rcx
        movq    %rdi, %gs:expires_next(%rip)
        addq    $LOST_AFTER, %rcx               # did the one before expire, without an interrupt?
        cmpq    %rax, %rcx
        jae     1f
        incl    %gs:lost(%rip)
1:      subq    %rax, %rdi                      # devices take distances
        cmpq    $MIN_DELTA, %rdi
        jge     2f
        movl    $MIN_DELTA, %edi
2:      jmp     *%gs:set_next_event(%rip)
tick_skip:
        ret

# Chooses how deadlines are set, and starts the tick.
setup_apic_timer:
        movl    $LOCAL_TIMER_VECTOR, %edi
        call    timer_init
        leaq    lapic_next_deadline(%rip), %rax
        movq    %rax, %gs:set_next_event(%rip)
        movl    $KVM_FEATURE_LAZY_TSCDEADLINE, %edi
        call    kvm_para_has_feature
        testl   %eax, %eax
        jz      1f
        movl    %eax, has_feature(%rip)
        call    kvm_lazy_tscdeadline_online     # the structure is shared before the device may use it
        leaq    kvm_lapic_next_deadline(%rip), %rax
        movq    %rax, %gs:set_next_event(%rip)
1:      movq    $KTIME_MAX, %rax
        movq    %rax, %gs:expires_next(%rip)
        movq    %rax, %gs:next_expiry(%rip)
        read_tsc
        movq    $WATCHDOG, %rcx
        addq    %rax, %rcx
        movq    %rcx, %gs:watchdog_timer(%rip)
        xorl    %edi, %edi                      # ticks of all CPUs fall together, as without skew_tick
        call    hrtimer_forward
        movl    $TICKED, %esi
        jmp     hrtimer_force_reprogram

# Stops the timer for good, and takes the structure back.
shutdown:
        cli
        call    lapic_timer_shutdown
        cmpl    $0, has_feature(%rip)
        jne     kvm_lazy_tscdeadline_disable
        ret

# hrtimer_interrupt()
local_timer_interrupt:
        push_registers
        incl    %gs:timer_interrupts(%rip)
        read_tsc
        movq    %rax, %rcx
        subq    %gs:expires_next(%rip), %rcx
        jb      1f
        cmpl    $LATE_AFTER, %ecx
        jbe     2f
        incl    %gs:late(%rip)
2:      cmpl    %gs:latest(%rip), %ecx
        jbe     1f
        movl    %ecx, %gs:latest(%rip)
1:      movq    $KTIME_MAX, %rcx
        movq    %rcx, %gs:expires_next(%rip)
        movl    $NOTHING_EXPIRED, %esi
        movq    %gs:sched_timer(%rip), %rdi
        cmpq    %rax, %rdi
        ja      3f
        incl    %gs:ticks(%rip)
        movl    $TICKED, %esi
        call    hrtimer_forward
3:      movq    %gs:watchdog_timer(%rip), %rdi
        cmpq    %rax, %rdi
        ja      4f
        movl    $TICKED, %esi
        movq    $WATCHDOG, %rcx
        addq    %rcx, %gs:watchdog_timer(%rip)
4:      call    hrtimer_force_reprogram
        x2apic_eoi
        pop_registers
        iretq

report:
        leaq    on(%rip), %rsi
        cmpl    $0, has_feature(%rip)
        jne     1f
        leaq    off(%rip), %rsi
1:      movl    requests(%rip), %edx
        movq    %r13, %rcx
        leaq    requests_format(%rip), %rdi
        call    printk
        xorl    %ebx, %ebx                      # index of a vCPU
        xorl    %r12d, %r12d                    # the distance of its variables
2:      xorl    %edx, %edx
        xorl    %ecx, %ecx
        xorl    %eax, %eax
3:      addl    asked(%r12,%rax,4), %edx
        addl    written(%r12,%rax,4), %ecx
        incl    %eax
        cmpl    $CAUSES, %eax
        jb      3b
        leaq    asked_format(%rip), %rdi
        movl    %ebx, %esi
        movl    timer_interrupts(%r12), %r8d
        movl    ticks(%r12), %r9d
        call    printk
        leaq    late_format(%rip), %rdi
        movl    %ebx, %esi
        movl    latest(%r12), %edx
        movl    asked+4*NOTHING_EXPIRED(%r12), %ecx
        movl    lost(%r12), %r8d
        call    printk
        addq    $PERCPU_SIZE, %r12
        incl    %ebx
        cmpl    %ebp, %ebx
        jb      2b
        jmp     power_off

        .data
requests_format:
        .asciz  "lazy tscdeadline %s: %u requests, %u cycles each\n"
on:
        .asciz  "on"
off:
        .asciz  "off"
asked_format:
        .asciz  "vcpu %u asked for %u deadlines: %u MSR writes, %u timer interrupts, %u ticks\n"
late_format:
        .asciz  "vcpu %u was interrupted at most %u cycles late; %u early, %u lost\n"
        .balign 8
run_cycles:                                     # the load ends after so many; 0: when all requests are made
        .quad   0
requests:
        .quad   2000
work:                                           # turns of a loop for each request and each answer: 6 us
        .quad   7500

        .bss
        .balign 4
has_feature:
        .skip   4
done:
        .skip   4

# The clock-event device, the hrtimers of the CPU, and what it counts.
        percpu_begin
lazy:                                           # struct kvm_lazy_tscdeadline: first, since its alignment is 64
        .skip   LAZY_SIZE
set_next_event:
        .skip   8
expires_next:                                   # the deadline that is programmed
        .skip   8
sched_timer:                                    # the tick
        .skip   8
watchdog_timer:
        .skip   8
last_tick:                                      # the tick that was put off
        .skip   8
next_expiry:                                    # of the timer wheel
        .skip   8
mail:                                           # messages received
        .skip   4
tick_stopped:
        .skip   4
cause:                                          # of the deadline that is being programmed
        .skip   4
counts:
asked:                                          # deadlines that were programmed, by cause
        .skip   4 * CAUSES
written:                                        # ... and became MSR writes
        .skip   4 * CAUSES
timer_interrupts:
        .skip   4
ipis:
        .skip   4
ticks:
        .skip   4
late:                                           # interrupts later than LATE_AFTER
        .skip   4
latest:
        .skip   4
lost:                                           # a deadline passed, and no interrupt came
        .skip   4
rto_armed:
        .skip   4
rto_moved:                                      # ... into another bucket of the wheel
        .skip   4
        percpu_end
