# The smallest guest: vCPU 0 says hello and powers off.
#
# expect: Hello from vCPU 0 of 1, in 64-bit mode.

        .include "asm/start.s"
        .include "asm/console.s"

        .text
        .globl  _start
_start:
        testl   %edi, %edi
        jnz     park
        movl    %esi, %edx                      # number of vCPUs
        movl    %edi, %esi                      # index of this one
        leaq    greeting(%rip), %rdi
        call    printk
        jmp     power_off

        .data
greeting:
        .asciz  "Hello from vCPU %u of %u, in 64-bit mode.\n"
