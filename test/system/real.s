# Real mode (vol. 3, 20.1).

        .include "test/system/include/case.s"
        .include "test/system/include/legacy.s"

        .text
cases:
        case    "an interrupt of real mode pushes FLAGS, CS and IP", 1f
        real
1:      movw    $0x1234, %ax
        ud2
        outcome
        show    rax
        show_value "cs", real_cs(%rip)
        #= #UD at +3, rax=1234, cs=ffff

        case    "a segment load sets the base", 1f
        real
1:      movw    $0xfff0, %ax
        movw    %ax, %es
        movw    %es:0xf0, %bx
        movw    0, %cx
        xorw    %bx, %cx
        movw    %es, %dx
        outcome
        show    rcx, rdx
        #= ok, rcx=0, rdx=fff0

        end_cases
