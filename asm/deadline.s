# The clock-event device "lapic-deadline" of Linux, without and with the lazy TSC deadline (asm/pv.s): set_next_event takes
# the distance to the deadline. Needs asm/msr.s, asm/percpu.s, asm/timer.s and asm/pv.s.
#
# A guest has these per-CPU variables: `lazy`, the struct kvm_lazy_tscdeadline; and `written`, counters of 4 bytes of MSR
# writes, of which `cause` (4 bytes) is the index.

        .text

# set_next_event without the feature: every deadline is an MSR write.
lapic_next_deadline:
        weak_wrmsr_fence
        read_tsc
        addq    %rdi, %rax
write_deadline:
        movl    %gs:cause(%rip), %ecx
        leaq    written(%rip), %rdx
        incl    %gs:(%rdx,%rcx,4)
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
        jz      write_deadline
        cmpq    %rcx, %rax
        jb      write_deadline
        ret

# Masks and disarms the timer. `pending` goes first, or the host might arm it once more.
lapic_timer_shutdown:
        movq    $0, %gs:lazy+LAZY_PENDING(%rip)
        jmp     timer_shutdown

# Shares this vCPU's structure with the host. Only then may set_next_event be kvm_lapic_next_deadline: what the structure
# held before, of an earlier time online, means nothing.
kvm_lazy_tscdeadline_online:
        movl    $MSR_GS_BASE, %ecx              # the distance of this vCPU's variables
        rdmsr
        leaq    lazy(%rax), %rdi
        jmp     kvm_lazy_tscdeadline_enable
