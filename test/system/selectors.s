# LAR, LSL, VERR, VERW: what they say of a selector without loading it (vol. 2).

        .include "test/system/include/case.s"

        .equ    DEFINED, 0xf0ff00               # the bits of LAR that the manual defines

        .macro ask instruction, selector
        movl    $(\selector), %eax
        movq    $-1, %rbx
        \instruction %eax, %ebx
        setz    %cl
        .endm

        .macro verify instruction, selector
        movl    $(\selector), %eax
        \instruction %ax
        setz    %cl
        .endm

        .text
cases:
        case    "LAR of 64-bit code"
        ask     lar, KERNEL_CS
        andl    $DEFINED, %ebx
        outcome
        show    rbx, rcx
        #= ok, rbx=a09b00, rcx=1

        case    "LAR of a null selector leaves the register"
        ask     lar, 0
        outcome
        show    rbx, rcx
        #= ok, rbx=ffffffffffffffff, rcx=0

        case    "LAR beyond the GDT"
        ask     lar, GDT_END
        outcome
        show    rcx
        #= ok, rcx=0

        case    "LAR does not ask for presence"
        ask     lar, DATA_ABSENT
        andl    $DEFINED, %ebx
        outcome
        show    rbx, rcx
        #= ok, rbx=c01300, rcx=1

        case    "LAR of a TSS"
        ask     lar, TASK
        andl    $DEFINED, %ebx
        outcome
        show    rbx, rcx
        #= ok, rbx=8b00, rcx=1

        case    "LAR of an LDT"
        ask     lar, LOCAL
        andl    $DEFINED, %ebx
        outcome
        show    rbx, rcx
        #= ok, rbx=8200, rcx=1

        case    "LAR of a call gate"
        call_gate GATE, 1f, KERNEL_CS, 0x8c
1:      ask     lar, GATE
        andl    $0xff00, %ebx
        outcome
        show    rbx, rcx
        #= ok, rbx=8c00, rcx=1

        case    "LAR of a 16-bit TSS in IA-32e mode"
        ask     lar, TSS16
        outcome
        show    rcx
        #= ok, rcx=0

        case    "LAR of ring 0 in ring 3"
        user
        ask     lar, KERNEL_DS
        outcome
        show    rcx
        #= ok, ring 3, rcx=0

        case    "LAR with an RPL above the DPL"
        ask     lar, KERNEL_DS | 3
        outcome
        show    rcx
        #= ok, rcx=0

        case    "LAR of conforming code in ring 3"
        user
        ask     lar, CONFORMING
        andl    $DEFINED, %ebx
        outcome
        show    rbx, rcx
        #= ok, ring 3, rbx=a09f00, rcx=1

        case    "LAR of 16 bits"
        movl    $KERNEL_CS, %eax
        movq    $-1, %rbx
        .byte   0x66, 0x0f, 0x02, 0xd8          # lar %ax, %bx
        outcome
        show    rbx
        #= ok, rbx=ffffffffffff9b00

        case    "LAR leaves the other flags"
        movl    $KERNEL_CS, %eax
        pushq   $0x8d7
        popfq
        larl    %eax, %ebx
        outcome
        show_event rflags
        #= ok, rflags=8d7

        case    "LSL counts bytes"
        ask     lsl, KERNEL_DS
        outcome
        show    rbx, rcx
        #= ok, rbx=ffffffff, rcx=1

        case    "LSL of a TSS"
        ask     lsl, TASK
        outcome
        show    rbx, rcx
        #= ok, rbx=88, rcx=1

        case    "LSL of a call gate"
        call_gate GATE, 1f, KERNEL_CS, 0x8c
1:      ask     lsl, GATE
        outcome
        show    rbx, rcx
        #= ok, rbx=ffffffffffffffff, rcx=0

        case    "LSL of ring 0 in ring 3"
        user
        ask     lsl, KERNEL_DS
        outcome
        show    rcx
        #= ok, ring 3, rcx=0

        case    "VERR of code that can be read"
        verify  verr, KERNEL_CS
        outcome
        show    rcx
        #= ok, rcx=1

        case    "VERR of code that cannot be read"
        verify  verr, EXECUTE_ONLY
        outcome
        show    rcx
        #= ok, rcx=0

        case    "VERR of a TSS"
        verify  verr, TASK
        outcome
        show    rcx
        #= ok, rcx=0

        case    "VERR of conforming code in ring 3"
        user
        verify  verr, CONFORMING
        outcome
        show    rcx
        #= ok, ring 3, rcx=1

        case    "VERW of data"
        verify  verw, KERNEL_DS
        outcome
        show    rcx
        #= ok, rcx=1

        case    "VERW of read-only data"
        verify  verw, READ_ONLY
        outcome
        show    rcx
        #= ok, rcx=0

        case    "VERW of code"
        verify  verw, KERNEL_CS
        outcome
        show    rcx
        #= ok, rcx=0

        case    "VERW of ring 0 in ring 3"
        user
        verify  verw, KERNEL_DS
        outcome
        show    rcx
        #= ok, ring 3, rcx=0

        case    "VERW of a null selector"
        verify  verw, 3
        outcome
        show    rcx
        #= ok, rcx=0

        end_cases
