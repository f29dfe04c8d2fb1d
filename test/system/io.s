# Port I/O: privilege, the permission bitmap, and the string forms (vol. 1, 18.5; vol. 2, IN, OUT, INS, OUTS). What the
# cases write to the debug port stands before their outcome.

        .include "test/system/include/case.s"
        .include "test/system/include/window.s"

        .equ    DEBUG, 0xe9                     # reads as itself; the bitmap allows it, and no other port

        .macro set_iopl level
        pushq   $((\level) << 12 | 2)
        popfq
        .endm

        .text
cases:
        case    "IN"
        movq    $-1, %rax
        inb     $DEBUG, %al
        outcome
        show    rax
        #= ok, rax=ffffffffffffffe9

        case    "OUT takes the port from DX alone"
        movabsq $0x12345678000000e9, %rdx
        movb    $'x', %al
        outb    %al, %dx
        outcome
        #= xok

        case    "a port that the bitmap allows"
        user
        movb    $'x', %al
        outb    %al, $DEBUG
        outcome
        #= xok, ring 3

        case    "a port that the bitmap denies", 1f
        user
1:      inb     $0xe8, %al
        outcome
        #= #GP(0), ring 3

        case    "a word of which the bitmap denies one byte", 1f
        user
1:      inw     $DEBUG, %ax
        outcome
        #= #GP(0), ring 3

        case    "a port beyond the bitmap", 1f
        user
        movl    $0x400, %edx
1:      inb     %dx, %al
        outcome
        #= #GP(0), ring 3

        case    "a bitmap beyond the TSS", 1f
        movabsq $(KERNEL + TSS + TSS_IO_MAP_BASE), %rax
        movw    $0xffff, (%rax)
        user
1:      inb     $DEBUG, %al
        outcome
        #= #GP(0), ring 3

        case    "the byte behind the bitmap is needed", 1f # vol. 1, 18.5.2
        movabsq $(KERNEL + GDT + SPARE_TASK), %rax
        movw    $(TSS_SIZE + DEBUG / 8), (%rax) # the limit: not that byte
        movl    $SPARE_TASK, %eax
        ltr     %ax
        user
1:      inb     $DEBUG, %al
        outcome
        #= #GP(0), ring 3

        case    "the byte behind the bitmap is there"
        movabsq $(KERNEL + GDT + SPARE_TASK), %rax
        movw    $(TSS_SIZE + DEBUG / 8 + 1), (%rax)
        movl    $SPARE_TASK, %eax
        ltr     %ax
        user
        inb     $DEBUG, %al
        outcome
        show    rax
        #= ok, ring 3, rax=e9

        case    "IOPL 3 needs no bitmap"
        movabsq $(KERNEL + TSS + TSS_IO_MAP_BASE), %rax
        movw    $0xffff, (%rax)
        set_iopl 3
        movl    $0, %eax
        user
        inb     $DEBUG, %al
        outcome
        show    rax
        #= ok, ring 3, rax=e9

        case    "IOPL 2 does", 1f
        movabsq $(KERNEL + TSS + TSS_IO_MAP_BASE), %rax
        movw    $0xffff, (%rax)
        set_iopl 2
        user
1:      inb     $DEBUG, %al
        outcome
        #= #GP(0), ring 3

        case    "OUTSB"
        leaq    text(%rip), %rsi
        movq    %rsi, %rbx
        movl    $DEBUG, %edx
        outsb
        subq    %rbx, %rsi
        outcome
        show    rsi
        #= aok, rsi=1

        case    "OUTSB backwards"
        leaq    text+1(%rip), %rsi
        movq    %rsi, %rbx
        movl    $DEBUG, %edx
        std
        outsb
        cld
        subq    %rsi, %rbx
        outcome
        show    rbx
        #= bok, rbx=1

        case    "REP OUTSB"
        leaq    text(%rip), %rsi
        movl    $DEBUG, %edx
        movl    $3, %ecx
        rep outsb
        outcome
        show    rcx
        #= abcok, rcx=0

        case    "REP OUTSB of nothing"
        movabsq $0x7f00000000, %rsi
        movl    $DEBUG, %edx
        rep outsb
        outcome
        #= ok

        case    "OUTSB from a page that is not there", 1f
        map     0
        movq    %rbx, %rsi
        movl    $DEBUG, %edx
1:      outsb
        outcome
        #= #PF(0), cr2=40000000

        case    "REP OUTSB up to a page that is not there", 1f
        map     PAGE | ALL
        movb    $'y', 0xfff(%rbx)
        leaq    0xfff(%rbx), %rsi
        movl    $DEBUG, %edx
        movl    $3, %ecx
1:      rep outsb
        outcome
        show    rcx
        #= y#PF(0), cr2=40001000, rcx=2

        case    "privilege before the page", 1f # vol. 3, table 6-2
        map     0
        movq    %rbx, %rsi
        movl    $0xe8, %edx
        user
1:      outsb
        outcome
        #= #GP(0), ring 3

        case    "REP INSB"
        leaq    buffer(%rip), %rdi
        movl    $DEBUG, %edx
        movl    $3, %ecx
        rep insb
        movl    buffer(%rip), %eax
        outcome
        show    rcx, rax
        #= ok, rcx=0, rax=e9e9e9

        case    "INSB to a page that is read-only", 1f
        set_cr  cr0, CR0_WP
        map     PAGE | P
        movq    %rbx, %rdi
        movl    $DEBUG, %edx
1:      insb
        outcome
        #= #PF(3), cr2=40000000

        case    "OUTSB through FS"              # vol. 2, OUTS
        movl    $0xc0000100, %ecx
        leaq    text(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        movl    $0, %edx
        wrmsr
        movl    $2, %esi
        movl    $DEBUG, %edx
        outsb   %fs:(%rsi), %dx
        outcome
        show    rsi
        #= cok, rsi=3

        case    "OUTSB with a 32-bit address"   # vol. 2, OUTS
        leaq    text(%rip), %rsi
        btrq    $KERNEL_BIT, %rsi
        movq    %rsi, %rbx
        btsq    $40, %rsi                       # is cut off
        movl    $DEBUG, %edx
        .byte   0x67
        outsb
        subq    %rbx, %rsi                      # all of RSI
        outcome
        show    rsi
        #= aok, rsi=1

        case    "IN of 32 bits zeroes the rest" # vol. 2, IN; nothing answers there
        movq    $-1, %rax
        movl    $0x1234, %edx
        inl     %dx, %eax
        outcome
        show    rax
        #= ok, rax=ffffffff

        case    "IN of 16 bits keeps the rest"  # vol. 2, IN; nothing answers there
        movl    $0x12340000, %eax
        movl    $0x1234, %edx
        inw     %dx, %ax
        outcome
        show    rax
        #= ok, rax=1234ffff

        case    "HLT in ring 3", 1f             # vol. 2, HLT
        user
1:      hlt
        outcome
        #= #GP(0), ring 3

        case    "WBINVD"                        # vol. 2, WBINVD
        wbinvd
        outcome
        #= ok

        case    "WBINVD in ring 3", 1f          # vol. 2, WBINVD
        user
1:      wbinvd
        outcome
        #= #GP(0), ring 3

        case    "INVD in ring 3", 1f            # vol. 2, INVD
        user
1:      invd
        outcome
        #= #GP(0), ring 3

        end_cases

        .data
text:   .ascii  "abc"
        .balign 8
buffer: .quad   0
