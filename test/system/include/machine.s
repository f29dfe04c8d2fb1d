# The machine in which every case begins. Memory is seen twice: from 0 on user mode may use it, from KERNEL on only the
# supervisor, which runs there. So `symbol(%rip)` is a user page in ring 3 and a supervisor page in ring 0.
# IDT, GDT, LDT and TSS are made anew after each case, and so are the registers that cases change.

        .equ    KERNEL, 0x8000000000
        .equ    KERNEL_BIT, 39

# Physical addresses.
        .equ    PML4, 0x9000                    # the loader's page tables
        .equ    PDPT, 0xa000
        .equ    PAGE_DIRECTORY, 0xb000
        .equ    GDT, 0x400000
        .equ    IDT, 0x401000
        .equ    FIRST_IDT, 0x402000             # what IDT is made from
        .equ    TSS, 0x403000
        .equ    LDT, 0x404000
        .equ    CASE_STACK, 0x800000            # stacks, by their ends
        .equ    RSP0_STACK, 0x810000
        .equ    RSP1_STACK, 0x820000
        .equ    IST1_STACK, 0x830000
        .equ    IST2_STACK, 0x840000

# Selectors.
        .equ    CODE32, 0x08
        .equ    KERNEL_CS, 0x10
        .equ    KERNEL_DS, 0x18
        .equ    USER_CODE32, 0x20 | 3
        .equ    USER_DS, 0x28 | 3
        .equ    USER_CS, 0x30 | 3
        .equ    CONFORMING, 0x38                # 64-bit code, DPL 0
        .equ    TASK, 0x40                      # the TSS, 16 bytes
        .equ    CODE_ABSENT, 0x50
        .equ    DATA_ABSENT, 0x58
        .equ    READ_ONLY, 0x60
        .equ    EXECUTE_ONLY, 0x68
        .equ    LOCAL, 0x70                     # the LDT, 16 bytes
        .equ    SPARE_TASK, 0x80                # another TSS, 16 bytes
        .equ    BASED, 0x90                     # data with base 0x100000 and a limit of 4 GiB
        .equ    RING1_CS, 0x98 | 1
        .equ    RING1_DS, 0xa0 | 1
        .equ    CODE_L_AND_D, 0xa8              # 64-bit code with D set, which is reserved
        .equ    TSS16, 0xb0                     # a type that IA-32e mode does not have
        .equ    FRESH_DATA, 0xb8                # A clear
        .equ    FRESH_CODE, 0xc0                # A clear
        .equ    TASK_ABSENT, 0xc8               # 16 bytes
        .equ    LOCAL_ABSENT, 0xd8              # 16 bytes
        .equ    FAR_LOCAL, 0xe8                 # an LDT with a non-canonical base, 16 bytes
        .equ    USER_CONFORMING, 0xf8 | 3       # 64-bit conforming code, DPL 3
        .equ    GATE, 0x100                     # call gates, 16 bytes each; `call_gate` fills them
        .equ    GDT_END, 0x140                  # also an index beyond the limit
        .equ    LOCAL_DATA, 0x00 | 4            # in the LDT
        .equ    LOCAL_CODE, 0x08 | 4
        .equ    LOCAL_END, 0x10 | 4

        .equ    TSS_RSP0, 4
        .equ    TSS_RSP1, 12
        .equ    TSS_IST1, 36
        .equ    TSS_IST2, 44
        .equ    TSS_IO_MAP_BASE, 102
        .equ    TSS_SIZE, 104
        .equ    IO_MAP_SIZE, 33                 # ports up to 0xff and the byte behind

        .equ    RFLAGS_TF, 1 << 8
        .equ    RFLAGS_IF, 1 << 9
        .equ    RFLAGS_IOPL, 3 << 12
        .equ    RFLAGS_NT, 1 << 14
        .equ    RFLAGS_RF, 1 << 16
        .equ    RFLAGS_AC, 1 << 18

        .equ    CR0_FIRST, 0x80000033           # PG, NE, ET, MP, PE
        .equ    CR0_TS, 1 << 3
        .equ    CR0_WP, 1 << 16
        .equ    CR0_AM, 1 << 18
        .equ    CR0_NW, 1 << 29
        .equ    CR0_CD, 1 << 30
        .equ    CR4_TSD, 1 << 2
        .equ    CR4_DE, 1 << 3
        .equ    CR4_PAE, 1 << 5
        .equ    CR4_PCE, 1 << 8
        .equ    CR4_UMIP, 1 << 11
        .equ    CR4_PCIDE, 1 << 17
        .equ    CR4_FSGSBASE, 1 << 16
        .equ    CR4_OSXSAVE, 1 << 18
        .equ    CR4_SMEP, 1 << 20
        .equ    CR4_SMAP, 1 << 21
        .equ    EFER, 0xc0000080
        .equ    EFER_FIRST, 0x500               # LMA, LME
        .equ    EFER_SCE, 1
        .equ    EFER_NXE, 1 << 11

        .macro set_cr register, bits
        movq    %\register, %rax
        orl     $(\bits), %eax
        movq    %rax, %\register
        .endm

        .macro write_msr index, low, high=0
        movl    $(\index), %ecx
        movl    $(\low), %eax
        movl    $(\high), %edx
        wrmsr
        .endm

# Changes the attributes of a gate of the IDT: type, DPL, P and the index of an IST stack. Needs %rax.
        .macro idt_gate vector, attributes, ist=0, selector=KERNEL_CS
        movabsq $(KERNEL + IDT + 16 * (\vector)), %rax
        movw    $(\selector), 2(%rax)
        movb    $(\ist), 4(%rax)
        movb    $(\attributes), 5(%rax)
        .endm

# Lets a vector's gate lead to a handler of the case's own. Needs %rax and %rdx.
        .macro idt_handler vector, label
        leaq    \label(%rip), %rdx
        movabsq $(KERNEL + IDT + 16 * (\vector)), %rax
        movw    %dx, (%rax)
        shrq    $16, %rdx
        movw    %dx, 6(%rax)
        shrq    $16, %rdx
        movq    %rdx, 8(%rax)
        .endm

# Makes the call gate `selector`. Needs %rax and %rdx.
        .macro call_gate selector, target, code, attributes
        leaq    \target(%rip), %rax
        movabsq $(KERNEL + GDT + (\selector)), %rdx
        movw    %ax, (%rdx)
        movw    $(\code), 2(%rdx)
        movw    $((\attributes) << 8), 4(%rdx)
        shrq    $16, %rax
        movw    %ax, 6(%rdx)
        shrq    $16, %rax
        movq    %rax, 8(%rdx)
        .endm

        .text
# Comes from the loader; returns at the supervisor's address.
machine_init:
        orb     $4, PDPT
        movl    $PAGE_DIRECTORY, %edi
        movl    $8, %ecx                        # 16 MiB
1:      orb     $4, (%rdi)
        addl    $8, %edi
        loop    1b
        movq    PML4, %rax
        movq    %rax, PML4 + 8
        orb     $4, PML4
        movq    $PML4, %rax
        movq    %rax, %cr3
        leaq    1f(%rip), %rax
        btsq    $KERNEL_BIT, %rax
        jmp     *%rax
1:      movl    $FIRST_IDT, %edi
        leaq    stubs(%rip), %rax
2:      movw    %ax, (%rdi)
        movw    $KERNEL_CS, 2(%rdi)
        movw    $0x8e00, 4(%rdi)                # an interrupt gate, DPL 0
        movq    %rax, %rdx
        shrq    $16, %rdx
        movw    %dx, 6(%rdi)
        shrq    $16, %rdx
        movq    %rdx, 8(%rdi)
        addq    $STUB_SIZE, %rax
        addl    $16, %edi
        cmpl    $(FIRST_IDT + 4096), %edi
        jne     2b
        movb    $0xee, FIRST_IDT + 16 * CASE_END + 5
        popq    %rdi
        btsq    $KERNEL_BIT, %rdi
        movabsq $(KERNEL + CASE_STACK), %rsp
        pushq   %rdi

# Makes tables and registers what they were. All general registers but RSP are lost.
machine_reset:
        cld
        leaq    first_gdt(%rip), %rsi
        movabsq $(KERNEL + GDT), %rdi
        movl    $(GDT_END / 8), %ecx
        rep movsq
        leaq    first_tss(%rip), %rsi
        movabsq $(KERNEL + TSS), %rdi
        movl    $((TSS_SIZE + IO_MAP_SIZE + 7) / 8), %ecx
        rep movsq
        leaq    first_ldt(%rip), %rsi
        movabsq $(KERNEL + LDT), %rdi
        movl    $(LOCAL_END / 8), %ecx
        rep movsq
        movabsq $(KERNEL + FIRST_IDT), %rsi
        movabsq $(KERNEL + IDT), %rdi
        movl    $(4096 / 8), %ecx
        rep movsq
        lgdt    gdt_register(%rip)
        lidt    idt_register(%rip)
        movl    $KERNEL_DS, %eax
        .irp    segment, ss, ds, es, fs, gs
        movl    %eax, %\segment
        .endr
        xorl    %eax, %eax
        lldt    %ax
        movl    $TASK, %eax
        ltr     %ax
        movl    $CR4_PAE, %eax
        movq    %rax, %cr4
        movl    $PML4, %eax
        movq    %rax, %cr3
        movl    $CR0_FIRST, %eax
        movq    %rax, %cr0
        xorl    %eax, %eax
        movq    %rax, %cr2
        movl    $0x400, %eax
        movq    %rax, %dr7
        movl    $0xffff0ff0, %eax
        movq    %rax, %dr6
        write_msr EFER, EFER_FIRST
        write_msr 0xc0000102, 0                 # KERNEL_GS_BASE
        popq    %rax
        movq    %rsp, %rbx
        pushq   $KERNEL_DS
        pushq   %rbx
        pushq   $2                              # clears VIF and VIP too, which POPF would not
        pushq   $KERNEL_CS
        pushq   %rax
        iretq

        .data
        .balign 8
gdt_register:
        .word   GDT_END - 1
        .quad   KERNEL + GDT
        .balign 8
idt_register:
        .word   4095
        .quad   KERNEL + IDT

        .balign 8
first_gdt:
        .quad   0
        .quad   0x00cf9b000000ffff              # CODE32
        .quad   0x00af9b000000ffff              # KERNEL_CS
        .quad   0x00cf93000000ffff              # KERNEL_DS
        .quad   0x00cffb000000ffff              # USER_CODE32
        .quad   0x00cff3000000ffff              # USER_DS
        .quad   0x00affb000000ffff              # USER_CS
        .quad   0x00af9f000000ffff              # CONFORMING
        .word   TSS_SIZE + IO_MAP_SIZE - 1, TSS & 0xffff, 0x8900 | TSS >> 16, 0 # TASK
        .quad   KERNEL >> 32
        .quad   0x00af1b000000ffff              # CODE_ABSENT
        .quad   0x00cf13000000ffff              # DATA_ABSENT
        .quad   0x00cf91000000ffff              # READ_ONLY
        .quad   0x00af99000000ffff              # EXECUTE_ONLY
        .word   LOCAL_END - 5, LDT & 0xffff, 0x8200 | LDT >> 16, 0 # LOCAL
        .quad   KERNEL >> 32
        .word   TSS_SIZE - 1, TSS & 0xffff, 0x8900 | TSS >> 16, 0 # SPARE_TASK
        .quad   KERNEL >> 32
        .quad   0x00cf93100000ffff              # BASED
        .quad   0x00afbb000000ffff              # RING1_CS
        .quad   0x00cfb3000000ffff              # RING1_DS
        .quad   0x00ef9b000000ffff              # CODE_L_AND_D
        .quad   0x0000810000000067              # TSS16
        .quad   0x00cf92000000ffff              # FRESH_DATA
        .quad   0x00af9a000000ffff              # FRESH_CODE
        .word   TSS_SIZE - 1, TSS & 0xffff, 0x0900 | TSS >> 16, 0 # TASK_ABSENT
        .quad   KERNEL >> 32
        .word   LOCAL_END - 5, LDT & 0xffff, 0x0200 | LDT >> 16, 0 # LOCAL_ABSENT
        .quad   KERNEL >> 32
        .word   LOCAL_END - 5, LDT & 0xffff, 0x8200 | LDT >> 16, 0 # FAR_LOCAL
        .quad   0x00008000
        .quad   0x00afff000000ffff              # USER_CONFORMING
        .quad   0, 0, 0, 0, 0, 0, 0, 0          # GATE
first_ldt:
        .quad   0x00cf93000000ffff              # LOCAL_DATA
        .quad   0x00af9b000000ffff              # LOCAL_CODE
first_tss:
        .long   0
        .quad   KERNEL + RSP0_STACK, KERNEL + RSP1_STACK, 0, 0
        .quad   KERNEL + IST1_STACK, KERNEL + IST2_STACK, 0, 0, 0, 0, 0, 0
        .word   0, TSS_SIZE
        .fill   29, 1, 0xff                     # no port but 0xe9
        .byte   0xfd
        .fill   10, 1, 0xff
