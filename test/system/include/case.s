# Cases: what one instruction, or a few, come to on a processor. A guest includes this file, and then consists of
#
#       case    "LMSW cannot clear PE"          # vol. 2, LMSW
#       xorl    %eax, %eax
#       lmsw    %ax
#       movq    %cr0, %rax
#       outcome
#       show    rax
#       #= ok, rax=80000033
#
# `case` begins with the machine as include/machine.s makes it, every general register 0 and all flags clear. `outcome` says
# what came of it: ok, or the first exception or interrupt; then registers have their values of that moment, and `show` prints
# them. `#=` is the line that the manual promises, without the name. After the last case: `end_cases`.
#
# An outcome reads `#GP(10) at +5, ring 3, rsp-8`: vector and error code, RIP from the instruction that the case is about,
# the privilege level, RSP from where it began; what is 0 is left out. All numbers are hexadecimal.

        .equ    CASE_END, 0xfe                  # the vector of the INT that ends a case; 2 bytes

# `at`: where the instruction stands that the case is about, unless it is the first.
        .macro case name:req, at=97f
        leaq    98f(%rip), %rdi
        leaq    99f(%rip), %rsi
        leaq    \at(%rip), %rdx
        call    case_begin
97:
        .pushsection .rodata
98:     .asciz  "\name"
        .popsection
        .endm

        .macro outcome
        int     $CASE_END
        .code64
99:     call    case_outcome
        .endm

# Prints general registers by name, and any value that MOVQ can load.
        .macro show registers:vararg
        .irp    register, \registers
        show_value "\register", %\register
        .endr
        .endm

        .macro show_value name:req, value:req
        pushq   %rdi
        pushq   %rsi
        movq    \value, %rsi
        leaq    96f(%rip), %rdi
        call    print_value
        popq    %rsi
        popq    %rdi
        .pushsection .rodata
96:     .asciz  "\name"
        .popsection
        .endm

# What the exception or interrupt saved, or found: vector, error, rip, cs, rflags, rsp, ss, frame (where), cr2, dr6, dr7.
        .macro show_event names:vararg
        .irp    name, \names
        show_value "\name", event_\name(%rip)
        .endr
        .endm

# Registers in its handler: rflags, cs, ss, ds, es, fs, gs.
        .macro show_handler names:vararg
        .irp    name, \names
        show_value "handler \name", handler_\name(%rip)
        .endr
        .endm

        .macro end_cases
        call    case_line
        movb    $4, %al                         # END
        outb    %al, $0xe9
1:      hlt
        jmp     1b
        .endm

# Goes on in ring 3 with the same registers and flags, at the addresses that user mode sees.
        .macro user
        call    enter_user
        .endm

        .text
        .globl  _start
_start: movb    $2, %al                         # BEGIN
        outb    %al, $0xe9
        call    machine_init
        jmp     cases

        .include "test/system/include/machine.s"
        .include "test/system/include/print.s"
        .include "test/system/include/event.s"

        .text
case_begin:
        movq    %rdi, case_name(%rip)
        movq    %rsi, case_resume(%rip)
        movq    %rdx, case_mark(%rip)
        popq    case_start(%rip)
        call    case_line
        movq    case_name(%rip), %rsi
        call    print
        leaq    colon(%rip), %rsi
        call    print
        movb    $1, case_active(%rip)
        movabsq $(KERNEL + CASE_STACK), %rsp
        pushq   $2
        popfq
        .irp    register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        movq    $0, %\register
        .endr
        jmp     *case_start(%rip)

# Ends the line of the case before.
case_line:
        cmpq    $0, case_start(%rip)
        je      1f
        cmpb    $0, lines(%rip)
        movb    $'\n', %al
        je      2f
        outb    %al, $0xe9
2:      movb    $1, lines(%rip)
1:      ret

enter_user:
        popq    user_rip(%rip)
        movq    %rsp, user_rsp(%rip)
        pushfq
        popq    user_rflags(%rip)
        btrq    $KERNEL_BIT, user_rip(%rip)
        btrq    $KERNEL_BIT, user_rsp(%rip)
        pushq   $USER_DS
        pushq   user_rsp(%rip)
        pushq   user_rflags(%rip)
        pushq   $USER_CS
        pushq   user_rip(%rip)
        iretq

        .data
        .balign 8
case_name:
        .quad   0
case_start:
        .quad   0
case_resume:
        .quad   0
case_mark:
        .quad   0
user_rip:
        .quad   0
user_rsp:
        .quad   0
user_rflags:
        .quad   0
case_active:
        .byte   0
lines:  .byte   0
