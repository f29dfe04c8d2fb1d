# Interrupts, call gates and far returns of protected mode, 16 and 32 bits, within a privilege level and between two (vol. 3, 5.8
# and 6.12; vol. 2, CALL, RET, INT n, IRET).

        .include "test/system/include/case.s"
        .include "test/system/include/legacy.s"

# The words on the stack, first ones in %eax, %ebx, %ecx, %edx, %esi.
        .macro words
        movl    (%esp), %eax
        movl    4(%esp), %ebx
        movl    8(%esp), %ecx
        movl    12(%esp), %edx
        movl    16(%esp), %esi
        movl    %esp, %edi
        .endm

# Back to the case's stack in ring 0.
        .macro old_stack
        movl    $P_DATA, %ebp
        movl    %ebp, %ss
        movl    $CASE_STACK, %esp
        .endm

# An exception of the vector, raised in ring 3, is handled there, so that its delivery needs no other stack: its error code
# gets into %eax. `caught` begins its handler, at label 2:. The stack of ring 0 is mended.
        .macro catch vector
        idt32   \vector, 2f, INTERRUPT32, P_CONFORMING
        .endm
        .macro caught
2:      popl    %eax
        addl    $12, %esp
        inner_stack P_DATA, INNER_STACK
        .endm

# The stack of ring 0 in the 16-bit TSS.
        .macro inner_stack16 selector, pointer
        movw    $(\pointer), LEGACY_TSS + 2
        movw    $(\selector), LEGACY_TSS + 4
        .endm

        .text
cases:
        case    "an interrupt within ring 0 pushes three words"
        protected
        idt32   0x40, 2f
        int     $0x40
3:
2:      words
        subl    $3b, %eax
        outcome
        show    rax, rbx, rcx, rdi
        #= ok, rsp-c, rax=0, rbx=8, rcx=2, rdi=7ffff4

        case    "a trap gate leaves IF, an interrupt gate does not"
        protected
        idt32   0x40, 2f, TRAP32
        idt32   0x41, 3f
        sti
        int     $0x40
2:      pushfl
        popl    %eax
        int     $0x41
3:      pushfl
        popl    %ebx
        outcome
        show    rax, rbx
        #= ok, rsp-18, rax=202, rbx=2

        case    "a 16-bit gate pushes words"
        protected
        idt32   0x40, 2f - HMA_BASE, INTERRUPT16, P_CODE16
        int     $0x40
3:
        .code16
2:      movl    %esp, %edi
        movl    (%edi), %eax
        movw    4(%edi), %bx
        subl    $(3b - 0x100000), %eax
        outcome
        show    rax, rbx
        #= ok, rsp-6, rax=80000, rbx=46

        case    "an error code is pushed last", 1f
        protected
        idt32   13, 2f
1:      movl    $P_END, %eax
        movl    %eax, %es
2:      words
        outcome
        show    rax, rcx, rdx
        #= ok, rsp-10, rax=f8, rcx=8, rdx=10002

        case    "an interrupt in ring 3 switches stacks"
        protected
        idt32   0x40, 2f, INTERRUPT32 | OF_RING3
        user32
        int     $0x40
3:
2:      words
        movl    %ss, %ebp
        subl    $3b, %eax
        push    %ebp
        old_stack
        movl    -4(%edi), %ebp
        outcome
        show    rax, rbx, rcx, rdx, rsi, rdi, rbp
        #= ok, rax=0, rbx=1b, rcx=2, rdx=800000, rsi=23, rdi=80ffec, rbp=10

        case    "and back"
        protected
        idt32   0x40, 2f, INTERRUPT32 | OF_RING3
        user32
        int     $0x40
        jmp     3f
2:      movl    $1, %ebx
        iretl
3:      movl    %ss, %ecx
        outcome
        show    rbx, rcx
        #= ok, ring 3, rbx=1, rcx=23

        case    "INT with a gate of DPL 0 in ring 3", 1f
        protected
        user32
1:      int     $0x40
        outcome
        #= #GP(202), ring 3

        case    "a gate that is absent", 1f
        protected
        idt32   0x40, 2f, INTERRUPT32 & 0x7f
1:      int     $0x40
2:      outcome
        #= #NP(202)

        case    "a gate of another type", 1f
        protected
        idt32   0x40, 2f, CALL32
1:      int     $0x40
2:      outcome
        #= #GP(202)

        case    "a vector beyond the limit of the IDT", 1f
        protected
        idt32   13, 2f
        movw    $(8 * 0x40 - 1), far
        movl    $LEGACY_IDT, far + 2
        lidt    far
1:      int     $0x40
2:      lidt    legacy_idt_register
        popl    %eax
        addl    $12, %esp
        outcome
        show    rax
        #= ok, rax=202

        case    "a gate to a null selector", 1f
        protected
        idt32   0x40, 2f, INTERRUPT32, 0
1:      int     $0x40
2:      outcome
        #= #GP(0)

        case    "a gate to data", 1f
        protected
        idt32   0x40, 2f, INTERRUPT32, P_DATA
1:      int     $0x40
2:      outcome
        #= #GP(10)

        case    "a gate to code that is absent", 1f
        protected
        idt32   0x40, 2f, INTERRUPT32, P_CODE_ABSENT
1:      int     $0x40
2:      outcome
        #= #NP(88)

        case    "a gate to code of less privilege", 1f
        protected
        idt32   0x40, 2f, INTERRUPT32, P_USER_CODE
1:      int     $0x40
2:      outcome
        #= #GP(18)

        case    "a gate beyond the limit of its code", 1f
        protected
        idt32   0x40, 2f, INTERRUPT32, P_CODE_SHORT
1:      int     $0x40
2:      outcome
        #= #GP(0)

        case    "a conforming handler in ring 3 stays there"
        protected
        idt32   0x40, 2f, INTERRUPT32 | OF_RING3, P_CONFORMING
        user32
        int     $0x40
2:      movl    %cs, %ebx
        movl    %ss, %ecx
        outcome
        show    rbx, rcx
        #= ok, ring 3, rsp-c, rbx=53, rcx=23

        case    "a handler in ring 1"
        protected
        idt32   0x40, 2f, INTERRUPT32 | OF_RING3, P_RING1_CODE & 0xfc
        user32
        int     $0x40
2:      movl    %cs, %ebx
        movl    %ss, %ecx
        outcome
        show    rbx, rcx
        #= ok, ring 1, rsp=81ffec, rbx=a9, rcx=b1

        case    "a stack of ring 0 that is null" # vol. 2, INT n: inter-privilege-level interrupt
        protected
        inner_stack 0, INNER_STACK
        user32
        catch   10
        int     $CASE_END
        caught
        outcome
        show    rax
        #= ok, ring 3, rax=0

        case    "a stack beyond the GDT"
        protected
        inner_stack P_END, INNER_STACK
        user32
        catch   10
        int     $CASE_END
        caught
        outcome
        show    rax
        #= ok, ring 3, rax=f8

        case    "a stack of another privilege"
        protected
        inner_stack P_USER_DATA, INNER_STACK
        user32
        catch   10
        int     $CASE_END
        caught
        outcome
        show    rax
        #= ok, ring 3, rax=20

        case    "a stack that cannot be written"
        protected
        inner_stack P_READ_ONLY, INNER_STACK
        user32
        catch   10
        int     $CASE_END
        caught
        outcome
        show    rax
        #= ok, ring 3, rax=70

        case    "a stack that is absent"
        protected
        inner_stack P_ABSENT, INNER_STACK
        user32
        catch   12
        int     $CASE_END
        caught
        outcome
        show    rax
        #= ok, ring 3, rax=80

        case    "a stack that is too small for the frame"
        protected
        inner_stack P_INNER_SMALL, 0x10         # five words do not fit
        user32
        catch   12
        int     $CASE_END
        caught
        outcome
        show    rax
        #= ok, ring 3, rax=c0

        case    "a small stack on which the frame just fits"
        protected
        inner_stack P_INNER_SMALL, 0x14
        idt32   0x40, 2f, INTERRUPT32 | OF_RING3
        user32
        int     $0x40
2:      movl    %esp, %ebx
        old_stack
        outcome
        show    rbx
        #= ok, rbx=0

        case    "an exception's stack error has EXT"
        protected
        inner_stack P_READ_ONLY, INNER_STACK
        user32
        catch   10
        ud2
        caught
        outcome
        show    rax
        #= ok, ring 3, rax=71

        case    "a TSS that is too short for ESP1", 1f
        protected
        movw    $11, LEGACY_GDT + P_OTHER_TSS   # its limit
        movl    $P_OTHER_TSS, %eax
        ltr     %ax
        idt32   0x40, 2f, INTERRUPT32 | OF_RING3, P_RING1_CODE & 0xfc
        user32
1:      int     $0x40
2:      outcome
        #= #TS(e0), ring 3

        case    "a stack from a 16-bit TSS"
        protected
        movl    $P_TSS16, %eax
        inner_stack16 P_STACK16, 0x8000
        ltr     %ax
        idt32   0x40, 2f, INTERRUPT32 | OF_RING3
        user32
        int     $0x40
3:
2:      movzwl  %sp, %ebp
        movl    (%ebp), %eax
        subl    $3b, %eax
        movl    %ss, %ebx
        old_stack
        outcome
        show    rax, rbx, rdi
        #= ok, rax=0, rbx=90, rdi=0

        case    "IRET to ring 3 and a 16-bit stack loads SP alone"
        protected
        pushl   $P_USER_STACK16
        pushl   $0x12345678
        pushl   $2
        pushl   $P_USER_CODE
        pushl   $2f
        iretl
2:      movl    %esp, %ebx
        outcome
        show    rbx
        #= ok, ring 3, rsp-a988, rbx=7f5678

        case    "IRET takes away segments that ring 3 may not use"
        protected
        movl    $P_USER_DATA, %eax
        movl    %eax, %fs
        movl    $P_CONFORMING, %eax
        movl    %eax, %gs
        pushl   $P_USER_DATA
        pushl   $CASE_STACK
        pushl   $2
        pushl   $P_USER_CODE
        pushl   $2f
        iretl
2:      outcome
        show_handler ds, es, fs, gs
        #= ok, ring 3, handler ds=0, handler es=0, handler fs=23, handler gs=50

        case    "IRET within ring 0 pops three words"
        protected
        pushl   $0x246
        pushl   $P_CODE
        pushl   $2f
        iretl
2:      outcome
        show_event rflags
        #= ok, rflags=246

        case    "IRET of 16 bits to 16-bit code"
        protected
        pushw   $2
        pushw   $P_CODE16
        pushw   $(2f - HMA_BASE)
        iretw
        .code16
2:      movw    %cs, %ax
        outcome
        show    rax
        #= ok, rax=28

        case    "IRET beyond the limit of the code", 1f
        protected
        pushl   $2
        pushl   $P_CODE_SHORT
        pushl   $0x1000
1:      iretl
        outcome
        #= #GP(0), rsp-c

        case    "IRET to a null stack", 1f
        protected
        pushl   $3
        pushl   $CASE_STACK
        pushl   $2
        pushl   $P_USER_CODE
        pushl   $0
1:      iretl
        outcome
        #= #GP(0), rsp-14

        case    "IRET to a stack of another privilege", 1f
        protected
        pushl   $P_DATA
        pushl   $CASE_STACK
        pushl   $2
        pushl   $P_USER_CODE
        pushl   $0
1:      iretl
        outcome
        #= #GP(10), rsp-14

        case    "IRET to a stack that is absent", 1f
        protected
        orb     $OF_RING3, LEGACY_GDT + P_ABSENT + 5
        pushl   $(P_ABSENT | 3)
        pushl   $CASE_STACK
        pushl   $2
        pushl   $P_USER_CODE
        pushl   $0
1:      iretl
        outcome
        #= #SS(80), rsp-14

        case    "IRET to more privilege", 1f
        protected
        user32
        pushl   $2
        pushl   $P_CODE
        pushl   $0
1:      iretl
        outcome
        #= #GP(8), ring 3, rsp-c

        case    "IRET to data", 1f
        protected
        pushl   $2
        pushl   $P_DATA
        pushl   $0
1:      iretl
        outcome
        #= #GP(10), rsp-c

        case    "IRET to ring 3 loads IOPL and IF"
        protected
        pushl   $P_USER_DATA
        pushl   $CASE_STACK
        pushl   $0x3202
        pushl   $P_USER_CODE
        pushl   $2f
        iretl
2:      outcome
        show_event rflags
        #= ok, ring 3, rflags=3202

        case    "INTO"
        protected
        idt32   4, 2f, INTERRUPT32 | OF_RING3
        user32
        movb    $0x7f, %al
        into
        incb    %al
        into
3:
2:      popl    %eax
        subl    $3b, %eax
        old_stack
        outcome
        show    rax
        #= ok, rax=0

        case    "INTO through a gate of DPL 0 in ring 3", 1f
        protected
        user32
        movb    $0x7f, %al
        incb    %al
1:      into
        outcome
        #= #GP(22), ring 3

        case    "JMP FAR to another code segment"
        protected
        ljmp    $P_CONFORMING, $2f
2:      movl    %cs, %eax
        outcome
        show    rax
        #= ok, rax=50

        case    "JMP FAR through memory, 16 bits"
        protected
        movl    $(P_CODE16 << 16), far
        movl    $(2f - HMA_BASE), %eax
        movw    %ax, far
        ljmpw   *far
        .code16
2:      movw    %cs, %ax
        outcome
        show    rax
        #= ok, rax=28

        case    "JMP FAR beyond the limit", 1f
        protected
1:      ljmp    $P_CODE_SHORT, $0x1000
        outcome
        #= #GP(0)

        case    "JMP FAR to data", 1f
        protected
1:      ljmp    $P_DATA, $0
        outcome
        #= #GP(10)

        case    "JMP FAR to a null selector", 1f
        protected
1:      ljmp    $0, $0
        outcome
        #= #GP(0)

        case    "JMP FAR to code that is absent", 1f
        protected
1:      ljmp    $P_CODE_ABSENT, $0
        outcome
        #= #NP(88)

        case    "JMP FAR to less privilege", 1f
        protected
1:      ljmp    $P_USER_CODE, $0
        outcome
        #= #GP(18)

        case    "JMP FAR to conforming code of ring 0, in ring 3"
        protected
        user32
        ljmp    $P_CONFORMING, $2f
2:      movl    %cs, %eax
        outcome
        show    rax
        #= ok, ring 3, rax=53

        case    "JMP FAR to conforming code of ring 3, in ring 0", 1f
        protected
1:      ljmp    $P_USER_CONFORMING, $0
        outcome
        #= #GP(e8)

        case    "CALL FAR and RET FAR"
        protected
        lcall   $P_CODE, $2f
3:      jmp     4f
2:      words
        subl    $3b, %eax
        lretl
4:      outcome
        show    rax, rbx, rdi
        #= ok, rax=0, rbx=8, rdi=7ffff8

        case    "CALL FAR of 16 bits and RET FAR of 16 bits"
        protected
        ljmp    $P_CODE16, $(2f - HMA_BASE)
        .code16
2:      lcall   $P_CODE16, $(3f - HMA_BASE)
        jmp     4f
3:      movl    %esp, %edi
        movw    2(%edi), %bx
        lretw
4:      outcome
        show    rbx, rdi
        #= ok, rbx=28, rdi=7ffffc

        case    "RET FAR to ring 3 releases words of both stacks"
        protected
        pushl   $P_USER_DATA
        pushl   $(CASE_STACK - 8)
        pushl   $0
        pushl   $0
        pushl   $P_USER_CODE
        pushl   $2f
        lretl   $8
2:      movl    %ds, %ebx
        outcome
        show    rbx
        #= ok, ring 3, rbx=0

        case    "RET FAR beyond the limit", 1f
        protected
        pushl   $P_CODE_SHORT
        pushl   $0x1000
1:      lretl
        outcome
        #= #GP(0), rsp-8

        case    "RET FAR to more privilege", 1f
        protected
        user32
        pushl   $P_CODE
        pushl   $0
1:      lretl
        outcome
        #= #GP(8), ring 3, rsp-8

        case    "a call gate within ring 0"
        protected
        gate32  2f
        lcall   $P_GATE, $0x12345678
3:
2:      words
        subl    $3b, %eax
        outcome
        show    rax, rbx, rdi
        #= ok, rsp-8, rax=0, rbx=8, rdi=7ffff8

        case    "a call gate to ring 0 copies parameters" # vol. 3, 5.8.5
        protected
        gate32  2f, parameters=2
        user32
        pushl   $0x1111
        pushl   $0x2222
        lcall   $P_GATE, $0
3:
2:      words
        subl    $3b, %eax
        old_stack
        outcome
        show    rax, rbx, rcx, rdx, rsi, rdi
        #= ok, rax=0, rbx=1b, rcx=2222, rdx=1111, rsi=7ffff8, rdi=80ffe8

        case    "and back, releasing them"
        protected
        gate32  2f, parameters=2
        user32
        pushl   $0x1111
        pushl   $0x2222
        lcall   $P_GATE, $0
        jmp     3f
2:      movl    %cs, %ebx
        lretl   $8
3:      movl    %ss, %ecx
        outcome
        show    rbx, rcx
        #= ok, ring 3, rbx=8, rcx=23

        case    "a 16-bit call gate to ring 0"
        protected
        gate32  2f - HMA_BASE, P_CODE16, CALL16 | OF_RING3, 1
        user32
        pushw   $0x1111
        lcall   $P_GATE, $0
3:
        .code16
2:      movl    %esp, %edi
        movl    (%edi), %eax
        subl    $(3b - 0x100000), %eax
        movl    4(%edi), %ebx
        movw    8(%edi), %cx
        movl    $CASE_STACK, %esp
        outcome
        show    rax, rbx, rcx, rdi
        #= ok, rax=1b0000, rbx=fffe1111, rcx=23, rdi=80fff6

        case    "a call gate of DPL 0 in ring 3", 1f
        protected
        gate32  2f, P_CODE, CALL32
        user32
1:      lcall   $P_GATE, $0
2:      outcome
        #= #GP(d0), ring 3

        case    "a call gate whose DPL is below the RPL", 1f
        protected
        gate32  2f, P_CODE, CALL32
1:      lcall   $(P_GATE | 3), $0
2:      outcome
        #= #GP(d0)

        case    "a call gate that is absent", 1f
        protected
        gate32  2f, P_CODE, CALL32 & 0x7f
1:      lcall   $P_GATE, $0
2:      outcome
        #= #NP(d0)

        case    "a call gate to data", 1f
        protected
        gate32  2f, P_DATA
1:      lcall   $P_GATE, $0
2:      outcome
        #= #GP(10)

        case    "a call gate beyond the limit of its code", 1f
        protected
        gate32  2f, P_CODE_SHORT
1:      lcall   $P_GATE, $0
2:      outcome
        #= #GP(0)

        case    "a call gate to less privilege", 1f
        protected
        gate32  2f, P_USER_CODE
1:      lcall   $P_GATE, $0
2:      outcome
        #= #GP(18)

        case    "JMP through a gate to more privilege", 1f
        protected
        gate32  2f
        user32
1:      ljmp    $P_GATE, $0
2:      outcome
        #= #GP(8), ring 3

        case    "JMP through a gate within ring 0"
        protected
        gate32  2f
        ljmp    $P_GATE, $0
        ud2
2:      outcome
        #= ok

        case    "a call gate onto a stack that is too small"
        protected
        gate32  3f, parameters=2
        inner_stack P_INNER_SMALL, 0x14
        user32
        catch   12
        lcall   $P_GATE, $0
3:      ud2
        caught
        outcome
        show    rax
        #= ok, ring 3, rax=c0

        case    "a call gate onto a null stack"
        protected
        gate32  3f
        inner_stack 0, INNER_STACK
        user32
        catch   10
        lcall   $P_GATE, $0
3:      ud2
        caught
        outcome
        show    rax
        #= ok, ring 3, rax=0

        case    "parameters beyond the limit of the caller's stack", 1f
        protected
        gate32  3f, parameters=2
        user32
        movl    $P_USER_STACK16, %eax
        movl    %eax, %ss
        movl    $0xfffe, %esp
1:      lcall   $P_GATE, $0
3:      ud2
        outcome
        #= #SS(0), ring 3, rsp=fffe

        case    "a task gate whose DPL is too low", 1f
        protected
        user32
1:      lcall   $P_TASK_GATE, $0
        outcome
        #= #GP(d8), ring 3

        case    "a TSS of DPL 0 in ring 3", 1f
        protected
        user32
1:      ljmp    $P_OTHER_TSS, $0
        outcome
        #= #GP(e0), ring 3

        case    "a TSS that is busy", 1f
        protected
1:      ljmp    $P_TSS, $0
        outcome
        #= #GP(40)

        end_cases

        .data
        .balign 8
far:    .quad   0, 0
