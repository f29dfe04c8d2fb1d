# The guest half of "KVM: x86: add lazy tscdeadline support" (RFC, 2023): a clock-event device that stores the
# deadline it wants where the host looks when the armed one expires, and writes MSR_TSC_DEADLINE only for an earlier
# one. The same guest runs with the feature on or off and prints how many of the deadlines that it asked for became
# MSR writes.
#
# The load is that of netperf's TCP_RR: a client sends a request, a server answers, and each sleeps while it waits. A
# tickless kernel moves its timer from the next tick to a far one when it falls asleep, and back when it wakes up; so
# deadlines are replaced far more often than they expire.
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

        .equ    LOCAL_TIMER_VECTOR, 0xec
        .equ    RESCHEDULE_VECTOR, 0xfd

        .equ    CLIENT, 0                       # vCPU indices
        .equ    SERVER, 1
        .equ    REQUESTS, 2000
        .equ    WORK, 1000                      # turns of a loop for each request and each answer

        .equ    TICK, 1000000                   # cycles
        .equ    FAR_TIMER, 20 * TICK            # the next timer of a CPU that sleeps without a tick
        .equ    MIN_DELTA, 0xf                  # as Linux registers lapic-deadline
        .equ    LOST_AFTER, TICK / 2            # an interrupt that is so late will not come

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
        set_gate RESCHEDULE_VECTOR, reschedule_interrupt
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
1:      call    work
        movl    $SERVER, %edi
        call    send_mail
        call    wait_for_mail
        incl    %r12d
        cmpl    $REQUESTS, %r12d
        jbe     1b

        movl    $1, done(%rip)
        movl    $SERVER, %edi
        call    send_mail
        read_tsc
        subq    %r13, %rax
        xorl    %edx, %edx
        movl    $REQUESTS, %ecx
        divq    %rcx
        movq    %rax, %r13                      # cycles for each request
        call    lapic_timer_shutdown
        movl    %ebp, %edi
        call    barrier
        jmp     report

server:
        movl    $1, %r12d
1:      call    wait_for_mail
        cmpl    $0, done(%rip)
        jne     2f
        call    work
        movl    $CLIENT, %edi
        call    send_mail
        incl    %r12d
        jmp     1b
2:      call    lapic_timer_shutdown
        movl    %ebp, %edi
        call    barrier
        jmp     park

work:
        movl    $WORK, %eax
1:      decl    %eax
        jnz     1b
        ret

# Wakes vCPU %edi.
send_mail:
        movl    $RESCHEDULE_VECTOR, %esi
        jmp     ipi_send

# The idle loop: sleeps, without a tick, until message number %r12d has come.
wait_for_mail:
        cli
        cmpl    %r12d, %gs:mail(%rip)
        jae     1f
        call    tick_nohz_idle_enter
        sti                                     # takes effect after HLT has begun: no interrupt slips in between
        hlt
        cli
        call    tick_nohz_idle_exit
        sti
        jmp     wait_for_mail
1:      sti
        ret

reschedule_interrupt:
        push_registers
        incl    %gs:mail(%rip)
        x2apic_eoi
        pop_registers
        iretq

# Nothing to do before the next timer, which is far away.
tick_nohz_idle_enter:
        read_tsc
        leaq    FAR_TIMER(%rax), %rdi
        jmp     clockevents_program_event

# Back to work, with a tick.
tick_nohz_idle_exit:
        read_tsc

# Programs the first tick behind %rax. The ticks in between were not missed: nobody needed them.
tick_forward:
        movq    %gs:next_tick(%rip), %rdi
1:      cmpq    %rax, %rdi
        ja      2f
        addq    $TICK, %rdi
        jmp     1b
2:      movq    %rdi, %gs:next_tick(%rip)

# Asks the clock-event device for an interrupt when the TSC reaches %rdi, in place of the one asked for before.
# Interrupts are off.
clockevents_program_event:
        incq    %gs:asked(%rip)
        read_tsc
        movq    %gs:next_event(%rip), %rcx
        movq    %rdi, %gs:next_event(%rip)
        testq   %rcx, %rcx
        jz      1f
        addq    $LOST_AFTER, %rcx               # did the one before expire, without an interrupt?
        cmpq    %rax, %rcx
        jae     1f
        incq    %gs:lost(%rip)
1:      subq    %rax, %rdi                      # devices take distances
        cmpq    $MIN_DELTA, %rdi
        jge     2f
        movl    $MIN_DELTA, %edi
2:      jmp     *%gs:set_next_event(%rip)

# set_next_event without the feature: every deadline is an MSR write.
lapic_next_deadline:
        weak_wrmsr_fence
        read_tsc
        addq    %rdi, %rax
        incq    %gs:msr_writes(%rip)
        write_msr MSR_TSC_DEADLINE
        ret

# set_next_event with it. The host arms `pending` when `armed` expires; it needs to be told only when nothing is
# armed, or something later. The order is essential: were `armed` read first, it could expire before `pending` is
# stored, and nobody would arm anything.
kvm_lapic_next_deadline:
        read_tsc
        addq    %rdi, %rax
        movq    %rax, %gs:lazy+LAZY_PENDING(%rip)
        weak_wrmsr_fence
        movq    %gs:lazy+LAZY_ARMED(%rip), %rcx
        testq   %rcx, %rcx
        jz      1f
        cmpq    %rcx, %rax
        jae     2f
1:      incq    %gs:msr_writes(%rip)
        write_msr MSR_TSC_DEADLINE
2:      ret

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
        movl    $MSR_GS_BASE, %ecx              # the distance of this vCPU's variables
        rdmsr
        leaq    lazy(%rax), %rdi
        call    kvm_lazy_tscdeadline_enable     # the structure is shared before the device may use it
        leaq    kvm_lapic_next_deadline(%rip), %rax
        movq    %rax, %gs:set_next_event(%rip)
1:      read_tsc
        movq    %rax, %gs:next_tick(%rip)
        jmp     tick_forward

# Stops the timer for good. `pending` goes first, or the host might arm it once more; and the host must have let go of
# the structure before its memory is used for something else.
lapic_timer_shutdown:
        cli
        movq    $0, %gs:lazy+LAZY_PENDING(%rip)
        call    timer_shutdown
        movq    $0, %gs:next_event(%rip)
        cmpl    $0, has_feature(%rip)
        jne     kvm_lazy_tscdeadline_disable
        ret

local_timer_interrupt:
        push_registers
        incq    %gs:interrupts(%rip)
        read_tsc
        movq    %rax, %rcx
        subq    %gs:next_event(%rip), %rcx
        jb      early_interrupt
        cmpq    $0, %gs:next_event(%rip)
        je      early_interrupt
        cmpq    %gs:latest(%rip), %rcx
        jbe     1f
        movq    %rcx, %gs:latest(%rip)
1:      movq    $0, %gs:next_event(%rip)
        cmpq    %gs:next_tick(%rip), %rax
        jb      2f
        incq    %gs:ticks(%rip)
2:      call    tick_forward
        jmp     3f
early_interrupt:
        incq    %gs:early(%rip)
3:      x2apic_eoi
        pop_registers
        iretq

report:
        leaq    on(%rip), %rsi
        cmpl    $0, has_feature(%rip)
        jne     1f
        leaq    off(%rip), %rsi
1:      movl    $REQUESTS, %edx
        movq    %r13, %rcx
        leaq    requests_format(%rip), %rdi
        call    printk
        xorl    %ebx, %ebx                      # index of a vCPU
        xorl    %r12d, %r12d                    # the distance of its variables
2:      leaq    asked_format(%rip), %rdi
        movl    %ebx, %esi
        movq    asked(%r12), %rdx
        movq    msr_writes(%r12), %rcx
        movq    interrupts(%r12), %r8
        movq    ticks(%r12), %r9
        call    printk
        leaq    late_format(%rip), %rdi
        movl    %ebx, %esi
        movq    latest(%r12), %rdx
        movq    early(%r12), %rcx
        movq    lost(%r12), %r8
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

        .bss
        .balign 4
has_feature:
        .skip   4
done:
        .skip   4

# The clock-event device and what it counts.
        percpu_begin
lazy:                                           # struct kvm_lazy_tscdeadline: first, since its alignment is 64
        .skip   LAZY_SIZE
set_next_event:
        .skip   8
next_event:                                     # the deadline asked for, 0 when none is outstanding
        .skip   8
next_tick:
        .skip   8
mail:                                           # messages received
        .skip   4
        .balign 8
asked:
        .skip   8
msr_writes:
        .skip   8
interrupts:
        .skip   8
ticks:
        .skip   8
latest:
        .skip   8
early:                                          # harmless when a deadline is replaced while its interrupt is under way
        .skip   8
lost:                                           # a deadline passed, and no interrupt came
        .skip   8
        percpu_end
