# RDMSR and WRMSR: which there are, and which values they take (vol. 4, table 2-2; vol. 2, WRMSR).

        .include "test/system/include/case.s"

        .equ    STAR, 0xc0000081
        .equ    LSTAR, 0xc0000082
        .equ    CSTAR, 0xc0000083
        .equ    FMASK, 0xc0000084
        .equ    FS_BASE, 0xc0000100
        .equ    GS_BASE, 0xc0000101
        .equ    KERNEL_GS_BASE, 0xc0000102
        .equ    TSC_AUX, 0xc0000103
        .equ    SYSENTER_ESP, 0x175
        .equ    SYSENTER_EIP, 0x176
        .equ    PAT, 0x277
        .equ    PAT_FIRST, 0x00070406           # both halves
        .equ    HIGHEST, 0x7fff                 # upper half of the last canonical address below the hole
        .equ    HOLE, 0x8000

# Writes to a label's instruction 1:.
        .macro write index, low, high=0
        movl    $(\index), %ecx
        movl    $(\low), %eax
        movl    $(\high), %edx
1:      wrmsr
        .endm

        .macro write_and_read index, low, high=0
        write   \index, \low, \high
        xorl    %eax, %eax
        xorl    %edx, %edx
        rdmsr
        .endm

        .text
cases:
        case    "RDMSR of what does not exist", 1f
        movl    $0x4711, %ecx
1:      rdmsr
        outcome
        #= #GP(0)

        case    "WRMSR of what does not exist", 1f
        write   0x4711, 0
        outcome
        #= #GP(0)

        case    "RDMSR in ring 3", 1f
        user
        movl    $EFER, %ecx
1:      rdmsr
        outcome
        #= #GP(0), ring 3

        case    "WRMSR in ring 3", 1f
        user
        write   EFER, EFER_FIRST
        outcome
        #= #GP(0), ring 3

        case    "RDMSR ignores the upper half of RCX and clears those of RAX and RDX"
        movq    $-1, %rax
        movq    $-1, %rdx
        movabsq $(0x1234567800000000 | EFER), %rcx
        rdmsr
        outcome
        show    rax, rdx
        #= ok, rax=500, rdx=0

        case    "WRMSR ignores the upper halves of RAX, RDX and RCX"
        movabsq $(0x1111111100000000 | EFER), %rcx
        movabsq $(0x2222222200000000 | EFER_FIRST | EFER_SCE), %rax
        movabsq $0x3333333300000000, %rdx
        wrmsr
        rdmsr
        outcome
        show    rax, rdx
        #= ok, rax=501, rdx=0

        case    "EFER.NXE"                      # vol. 3, 2.2.1
        write_and_read EFER, EFER_FIRST | EFER_NXE
        outcome
        show    rax
        #= ok, rax=d00

        case    "a reserved bit of EFER", 1f    # vol. 3, 2.2.1
        write   EFER, EFER_FIRST | 2
        outcome
        #= #GP(0)

        case    "the upper half of EFER", 1f    # vol. 3, 2.2.1
        write   EFER, EFER_FIRST, 1
        outcome
        #= #GP(0)

        case    "EFER.LME stays while paging is on", 1f # vol. 3, 2.2.1 and 9.8.5
        write   EFER, 0x400
        outcome
        #= #GP(0)

        case    "EFER.LMA is not written"       # vol. 4, IA32_EFER
        write_and_read EFER, 0x100
        outcome
        show    rax
        #= ok, rax=500

        case    "STAR takes anything"
        write_and_read STAR, 0x89abcdef, 0x01234567
        outcome
        show    rax, rdx
        #= ok, rax=89abcdef, rdx=1234567

        case    "LSTAR takes the highest canonical address"
        write_and_read LSTAR, 0xffffffff, HIGHEST
        outcome
        show    rax, rdx
        #= ok, rax=ffffffff, rdx=7fff

        case    "LSTAR takes no address that is not canonical", 1f
        write   LSTAR, 0, HOLE
        outcome
        #= #GP(0)

        case    "CSTAR takes no address that is not canonical", 1f
        write   CSTAR, 0, HOLE
        outcome
        #= #GP(0)

        case    "FMASK"
        write_and_read FMASK, 0xffffffff
        outcome
        show    rax, rdx
        #= ok, rax=ffffffff, rdx=0

        case    "the upper half of FMASK", 1f
        write   FMASK, 0, 1
        outcome
        #= #GP(0)

        case    "FS_BASE takes no address that is not canonical", 1f
        write   FS_BASE, 0, HOLE
        outcome
        #= #GP(0)

        case    "GS_BASE takes no address that is not canonical", 1f
        write   GS_BASE, 0, 0xffff7fff
        outcome
        #= #GP(0)

        case    "KERNEL_GS_BASE takes no address that is not canonical", 1f
        write   KERNEL_GS_BASE, 0, HOLE
        outcome
        #= #GP(0)

        case    "KERNEL_GS_BASE"
        write_and_read KERNEL_GS_BASE, 0x1000, 0xffff8000
        outcome
        show    rax, rdx
        #= ok, rax=1000, rdx=ffff8000

        case    "SYSENTER_EIP takes no address that is not canonical", 1f
        write   SYSENTER_EIP, 0, HOLE
        outcome
        #= #GP(0)

        case    "SYSENTER_ESP takes no address that is not canonical", 1f
        write   SYSENTER_ESP, 0, HOLE
        outcome
        #= #GP(0)

        case    "TSC_AUX and RDTSCP"            # vol. 2, RDTSCP
        write   TSC_AUX, 0x87654321
        movq    $-1, %rcx
        rdtscp
        outcome
        show    rcx
        #= ok, rcx=87654321

        case    "the upper half of TSC_AUX", 1f # vol. 4, IA32_TSC_AUX: reserved
        write   TSC_AUX, 0, 1
        outcome
        #= #GP(0)

        case    "PAT"                           # vol. 3, 11.12.2
        write   PAT, 0x07060504, 0x00010607
        rdmsr
        movl    %eax, %ebx
        movl    %edx, %esi
        write   PAT, PAT_FIRST, PAT_FIRST
        outcome
        show    rbx, rsi
        #= ok, rbx=7060504, rsi=10607

        case    "a memory type that PAT does not know", 1f # vol. 3, 11.12.2
        write   PAT, 0x00070402, PAT_FIRST
        outcome
        #= #GP(0)

        case    "a reserved bit of PAT", 1f     # vol. 3, 11.12.2
        write   PAT, PAT_FIRST, 0x08070406
        outcome
        #= #GP(0)

        case    "RDTSC under TSD in ring 3", 1f # vol. 3, 2.5
        set_cr  cr4, CR4_TSD
        user
1:      rdtsc
        outcome
        #= #GP(0), ring 3

        case    "RDTSCP under TSD in ring 3", 1f # vol. 3, 2.5
        set_cr  cr4, CR4_TSD
        user
1:      rdtscp
        outcome
        #= #GP(0), ring 3

        case    "RDTSC under TSD in ring 0"     # vol. 3, 2.5
        set_cr  cr4, CR4_TSD
        rdtsc
        outcome
        #= ok

        case    "RDPMC without PCE in ring 3", 1f # vol. 3, 2.5
        user
1:      rdpmc
        outcome
        #= #GP(0), ring 3

        end_cases
