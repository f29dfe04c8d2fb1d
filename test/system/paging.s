# Page faults: rights and error codes (vol. 3, 4.6 and 4.7).

        .include "test/system/include/case.s"
        .include "test/system/include/window.s"

        .text
cases:
        case    "a read of nothing", 1f         # vol. 3, 4.7
        map     0
1:      movl    (%rbx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "a write to nothing", 1f        # vol. 3, 4.7
        map     0
1:      movl    %eax, (%rbx)
        outcome
        #= #PF(2), cr2=40000000

        case    "a read of nothing in ring 3", 1f # vol. 3, 4.7
        map     0
        user
1:      movl    (%rbx), %eax
        outcome
        #= #PF(4), ring 3, cr2=40000000

        case    "a write to nothing in ring 3", 1f # vol. 3, 4.7
        map     0
        user
1:      movl    %eax, (%rbx)
        outcome
        #= #PF(6), ring 3, cr2=40000000

        case    "reading and writing nothing is a write", 1f # vol. 3, 4.7
        map     0
1:      incl    (%rbx)
        outcome
        #= #PF(2), cr2=40000000

        case    "XCHG with nothing", 1f         # vol. 3, 4.7
        map     0
1:      xchgl   %eax, (%rbx)
        outcome
        #= #PF(2), cr2=40000000

        case    "a fetch from nothing"          # vol. 3, 4.7: I only under NXE or SMEP
        map     0
        jmp     *%rbx
        outcome
        #= #PF(0) at =40000000, cr2=40000000

        case    "a fetch from nothing under NXE" # vol. 3, 4.7
        write_msr EFER, EFER_FIRST | EFER_NXE
        map     0
        jmp     *%rbx
        outcome
        #= #PF(10) at =40000000, cr2=40000000

        case    "a fetch from nothing under SMEP" # vol. 3, 4.7
        set_cr  cr4, CR4_SMEP
        map     0
        jmp     *%rbx
        outcome
        #= #PF(10) at =40000000, cr2=40000000

        case    "a supervisor page in ring 3", 1f # vol. 3, 4.6
        map     PAGE | P | W
        user
1:      movl    (%rbx), %eax
        outcome
        #= #PF(5), ring 3, cr2=40000000

        case    "a supervisor page in ring 1"   # vol. 3, 4.6: rings 0 to 2 are the supervisor
        map     PAGE | P | W
        leaq    1f(%rip), %rax
        movq    %rsp, %rcx
        pushq   $RING1_DS
        pushq   %rcx
        pushq   $2
        pushq   $RING1_CS
        pushq   %rax
        iretq
1:      movl    (%rbx), %eax
        outcome
        #= ok, ring 1

        case    "a directory of the supervisor's in ring 3", 1f # vol. 3, 4.6
        map     PAGE | ALL, 0, WINDOW_PT | P | W
        user
1:      movl    (%rbx), %eax
        outcome
        #= #PF(5), ring 3, cr2=40000000

        case    "a write to a read-only page in ring 3", 1f # vol. 3, 4.6
        map     PAGE | P | U
        user
1:      movl    %eax, (%rbx)
        outcome
        #= #PF(7), ring 3, cr2=40000000

        case    "a write to a read-only page without WP" # vol. 3, 4.6
        map     PAGE | P
        movl    %eax, (%rbx)
        outcome
        #= ok

        case    "a write to a read-only page under WP", 1f # vol. 3, 4.6
        set_cr  cr0, CR0_WP
        map     PAGE | P
1:      movl    %eax, (%rbx)
        outcome
        #= #PF(3), cr2=40000000

        case    "a write through a read-only directory under WP", 1f # vol. 3, 4.6
        set_cr  cr0, CR0_WP
        map     PAGE | ALL, 0, WINDOW_PT | P
1:      movl    %eax, (%rbx)
        outcome
        #= #PF(3), cr2=40000000

        case    "CMPXCHG writes even if it finds something else", 1f # vol. 2, CMPXCHG
        set_cr  cr0, CR0_WP
        map     PAGE | P
        movl    $0x12345678, %eax
1:      cmpxchgl %ecx, (%rbx)
        outcome
        #= #PF(3), cr2=40000000

        case    "a reserved bit of an entry", 1f # vol. 3, 4.7
        map     PAGE | ALL, 1 << 19
1:      movl    (%rbx), %eax
        outcome
        #= #PF(9), cr2=40000000

        case    "a reserved bit of an entry that is not present", 1f # vol. 3, 4.7
        map     PAGE, 1 << 19
1:      movl    (%rbx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "a reserved bit of a large page", 1f # vol. 3, table 4-17
        map     0, 0, 0x602000 | PS | ALL
        user
1:      movl    (%rbx), %eax
        outcome
        #= #PF(d), ring 3, cr2=40000000

        case    "PS in the PML4 is reserved", 1f # vol. 3, table 4-15
        movabsq $(KERNEL + PML4 + 16), %rax
        movq    $(PDPT | PS | ALL), (%rax)
        movabsq $0x10000000000, %rbx
1:      movl    (%rbx), %eax
        outcome
        #= #PF(9), cr2=10000000000

        case    "NX without NXE is reserved", 1f # vol. 3, table 4-19
        map     PAGE | ALL, NX
1:      movl    (%rbx), %eax
        outcome
        #= #PF(9), cr2=40000000

        case    "NX does not keep data away"    # vol. 3, 4.6
        write_msr EFER, EFER_FIRST | EFER_NXE
        map     PAGE | ALL, NX
        movl    %eax, (%rbx)
        outcome
        #= ok

        case    "a fetch from an NX page"       # vol. 3, 4.6
        write_msr EFER, EFER_FIRST | EFER_NXE
        map     PAGE | ALL, NX
        jmp     *%rbx
        outcome
        #= #PF(11) at =40000000, cr2=40000000

        case    "a fetch from an NX page in ring 3" # vol. 3, 4.6
        write_msr EFER, EFER_FIRST | EFER_NXE
        map     PAGE | ALL, NX
        user
        jmp     *%rbx
        outcome
        #= #PF(15) at =40000000, ring 3, cr2=40000000

        case    "a fetch from a user page under SMEP" # vol. 3, 4.6
        set_cr  cr4, CR4_SMEP
        map     PAGE | ALL
        jmp     *%rbx
        outcome
        #= #PF(11) at =40000000, cr2=40000000

        case    "a read of a user page under SMAP", 1f # vol. 3, 4.6
        set_cr  cr4, CR4_SMAP
        map     PAGE | ALL
1:      movl    (%rbx), %eax
        outcome
        #= #PF(1), cr2=40000000

        case    "a write to a user page under SMAP", 1f # vol. 3, 4.6
        set_cr  cr4, CR4_SMAP
        map     PAGE | ALL
1:      movl    %eax, (%rbx)
        outcome
        #= #PF(3), cr2=40000000

        case    "AC lifts SMAP"                 # vol. 3, 4.6
        set_cr  cr4, CR4_SMAP
        map     PAGE | ALL
        stac
        movl    %eax, (%rbx)
        outcome
        #= ok

        case    "AC does not lift SMAP for a descriptor", 1f # vol. 3, 4.6.1: an implicit supervisor access
        movabsq $(KERNEL + GDT + LOCAL + 8), %rax
        movl    $0, (%rax)                      # the LDT at user mode's address
        movl    $LOCAL, %eax
        lldt    %ax
        set_cr  cr4, CR4_SMAP
        movabsq $(KERNEL + LDT), %rax
        movb    $0xf3, 5(%rax)                  # of DPL 3
        pushq   $(RFLAGS_AC | 2)
        popfq
        user
        movl    $(LOCAL_DATA | 3), %eax
1:      movl    %eax, %ds
        outcome
        #= #PF(1), ring 3, cr2=404000

        end_cases
