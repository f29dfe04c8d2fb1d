# Model-specific registers by name (SDM volume 4, chapter 2), and macros that move all 64 bits of one through %rax.

        .equ    MSR_TSC, 0x10
        .equ    MSR_APIC_BASE, 0x1b
        .equ    MSR_TSC_DEADLINE, 0x6e0
        .equ    MSR_EFER, 0xc0000080
        .equ    MSR_STAR, 0xc0000081
        .equ    MSR_LSTAR, 0xc0000082
        .equ    MSR_FMASK, 0xc0000084
        .equ    MSR_FS_BASE, 0xc0000100
        .equ    MSR_GS_BASE, 0xc0000101
        .equ    MSR_KERNEL_GS_BASE, 0xc0000102
        .equ    MSR_TSC_AUX, 0xc0000103

        .equ    EFER_SCE, 1 << 0                # SYSCALL and SYSRET
        .equ    EFER_NXE, 1 << 11               # the NX bit of page-table entries

# MSR -> %rax. Clobbers %rcx and %rdx.
        .macro read_msr index
        movl    $\index, %ecx
        rdmsr
        shlq    $32, %rdx
        orq     %rdx, %rax
        .endm

# %rax -> MSR. Clobbers %rcx and %rdx.
        .macro write_msr index
        movl    $\index, %ecx
        movq    %rax, %rdx
        shrq    $32, %rdx
        wrmsr
        .endm

# Time-stamp counter -> %rax. Clobbers %rdx.
        .macro read_tsc
        rdtsc
        shlq    $32, %rdx
        orq     %rdx, %rax
        .endm
