# SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, and the bases of FS and GS.

        .include "test/system/include/case.s"

        .equ    STAR, 0xc0000081
        .equ    LSTAR, 0xc0000082
        .equ    FMASK, 0xc0000084
        .equ    FS_BASE, 0xc0000100
        .equ    GS_BASE, 0xc0000101
        .equ    KERNEL_GS_BASE, 0xc0000102
        .equ    SYSENTER_CS, 0x174
        .equ    SYSENTER_ESP, 0x175
        .equ    SYSENTER_EIP, 0x176

# An MSR that holds the address of label 2:. Needs %rax, %rcx, %rdx.
        .macro entry_at index
        leaq    2f(%rip), %rax
        movq    %rax, %rdx
        shrq    $32, %rdx
        movl    $(\index), %ecx
        wrmsr
        .endm

# Makes SYSCALL and SYSRET work: to label 2:, and to the selectors of ring 3.
        .macro enable_syscall mask=0
        write_msr EFER, EFER_FIRST | EFER_SCE
        write_msr STAR, 0, KERNEL_CS | 0x20 << 16
        write_msr FMASK, \mask
        entry_at LSTAR
        .endm

# The same for SYSENTER and SYSEXIT.
        .macro enable_sysenter
        write_msr SYSENTER_CS, KERNEL_CS
        write_msr SYSENTER_ESP, IST1_STACK, KERNEL >> 32
        entry_at SYSENTER_EIP
        .endm

# %reg := the user's address of a label.
        .macro user_address label, reg
        leaq    \label(%rip), %\reg
        btrq    $KERNEL_BIT, %\reg
        .endm

        .text
cases:
        case    "SYSCALL without SCE"           # vol. 2, SYSCALL
        syscall
        outcome
        #= #UD

        case    "SYSCALL from ring 0"           # vol. 2, SYSCALL
        enable_syscall
        stc
        syscall
1:      ud2
2:      leaq    1b(%rip), %rbx
        subq    %rcx, %rbx
        outcome
        show    rbx, r11
        show_event cs, ss
        #= ok, rbx=0, r11=3, cs=10, ss=18

        case    "SYSCALL from ring 3"           # vol. 2, SYSCALL: RSP stays
        enable_syscall
        user
        syscall
2:      outcome
        show_event cs, ss, rsp
        #= ok, cs=10, ss=18, rsp=800000

        case    "SYSCALL clears what FMASK says" # vol. 2, SYSCALL
        enable_syscall RFLAGS_IF | 0x401
        pushq   $0x647                          # IF, DF, CF, ZF, PF
        popfq
        syscall
2:      cld
        outcome
        show    r11
        show_event rflags
        #= ok, r11=647, rflags=46

        case    "SYSRET to ring 3"              # vol. 2, SYSRET
        enable_syscall
        user_address 3f, rcx
        movl    $0x10202, %r11d                 # IF, RF
        sysretq
3:
2:      outcome
        show_event cs, ss, rflags
        #= ok, ring 3, cs=33, ss=2b, rflags=202

        case    "SYSRET does not load VM, RF and reserved flags" # vol. 2, SYSRET: R11 & 3C7FD7H | 2
        enable_syscall
        user_address 3f, rcx
        movl    $0x3ffe28, %r11d                # without TF
        andl    $~(1 << 8), %r11d
        sysretq
3:
2:      outcome
        show_event rflags
        #= ok, ring 3, rflags=3c7e02

        case    "SYSRET to an address that is not canonical", 1f # vol. 2, SYSRET: in ring 0 still
        enable_syscall
        movabsq $0x800000000000, %rcx
1:      sysretq
2:      outcome
        #= #GP(0)

        case    "SYSRET without SCE"            # vol. 2, SYSRET
        sysretq
        outcome
        #= #UD

        case    "SYSRET in ring 3", 1f          # vol. 2, SYSRET
        enable_syscall
        user
1:      sysretq
2:      outcome
        #= #GP(0), ring 3

        case    "SYSENTER without a CS", 1f     # vol. 2, SYSENTER
        write_msr SYSENTER_CS, 3
1:      sysenter
        outcome
        #= #GP(0)

        case    "SYSENTER from ring 3"          # vol. 2, SYSENTER
        enable_sysenter
        pushq   $0x203                          # IF, CF
        popfq
        user
        sysenter
2:      movq    %rsp, %rbx
        movabsq $(KERNEL + CASE_STACK), %rsp
        outcome
        show    rbx
        show_event cs, ss, rflags
        #= ok, rbx=8000830000, cs=10, ss=18, rflags=3

        case    "SYSEXIT to ring 3"             # vol. 2, SYSEXIT
        enable_sysenter
        user_address 3f, rdx
        movl    $CASE_STACK, %ecx
        sysexitq
3:
2:      outcome
        show_event cs, ss
        #= ok, ring 3, cs=33, ss=3b

        case    "SYSEXIT without a CS", 1f      # vol. 2, SYSEXIT
        write_msr SYSENTER_CS, 0
1:      sysexitq
        outcome
        #= #GP(0)

        case    "SYSEXIT in ring 3", 1f         # vol. 2, SYSEXIT
        enable_sysenter
        user
1:      sysexitq
2:      outcome
        #= #GP(0), ring 3

        case    "SYSEXIT to a RIP that is not canonical", 1f # vol. 2, SYSEXIT
        enable_sysenter
        movabsq $0x800000000000, %rdx
1:      sysexitq
2:      outcome
        #= #GP(0)

        case    "SYSEXIT to an RSP that is not canonical", 1f # vol. 2, SYSEXIT
        enable_sysenter
        user_address 2f, rdx
        movabsq $0x800000000000, %rcx
1:      sysexitq
2:      outcome
        #= #GP(0)

        case    "SWAPGS"                        # vol. 2, SWAPGS
        write_msr GS_BASE, 0x1234
        write_msr KERNEL_GS_BASE, 0x5678, 0xffff8000
        swapgs
        movl    $GS_BASE, %ecx
        rdmsr
        movl    %eax, %ebx
        movl    %edx, %esi
        movl    $KERNEL_GS_BASE, %ecx
        rdmsr
        outcome
        show    rax, rdx, rbx, rsi
        #= ok, rax=1234, rdx=0, rbx=5678, rsi=ffff8000

        case    "SWAPGS in ring 3", 1f          # vol. 2, SWAPGS
        user
1:      swapgs
        outcome
        #= #GP(0), ring 3

        case    "RDFSBASE without FSGSBASE"     # vol. 2, RDFSBASE
        rdfsbase %rax
        outcome
        #= #UD

        case    "WRGSBASE and RDGSBASE in ring 3" # vol. 2, WRGSBASE
        set_cr  cr4, CR4_FSGSBASE
        user
        movabsq $0xffff800000001234, %rbx
        wrgsbase %rbx
        rdgsbase %rcx
        rdgsbase %edx
        outcome
        show    rcx, rdx
        #= ok, ring 3, rcx=ffff800000001234, rdx=1234

        case    "WRFSBASE of 32 bits"           # vol. 2, WRFSBASE
        set_cr  cr4, CR4_FSGSBASE
        movq    $-1, %rbx
        wrfsbase %ebx
        rdfsbase %rcx
        outcome
        show    rcx
        #= ok, rcx=ffffffff

        case    "WRFSBASE of an address that is not canonical", 1f # vol. 2, WRFSBASE
        set_cr  cr4, CR4_FSGSBASE
        movabsq $0x800000000000, %rbx
1:      wrfsbase %rbx
        outcome
        #= #GP(0)

        end_cases
