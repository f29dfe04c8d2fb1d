# Exceptions that are raised while another is delivered: in turn, as a double fault, or through a stack that is no good
# (vol. 3, 6.15, interrupt 8, and tables 6-4 and 6-5).

        .include "test/system/include/case.s"

        .equ    VECTOR, 0x41
        .equ    GATE_DPL3, 0xee
        .equ    ABSENT, 0x0e
        .equ    PRESENT, 0x8e
        .equ    NOWHERE, 0x7f00000000           # not mapped
        .equ    NOT_CANONICAL, 0x800000000000

        .macro break_gate vector
        idt_gate \vector, ABSENT
        .endm

        .text
cases:
        case    "a contributory exception within a benign one", 1f
        break_gate 6
1:      ud2
        outcome
        #= #NP(33)

        case    "a contributory exception within a contributory one", 1f
        break_gate 13
        movl    $GDT_END, %eax
1:      movl    %eax, %ds
        outcome
        #= #DF(0)

        case    "a contributory exception within #DE", 1f
        break_gate 0
1:      divl    %ecx
        outcome
        #= #DF(0)

        case    "a contributory exception within a page fault", 1f
        break_gate 14
        movabsq $NOWHERE, %rcx
1:      movl    (%rcx), %ecx
        outcome
        show_event cr2
        #= #DF(0), cr2=7f00000000

        case    "a page fault within #NP", 1f   # serially; SS is pushed first: #NP goes to a stack that is not there
        idt_gate 11, PRESENT, 2
        movabsq $(KERNEL + TSS + TSS_IST2), %rax
        movabsq $NOWHERE, %rcx
        movq    %rcx, (%rax)
        movl    $DATA_ABSENT, %eax
1:      movl    %eax, %ds
        outcome
        #= #PF(2), cr2=7efffffff8

        case    "a page fault within a page fault", 1f
        idt_gate 8, PRESENT, 1
        movabsq $NOWHERE, %rsp
1:      pushq   %rax
        outcome
        show_event cr2, frame
        #= #DF(0), rsp=7f00000000, cr2=7efffffff8, frame=800082ffd0

        case    "INT n onto a stack that is not there", 1f
        idt_gate 14, PRESENT, 1
        movabsq $NOWHERE, %rsp
1:      int     $VECTOR
        outcome
        #= #PF(2), cr2=7efffffff8, rsp=7f00000000

        case    "INT n from ring 3 onto an RSP0 that is not there", 1f
        idt_gate VECTOR, GATE_DPL3
        idt_gate 14, PRESENT, 1
        movabsq $(KERNEL + TSS + TSS_RSP0), %rax
        movabsq $NOWHERE, %rcx
        movq    %rcx, (%rax)
        user
1:      int     $VECTOR
        outcome
        #= #PF(2), ring 3, cr2=7efffffff8

        case    "INT n onto a stack that is not canonical", 1f # vol. 2, INT n
        idt_gate 12, PRESENT, 1
        movabsq $(NOT_CANONICAL + 0x100), %rsp
1:      int     $VECTOR
        outcome
        #= #SS(0), rsp=800000000100

        case    "an exception onto a stack that is not canonical", 1f # vol. 2, INT n: EXT
        idt_gate 12, PRESENT, 1
        movabsq $(NOT_CANONICAL + 0x100), %rsp
1:      ud2
        outcome
        #= #SS(1), rsp=800000000100

        case    "INT n from ring 3 onto an RSP0 that is not canonical", 1f # vol. 2, INT n
        idt_gate VECTOR, GATE_DPL3
        idt_gate 12, PRESENT, 1
        movabsq $(KERNEL + TSS + TSS_RSP0), %rax
        movabsq $(NOT_CANONICAL + 0x100), %rcx
        movq    %rcx, (%rax)
        user
1:      int     $VECTOR
        outcome
        #= #SS(0), ring 3

        case    "PUSH onto a stack that is not canonical", 1f # vol. 1, 3.3.7.1; the delivery of #SS raises #SS again
        idt_gate 8, PRESENT, 1
        movabsq $(NOT_CANONICAL + 0x100), %rsp
1:      pushq   %rax
        outcome
        #= #DF(0), rsp=800000000100

        case    "a TSS too short for an IST stack", 1f # vol. 3, 6.14.5; #TS names the TSS
        idt_gate VECTOR, PRESENT, 2
        movabsq $(KERNEL + GDT + SPARE_TASK), %rax
        movw    $(TSS_IST2 + 6), (%rax)
        movl    $SPARE_TASK, %eax
        ltr     %ax
1:      int     $VECTOR
        outcome
        #= #TS(80)

        case    "a TSS just long enough for an IST stack", 1f
        idt_gate VECTOR, PRESENT, 2
        movabsq $(KERNEL + GDT + SPARE_TASK), %rax
        movw    $(TSS_IST2 + 7), (%rax)
        movl    $SPARE_TASK, %eax
        ltr     %ax
1:      int     $VECTOR
        outcome
        show_event frame
        #= interrupt 41 at +2, frame=800083ffd8

        case    "an exception and a TSS too short", 1f # EXT
        idt_gate 6, PRESENT, 2
        movabsq $(KERNEL + GDT + SPARE_TASK), %rax
        movw    $(TSS_IST2 + 6), (%rax)
        movl    $SPARE_TASK, %eax
        ltr     %ax
1:      ud2
        outcome
        #= #TS(81)

        case    "a double fault whose gate is an IST stack", 1f
        idt_gate 8, PRESENT, 2
        break_gate 13
        movl    $GDT_END, %eax
1:      movl    %eax, %ds
        outcome
        show_event frame, rflags
        #= #DF(0), frame=800083ffd0, rflags=2

        case    "a fault in ring 3 pushes the user's stack", 1f
        user
1:      hlt
        outcome
        show_event ss, frame
        #= #GP(0), ring 3, ss=2b, frame=800080ffd0

        end_cases
