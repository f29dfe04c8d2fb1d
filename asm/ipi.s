# Interprocessor interrupts through the x2APIC interrupt command register: one WRMSR names the target and sends.
# Needs asm/x2apic.s. A vCPU's APIC ID is its index.

        .equ    ICR_FIXED, 0 << 8
        .equ    ICR_NMI, 4 << 8
        .equ    ICR_INIT, 5 << 8
        .equ    ICR_STARTUP, 6 << 8
        .equ    ICR_LOGICAL, 1 << 11
        .equ    ICR_ASSERT, 1 << 14
        .equ    ICR_SELF, 1 << 18
        .equ    ICR_ALL, 2 << 18
        .equ    ICR_ALL_BUT_SELF, 3 << 18

        .text

# Interrupts the vCPU with APIC ID %edi at vector %esi. Clobbers %rax, %rcx and %rdx.
ipi_send:
        mfence                                  # what was stored before is visible before the interrupt
        lfence
        movl    %esi, %eax                      # fixed delivery, physical destination
        movl    %edi, %edx
        movl    $X2APIC_ICR, %ecx
        wrmsr
        ret

# Interrupts every vCPU but this one at vector %edi. Clobbers %rax, %rcx and %rdx.
ipi_send_all_but_self:
        mfence
        lfence
        movl    %edi, %eax
        orl     $ICR_ALL_BUT_SELF, %eax
        xorl    %edx, %edx
        movl    $X2APIC_ICR, %ecx
        wrmsr
        ret

# Interrupts this vCPU at vector %edi. Clobbers %rax, %rcx and %rdx.
ipi_send_self:
        movl    %edi, %eax
        xorl    %edx, %edx
        movl    $X2APIC_SELF_IPI, %ecx
        wrmsr
        ret
