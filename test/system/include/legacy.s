# Cases outside 64-bit mode: `compat`, `protected` and `real` go there, with all general registers 0 and the case's stack, and
# what follows is 32- or 16-bit code. `outcome` ends such a case like any other.
#
# Protected mode is without paging here, on tables of its own below 4 GiB. Real mode sees the guest through segment HMA: offsets
# are `label - HMA_BASE`. Its stack is elsewhere, and shown as if it began where stacks of cases begin.

        .equ    LEGACY_GDT, 0x405000
        .equ    LEGACY_IDT, 0x406000
        .equ    LEGACY_TSS_SIZE, 104 + 40       # with bits of ports
        .equ    LEGACY_TSS, 0x407000
        .equ    VECTOR_TABLE, 0x60000
        .equ    LEGACY_LDT, 0x409000
        .equ    INNER_STACK, 0x810000           # ESP0 of the TSSs, and SP0 with the base of INNER_SS16
        .equ    HMA, 0xffff
        .equ    HMA_BASE, 0xffff0
        .equ    REAL_SS, 0x7000
        .equ    REAL_SP, 0x8000

# Selectors of LEGACY_GDT.
        .equ    P_CODE, 0x08                    # flat, 32 bits, ring 0
        .equ    P_DATA, 0x10
        .equ    P_USER_CODE, 0x18 | 3           # flat, 32 bits, ring 3
        .equ    P_USER_DATA, 0x20 | 3
        .equ    P_CODE16, 0x28                  # base HMA_BASE, 16 bits, 64 KiB
        .equ    P_DATA16, 0x30                  # base 0, 16 bits, 64 KiB
        .equ    P_CODE64, 0x38                  # outside IA-32e mode: flat, 16 bits
        .equ    P_TSS, 0x40                     # 32 bits
        .equ    P_TSS16, 0x48
        .equ    P_CONFORMING, 0x50              # flat, 32 bits, DPL 0
        .equ    P_SMALL, 0x58                   # data, base 0x100000, limit 0xfff
        .equ    P_DOWN, 0x60                    # data, expand-down, 32 bits, limit 0xfff
        .equ    P_DOWN16, 0x68                  # data, expand-down, 16 bits, limit 0xfff
        .equ    P_READ_ONLY, 0x70               # data, flat
        .equ    P_EXECUTE_ONLY, 0x78            # code, flat
        .equ    P_ABSENT, 0x80                  # data
        .equ    P_CODE_ABSENT, 0x88
        .equ    P_STACK16, 0x90                 # data, base 0x800000, 16 bits, 64 KiB
        .equ    P_USER_STACK16, 0x98 | 3        # the same for ring 3
        .equ    P_CODE_SHORT, 0xa0              # code, 32 bits, limit 0xfff
        .equ    P_RING1_CODE, 0xa8 | 1
        .equ    P_RING1_DATA, 0xb0 | 1
        .equ    P_LDT, 0xb8
        .equ    P_INNER_SMALL, 0xc0             # data, ring 0, base 0x810000, limit 0x17
        .equ    P_USER_CODE16, 0xc8 | 3         # base HMA_BASE, 16 bits, ring 3
        .equ    P_GATE, 0xd0                    # 8 bytes; `gate32` and `gate16` fill it
        .equ    P_TASK_GATE, 0xd8               # to P_OTHER_TSS
        .equ    P_OTHER_TSS, 0xe0               # 32 bits, available
        .equ    P_USER_CONFORMING, 0xe8 | 3     # flat, 32 bits, DPL 3
        .equ    P_BASED_CODE, 0xf0              # base 0x100000, 32 bits, 1 MiB
        .equ    P_END, 0xf8
        .equ    P_LOCAL_DATA, 0x00 | 4
        .equ    P_LOCAL_END, 0x08 | 4

        .equ    INTERRUPT32, 0x8e
        .equ    TRAP32, 0x8f
        .equ    INTERRUPT16, 0x86
        .equ    TRAP16, 0x87
        .equ    TASK_GATE, 0x85
        .equ    CALL32, 0x8c
        .equ    CALL16, 0x84
        .equ    USER_CALL32, CALL32 | 0x60
        .equ    OF_RING3, 0x60                  # DPL 3

# 32-bit code in compatibility mode, ring 0 or ring 3; the tables stay those of 64-bit mode.
        .macro compat
        call    enter_compat
        .code32
        .endm
        .macro compat_user
        call    enter_compat_user
        .code32
        .endm

# 32-bit code in protected mode without paging, ring 0.
        .macro protected
        call    enter_protected
        .code32
        .endm

# 16-bit code in real mode.
        .macro real
        call    enter_real
        .code16
        .endm

# From 32-bit code in protected mode to ring 3, with the same registers and flags.
        .macro user32
        pushl   %eax
        movl    $P_USER_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        popl    %eax
        pushl   $P_USER_DATA
        pushl   $CASE_STACK
        pushfl
        pushl   $P_USER_CODE
        pushl   $96f
        iretl
96:
        .endm

# Makes the gate of a vector in LEGACY_IDT lead to `label`. Protected mode; needs %eax.
        .macro idt32 vector, label, attributes=INTERRUPT32, selector=P_CODE
        movl    $\label, %eax
        movw    %ax, LEGACY_IDT + 8 * (\vector)
        movw    $(\selector), LEGACY_IDT + 8 * (\vector) + 2
        movb    $0, LEGACY_IDT + 8 * (\vector) + 4
        movb    $(\attributes), LEGACY_IDT + 8 * (\vector) + 5
        shrl    $16, %eax
        movw    %ax, LEGACY_IDT + 8 * (\vector) + 6
        .endm

# Makes P_GATE a call gate. Protected mode; needs %eax.
        .macro gate32 label, selector=P_CODE, attributes=USER_CALL32, parameters=0
        movl    $\label, %eax
        movw    %ax, LEGACY_GDT + P_GATE
        movw    $(\selector), LEGACY_GDT + P_GATE + 2
        movb    $(\parameters), LEGACY_GDT + P_GATE + 4
        movb    $(\attributes), LEGACY_GDT + P_GATE + 5
        shrl    $16, %eax
        movw    %ax, LEGACY_GDT + P_GATE + 6
        .endm

# The stack of ring 0 in the 32-bit TSS.
        .macro inner_stack selector, pointer
        movl    $(\pointer), LEGACY_TSS + 4
        movw    $(\selector), LEGACY_TSS + 8
        .endm

        .text
enter_compat:
        popq    legacy_resume(%rip)
        movl    $CASE_STACK, %esp
        pushq   $CODE32
        jmp     1f
enter_compat_user:
        popq    legacy_resume(%rip)
        movl    $CASE_STACK, %esp
        movl    $USER_DS, %eax
        movl    %eax, %ds
        movl    %eax, %es
        pushq   $USER_DS
        pushq   $CASE_STACK
        pushq   $2
        pushq   $USER_CODE32
        leaq    compat_entry(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        pushq   %rax
        xorl    %eax, %eax
        iretq
1:      leaq    compat_entry(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        pushq   %rax
        xorl    %eax, %eax
        lretq
        .code32
compat_entry:
        jmp     *legacy_resume
        .code64

enter_real:
        movb    $1, goes_real(%rip)
        jmp     1f
enter_protected:
        movb    $0, goes_real(%rip)
1:      popq    legacy_resume(%rip)
        cld
        leaq    first_legacy_gdt(%rip), %rsi
        movl    $LEGACY_GDT, %edi
        movl    $(P_END / 8), %ecx
        rep movsq
        leaq    first_legacy_ldt(%rip), %rsi
        movl    $LEGACY_LDT, %edi
        movl    $(P_LOCAL_END / 8), %ecx
        rep movsq
        leaq    first_legacy_tss(%rip), %rsi
        movl    $LEGACY_TSS, %edi
        movl    $(LEGACY_TSS_SIZE / 8), %ecx
        rep movsq
        movl    $LEGACY_IDT, %edi
        leal    stubs32(%rip), %eax
2:      movw    %ax, (%rdi)
        movw    $P_CODE, 2(%rdi)
        movw    $(INTERRUPT32 << 8), 4(%rdi)
        movl    %eax, %edx
        shrl    $16, %edx
        movw    %dx, 6(%rdi)
        addl    $5, %eax
        addl    $8, %edi
        cmpl    $(LEGACY_IDT + 2048), %edi
        jne     2b
        movb    $(INTERRUPT32 | OF_RING3), LEGACY_IDT + 8 * CASE_END + 5
        movl    $VECTOR_TABLE, %edi
        leal    stubs16(%rip), %eax
        subl    $HMA_BASE, %eax
3:      movw    %ax, (%rdi)
        movw    $HMA, 2(%rdi)
        addl    $3, %eax
        addl    $4, %edi
        cmpl    $(VECTOR_TABLE + 1024), %edi
        jne     3b
        lgdt    legacy_gdt_register(%rip)
        lidt    legacy_idt_register(%rip)
        movl    $CASE_STACK, %esp
        pushq   $P_CODE
        leaq    1f(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        pushq   %rax
        lretq
        .code32
1:      movl    %cr0, %eax
        andl    $0x7fffffff, %eax
        movl    %eax, %cr0
        movl    $EFER, %ecx
        xorl    %eax, %eax
        xorl    %edx, %edx
        wrmsr
        movl    %eax, %cr4
        movl    $P_DATA, %eax
        .irp    segment, ss, ds, es, fs, gs
        movl    %eax, %\segment
        .endr
        xorl    %eax, %eax
        lldt    %ax
        movl    $P_TSS, %eax
        ltr     %ax
        movl    $CASE_STACK, %esp
        pushl   $2
        popfl
        xorl    %ecx, %ecx
        xorl    %edi, %edi
        xorl    %esi, %esi
        cmpb    $0, goes_real
        jne     2f
        pushl   $2
        popfl
        movl    $0, %eax
        jmp     *legacy_resume
2:      lidt    real_idt_register
        ljmp    $P_CODE16, $(3f - HMA_BASE)
        .code16
3:      movw    $P_DATA16, %ax
        .irp    segment, ss, ds, es, fs, gs
        movw    %ax, %\segment
        .endr
        movl    %cr0, %eax
        andb    $0xfe, %al
        movl    %eax, %cr0
        ljmp    $HMA, $(4f - HMA_BASE)
4:      movw    $REAL_SS, %ax
        movw    %ax, %ss
        movl    $REAL_SP, %esp
        movw    $HMA, %ax
        .irp    segment, ds, es, fs, gs
        movw    %ax, %\segment
        .endr
        subl    $HMA_BASE, legacy_resume - HMA_BASE
        pushl   $2
        popfl
        movl    $0, %eax
        jmp     *legacy_resume - HMA_BASE

# Every exception and interrupt of protected mode: as `event` (event.s), which it joins.
        .code32
        .balign 8
stubs32:
        .rept   256
        call    event32
        .endr

event32:
        pushl   %ds
        pushl   %eax
        movl    $P_DATA, %eax
        movl    %eax, %ds
        popl    event_rax
        popl    handler_ds
        movw    $0, handler_ds + 2
        pushfl
        popl    handler_rflags
        .irp    name, bx, cx, dx, si, di, bp
        movl    %e\name, event_r\name
        .endr
        .irp    segment, cs, ss, es, fs, gs
        movl    %\segment, %eax
        movl    %eax, handler_\segment
        .endr
        popl    %eax
        subl    $(stubs32 + 5), %eax
        xorl    %edx, %edx
        movl    $5, %ecx
        divl    %ecx
        movl    %eax, event_vector
        movl    %esp, event_frame
        movl    $-1, event_error
        movl    $-1, event_error + 4
        cmpl    $32, %eax
        jae     1f
        btl     %eax, with_error_code
        jnc     1f
        popl    event_error
        movl    $0, event_error + 4
1:      popl    event_rip
        popl    event_cs
        popl    event_rflags
        movl    event_cs, %eax
        movl    %cs, %ecx
        xorl    %ecx, %eax
        testb   $3, %al
        jz      1f
        popl    event_rsp
        popl    event_ss
        jmp     back_to_64bit
1:      movl    %esp, event_rsp
        movl    %ss, %eax
        movl    %eax, event_ss
back_to_64bit:
        movl    $P_DATA, %eax
        movl    %eax, %ss
        movl    $CASE_STACK, %esp
        movl    %cr2, %eax
        movl    %eax, event_cr2
        movl    %dr6, %eax
        movl    %eax, event_dr6
        movl    %dr7, %eax
        movl    %eax, event_dr7
        movl    %cr0, %eax
        andl    $0x7fffffff, %eax
        movl    %eax, %cr0
        movl    $CR4_PAE, %eax
        movl    %eax, %cr4
        movl    $PML4, %eax
        movl    %eax, %cr3
        movl    $EFER, %ecx
        movl    $0x100, %eax
        xorl    %edx, %edx
        wrmsr
        movw    $P_TSS, %ax
        andb    $0xfd, LEGACY_GDT + P_TSS + 5
        ltr     %ax
        movl    $CR0_FIRST, %eax
        movl    %eax, %cr0
        ljmp    $P_CODE64, $1f
        .code64
1:      pushq   $2                              # NT may be set
        popfq
        xorl    %eax, %eax
        .irp    name, rax, rbx, rcx, rdx, rsi, rdi, rbp, frame, rip, cs, rflags, rsp, ss, cr2, dr6, dr7
        movl    %eax, event_\name + 4(%rip)
        .endr
        .irp    name, rflags, cs, ss, ds, es, fs, gs
        movl    %eax, handler_\name + 4(%rip)
        .endr
        .irp    number, 8, 9, 10, 11, 12, 13, 14, 15
        movq    %rax, event_r\number(%rip)
        .endr
        movzwl  event_cs(%rip), %eax
        movq    %rax, event_cs(%rip)
        movzwl  event_ss(%rip), %eax
        movq    %rax, event_ss(%rip)
        leaq    event_taken(%rip), %rax
        btsq    $KERNEL_BIT, %rax
        jmp     *%rax

# Of real mode. What it has on its stack is 16-bit.
        .code16
stubs16:
        .rept   256
        call    event16
        .endr

event16:
        pushl   %eax
        pushw   %ds
        movw    $HMA, %ax
        movw    %ax, %ds
        popw    handler_ds - HMA_BASE
        popl    event_rax - HMA_BASE
        pushfl
        popl    handler_rflags - HMA_BASE
        .irp    name, bx, cx, dx, si, di, bp
        movl    %e\name, event_r\name - HMA_BASE
        .endr
        .irp    segment, cs, ss, es, fs, gs
        movw    %\segment, handler_\segment - HMA_BASE
        .endr
        popw    %ax
        movzwl  %ax, %eax
        subl    $(stubs16 + 3 - HMA_BASE), %eax
        xorl    %edx, %edx
        movl    $3, %ecx
        divl    %ecx
        movl    %eax, event_vector - HMA_BASE
        movl    %esp, event_frame - HMA_BASE
        movl    $-1, event_error - HMA_BASE
        movl    $-1, event_error + 4 - HMA_BASE
        popw    %ax
        popw    %bx
        popw    %cx
        movzwl  %ax, %eax
        movzwl  %bx, %ebx
        movzwl  %cx, %ecx
        movl    %ebx, event_cs - HMA_BASE
        movl    %ecx, event_rflags - HMA_BASE
        shll    $4, %ebx
        addl    %ebx, %eax
        movl    %eax, event_rip - HMA_BASE
        movzwl  %sp, %eax
        addl    $(CASE_STACK - REAL_SP), %eax
        movl    %eax, event_rsp - HMA_BASE
        movw    %ss, %ax
        movzwl  %ax, %eax
        movl    %eax, event_ss - HMA_BASE
        movl    event_cs - HMA_BASE, %eax
        movl    %eax, real_cs - HMA_BASE
        movl    $0, event_cs - HMA_BASE         # no ring
        lgdt    legacy_gdt_register - HMA_BASE
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $P_CODE, $1f
        .code32
1:      movl    $P_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %ss
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        movl    $CASE_STACK, %esp
        jmp     back_to_64bit
        .code64

        .data
        .balign 8
legacy_resume:
        .quad   0
real_cs:
        .quad   0
with_error_code:
        .long   1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17
goes_real:
        .byte   0
        .balign 8
legacy_gdt_register:
        .word   P_END - 1
        .quad   LEGACY_GDT
        .balign 8
legacy_idt_register:
        .word   2047
        .quad   LEGACY_IDT
        .balign 8
real_idt_register:
        .word   1023
        .quad   VECTOR_TABLE

        .balign 8
first_legacy_gdt:
        .quad   0
        .quad   0x00cf9b000000ffff              # P_CODE
        .quad   0x00cf93000000ffff              # P_DATA
        .quad   0x00cffb000000ffff              # P_USER_CODE
        .quad   0x00cff3000000ffff              # P_USER_DATA
        .quad   0x00009b0ffff0ffff              # P_CODE16
        .quad   0x000093000000ffff              # P_DATA16
        .quad   0x00af9b000000ffff              # P_CODE64
        .quad   0x0000894070000000 | (LEGACY_TSS_SIZE - 1) # P_TSS
        .quad   0x000081407000002b              # P_TSS16
        .quad   0x00cf9f000000ffff              # P_CONFORMING
        .quad   0x0040931000000fff              # P_SMALL
        .quad   0x0040970000000fff              # P_DOWN
        .quad   0x0000970000000fff              # P_DOWN16
        .quad   0x00cf91000000ffff              # P_READ_ONLY
        .quad   0x00cf99000000ffff              # P_EXECUTE_ONLY
        .quad   0x00cf13000000ffff              # P_ABSENT
        .quad   0x00cf1b000000ffff              # P_CODE_ABSENT
        .quad   0x000093800000ffff              # P_STACK16
        .quad   0x0000f3800000ffff              # P_USER_STACK16
        .quad   0x00409b0000000fff              # P_CODE_SHORT
        .quad   0x00cfbb000000ffff              # P_RING1_CODE
        .quad   0x00cfb3000000ffff              # P_RING1_DATA
        .quad   0x0000824090000007              # P_LDT
        .quad   0x0040938100000017              # P_INNER_SMALL
        .quad   0x0000fb0ffff0ffff              # P_USER_CODE16
        .quad   0                               # P_GATE
        .quad   0x0000850000e00000              # P_TASK_GATE
        .quad   0x0000894070000067              # P_OTHER_TSS
        .quad   0x00cfff000000ffff              # P_USER_CONFORMING
        .quad   0x004f9b100000ffff              # P_BASED_CODE
first_legacy_ldt:
        .quad   0x00cf93000000ffff              # P_LOCAL_DATA
        .quad   0                               # behind the limit
        .balign 8
first_legacy_tss:
        .long   0
        .long   INNER_STACK, P_DATA
        .long   INNER_STACK + 0x10000, P_RING1_DATA
        .fill   80, 1, 0
        .word   0, 104
        .fill   29, 1, 0xff                     # no port but 0xe9
        .byte   0xfd
        .fill   10, 1, 0xff
