# Breakpoints and single steps outside 64-bit mode (vol. 3, 17.2 and 17.3): addresses are linear there too.

        .include "test/system/include/case.s"
        .include "test/system/include/breakpoint.s"
        .include "test/system/include/legacy.s"

# Enables breakpoint `index` on code, at the address that 32-bit code has it at.
        .macro low_breakpoint index, label
        movl    $\label, %eax
        breakpoint \index, (%rax)
        .endm

        .text
cases:
        case    "an instruction in compatibility mode", 1f
        low_breakpoint 0, 1f
        compat
        movl    $1, %ecx
1:      incl    %ecx
        outcome
        show    rcx
        show_event dr6
        #= #DB, rcx=1, dr6=ffff0ff1

        case    "an instruction in protected mode", 1f
        low_breakpoint 1, 1f
        protected
1:      incl    %ecx
        outcome
        show    rcx
        show_event dr6
        #= #DB, rcx=0, dr6=ffff0ff2

        case    "an instruction in real mode, by the linear address", 1f
        low_breakpoint 2, 1f
        real
        movw    $7, %cx
1:      incw    %cx
        outcome
        show    rcx
        show_event dr6
        #= #DB, rcx=7, dr6=ffff0ff4

        case    "a byte that is written in compatibility mode", 1f
        breakpoint 0, CASE_STACK - 0x201, ON_WRITE | BYTES_1
        compat
        movl    $5, -0x204(%esp)
1:      incl    %ecx
        outcome
        show    rcx
        show_event dr6
        #= #DB, rcx=0, dr6=ffff0ff1

        case    "a word in real mode, through a segment", 1f
        breakpoint 3, 0x7010, ON_ACCESS | BYTES_2
        real
        movw    $0x701, %ax
        movw    %ax, %ds
        movw    1, %bx
1:      incw    %cx
        outcome
        show    rcx
        show_event dr6
        #= #DB, rcx=0, dr6=ffff0ff8

        case    "a step in compatibility mode", 1f
        compat
        pushl   $0x102
        popfl
        incl    %ecx
1:      incl    %ecx
        outcome
        show    rcx
        show_event dr6, rflags
        #= #DB, rcx=1, dr6=ffff4ff0, rflags=102

        case    "a step in real mode", 1f
        real
        pushw   $0x102
        popfw
        incw    %cx
1:      incw    %cx
        outcome
        show    rcx
        show_event dr6
        #= #DB, rcx=1, dr6=ffff4ff0

        case    "MOV SS holds a step off in protected mode", 1f # vol. 3, 6.8.3
        protected
        movl    %ss, %eax
        pushl   $0x102
        popfl
        movl    %eax, %ss
        incl    %ecx
1:      incl    %ecx
        outcome
        show    rcx
        show_event dr6
        #= #DB, rcx=1, dr6=ffff4ff0

        end_cases
