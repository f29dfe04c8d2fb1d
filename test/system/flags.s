# RFLAGS: POPF, PUSHF, CLI, STI, STAC, CLAC, and alignment checks.

        .include "test/system/include/case.s"

        .macro set_flags value
        pushq   $(\value)
        popfq
        .endm

        .text
cases:
        case    "POPF in ring 0 loads all but VM, RF, VIF, VIP and reserved flags" # vol. 2, table 4-15
        set_flags 0x3ffeff                      # without TF
        outcome
        show_event rflags
        #= ok, rflags=247ed7

        case    "POPF in ring 3 leaves IF and IOPL" # vol. 2, table 4-15
        user
        set_flags 0x3202
        outcome
        show_event rflags
        #= ok, ring 3, rflags=2

        case    "POPF in ring 3 with IOPL 3 loads IF and leaves IOPL" # vol. 2, table 4-15
        set_flags 0x3002
        user
        set_flags 0x0202
        outcome
        show_event rflags
        #= ok, ring 3, rflags=3202

        case    "POPF of 16 bits leaves the rest" # vol. 2, POPF
        set_flags RFLAGS_AC | 2
        pushw   $0xed7
        popfw
        outcome
        show_event rflags
        #= ok, rflags=40ed7

        case    "PUSHF pushes 0 for VM and RF"  # vol. 2, PUSHF
        set_flags 0xed7
        pushfq
        popq    %rax
        outcome
        show    rax
        #= ok, rax=ed7

        case    "POPF that faults changes nothing", 1f # vol. 2, POPF
        movabsq $0x7f00000000, %rsp
        idt_gate 14, 0x8e, 1
1:      popfq
        outcome
        show_event rflags
        #= #PF(0), cr2=7f00000000, rsp=7f00000000, rflags=10002

        case    "CLI in ring 3", 1f             # vol. 2, CLI
        user
1:      cli
        outcome
        #= #GP(0), ring 3

        case    "STI in ring 3", 1f             # vol. 2, STI
        user
1:      sti
        outcome
        #= #GP(0), ring 3

        case    "STI in ring 3 with IOPL 3"     # vol. 2, STI
        set_flags 0x3002
        user
        sti
        nop
        outcome
        show_event rflags
        #= ok, ring 3, rflags=3202

        case    "CLI in ring 3 with IOPL 2", 1f # vol. 2, CLI
        set_flags 0x2002
        user
1:      cli
        outcome
        #= #GP(0), ring 3

        case    "CLI in ring 1 with IOPL 1"     # vol. 2, CLI
        leaq    1f(%rip), %rax
        movq    %rsp, %rbx
        pushq   $RING1_DS
        pushq   %rbx
        pushq   $0x1202
        pushq   $RING1_CS
        pushq   %rax
        iretq
1:      cli
        outcome
        show_event rflags
        #= ok, ring 1, rflags=1002

        case    "STAC and CLAC"                 # vol. 2, STAC
        stac
        pushfq
        popq    %rax
        clac
        outcome
        show    rax
        show_event rflags
        #= ok, rax=40002, rflags=2

        case    "STAC in ring 3", 1f            # vol. 2, STAC: #UD
        user
1:      stac
        outcome
        #= #UD, ring 3

        case    "CLAC in ring 3", 1f            # vol. 2, CLAC: #UD
        user
1:      clac
        outcome
        #= #UD, ring 3

        case    "an interrupt leaves AC"        # vol. 2, INT n
        set_flags RFLAGS_AC | 2
        int     $0x41
        outcome
        show_handler rflags
        #= interrupt 41 at +8, handler rflags=40002

        case    "an alignment check in ring 3", 1f # vol. 3, 6.15, interrupt 17
        set_cr  cr0, CR0_AM
        set_flags RFLAGS_AC | 2
        user
1:      movl    word+2(%rip), %ebx
        outcome
        #= #AC(0), ring 3

        case    "an alignment check of a push", 1f # vol. 3, 6.15, interrupt 17
        set_cr  cr0, CR0_AM
        set_flags RFLAGS_AC | 2
        user
        leaq    -2(%rsp), %rsp
1:      pushq   %rax
        outcome
        #= #AC(0), ring 3, rsp-2

        case    "no alignment check where it is aligned" # vol. 3, table 6-7
        set_cr  cr0, CR0_AM
        set_flags RFLAGS_AC | 2
        user
        movw    word+2(%rip), %bx
        movl    word+4(%rip), %ebx
        movb    word+3(%rip), %bl
        outcome
        #= ok, ring 3

        case    "no alignment check in ring 0"  # vol. 3, 6.15, interrupt 17
        set_cr  cr0, CR0_AM
        set_flags RFLAGS_AC | 2
        movl    word+2(%rip), %ebx
        outcome
        #= ok

        case    "no alignment check without AM" # vol. 3, 2.5
        set_flags RFLAGS_AC | 2
        user
        movl    word+2(%rip), %ebx
        outcome
        #= ok, ring 3

        case    "no alignment check without AC" # vol. 3, 2.5
        set_cr  cr0, CR0_AM
        user
        movl    word+2(%rip), %ebx
        outcome
        #= ok, ring 3

        case    "an alignment check of a far pointer", 1f # vol. 2, LFS
        set_cr  cr0, CR0_AM
        set_flags RFLAGS_AC | 2
        user
1:      lfsl    word+1(%rip), %ebx
        outcome
        #= #AC(0), ring 3

        end_cases

        .data
        .balign 16
word:   .quad   0, 0
