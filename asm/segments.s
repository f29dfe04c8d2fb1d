# Segments for ring 3: a GDT with Linux's selectors, and a task state segment that gives interrupts from ring 3 a stack.
# Needs asm/start.s. For guests that use one vCPU.

        .equ    USER_DS, 0x28 | 3
        .equ    USER_CS, 0x30 | 3
        .equ    TSS_SELECTOR, 0x40

        .equ    TSS_RSP0, 4                     # the stack that an interrupt from ring 3 switches to
        .equ    TSS_IST1, 36                    # the stack of gates with IST 1
        .equ    TSS_IO_MAP_BASE, 102
        .equ    TSS_SIZE, 104
        .equ    RFLAGS_IF, 1 << 9
        .equ    RFLAGS_RESERVED, 1 << 1         # always set

        .text

# Loads the GDT and the task register; interrupts from ring 3 then run on the stack that ends at %rdi.
# CS and SS keep their selectors, which mean the same in this table.
segments_init:
        leaq    tss(%rip), %rax
        movq    %rdi, TSS_RSP0(%rax)
        movw    $TSS_SIZE, TSS_IO_MAP_BASE(%rax) # behind the limit: ring 3 may use no port
        leaq    gdt+TSS_SELECTOR(%rip), %rdx
        movw    $(TSS_SIZE - 1), (%rdx)         # the descriptor: limit, then the address in four pieces
        movw    %ax, 2(%rdx)
        shrq    $16, %rax
        movb    %al, 4(%rdx)
        movb    $0x89, 5(%rdx)                  # present, 64-bit TSS, available
        movb    %ah, 7(%rdx)
        shrq    $16, %rax
        movl    %eax, 8(%rdx)
        lgdt    gdt_register(%rip)
        movl    $TSS_SELECTOR, %eax
        ltr     %ax
        ret

# Continues in ring 3 at %rdi, with the stack at %rsi and the flags in %edx.
enter_user:
        pushq   $USER_DS
        pushq   %rsi
        pushq   %rdx
        pushq   $USER_CS
        pushq   %rdi
        iretq

        .data
        .balign 8
gdt:
        .quad   0
        .quad   0x00cf9b000000ffff              # 0x08 32-bit code
        .quad   0x00af9b000000ffff              # 0x10 KERNEL_CS
        .quad   0x00cf93000000ffff              # 0x18 KERNEL_DS
        .quad   0x00cffb000000ffff              # 0x20 32-bit user code: SYSRET counts from here
        .quad   0x00cff3000000ffff              # 0x28 USER_DS
        .quad   0x00affb000000ffff              # 0x30 USER_CS
        .quad   0                               # 0x38
        .quad   0, 0                            # 0x40 the TSS, 16 bytes
gdt_end:
gdt_register:
        .word   gdt_end - gdt - 1
        .quad   gdt

        .bss
        .balign 8
tss:
        .skip   TSS_SIZE
