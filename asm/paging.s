# Page tables of the guest's own: the first GiB mapped to itself for the kernel, and a window of 4 KiB pages behind it
# in which a guest maps what it likes. Needs asm/start.s.

        .equ    PTE_PRESENT, 1 << 0
        .equ    PTE_WRITE, 1 << 1
        .equ    PTE_USER, 1 << 2
        .equ    PTE_ACCESSED, 1 << 5
        .equ    PTE_DIRTY, 1 << 6
        .equ    PTE_HUGE, 1 << 7                # in a page directory: a page of 2 MiB
        .equ    PTE_NX_BIT, 63

        .equ    WINDOW, 0x40000000              # gva of the window: 512 pages
        .equ    KERNEL_PAGE, PTE_PRESENT | PTE_WRITE
        .equ    USER_PAGE, PTE_PRESENT | PTE_WRITE | PTE_USER

        .text

# Builds the tables and switches to them. The upper levels of the window allow everything, so that its pages decide.
paging_init:
        leaq    identity_pd(%rip), %rdx
        movl    $(KERNEL_PAGE | PTE_HUGE), %eax
        xorl    %ecx, %ecx
1:      movq    %rax, (%rdx,%rcx,8)
        addq    $0x200000, %rax
        incl    %ecx
        cmpl    $512, %ecx
        jb      1b

        leaq    window_pt+USER_PAGE(%rip), %rax
        movq    %rax, window_pd(%rip)
        leaq    window_pd+USER_PAGE(%rip), %rax
        movq    %rax, pdpt+8(%rip)
        leaq    identity_pd+KERNEL_PAGE(%rip), %rax
        movq    %rax, pdpt(%rip)
        leaq    pdpt+USER_PAGE(%rip), %rax
        movq    %rax, pml4(%rip)
        leaq    pml4(%rip), %rax
        movq    %rax, %cr3
        ret

# Makes %rsi the page-table entry of the page at %rdi, which lies in the window.
map_page:
        movq    %rdi, %rax
        shrq    $12, %rax
        andl    $511, %eax
        leaq    window_pt(%rip), %rdx
        movq    %rsi, (%rdx,%rax,8)
        invlpg  (%rdi)
        ret

        .bss
        .balign 4096
pml4:
        .skip   PAGE_SIZE
pdpt:
        .skip   PAGE_SIZE
identity_pd:
        .skip   PAGE_SIZE
window_pd:
        .skip   PAGE_SIZE
window_pt:
        .skip   PAGE_SIZE
