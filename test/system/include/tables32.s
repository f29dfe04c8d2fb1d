# Page tables for 32-bit and PAE paging, and a window in them that a case may spoil. Included after case.s, window.s and legacy.s.
#
#       case    "a read of nothing", 1f
#       window32 0                              # what WINDOW is mapped to
#       protected
#       controls PG, 0, DIRECTORY32             # CR0, CR4, CR3: with paging from here on
# 1:    movl    (%ebx), %eax                    # %ebx = WINDOW, the other registers are 0
#       outcome
#
# Memory below 16 MiB stays where it is.

        .equ    DIRECTORY32, 0x510000           # physical: tables for 32-bit paging
        .equ    TABLE32, 0x511000
        .equ    IDENTITY32, 0x512000            # four page tables
        .equ    PDPTES, 0x516000                # and for PAE paging
        .equ    IDENTITY_PAE, 0x517000
        .equ    DIRECTORY_PAE, 0x518000
        .equ    TABLE_PAE, 0x519000
        .equ    LARGE_PAGE, 0x800000            # of 4 MiB; PAGE and it begin with marks
        .equ    MARK, 0x1a2b3c4d
        .equ    LARGE_MARK, 0x55667788
        .equ    WINDOW32, DIRECTORY32 + 4 * (WINDOW >> 22)

        .equ    PE, 1
        .equ    PG, 1 << 31
        .equ    CR0_PROTECTED, 0x33             # NE, ET, MP, PE
        .equ    CR4_PSE, 1 << 4
        .equ    CR4_PGE, 1 << 7
        .equ    EFER_LME, 0x100

# The first entry of the window's table in 32-bit paging, and the entry that leads to it. 64-bit code.
        .macro window32 entry, directory=TABLE32|ALL
        movl    $(\entry), TABLE32
        movl    $(\directory), WINDOW32
        .endm

# The same in PAE paging, where the window is in the second gigabyte.
        .macro window_pae low, high=0, directory=TABLE_PAE|ALL, directory_high=0, pdpte=DIRECTORY_PAE|P
        movl    $(\low), TABLE_PAE
        movl    $(\high), TABLE_PAE + 4
        movl    $(\directory), DIRECTORY_PAE
        movl    $(\directory_high), DIRECTORY_PAE + 4
        movl    $(\pdpte), PDPTES + 8
        movl    $0, PDPTES + 12
        .endm

# Loads control registers, CR0 last. Protected mode without paging. `identity`: rights of the memory below 16 MiB.
        .macro controls cr0=0, cr4=0, cr3=0, efer=0, identity=P|W
        movl    $(\efer), %eax
        movl    $(\cr4), %ebx
        movl    $(\cr3), %ebp
        movl    $(\cr0 | CR0_PROTECTED), %esi
        movl    $(\identity), %edi
        call    load_controls
        .endm

        .text
# Once, before the first case.
tables32_init:
        movl    $IDENTITY32, %edi
        movl    $ALL, %eax
1:      stosl
        addl    $0x1000, %eax
        cmpl    $(IDENTITY32 + 0x4000), %edi
        jne     1b
        movl    $(IDENTITY_PAE | P), PDPTES
        movl    $0, PDPTES + 4
        movl    $MARK, PAGE
        movl    $LARGE_MARK, LARGE_PAGE
        ret

        .code32
load_controls:
        movl    $EFER, %ecx
        xorl    %edx, %edx
        wrmsr
        movl    %ebx, %cr4
        movl    $DIRECTORY32, %ebx
        leal    IDENTITY32(%edi), %eax
1:      movl    %eax, (%ebx)
        addl    $0x1000, %eax
        addl    $4, %ebx
        cmpl    $(DIRECTORY32 + 16), %ebx
        jne     1b
        movl    $IDENTITY_PAE, %ebx
        leal    PS(%edi), %eax
2:      movl    %eax, (%ebx)
        movl    $0, 4(%ebx)
        addl    $0x200000, %eax
        addl    $8, %ebx
        cmpl    $(IDENTITY_PAE + 64), %ebx
        jne     2b
        movl    %ebp, %cr3
        movl    %esi, %cr0
        movl    $WINDOW, %ebx
        movl    $0, %eax
        movl    $0, %ecx
        movl    $0, %ebp
        movl    $0, %esi
        movl    $0, %edi
        ret
        .code64
