# The local APIC in x2APIC mode: its registers are MSRs, and writing one is a single WRMSR.
# Needs asm/msr.s.

        .equ    X2APIC_ID, 0x802
        .equ    X2APIC_VERSION, 0x803
        .equ    X2APIC_TPR, 0x808
        .equ    X2APIC_PPR, 0x80a
        .equ    X2APIC_EOI, 0x80b
        .equ    X2APIC_LDR, 0x80d
        .equ    X2APIC_SIVR, 0x80f
        .equ    X2APIC_ISR0, 0x810
        .equ    X2APIC_IRR0, 0x820
        .equ    X2APIC_ESR, 0x828
        .equ    X2APIC_ICR, 0x830
        .equ    X2APIC_LVT_TIMER, 0x832
        .equ    X2APIC_TMICT, 0x838
        .equ    X2APIC_TMCCT, 0x839
        .equ    X2APIC_TDCR, 0x83e
        .equ    X2APIC_SELF_IPI, 0x83f

        .equ    APIC_BASE_EXTD, 1 << 10         # x2APIC mode
        .equ    APIC_BASE_EN, 1 << 11           # the local APIC is on
        .equ    SIVR_APIC_ENABLED, 1 << 8
        .equ    SPURIOUS_VECTOR, 0xff

# Ends the interrupt in service. Clobbers %rax, %rcx and %rdx.
        .macro x2apic_eoi
        movl    $X2APIC_EOI, %ecx
        xorl    %eax, %eax
        xorl    %edx, %edx
        wrmsr
        .endm

        .text

# Brings the local APIC into x2APIC mode from any mode, software-enabled and open to every priority; returns the APIC
# ID. The mode can only be raised one step at a time: off, xAPIC, x2APIC.
x2apic_enable:
        movl    $MSR_APIC_BASE, %ecx
        rdmsr
        testl   $APIC_BASE_EXTD, %eax
        jnz     1f
        orl     $APIC_BASE_EN, %eax
        wrmsr
        orl     $APIC_BASE_EXTD, %eax
        wrmsr
1:      movl    $X2APIC_SIVR, %ecx
        movl    $(SIVR_APIC_ENABLED | SPURIOUS_VECTOR), %eax
        xorl    %edx, %edx
        wrmsr
        movl    $X2APIC_TPR, %ecx
        xorl    %eax, %eax
        wrmsr
        movl    $X2APIC_ID, %ecx
        rdmsr
        ret
