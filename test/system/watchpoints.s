# Data and I/O breakpoints (vol. 3, 17.3.1.2, unless something else is said). Cases that watch a stack go down from the place
# that the handler of all events (include/event.s) uses, which would be watched too.

        .include "test/system/include/case.s"
        .include "test/system/include/breakpoint.s"

        .equ    VECTOR, 0x41
        .equ    PORT, 0x80                      # nobody listens
        .equ    BOUNDARY, 0x700000              # a page's end

        .text
cases:
        case    "a write is a trap", 1f
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
1:      movl    $5, watched(%rip)               # 10 bytes
        movl    $6, watched(%rip)
        outcome
        show_event dr6, dr7, rflags
        show_value "watched", watched(%rip)
        #= #DB at +a, dr6=ffff0ff1, dr7=d0401, rflags=2, watched=5

        case    "a breakpoint on writes does not see reads"
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
        movl    watched(%rip), %ecx
        outcome
        #= ok

        case    "a breakpoint on accesses sees reads", 1f
        breakpoint 1, watched(%rip), ON_ACCESS | BYTES_4, DR7_G0
1:      movl    watched(%rip), %ecx             # 6 bytes
        outcome
        show_event dr6
        #= #DB at +6, dr6=ffff0ff2

        case    "a breakpoint on accesses sees writes", 1f
        breakpoint 1, watched(%rip), ON_ACCESS | BYTES_4
1:      movb    %cl, watched(%rip)              # 6 bytes
        outcome
        show_event dr6
        #= #DB at +6, dr6=ffff0ff2

        case    "a breakpoint on accesses does not see fetches" # vol. 3, 17.2.4
        breakpoint 0, 1f(%rip), ON_ACCESS | BYTES_4
        jmp     1f
1:      nop
        outcome
        #= ok

        case    "a breakpoint that is not enabled"
        leaq    watched(%rip), %rax
        movq    %rax, %dr0
        movl    $(DR7_FIRST | ON_WRITE << 16), %eax
        movq    %rax, %dr7
        movl    %ecx, watched(%rip)
        outcome
        #= ok

        case    "an unwatched neighbour of what is watched"
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
        movl    %ecx, watched-4(%rip)
        movl    %ecx, watched+4(%rip)
        outcome
        #= ok

        case    "the address is aligned to the length", 1f # vol. 3, 17.2.5
        breakpoint 0, watched+3(%rip), ON_WRITE | BYTES_4
1:      movb    %cl, watched(%rip)
        outcome
        #= #DB at +6

        case    "two bytes", 1f
        breakpoint 0, watched+2(%rip), ON_WRITE | BYTES_2
        movb    %cl, watched+1(%rip)
        movb    %cl, watched+4(%rip)
1:      movb    %cl, watched+3(%rip)
        outcome
        #= #DB at +6

        case    "eight bytes", 1f               # vol. 3, 17.2.6
        breakpoint 0, watched+1(%rip), ON_WRITE | BYTES_8
        movb    %cl, watched-1(%rip)
        movb    %cl, watched+8(%rip)
1:      movb    %cl, watched+7(%rip)
        outcome
        #= #DB at +6

        case    "an access that ends in what is watched", 1f # vol. 3, table 17-1
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_1
        movl    %ecx, watched-4(%rip)
1:      movl    %ecx, watched-3(%rip)
        outcome
        #= #DB at +6

        case    "an access around what is watched", 1f
        breakpoint 0, watched+5(%rip), ON_WRITE | BYTES_1
1:      movq    %rcx, watched(%rip)             # 7 bytes
        outcome
        #= #DB at +7

        case    "an access over two pages, of which the second is watched", 1f
        breakpoint 0, BOUNDARY, ON_WRITE | BYTES_1
1:      movq    %rcx, BOUNDARY-7                # 8 bytes
        outcome
        #= #DB at +8

        case    "a breakpoint is at a linear address" # user mode sees the same page at another one
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
        user
        movl    %ecx, watched(%rip)
        outcome
        #= ok, ring 3

        case    "a write in ring 3", 1f
        leaq    watched(%rip), %rax
        btrq    $KERNEL_BIT, %rax
        breakpoint 0, (%rax), ON_WRITE | BYTES_4
        clc
        user
1:      movl    %ecx, watched(%rip)
        outcome
        #= #DB at +6, ring 3

        case    "two breakpoints and a step: one #DB", 1f
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
        breakpoint 2, watched(%rip), ON_ACCESS | BYTES_8
        iret_to 1f, 2 | RFLAGS_TF
1:      movl    %ecx, watched(%rip)
        outcome
        show_event dr6
        #= #DB at +6, dr6=ffff4ff5

        case    "reading and writing", 1f
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
1:      incl    watched(%rip)
        outcome
        #= #DB at +6

        case    "PUSH", 1f
        subq    $0x1000, %rsp
        breakpoint 0, -8(%rsp), ON_WRITE | BYTES_8
1:      pushq   %rcx
        outcome
        #= #DB at +1, rsp-1008

        case    "POP", 1f
        idt_gate 1, 0x8e, 1                     # an IST stack: not on what was popped
        subq    $0x1000, %rsp
        pushq   $7
        breakpoint 0, (%rsp), ON_ACCESS | BYTES_8
1:      popq    %rcx
        outcome
        show    rcx
        #= #DB at +1, rsp-1000, rcx=7

        case    "CALL traps at its target", 1f
        subq    $0x1000, %rsp
        breakpoint 0, -8(%rsp), ON_WRITE | BYTES_8
        call    1f
        nop
1:      nop
        outcome
        #= #DB, rsp-1008

        case    "RET traps where it returns to", 1f
        idt_gate 1, 0x8e, 1                     # an IST stack: not on what was popped
        subq    $0x1000, %rsp
        leaq    1f(%rip), %rcx
        pushq   %rcx
        breakpoint 0, (%rsp), ON_ACCESS | BYTES_8
        ret
        nop
1:      nop
        outcome
        #= #DB, rsp-1000

        case    "a jump through memory", 1f
        leaq    1f(%rip), %rcx
        movq    %rcx, watched(%rip)
        breakpoint 0, watched(%rip), ON_ACCESS | BYTES_8
        jmp     *watched(%rip)
        nop
1:      nop
        outcome
        #= #DB

        case    "ENTER", 1f
        subq    $0x1000, %rsp
        breakpoint 0, -8(%rsp), ON_WRITE | BYTES_8
1:      enter   $16, $0
        outcome
        #= #DB at +4, rsp-1018

        case    "IRET reads its frame", 1f
        idt_gate 1, 0x8e, 1                     # an IST stack: not on what was popped
        subq    $0x1000, %rsp
        leaq    -40(%rsp), %rax
        movq    %rax, %dr0
        leaq    1f(%rip), %rcx
        movq    %rsp, %rbx
        pushq   $KERNEL_DS
        pushq   %rbx
        pushq   $2
        pushq   $KERNEL_CS
        pushq   %rcx
        movl    $(DR7_FIRST | DR7_L0 | (ON_ACCESS | BYTES_8) << 16), %eax
        movq    %rax, %dr7
        iretq
1:      nop
        outcome
        #= #DB, rsp-1000

        case    "MOVS between two places that are watched", 1f
        leaq    watched(%rip), %rsi
        leaq    watched+8(%rip), %rdi
        breakpoint 0, (%rsi), ON_ACCESS | BYTES_1
        breakpoint 1, (%rdi), ON_WRITE | BYTES_1
1:      movsb
        outcome
        show_event dr6
        #= #DB at +1, dr6=ffff0ff3

        case    "REP MOVS: after the iteration", 1f # RF: 17.3.1.1
        leaq    bytes(%rip), %rsi
        leaq    watched-2(%rip), %rdi
        movl    $8, %ecx
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_1
1:      rep movsb
        outcome
        show    rcx
        show_event dr6, rflags
        #= #DB, rcx=5, dr6=ffff0ff1, rflags=10002

        case    "REP MOVS: after the last iteration", 1f
        leaq    bytes(%rip), %rsi
        leaq    watched-2(%rip), %rdi
        movl    $3, %ecx
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_1
1:      rep movsb
        outcome
        show    rcx
        show_event rflags
        #= #DB at +2, rcx=0, rflags=2

        case    "REP STOS over a page: after the iteration", 1f
        movl    $BOUNDARY, %edi
        movl    $4096, %ecx
        breakpoint 0, BOUNDARY+1000, ON_WRITE | BYTES_2
1:      rep stosb
        outcome
        show    rcx
        #= #DB, rcx=c17

        case    "REP STOS over a page goes on where it was"
        idt_handler 1, counts
        movl    $BOUNDARY, %edi
        movl    $4096, %ecx
        breakpoint 0, BOUNDARY+1000, ON_WRITE | BYTES_2
        movl    $0x11, %eax
        rep stosb
        outcome
        show    rcx, r8
        #= ok, rcx=0, r8=2

        case    "REP MOVS from a page that is watched", 1f
        movl    $BOUNDARY, %esi
        movl    $(BOUNDARY + 8192), %edi
        movl    $512, %ecx
        breakpoint 0, BOUNDARY+800, ON_ACCESS | BYTES_8
1:      rep movsq
        outcome
        show    rcx
        #= #DB, rcx=19b

        case    "an instruction that faults does not trap", 1f
        leaq    watched(%rip), %rsi
        movl    $0x40000000, %edi
        breakpoint 0, watched(%rip), ON_ACCESS | BYTES_1
1:      movsb
        outcome
        show_event dr6
        #= #PF(2), cr2=40000000, dr6=ffff0ff0

        case    "MOV SS from what is watched: after the next instruction", 1f # vol. 3, 6.8.3
        movw    $KERNEL_DS, watched(%rip)
        breakpoint 0, watched(%rip), ON_ACCESS | BYTES_2
        movw    watched(%rip), %ss
        nop
1:      nop
        outcome
        show_event dr6
        #= #DB, dr6=ffff0ff1

        case    "MOV SS from what is watched, and an INT: in the handler", 2f # CVE-2018-8897
        idt_handler VECTOR, 2f
        movw    $KERNEL_DS, watched(%rip)
        breakpoint 0, watched(%rip), ON_ACCESS | BYTES_2
        movw    watched(%rip), %ss
        int     $VECTOR
2:      nop
        outcome
        #= #DB, rsp-28

        case    "MOV SS from what is watched, and INT1: one event", 1f # as in kvm-unit-tests, x86/debug.c
        movw    $KERNEL_DS, watched(%rip)
        breakpoint 0, watched(%rip), ON_ACCESS | BYTES_2
        movw    watched(%rip), %ss
        .byte   0xf1
1:      nop
        outcome
        show_event dr6
        #= #DB, dr6=ffff0ff1

        case    "MOV SS from what is watched, and a fault: in the handler", 2f # vol. 3, 6.8.3
        idt_handler 0, 2f                       # not #UD, which KVM intercepts: what was held off is lost then (26.7.3)
        movw    $KERNEL_DS, watched(%rip)
        xorl    %ecx, %ecx
        breakpoint 0, watched(%rip), ON_ACCESS | BYTES_2
        movw    watched(%rip), %ss
        divl    %ecx
2:      nop
        outcome
        show_event dr6
        #= #DB, rsp-28, dr6=ffff0ff1

        case    "the frame of an exception: in the handler", 2f
        subq    $0x1000, %rsp
        idt_handler 6, 2f
        breakpoint 0, -8(%rsp), ON_WRITE | BYTES_8
        ud2
2:      nop
        outcome
        show_event dr6
        #= #DB, rsp-1028, dr6=ffff0ff1

        case    "the frame of an interrupt: in the handler", 2f
        subq    $0x1000, %rsp
        idt_handler VECTOR, 2f
        breakpoint 0, -40(%rsp), ON_WRITE | BYTES_8
        int     $VECTOR
2:      nop
        outcome
        show_event dr6
        #= #DB, rsp-1028, dr6=ffff0ff1

        case    "RF does not hold off a data breakpoint", 1f # vol. 3, 17.3.1.1
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
        iret_to 1f, 2 | RFLAGS_RF
1:      movl    %ecx, watched(%rip)
        outcome
        show_event rflags
        #= #DB at +6, rflags=2

        case    "a write into a breakpoint: one #DB tells of both", 2f # as a step into one
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
        breakpoint 1, 2f(%rip)
1:      movl    %ecx, watched(%rip)
2:      nop
        outcome
        show_event dr6
        #= #DB, dr6=ffff0ff3

        case    "page tables may be walked"
        breakpoint 0, PAGE_DIRECTORY, ON_ACCESS | BYTES_8
        movq    %cr3, %rax
        movq    %rax, %cr3
        movl    0, %ecx
        outcome
        #= ok

        case    "a breakpoint that is moved within its page", 1f
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
        leaq    watched+8(%rip), %rax
        movq    %rax, %dr0
        movl    %ecx, watched(%rip)
1:      movl    %ecx, watched+8(%rip)
        outcome
        #= #DB at +6

        case    "a breakpoint that is disabled"
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_4
        movl    $DR7_FIRST, %eax
        movq    %rax, %dr7
        movl    %ecx, watched(%rip)
        outcome
        #= ok

        case    "a port that is written", 1f    # vol. 3, 17.2.4
        set_cr  cr4, CR4_DE
        breakpoint 0, PORT, ON_PORT | BYTES_1
1:      outb    %al, $PORT
        outcome
        show_event dr6, rflags
        #= #DB at +2, dr6=ffff0ff1, rflags=2

        case    "a port that is read", 1f
        set_cr  cr4, CR4_DE
        breakpoint 0, PORT, ON_PORT | BYTES_1
        movl    $PORT, %edx
1:      inb     %dx, %al
        outcome
        #= #DB at +1

        case    "four ports", 1f                # vol. 3, 17.2.5
        set_cr  cr4, CR4_DE
        breakpoint 0, PORT+2, ON_PORT | BYTES_4
        outb    %al, $(PORT - 1)
        outb    %al, $(PORT + 4)
1:      outb    %al, $(PORT + 3)
        outcome
        #= #DB at +2

        case    "an access to several ports", 1f
        set_cr  cr4, CR4_DE
        breakpoint 0, PORT+3, ON_PORT | BYTES_1
        outw    %ax, $(PORT + 1)
1:      outl    %eax, $PORT
        outcome
        #= #DB at +2

        case    "no breakpoints on ports without DE" # vol. 3, 17.2.4
        breakpoint 0, PORT, ON_PORT | BYTES_1
        outb    %al, $PORT
        outcome
        #= ok

        case    "a port and a step", 1f
        set_cr  cr4, CR4_DE
        breakpoint 0, PORT, ON_PORT | BYTES_1
        iret_to 1f, 2 | RFLAGS_TF
1:      outb    %al, $PORT
        outcome
        show_event dr6
        #= #DB at +2, dr6=ffff4ff1

        case    "REP OUTS: after each iteration", 1f
        set_cr  cr4, CR4_DE
        breakpoint 0, PORT, ON_PORT | BYTES_1
        leaq    bytes(%rip), %rsi
        movl    $PORT, %edx
        movl    $2, %ecx
1:      rep outsb
        outcome
        show    rcx
        show_event rflags
        #= #DB, rcx=1, rflags=10002

        case    "INS into what is watched", 1f
        leaq    watched(%rip), %rdi
        movl    $PORT, %edx
        breakpoint 0, watched(%rip), ON_WRITE | BYTES_1
1:      insb
        outcome
        #= #DB at +1

        end_cases

# A handler of #DB that counts in %r8.
counts: incl    %r8d
        iretq

        .data
        .balign 4096
bytes:  .quad   0x0807060504030201
        .quad   0
watched:
        .quad   0, 0, 0
