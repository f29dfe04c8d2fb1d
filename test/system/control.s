# Control registers: MOV CR, CLTS, LMSW, SMSW.

        .include "test/system/include/case.s"

        .text
cases:
        case    "LMSW does not clear PE"        # vol. 2, LMSW
        lmsw    %ax
        movq    %cr0, %rax
        outcome
        show    rax
        #= ok, rax=80000031

        case    "LMSW loads PE, MP, EM and TS only" # vol. 2, LMSW
        movl    $0xffff, %eax
        lmsw    %ax
        movq    %cr0, %rax
        outcome
        show    rax
        #= ok, rax=8000003f

        case    "LMSW takes a word from memory" # vol. 2, LMSW
        movq    $0xfff9, word(%rip)
        lmsw    word(%rip)
        movq    %cr0, %rax
        outcome
        show    rax
        #= ok, rax=80000039

        case    "LMSW in ring 3", 1f            # vol. 2, LMSW
        user
1:      lmsw    %ax
        outcome
        #= #GP(0), ring 3

        case    "SMSW of 16 bits keeps the rest of the register" # vol. 2, SMSW
        movq    $-1, %rbx
        smsw    %bx
        outcome
        show    rbx
        #= ok, rbx=ffffffffffff0033

        case    "SMSW writes 16 bits of memory, whatever the operand size" # vol. 2, SMSW
        movq    $-1, word(%rip)
        .byte   0x48                            # REX.W
        smsw    word(%rip)
        movq    word(%rip), %rax
        outcome
        show    rax
        #= ok, rax=ffffffffffff0033

        case    "SMSW in ring 3"                # vol. 2, SMSW
        user
        smsw    %ax
        outcome
        show    rax
        #= ok, ring 3, rax=33

        case    "SMSW in ring 3 under UMIP", 1f # vol. 3, 2.5, CR4.UMIP
        set_cr  cr4, CR4_UMIP
        user
1:      smsw    %ax
        outcome
        #= #GP(0), ring 3

        case    "CLTS"                          # vol. 2, CLTS
        set_cr  cr0, CR0_TS
        clts
        movq    %cr0, %rax
        outcome
        show    rax
        #= ok, rax=80000033

        case    "CLTS in ring 3", 1f            # vol. 2, CLTS
        user
1:      clts
        outcome
        #= #GP(0), ring 3

        case    "paging stays on in 64-bit mode", 1f # vol. 2, MOV CR: CR0.PG cleared with CS.L = 1
        movl    $0x33, %eax
1:      movq    %rax, %cr0
        outcome
        #= #GP(0)

        case    "PG without PE", 1f             # vol. 2, MOV CR
        movl    $0x80000032, %eax
1:      movq    %rax, %cr0
        outcome
        #= #GP(0)

        case    "NW without CD", 1f             # vol. 2, MOV CR
        movl    $(CR0_FIRST | CR0_NW), %eax
1:      movq    %rax, %cr0
        outcome
        #= #GP(0)

        case    "CD without NW"                 # vol. 3, table 11-5
        movl    $(CR0_FIRST | CR0_CD), %eax
        movq    %rax, %cr0
        movq    %cr0, %rbx
        outcome
        show    rbx
        #= ok, rbx=c0000033

        case    "the upper half of CR0 is reserved", 1f # vol. 3, 2.5
        movabsq $0x180000033, %rax
1:      movq    %rax, %cr0
        outcome
        #= #GP(0)

        case    "reserved bits of the lower half of CR0 stay clear, ET set" # vol. 3, 2.5; vol. 2, MOV CR
        movl    $0x9ffaffe3, %eax
        movq    %rax, %cr0
        movq    %cr0, %rbx
        outcome
        show    rbx
        #= ok, rbx=80000033

        case    "NE and MP may be cleared"      # vol. 3, 2.5
        movl    $0x80000011, %eax
        movq    %rax, %cr0
        movq    %cr0, %rbx
        outcome
        show    rbx
        #= ok, rbx=80000011

        case    "CR1 does not exist"            # vol. 2, MOV CR
        .byte   0x0f, 0x20, 0xc8
        outcome
        #= #UD

        case    "CR5 does not exist"            # vol. 2, MOV CR
        .byte   0x0f, 0x22, 0xe8
        outcome
        #= #UD

        case    "CR9 does not exist"            # vol. 2, MOV CR
        .byte   0x44, 0x0f, 0x20, 0xc8
        outcome
        #= #UD

        case    "MOV CR ignores the mod bits"   # vol. 2, MOV CR
        .byte   0x0f, 0x20, 0x03                # as mov %cr0, %rbx
        outcome
        show    rbx
        #= ok, rbx=80000033

        case    "MOV CR with LOCK"              # vol. 2, MOV CR
        .byte   0xf0, 0x0f, 0x20, 0xc0
        outcome
        #= #UD

        case    "MOV from CR0 in ring 3", 1f    # vol. 2, MOV CR
        user
1:      movq    %cr0, %rax
        outcome
        #= #GP(0), ring 3

        case    "MOV to CR3 in ring 3", 1f      # vol. 2, MOV CR
        user
1:      movq    %rax, %cr3
        outcome
        #= #GP(0), ring 3

        case    "CR2 takes any value"           # vol. 3, 2.5
        movabsq $0x123456789abcdef0, %rax
        movq    %rax, %cr2
        movq    %cr2, %rbx
        outcome
        show    rbx
        #= ok, rbx=123456789abcdef0

        case    "CR3 keeps PWT and PCD"         # vol. 3, 2.5
        movl    $(PML4 | 0x18), %eax
        movq    %rax, %cr3
        movq    %cr3, %rbx
        outcome
        show    rbx
        #= ok, rbx=9018

        case    "bits of CR3 beyond the physical address", 1f # vol. 2, MOV CR
        movabsq $(1 << 60 | PML4), %rax
1:      movq    %rax, %cr3
        outcome
        #= #GP(0)

        case    "bit 63 of CR3 without PCIDs", 1f # vol. 2, MOV CR
        movabsq $(1 << 63 | PML4), %rax
1:      movq    %rax, %cr3
        outcome
        #= #GP(0)

        case    "PAE stays on in long mode", 1f # vol. 2, MOV CR
        movl    $0, %eax
1:      movq    %rax, %cr4
        outcome
        #= #GP(0)

        case    "reserved bits of CR4", 1f      # vol. 2, MOV CR
        movl    $(CR4_PAE | 1 << 30), %eax
1:      movq    %rax, %cr4
        outcome
        #= #GP(0)

        case    "the upper half of CR4", 1f     # vol. 2, MOV CR
        movabsq $(CR4_PAE | 1 << 63), %rax
1:      movq    %rax, %cr4
        outcome
        #= #GP(0)

        case    "PCIDE while CR3 has bits of a PCID", 1f # vol. 3, 4.10.1
        movl    $(PML4 | 8), %eax
        movq    %rax, %cr3
        movl    $(CR4_PAE | CR4_PCIDE), %eax
1:      movq    %rax, %cr4
        outcome
        #= #GP(0)

        case    "PCIDs"                         # vol. 3, 4.10.1; vol. 2, MOV CR: bit 63 is not stored
        set_cr  cr4, CR4_PCIDE
        movabsq $(1 << 63 | PML4 | 5), %rax
        movq    %rax, %cr3
        movq    %cr3, %rbx
        outcome
        show    rbx
        #= ok, rbx=9005

        case    "CR8"                           # vol. 3, 10.8.6
        movl    $5, %eax
        movq    %rax, %cr8
        movq    %cr8, %rbx
        movl    $0, %eax
        movq    %rax, %cr8
        outcome
        show    rbx
        #= ok, rbx=5

        case    "CR8 has four bits", 1f         # vol. 3, 10.8.6
        movl    $16, %eax
1:      movq    %rax, %cr8
        outcome
        #= #GP(0)

        case    "XGETBV without OSXSAVE"        # vol. 2, XGETBV
        xgetbv
        outcome
        #= #UD

        case    "XSETBV without OSXSAVE in ring 3", 1f # vol. 2, XSETBV
        user
1:      xsetbv
        outcome
        #= #UD, ring 3

        end_cases

        .data
        .balign 8
word:   .quad   0
