# What a guest of KVM can ask for and switch on: the paravirtual CPUID leaves and MSRs (Linux, kvm_para.h).
# Needs asm/msr.s.

        .equ    CPUID_1_ECX_HYPERVISOR, 31
        .equ    KVM_CPUID_FIRST, 0x40000000
        .equ    KVM_CPUID_LAST, 0x40010000
        .equ    KVM_CPUID_STEP, 0x100
        .equ    KVM_SIGNATURE_EBX, 0x4b4d564b   # "KVMKVMKVM\0\0\0"
        .equ    KVM_SIGNATURE_ECX, 0x564b4d56
        .equ    KVM_SIGNATURE_EDX, 0x0000004d

        .equ    KVM_FEATURE_CLOCKSOURCE2, 3
        .equ    KVM_FEATURE_ASYNC_PF, 4
        .equ    KVM_FEATURE_STEAL_TIME, 5
        .equ    KVM_FEATURE_PV_EOI, 6
        .equ    KVM_FEATURE_PV_UNHALT, 7
        .equ    KVM_FEATURE_PV_SEND_IPI, 11
        .equ    KVM_FEATURE_LAZY_TSCDEADLINE, 18

        .equ    MSR_KVM_WALL_CLOCK_NEW, 0x4b564d00
        .equ    MSR_KVM_SYSTEM_TIME_NEW, 0x4b564d01
        .equ    MSR_KVM_ASYNC_PF_EN, 0x4b564d02
        .equ    MSR_KVM_STEAL_TIME, 0x4b564d03
        .equ    MSR_KVM_PV_EOI_EN, 0x4b564d04
        .equ    MSR_KVM_LAZY_TSCDEADLINE, 0x4b564d09
        .equ    KVM_MSR_ENABLED, 1

        .equ    KVM_HC_KICK_CPU, 5
        .equ    KVM_HC_SEND_IPI, 10

# struct pvclock_vcpu_time_info: 32 bytes. The version is odd while the host writes.
        .equ    PVCLOCK_VERSION, 0
        .equ    PVCLOCK_TSC_TIMESTAMP, 8
        .equ    PVCLOCK_SYSTEM_TIME, 16
        .equ    PVCLOCK_MUL, 24
        .equ    PVCLOCK_SHIFT, 28
        .equ    PVCLOCK_SIZE, 32

# struct pvclock_wall_clock: the date at which kvmclock was 0.
        .equ    WALL_CLOCK_SEC, 4
        .equ    WALL_CLOCK_SIZE, 12

# struct kvm_lazy_tscdeadline: 64 bytes, aligned to 64.
        .equ    LAZY_ARMED, 0                   # the deadline that the host has armed, 0 for none; only the host writes it
        .equ    LAZY_PENDING, 8                 # the deadline that the guest wants; only the guest writes it
        .equ    LAZY_FLAGS, 16
        .equ    LAZY_SIZE, 64

        .text

# Returns the first of KVM's CPUID leaves, or 0 without KVM.
kvm_cpuid_base:
        pushq   %rbx
        movl    $1, %eax
        xorl    %ecx, %ecx
        cpuid
        btl     $CPUID_1_ECX_HYPERVISOR, %ecx
        jnc     3f
        movl    $KVM_CPUID_FIRST, %esi
1:      movl    %esi, %eax
        xorl    %ecx, %ecx
        cpuid
        cmpl    $KVM_SIGNATURE_EBX, %ebx
        jne     2f
        cmpl    $KVM_SIGNATURE_ECX, %ecx
        jne     2f
        cmpl    $KVM_SIGNATURE_EDX, %edx
        jne     2f
        movl    %esi, %eax
        popq    %rbx
        ret
2:      addl    $KVM_CPUID_STEP, %esi
        cmpl    $KVM_CPUID_LAST, %esi
        jb      1b
3:      xorl    %eax, %eax
        popq    %rbx
        ret

# Returns 1 when KVM offers the feature with bit number %edi, otherwise 0.
kvm_para_has_feature:
        pushq   %rbx
        pushq   %rdi
        call    kvm_cpuid_base
        popq    %rdi
        testl   %eax, %eax
        jz      1f
        incl    %eax                            # the leaf behind the signature: KVM_CPUID_FEATURES
        xorl    %ecx, %ecx
        cpuid
        movl    %edi, %ecx
        shrl    %cl, %eax
        andl    $1, %eax
1:      popq    %rbx
        ret

# A TSC in %rax becomes nanoseconds by the page at %rdi.
        .macro pvclock_scale
        subq    PVCLOCK_TSC_TIMESTAMP(%rdi), %rax
        movsbl  PVCLOCK_SHIFT(%rdi), %ecx
        testl   %ecx, %ecx
        js      1f
        shlq    %cl, %rax
        jmp     2f
1:      negl    %ecx
        shrq    %cl, %rax
2:      movl    PVCLOCK_MUL(%rdi), %edx
        mulq    %rdx
        shrdq   $32, %rdx, %rax
        addq    PVCLOCK_SYSTEM_TIME(%rdi), %rax
        .endm

# Returns the nanoseconds of kvmclock by the page at %rdi, which must be this vCPU's. Clobbers %rcx, %rdx and %r8.
pvclock_read:
        movl    PVCLOCK_VERSION(%rdi), %r8d
        testl   $1, %r8d
        jnz     pvclock_read
        lfence                                  # the TSC is not read before the version
        read_tsc
        pvclock_scale
        cmpl    PVCLOCK_VERSION(%rdi), %r8d
        jne     pvclock_read                    # the host has written meanwhile
        ret

# The same for a TSC that was read before, in %rsi.
pvclock_at:
        movl    PVCLOCK_VERSION(%rdi), %r8d
        testl   $1, %r8d
        jnz     pvclock_at
        movq    %rsi, %rax
        pvclock_scale
        cmpl    PVCLOCK_VERSION(%rdi), %r8d
        jne     pvclock_at
        ret

# Shares the struct kvm_lazy_tscdeadline at %rdi with the host, for this vCPU. It must start at zero.
kvm_lazy_tscdeadline_enable:
        movq    $0, LAZY_ARMED(%rdi)
        movq    $0, LAZY_PENDING(%rdi)
        movl    $0, LAZY_FLAGS(%rdi)
        movq    %rdi, %rax                      # memory is identity-mapped: the address is the guest physical one
        orq     $KVM_MSR_ENABLED, %rax
        write_msr MSR_KVM_LAZY_TSCDEADLINE
        ret

# Takes it back; the host writes to it no more, so that its memory can be used for something else.
kvm_lazy_tscdeadline_disable:
        xorl    %eax, %eax
        write_msr MSR_KVM_LAZY_TSCDEADLINE
        ret
