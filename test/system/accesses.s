# What accesses do to page tables, accesses that meet several pages, and INVLPG (vol. 3, 4.7, 4.8 and 4.10).

        .include "test/system/include/case.s"
        .include "test/system/include/window.s"

        .text
cases:
        case    "a read sets A"                 # vol. 3, 4.8
        map     PAGE | ALL
        movl    (%rbx), %eax
        entry   WINDOW_PT, rcx
        entry   WINDOW_PD, rdx
        entry   PDPT + 8, rsi
        outcome
        show    rcx, rdx, rsi
        #= ok, rcx=27, rdx=27, rsi=27

        case    "a write sets D"                # vol. 3, 4.8
        map     PAGE | ALL
        movl    (%rbx), %eax
        movl    %eax, (%rbx)
        entry   WINDOW_PT, rcx
        entry   WINDOW_PD, rdx
        outcome
        show    rcx, rdx
        #= ok, rcx=67, rdx=27

        case    "a write sets D of a large page" # vol. 3, 4.8
        map     0, 0, 0x600000 | PS | ALL
        movl    %eax, (%rbx)
        entry   WINDOW_PD, rdx
        outcome
        show    rdx
        #= ok, rdx=e7

        case    "a write that faults does not set D", 1f # vol. 3, 4.8
        map     PAGE | P | U
        user
1:      movl    %eax, (%rbx)
        outcome
        entry   WINDOW_PT, rcx
        andl    $D, %ecx
        show    rcx
        #= #PF(7), ring 3, cr2=40000000, rcx=0

        case    "a read across pages", 1f       # CR2: the first byte that is not there
        map     PAGE | ALL
1:      movq    0xffc(%rbx), %rax
        outcome
        #= #PF(0), cr2=40001000

        case    "a write across pages changes nothing", 1f
        map     PAGE | ALL
        movabsq $(KERNEL + PAGE + 0xffc), %rsi
        movl    $0x1234, (%rsi)
        movq    $-1, %rax
1:      movq    %rax, 0xffc(%rbx)
        outcome
        movl    (%rsi), %ecx
        show    rcx
        #= #PF(2), cr2=40001000, rcx=1234

        case    "REP MOVSB up to a page that is not there", 1f # vol. 2, REP
        map     PAGE | ALL
        leaq    0xffe(%rbx), %rdi
        movq    %rbx, %rsi
        movl    $4, %ecx
1:      rep movsb
        outcome
        show    rcx, rsi, rdi
        #= #PF(2), cr2=40001000, rcx=2, rsi=40000002, rdi=40001000

        case    "ENTER probes where the frame will end", 1f # vol. 2, ENTER
        map     PAGE | ALL
        idt_gate 14, 0x8e, 1
        leaq    16(%rbx), %rsp
1:      enter   $0x20, $0
        outcome
        show    rbp
        #= #PF(2), cr2=3fffffe8, rsp=40000010, rbp=0

        case    "CALL to a page that is not there" # vol. 2, CALL: the target is fetched later
        map     0
        call    *%rbx
        outcome
        #= #PF(0) at =40000000, cr2=40000000, rsp-8

        case    "CALL FAR onto a page that is not there", 1f # vol. 2, CALL
        map     0
        idt_gate 14, 0x8e, 1
        movw    $KERNEL_CS, far+4(%rip)
        leaq    0x1000(%rbx), %rsp
1:      lcall   *far(%rip)
        outcome
        #= #PF(2), cr2=40000ffc, rsp=40001000

        case    "POP to a page that is not there", 1f # vol. 2, POP
        map     0
        pushq   $5
1:      popq    (%rbx)
        outcome
        #= #PF(2), cr2=40000000, rsp-8

        case    "PUSH from a page that is not there", 1f # vol. 2, PUSH
        map     0
1:      pushq   (%rbx)
        outcome
        #= #PF(0), cr2=40000000

        case    "LEAVE from a page that is not there", 1f # vol. 2, LEAVE
        map     0
        movq    %rbx, %rbp
1:      leave
        outcome
        show    rbp
        #= #PF(0), cr2=40000000, rbp=40000000

        case    "IRETQ from two pages of which one is not there", 1f # vol. 2, IRET
        map     PAGE | ALL
        idt_gate 14, 0x8e, 1
        leaq    0xff0(%rbx), %rsp
1:      iretq
        outcome
        #= #PF(0), cr2=40001000, rsp=40000ff0

        case    "CMPXCHG16B of a read-only page writes in any case", 1f # vol. 2, CMPXCHG16B
        set_cr  cr0, CR0_WP
        map     PAGE | P
        movl    $0x12345678, %eax
1:      cmpxchg16b (%rbx)
        outcome
        #= #PF(3), cr2=40000000

        case    "LGDT from two pages of which one is not there", 1f # vol. 2, LGDT
        map     PAGE | ALL
1:      lgdt    0xffa(%rbx)
        outcome
        #= #PF(0), cr2=40001000

        case    "SGDT to two pages of which one is not there", 1f # vol. 2, SGDT
        map     PAGE | ALL
1:      sgdt    0xffa(%rbx)
        outcome
        #= #PF(2), cr2=40001000

        case    "LAR with an operand that is not there", 1f # vol. 2, LAR
        map     0
1:      larw    (%rbx), %ax
        outcome
        #= #PF(0), cr2=40000000

        case    "STR to a page that is read-only", 1f # vol. 2, STR
        set_cr  cr0, CR0_WP
        map     PAGE | P
1:      str     (%rbx)
        outcome
        #= #PF(3), cr2=40000000

        case    "INVLPG makes a new entry seen" # vol. 3, 4.10.4
        map     PAGE | ALL
        movl    (%rbx), %eax
        movabsq $(KERNEL + WINDOW_PT), %rcx
        movq    $(PAGE + 0x1000 + ALL), (%rcx)
        movabsq $(KERNEL + PAGE + 0x1000), %rcx
        movl    $0x77, (%rcx)
        invlpg  (%rbx)
        movl    (%rbx), %eax
        outcome
        show    rax
        #= ok, rax=77

        case    "INVLPG of an address that is not canonical" # vol. 2, INVLPG: as NOP
        movabsq $0x800000000000, %rbx
        invlpg  (%rbx)
        outcome
        #= ok

        case    "INVLPG in ring 3", 1f          # vol. 2, INVLPG
        user
1:      invlpg  (%rbx)
        outcome
        #= #GP(0), ring 3

        case    "INVLPG of a register does not exist" # vol. 2, INVLPG
        .byte   0x0f, 0x01, 0xff                # /7, rm 7: TLBSYNC
        outcome
        #= #UD

        end_cases

        .data
        .balign 16
far:    .quad   0, 0
