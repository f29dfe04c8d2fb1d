# Segmentation in protected mode (vol. 3, 5.3 to 5.6; vol. 2, MOV, POP, LDS and the like), and the system instructions of
# 32-bit code.

        .include "test/system/include/case.s"
        .include "test/system/include/legacy.s"

# Loads a segment register with a selector at 1:, and does what follows. Needs %eax.
        .macro load segment, selector
        movl    $(\selector), %eax
1:      movl    %eax, %\segment
        .endm

        .macro es selector
        movl    $(\selector), %eax
        movl    %eax, %es
        .endm

# A far pointer at `far`.
        .macro point selector, offset
        movl    $\offset, far
        movw    $(\selector), far + 4
        .endm

        .text
cases:
        case    "a read of the last byte"
        protected
        es      P_SMALL
        movb    %es:0xfff, %al
        outcome
        #= ok

        case    "a read beyond the limit", 1f
        protected
        es      P_SMALL
1:      movb    %es:0x1000, %al
        outcome
        #= #GP(0)

        case    "a read that is half beyond the limit", 1f
        protected
        es      P_SMALL
1:      movl    %es:0xffd, %eax
        outcome
        #= #GP(0)

        case    "a read beyond the limit of SS", 1f
        protected
        user32
        movl    $P_USER_STACK16, %eax
        movl    %eax, %ss
1:      movl    %ss:0xfffe, %eax
        outcome
        #= #SS(0), ring 3

        case    "expand-down: below and at the limit", 1f # vol. 3, 5.3
        protected
        es      P_DOWN
1:      movb    %es:0xfff, %al
        outcome
        #= #GP(0)

        case    "expand-down: above the limit"
        protected
        es      P_DOWN
        movb    %es:0x1000, %al
        movb    %es:0x100000, %al
        outcome
        #= ok

        case    "expand-down of 16 bits ends at 64 KiB", 1f
        protected
        es      P_DOWN16
        movb    %es:0xffff, %al
1:      movb    %es:0x10000, %al
        outcome
        #= #GP(0)

        case    "a write to read-only data", 1f
        protected
        es      P_READ_ONLY
        movb    %es:0x100000, %al
1:      movb    %al, %es:0x100000
        outcome
        #= #GP(0)

        case    "a write to code", 1f
        protected
        es      P_CODE
        movb    %es:0x100000, %al
1:      movb    %al, %es:0x100000
        outcome
        #= #GP(0)

        case    "a read through a null selector", 1f
        protected
        es      0
1:      movb    %es:0x100000, %al
        outcome
        #= #GP(0)

        case    "a read of execute-only code", 1f
        protected
        movl    $0, %eax
        ljmp    $P_EXECUTE_ONLY, $2f
2:
1:      movb    %cs:0x100000, %al
        outcome
        #= #GP(0)

        case    "a base is added"
        protected
        es      P_SMALL
        movl    %es:0x10, %eax
        xorl    0x100010, %eax
        outcome
        show    rax
        #= ok, rax=0

        case    "code with a base: EIP is an offset"
        protected
        ljmp    $P_BASED_CODE, $(2f - 0x100000)
2:      call    3f
3:      popl    %eax
        subl    $3b, %eax
        outcome
        show    rax
        #= ok, rax=fff00000

        case    "execution beyond the limit of CS" # vol. 3, 5.3
        protected
        ljmp    $P_CODE_SHORT, $0xfff
        outcome
        #= #GP(0) at =fff

        case    "POPF in ring 3 changes neither IF nor IOPL"
        protected
        user32
        pushl   $0x3202
        popfl
        outcome
        show_event rflags
        #= ok, ring 3, rflags=2

        case    "loads of each register"
        protected
        movl    $P_SMALL, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        movl    %ds, %ebx
        movl    %gs, %ecx
        outcome
        show    rbx, rcx
        show_handler es, fs
        #= ok, rbx=58, rcx=58, handler es=58, handler fs=58

        case    "beyond the GDT", 1f
        protected
        load    es, P_END
        outcome
        #= #GP(f8)

        case    "without an LDT", 1f
        protected
        load    es, P_LOCAL_DATA
        outcome
        #= #GP(4)

        case    "from the LDT"
        protected
        movl    $P_LDT, %eax
        lldt    %ax
        load    es, P_LOCAL_DATA
        outcome
        show_handler es
        #= ok, handler es=4

        case    "beyond the LDT", 1f
        protected
        movl    $P_LDT, %eax
        lldt    %ax
        load    es, P_LOCAL_END
        outcome
        #= #GP(c)

        case    "absent data", 1f
        protected
        load    es, P_ABSENT
        outcome
        #= #NP(80)

        case    "absent data as a stack", 1f
        protected
        load    ss, P_ABSENT
        outcome
        #= #SS(80)

        case    "a null stack", 1f
        protected
        load    ss, 0
        outcome
        #= #GP(0)

        case    "a read-only stack", 1f
        protected
        load    ss, P_READ_ONLY
        outcome
        #= #GP(70)

        case    "a stack of less privilege", 1f
        protected
        load    ss, P_USER_DATA
        outcome
        #= #GP(20)

        case    "data of more privilege", 1f
        protected
        user32
        load    es, P_DATA
        outcome
        #= #GP(10), ring 3

        case    "data of more privilege by RPL", 1f
        protected
        load    es, P_DATA | 3
        outcome
        #= #GP(10)

        case    "conforming code as data, in ring 3"
        protected
        user32
        load    es, P_CONFORMING
        outcome
        show_handler es
        #= ok, ring 3, handler es=50

        case    "execute-only code as data", 1f
        protected
        load    es, P_EXECUTE_ONLY
        outcome
        #= #GP(78)

        case    "a TSS as data", 1f
        protected
        load    es, P_TSS
        outcome
        #= #GP(40)

        case    "the accessed bit is set"
        protected
        andb    $0xfe, LEGACY_GDT + P_SMALL + 5
        load    es, P_SMALL
        movb    LEGACY_GDT + P_SMALL + 5, %bl
        outcome
        show    rbx
        #= ok, rbx=93

        case    "a 16-bit stack uses SP alone"
        protected
        movl    $P_STACK16, %eax
        movl    %eax, %ss
        movl    $0x12340100, %esp
        pushl   $0x11223344
        movl    %esp, %ebx
        movl    0x8000fc, %ecx
        popl    %edx
        movl    $P_DATA, %eax
        movl    %eax, %ss
        movl    $CASE_STACK, %esp
        outcome
        show    rbx, rcx, rdx
        #= ok, rbx=123400fc, rcx=11223344, rdx=11223344

        case    "SP wraps in a 16-bit stack"
        protected
        movl    $P_STACK16, %eax
        movl    %eax, %ss
        xorl    %esp, %esp
        pushl   $0x11223344
        movl    %esp, %ebx
        movl    0x80fffc, %ecx
        movl    $P_DATA, %eax
        movl    %eax, %ss
        movl    $CASE_STACK, %esp
        outcome
        show    rbx, rcx
        #= ok, rbx=fffc, rcx=11223344

        case    "PUSHA beyond the limit of the stack", 1f
        protected
        user32
        movl    $P_USER_STACK16, %eax
        movl    %eax, %ss
        movl    $0x12, %esp
1:      pushal
        outcome
        #= #SS(0), ring 3, rsp=12

        case    "PUSHA and POPA"
        protected
        movl    $1, %eax
        movl    $2, %ecx
        movl    $3, %edx
        movl    $4, %ebx
        movl    $5, %ebp
        movl    $6, %esi
        movl    $7, %edi
        pushal
        movl    12(%esp), %eax
        subl    %esp, %eax
        movl    %eax, 28(%esp)
        xorl    %edi, %edi
        xorl    %ebp, %ebp
        popal
        outcome
        show    rax, rcx, rdx, rbx, rbp, rsi, rdi
        #= ok, rax=20, rcx=2, rdx=3, rbx=4, rbp=5, rsi=6, rdi=7

        case    "PUSH and POP of segment registers"
        protected
        pushl   %es
        popl    %fs
        pushw   %cs
        popw    %ax
        movl    $P_SMALL, %ecx
        pushl   %ecx
        popl    %ds
        movl    %ds, %ebx
        outcome
        show    rax, rbx
        show_handler fs
        #= ok, rax=8, rbx=58, handler fs=10

        case    "POP SS of a selector that may not be", 1f
        protected
        pushl   $P_USER_DATA
1:      popl    %ss
        outcome
        #= #GP(20), rsp-4

        case    "LES loads both"
        protected
        point   P_SMALL, 0x12345678
        lesl    far, %ebx
        movl    %es, %ecx
        outcome
        show    rbx, rcx
        #= ok, rbx=12345678, rcx=58

        case    "LDS of 16 bits"
        protected
        movl    $(P_SMALL << 16 | 0x1234), far
        movl    $0xaaaaaaaa, %ebx
        ldsw    far, %bx
        movl    %ds, %ecx
        outcome
        show    rbx, rcx
        #= ok, rbx=aaaa1234, rcx=58

        case    "LSS loads both, or nothing", 1f
        protected
        point   P_ABSENT, 0x1000
1:      lssl    far, %esp
        outcome
        #= #SS(80)

        case    "LLDT with a TSS", 1f
        protected
        movl    $P_OTHER_TSS, %eax
1:      lldt    %ax
        outcome
        #= #GP(e0)

        case    "LTR with a 16-bit TSS"
        protected
        movl    $P_TSS16, %eax
        ltr     %ax
        movb    LEGACY_GDT + P_TSS16 + 5, %bl
        str     %ecx
        outcome
        show    rbx, rcx
        #= ok, rbx=83, rcx=48

        case    "LTR with a TSS that is busy", 1f
        protected
        movl    $P_TSS, %eax
1:      ltr     %ax
        outcome
        #= #GP(40)

        case    "LAR knows 16-bit TSSs and task gates"
        protected
        movl    $P_TSS16, %ecx
        larl    %ecx, %eax
        movl    $P_TASK_GATE, %ecx
        larl    %ecx, %ebx
        setz    %dl
        outcome
        show    rax, rbx, rdx
        #= ok, rax=8100, rbx=8500, rdx=1

        case    "LSL knows no gates"
        protected
        movl    $P_TSS16, %ecx
        lsll    %ecx, %eax
        setz    %bl
        movl    $P_TASK_GATE, %ecx
        lsll    %ecx, %eax
        setz    %dl
        outcome
        show    rax, rbx, rdx
        #= ok, rax=2b, rbx=1, rdx=0

        case    "VERR and VERW"
        protected
        movl    $P_READ_ONLY, %ecx
        verr    %cx
        setz    %al
        verw    %cx
        setz    %bl
        outcome
        show    rax, rbx
        #= ok, rax=1, rbx=0

        case    "SGDT stores six bytes"
        protected
        movl    $-1, far + 4
        sgdt    far
        movl    far, %eax
        movl    far + 4, %ebx
        outcome
        show    rax, rbx
        #= ok, rax=500000f7, rbx=ffff0040

        case    "SIDT beyond the limit", 1f
        protected
        es      P_SMALL
1:      sidt    %es:0xffc
        outcome
        #= #GP(0)

        case    "SMSW, STR and SLDT to a register"
        protected
        movl    $-1, %eax
        sldt    %eax
        movl    $-1, %ebx
        str     %bx
        outcome
        show    rax, rbx
        #= ok, rax=0, rbx=ffff0040

        case    "CLI in ring 3", 1f
        protected
        user32
1:      cli
        outcome
        #= #GP(0), ring 3

        case    "LGDT in ring 3", 1f
        protected
        user32
1:      lgdt    legacy_gdt_register
        outcome
        #= #GP(0), ring 3

        case    "a port that the bitmap allows"
        protected
        user32
        inb     $0xe9, %al
        outcome
        #= ok, ring 3

        case    "a port that the bitmap forbids", 1f
        protected
        user32
1:      inb     $0x80, %al
        outcome
        #= #GP(0), ring 3

        case    "a 16-bit TSS has no bitmap", 1f # vol. 1, 18.5.2
        protected
        movl    $P_TSS16, %eax
        movl    $(P_DATA << 16 | 0x8000), LEGACY_TSS + 2
        movw    $P_STACK16, LEGACY_TSS + 4
        ltr     %ax
        user32
1:      outb    %al, $0xed
        outcome
        #= #GP(0), ring 3

        case    "OUTS from a segment, beyond its limit", 1f
        protected
        es      P_SMALL
        movl    $0x1000, %esi
        movw    $0x80, %dx
1:      outsb   %es:(%esi), %dx
        outcome
        #= #GP(0)

        case    "INS beyond the limit of ES", 1f
        protected
        es      P_SMALL
        movl    $0x1000, %edi
        movw    $0x80, %dx
1:      insb    %dx, %es:(%edi)
        outcome
        #= #GP(0)

        case    "SYSCALL", 1f                   # vol. 2, SYSCALL: only in 64-bit mode
        protected
1:      syscall
        outcome
        #= #UD

        case    "SYSENTER and SYSEXIT"
        protected
        write_msr 0x174, P_CODE
        write_msr 0x175, CASE_STACK
        write_msr 0x176, 2f
        user32
        sysenter
2:      movl    %cs, %ebx
        movl    %ss, %ebp
        movl    %esp, %esi
        movl    $3f, %edx
        movl    $CASE_STACK, %ecx
        sysexit
3:      movl    %cs, %eax
        movl    %ss, %edi
        outcome
        show    rbx, rbp, rsi, rax, rdi
        #= ok, ring 3, rbx=8, rbp=10, rsi=800000, rax=1b, rdi=23

        case    "SYSENTER without a CS", 1f
        protected
        write_msr 0x174, 0
1:      sysenter
        outcome
        #= #GP(0)

        case    "SYSEXIT in ring 3", 1f
        protected
        write_msr 0x174, P_CODE
        user32
1:      sysexit
        outcome
        #= #GP(0), ring 3

        end_cases

        .data
        .balign 8
far:    .quad   0, 0
