# A window of pages whose tables a case may spoil: `map` fills them anew. Included after case.s.

        .equ    WINDOW, 0x40000000
        .equ    WINDOW_PD, 0x500000             # physical: the tables, and two pages that they may map
        .equ    WINDOW_PT, 0x501000
        .equ    PAGE, 0x502000
        .equ    P, 1
        .equ    W, 2
        .equ    U, 4
        .equ    A, 0x20
        .equ    D, 0x40
        .equ    PS, 0x80
        .equ    ALL, 7
        .equ    NX, 0x80000000                  # of the upper half

# Makes the first entry of the page table; the second one is not present. %rbx := WINDOW.
        .macro map low, high=0, directory=WINDOW_PT|ALL
        movabsq $((\high) << 32 | (\low)), %rax
        movl    $(\directory), %edx
        call    map_window
        .endm

# %reg := an entry, without its address.
        .macro entry address, reg
        movabsq $(KERNEL + (\address)), %\reg
        movq    (%\reg), %\reg
        andq    $0xfff, %\reg
        .endm

        .text
map_window:
        movabsq $(KERNEL + WINDOW_PT), %rbx
        movq    %rax, (%rbx)
        movq    $0, 8(%rbx)
        movabsq $(KERNEL + WINDOW_PD), %rbx
        movq    %rdx, (%rbx)
        movabsq $(KERNEL + PDPT + 8), %rbx
        movq    $(WINDOW_PD | ALL), (%rbx)
        movq    %cr3, %rax
        movq    %rax, %cr3
        movl    $WINDOW, %ebx
        ret
