# Software interrupts and the way of any event through the IDT (vol. 3, 6.12 to 6.14; vol. 2, INT n).

        .include "test/system/include/case.s"

        .equ    VECTOR, 0x41
        .equ    INTERRUPT_GATE, 0x8e
        .equ    TRAP_GATE, 0x8f
        .equ    DPL3, 0x60

        .text
cases:
        case    "INT n"                         # vol. 2, INT n
        int     $VECTOR
        outcome
        show_event cs, ss, rflags, frame
        #= interrupt 41 at +2, cs=10, ss=18, rflags=2, frame=80007fffd8

        case    "an interrupt gate clears IF", 1f # vol. 3, 6.12.1.3
        sti
1:      int     $VECTOR
        outcome
        show_event rflags
        show_handler rflags
        #= interrupt 41 at +2, rflags=202, handler rflags=2

        case    "a trap gate leaves IF alone", 1f # vol. 3, 6.12.1.3
        idt_gate VECTOR, TRAP_GATE
        sti
1:      int     $VECTOR
        outcome
        show_handler rflags
        #= interrupt 41 at +2, handler rflags=202

        case    "any gate clears TF, NT and RF", 1f # vol. 2, INT n
        idt_gate VECTOR, TRAP_GATE
        pushq   $(RFLAGS_NT | 0x402)
        popfq
1:      int     $VECTOR
        outcome
        show_event rflags
        show_handler rflags
        #= interrupt 41 at +2, rflags=4402, handler rflags=402

        case    "the frame is aligned to 16 bytes" # vol. 3, 6.14.2
        subq    $3, %rsp
        int     $VECTOR
        outcome
        show_event frame
        #= interrupt 41 at +6, rsp-3, frame=80007fffc8

        case    "INT3"                          # vol. 2, INT3
        int3
        outcome
        #= #BP at +1

        case    "INT 3 of two bytes"            # vol. 2, INT n
        .byte   0xcd, 3
        outcome
        #= #BP at +2

        case    "INT1"                          # vol. 2, INT1: no bit of DR6 says so
        .byte   0xf1
        outcome
        show_event dr6
        #= #DB at +1, dr6=ffff0ff0

        case    "INTO does not exist in 64-bit mode" # vol. 2, INTO
        .byte   0xce
        outcome
        #= #UD

        case    "a fault pushes RF"             # vol. 3, 17.3.1.1
        ud2
        outcome
        show_event rflags
        #= #UD, rflags=10002

        case    "INT n pushes no RF"            # vol. 3, 17.3.1.1
        int     $6
        outcome
        show_event rflags
        #= #UD at +2, rflags=2

        case    "INT 13 pushes no error code"   # vol. 2, INT n
        int     $13
        outcome
        show_event frame
        #= #GP at +2, frame=80007fffd8

        case    "INT n in ring 3 through a gate of DPL 0", 1f # vol. 3, 6.12.1.1
        user
1:      int     $VECTOR
        outcome
        #= #GP(20a), ring 3

        case    "INT3 in ring 3 through a gate of DPL 0", 1f # vol. 3, 6.12.1.1
        user
1:      int3
        outcome
        #= #GP(1a), ring 3

        case    "INT1 in ring 3 through a gate of DPL 0", 1f # vol. 2, INT1: the DPL is not checked
        user
1:      .byte   0xf1
        outcome
        #= #DB at +1, ring 3

        case    "INT n in ring 3 through a gate of DPL 3", 1f # vol. 3, 6.14.4: SS becomes null
        idt_gate VECTOR, INTERRUPT_GATE | DPL3
        user
1:      int     $VECTOR
        outcome
        show_event cs, ss, frame
        show_handler cs, ss
        #= interrupt 41 at +2, ring 3, cs=33, ss=2b, frame=800080ffd8, handler cs=10, handler ss=0

        case    "an IST stack, at the same privilege", 1f # vol. 3, 6.14.5: SS stays
        idt_gate VECTOR, INTERRUPT_GATE, 2
1:      int     $VECTOR
        outcome
        show_event frame
        show_handler ss
        #= interrupt 41 at +2, frame=800083ffd8, handler ss=18

        case    "an IST stack, from ring 3", 1f # vol. 3, 6.14.5
        idt_gate 6, INTERRUPT_GATE, 1
        user
1:      ud2
        outcome
        show_event frame
        show_handler ss
        #= #UD, ring 3, frame=800082ffd8, handler ss=0

        case    "a conforming handler runs at the privilege it finds" # vol. 3, 6.12.1.1
        idt_gate VECTOR, INTERRUPT_GATE | DPL3, 0, CONFORMING
        leaq    1f(%rip), %rdx
        btrq    $KERNEL_BIT, %rdx
        movw    %dx, (%rax)
        shrq    $16, %rdx
        movw    %dx, 6(%rax)
        shrq    $16, %rdx
        movq    %rdx, 8(%rax)
        user
        int     $VECTOR
1:      movl    %cs, %ecx
        popq    %rdx
        popq    %rdx
        outcome
        show    rcx, rdx
        #= ok, ring 3, rsp-18, rcx=3b, rdx=33

        case    "a gate that is not present", 1f # vol. 2, INT n
        idt_gate VECTOR, 0x0e
1:      int     $VECTOR
        outcome
        #= #NP(20a)

        case    "an exception through a gate that is not present", 1f # vol. 3, 6.13: EXT
        idt_gate 6, 0x0e
1:      ud2
        outcome
        #= #NP(33)

        case    "INT3 through a gate that is not present", 1f # vol. 3, 6.13: a program's own doing, no EXT
        idt_gate 3, 0x0e
1:      int3
        outcome
        #= #NP(1a)

        case    "INT1 through a gate that is not present", 1f # vol. 2, INT1: EXT
        idt_gate 1, 0x0e
1:      .byte   0xf1
        outcome
        #= #NP(b)

        case    "a task gate", 1f               # vol. 3, 6.14.1
        idt_gate VECTOR, 0x85
1:      int     $VECTOR
        outcome
        #= #GP(20a)

        case    "a 16-bit interrupt gate", 1f   # vol. 3, 6.14.1
        idt_gate VECTOR, 0x86
1:      int     $VECTOR
        outcome
        #= #GP(20a)

        case    "a code segment in the IDT", 1f # vol. 3, 6.14.1
        idt_gate VECTOR, 0x9e
1:      int     $VECTOR
        outcome
        #= #GP(20a)

        case    "DPL before present", 1f        # vol. 2, INT n
        idt_gate VECTOR, 0x0e
        user
1:      int     $VECTOR
        outcome
        #= #GP(20a), ring 3

        case    "a vector beyond the limit of the IDT", 1f # vol. 2, INT n
        lidt    short_idt(%rip)
1:      int     $VECTOR
        outcome
        #= #GP(20a)

        case    "a gate to a null selector", 1f # vol. 2, INT n
        idt_gate VECTOR, INTERRUPT_GATE, 0, 0
1:      int     $VECTOR
        outcome
        #= #GP(0)

        case    "an exception to a null selector", 1f # vol. 2, INT n: EXT
        idt_gate 6, INTERRUPT_GATE, 0, 0
1:      ud2
        outcome
        #= #GP(1)

        case    "a gate to a selector beyond the GDT", 1f # vol. 2, INT n
        idt_gate VECTOR, INTERRUPT_GATE, 0, GDT_END
1:      int     $VECTOR
        outcome
        #= #GP(140)

        case    "a gate to data", 1f            # vol. 2, INT n
        idt_gate VECTOR, INTERRUPT_GATE, 0, KERNEL_DS
1:      int     $VECTOR
        outcome
        #= #GP(18)

        case    "a gate to 32-bit code", 1f     # vol. 3, 6.14.1
        idt_gate VECTOR, INTERRUPT_GATE, 0, CODE32
1:      int     $VECTOR
        outcome
        #= #GP(8)

        case    "a gate to code with L and D", 1f # vol. 2, INT n
        idt_gate VECTOR, INTERRUPT_GATE, 0, CODE_L_AND_D
1:      int     $VECTOR
        outcome
        #= #GP(a8)

        case    "a gate to code that is not present", 1f # vol. 2, INT n
        idt_gate VECTOR, INTERRUPT_GATE, 0, CODE_ABSENT
1:      int     $VECTOR
        outcome
        #= #NP(50)

        case    "a gate to less privilege", 1f  # vol. 2, INT n
        idt_gate VECTOR, INTERRUPT_GATE, 0, RING1_CS
1:      int     $VECTOR
        outcome
        #= #GP(98)

        case    "a gate to an address that is not canonical", 1f # vol. 2, INT n
        idt_gate VECTOR, INTERRUPT_GATE
        movw    $0, (%rax)
        movw    $0, 6(%rax)
        movl    $0x8000, 8(%rax)
1:      int     $VECTOR
        outcome
        #= #GP(0)

        case    "the gate's RPL does not count", 1f # vol. 2, INT n: CS gets the CPL as its RPL
        idt_gate VECTOR, INTERRUPT_GATE, 0, KERNEL_CS | 3
1:      int     $VECTOR
        outcome
        show_handler cs
        #= interrupt 41 at +2, handler cs=10

        case    "delivery marks the code segment accessed" # vol. 3, 3.4.5.1
        idt_gate VECTOR, INTERRUPT_GATE, 0, FRESH_CODE
        leaq    1f(%rip), %rdx
        movw    %dx, (%rax)
        shrq    $16, %rdx
        movw    %dx, 6(%rax)
        int     $VECTOR
1:      movabsq $(KERNEL + GDT + FRESH_CODE + 5), %rdx
        movzbl  (%rdx), %edx
        addq    $0x28, %rsp
        outcome
        show    rdx
        #= ok, rdx=9b

        end_cases

        .data
        .balign 8
short_idt:
        .word   VECTOR * 16 + 14
        .quad   KERNEL + IDT
