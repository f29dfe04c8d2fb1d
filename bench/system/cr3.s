# MOV to CR3, then a touch of each of 32 pages of 4 KiB: the translations that it threw away are walked again. Result in RAX: the rounds.
    .equ ROUNDS, 10000
    .equ TABLE, 0x600000                # maps the 2 MiB at PAGES in pages of 4 KiB
    .equ PAGES, 0x800000
    mov $TABLE, %edi
    mov $(PAGES + 3), %eax
    mov $512, %ecx
entry:
    mov %rax, (%rdi)
    add $4096, %rax
    add $8, %rdi
    dec %ecx
    jnz entry
    mov %cr3, %rbx
    mov (%rbx), %rdi                    # PML4 -> PDPT -> page directory
    and $-4096, %rdi
    mov (%rdi), %rdi
    and $-4096, %rdi
    movq $(TABLE + 3), 8 * (PAGES >> 21)(%rdi)
    xor %eax, %eax
round:
    mov %rbx, %cr3
    mov $PAGES, %edi
    mov $32, %ecx
touch:
    add %rcx, (%rdi)
    add $4096, %rdi
    dec %ecx
    jnz touch
    inc %eax
    cmp $ROUNDS, %eax
    jb round
    ret
