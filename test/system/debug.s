# Debug registers (vol. 3, 17.2). What breakpoints do: breakpoints.s, watchpoints.s.

        .include "test/system/include/case.s"

        .equ    DR7_GD, 1 << 13

        .text
cases:
        case    "DR6 has bits that are fixed"   # vol. 3, 17.2.3
        xorl    %eax, %eax
        movq    %rax, %dr6
        movq    %dr6, %rbx
        outcome
        show    rbx
        #= ok, rbx=ffff0ff0

        case    "DR6 holds B0 to B3, BD, BS and BT" # vol. 3, 17.2.3
        movl    $(0xffffffff & ~(1 << 16 | 1 << 11)), %eax
        movq    %rax, %dr6
        movq    %dr6, %rbx
        outcome
        show    rbx
        #= ok, rbx=ffffefff

        case    "DR7 has bits that are fixed"   # vol. 3, 17.2.4
        xorl    %eax, %eax
        movq    %rax, %dr7
        movq    %dr7, %rbx
        outcome
        show    rbx
        #= ok, rbx=400

        case    "the upper half of DR6", 1f     # vol. 3, 17.2.6
        movabsq $0x100000000, %rax
1:      movq    %rax, %dr6
        outcome
        #= #GP(0)

        case    "the upper half of DR7", 1f     # vol. 3, 17.2.6
        movabsq $0x100000400, %rax
1:      movq    %rax, %dr7
        outcome
        #= #GP(0)

        case    "DR0 to DR3 take any address"   # vol. 3, 17.2.6: MOV DR does not check it
        movabsq $0x123456789abcdef0, %rax
        movq    %rax, %dr3
        movq    %dr3, %rbx
        outcome
        show    rbx
        #= ok, rbx=123456789abcdef0

        case    "DR4 and DR5 are DR6 and DR7 without DE" # vol. 3, 17.2.2
        movl    $0xffff0ff1, %eax
        .byte   0x0f, 0x23, 0xe0                # mov %rax, %dr4
        movq    %dr6, %rbx
        .byte   0x0f, 0x21, 0xe9                # mov %dr5, %rcx
        outcome
        show    rbx, rcx
        #= ok, rbx=ffff0ff1, rcx=400

        case    "DR4 with DE", 1f               # vol. 3, 17.2.2
        set_cr  cr4, CR4_DE
1:      .byte   0x0f, 0x21, 0xe0
        outcome
        #= #UD

        case    "DR8 does not exist"            # vol. 2, MOV DR
        .byte   0x44, 0x0f, 0x21, 0xc0
        outcome
        #= #UD

        case    "MOV DR in ring 3", 1f          # vol. 2, MOV DR
        user
1:      movq    %dr0, %rax
        outcome
        #= #GP(0), ring 3

        case    "general detection", 1f         # vol. 3, 17.2.4 and 17.3.1.3: a fault, and GD is cleared
        movl    $(DR7_GD | 0x400), %eax
        movq    %rax, %dr7
1:      movq    %dr0, %rbx
        outcome
        show_event dr6, dr7, rflags
        #= #DB, dr6=ffff2ff0, dr7=400, rflags=10002

        end_cases
