# Descriptor tables whose memory is not what they need, and parts of descriptors that 64-bit mode ignores
# (vol. 3, 3.4.5, 4.6.1 and 5.3.1).

        .include "test/system/include/case.s"
        .include "test/system/include/window.s"

# Puts the LDT into the window, whose page is `entry`, and its first descriptor behind it.
        .macro local_at entry, low=0x0000ffff, high=0x00cff300
        movabsq $(KERNEL + GDT + LOCAL), %rax
        movw    $0, 2(%rax)
        movb    $0, 4(%rax)
        movb    $0x40, 7(%rax)
        movl    $0, 8(%rax)
        movl    $LOCAL, %eax
        lldt    %ax
        movabsq $(KERNEL + PAGE), %rax
        movl    $(\low), (%rax)
        movl    $(\high), 4(%rax)
        map     \entry
        .endm

        .text
cases:
        case    "a descriptor that is not there is the supervisor's access", 1f # vol. 3, 4.6.1
        local_at 0
        movl    $(LOCAL_DATA | 3), %eax
        user
1:      movl    %eax, %ds
        outcome
        #= #PF(0), ring 3, cr2=40000000

        case    "a descriptor on a supervisor page serves ring 3" # vol. 3, 4.6.1
        local_at PAGE | P | W
        movl    $(LOCAL_DATA | 3), %eax
        user
        movl    %eax, %ds
        movl    %ds, %ecx
        outcome
        show    rcx
        #= ok, ring 3, rcx=7

        case    "A cannot be set on a read-only page", 1f # vol. 3, 3.4.5.1
        set_cr  cr0, CR0_WP
        local_at PAGE | P, 0x0000ffff, 0x00cff200
        movl    $(LOCAL_DATA | 3), %eax
        user
1:      movl    %eax, %es
        outcome
        #= #PF(3), ring 3, cr2=40000005

        case    "A that is set already needs no write" # vol. 3, 3.4.5.1
        set_cr  cr0, CR0_WP
        local_at PAGE | P
        movl    $(LOCAL_DATA | 3), %eax
        user
        movl    %eax, %es
        outcome
        #= ok, ring 3

        case    "LAR marks nothing"             # vol. 2, LAR
        local_at PAGE | P | W, 0x0000ffff, 0x00cff200
        movl    $(LOCAL_DATA | 3), %eax
        larl    %eax, %ecx
        movl    4(%rbx), %edx
        outcome
        show    rdx
        #= ok, rdx=cff200

        case    "LAR of a descriptor that is not there", 1f # vol. 2, LAR: #PF
        local_at 0
        movl    $LOCAL_DATA, %eax
1:      larl    %eax, %ecx
        outcome
        #= #PF(0), cr2=40000000

        case    "base and limit of CS are ignored" # vol. 3, 5.3.1
        local_at PAGE | P | W, 0x12340000, 0x00209b56
        movw    $LOCAL_DATA, far+8(%rip)
        leaq    2f(%rip), %rax
        movq    %rax, far(%rip)
        .byte   0x48
        ljmp    *far(%rip)
        ud2
2:      outcome
        show_event cs
        #= ok, cs=4

        case    "the limit of FS is ignored"    # vol. 3, 5.3.1
        local_at PAGE | P | W, 0x00000010, 0x0040f300
        movl    $(LOCAL_DATA | 3), %eax
        movl    %eax, %fs
        movl    %fs:0x1000, %ecx
        outcome
        #= ok

        case    "data that cannot be written is written in 64-bit mode" # vol. 3, 5.3.1: only SS has to be writable
        movl    $READ_ONLY, %eax
        movl    %eax, %ds
        movl    %eax, %ds:far(%rip)
        outcome
        #= ok

        case    "a gate to a code segment of the LDT", 1f # vol. 2, INT n
        local_at PAGE | P | W, 0x0000ffff, 0x00af9b00
        idt_gate 0x41, 0x8e, 0, LOCAL_DATA
1:      int     $0x41
        outcome
        show_handler cs
        #= interrupt 41 at +2, handler cs=4

        case    "the TSS is not there: the permission bitmap", 1f # vol. 1, 18.5.2; vol. 3, 4.6.1
        map     PAGE | P | W
        movabsq $(KERNEL + GDT + SPARE_TASK), %rax
        movw    $0x1100, (%rax)                 # limit
        movw    $0, 2(%rax)                     # base: the window, whose second page is not there
        movb    $0, 4(%rax)
        movb    $0x40, 7(%rax)
        movl    $0, 8(%rax)
        movabsq $(KERNEL + PAGE + TSS_RSP0), %rcx
        movabsq $(KERNEL + RSP0_STACK), %rdx
        movq    %rdx, (%rcx)
        movw    $0xff0, TSS_IO_MAP_BASE - TSS_RSP0(%rcx)
        movl    $SPARE_TASK, %eax
        ltr     %ax
        user
1:      inb     $0xe9, %al
        outcome
        #= #PF(0), ring 3, cr2=4000100d

        case    "a far pointer of which the selector is not there", 1f # vol. 2, JMP
        map     PAGE | ALL
1:      .byte   0x48
        ljmp    *0xff8(%rbx)
        outcome
        #= #PF(0), cr2=40001000

        case    "an RSP0 that is not aligned", 1f # vol. 3, 6.14.2
        idt_gate 0x41, 0xee
        movabsq $(KERNEL + TSS + TSS_RSP0), %rax
        subq    $3, (%rax)
        user
1:      int     $0x41
        outcome
        show_event frame
        #= interrupt 41 at +2, ring 3, frame=800080ffc8

        end_cases

        .data
        .balign 16
far:    .quad   0, 0
