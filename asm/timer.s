# The APIC timer in TSC-deadline mode: the timer fires when the time-stamp counter reaches the value in an MSR.
# Needs asm/msr.s and asm/x2apic.s.

        .equ    LVT_MASKED, 1 << 16
        .equ    LVT_TIMER_ONESHOT, 0 << 17
        .equ    LVT_TIMER_PERIODIC, 1 << 17
        .equ    LVT_TIMER_TSC_DEADLINE, 2 << 17

# WRMSR to an x2APIC register or TSC_DEADLINE does not serialise; this makes earlier stores and loads visible before it.
        .macro weak_wrmsr_fence
        mfence
        lfence
        .endm

        .text

# Sets the timer up to interrupt at vector %edi, in TSC-deadline mode, not armed.
timer_init:
        movl    %edi, %eax
        orl     $LVT_TIMER_TSC_DEADLINE, %eax
        xorl    %edx, %edx
        movl    $X2APIC_LVT_TIMER, %ecx
        wrmsr
        ret

# Arms the timer to fire when the TSC reaches %rdi, in place of what was armed before; 0 disarms it.
timer_arm:
        weak_wrmsr_fence
        movq    %rdi, %rax
        write_msr MSR_TSC_DEADLINE
        ret

# Masks the timer's interrupt and disarms it, as lapic_timer_shutdown of Linux does.
timer_shutdown:
        movl    $X2APIC_LVT_TIMER, %ecx
        rdmsr
        orl     $LVT_MASKED, %eax
        wrmsr
        xorl    %edi, %edi
        jmp     timer_arm
