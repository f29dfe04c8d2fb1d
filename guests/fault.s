# A triple fault on purpose, to show how one is diagnosed. The guest makes two mistakes of young kernels: it loads an
# empty IDT and loses its stack. The push in `work` raises #PF; no gate is there to deliver it, which raises #GP and
# makes it a double fault; that cannot be delivered either, and the processor shuts down.
#
# expect: About to lose the IDT and the stack.
# expect-exit: triple-fault

        .include "asm/start.s"
        .include "asm/console.s"

        .equ    NOWHERE, 0x7fff00000000         # canonical, but not mapped

        .text
        .globl  _start
_start:
        leaq    warning(%rip), %rdi
        call    console_puts
        lidt    empty_idt(%rip)
        movabsq $NOWHERE, %rsp
        jmp     work

work:
        pushq   %rdi
        call    console_puts
        popq    %rdi
        jmp     work

        .data
warning:
        .asciz  "About to lose the IDT and the stack.\n"

        .balign 8
empty_idt:
        .word   0                               # limit: not one whole gate
        .quad   0
