# Where a C guest begins: vCPU 0 calls main and ends the machine with what it returns, 0 by powering off; the others halt.

        .equ    PORT_DEBUG_EXIT, 0xf4
        .equ    PORT_PM1A_CONTROL, 0x604
        .equ    PM1_SLEEP_S5, 0x2000

        .text
        .globl  _start
_start:
        testl   %edi, %edi
        jnz     halt
        movl    %esi, %edi                      # main(number of vCPUs)
        call    main
        testl   %eax, %eax
        jnz     failure
        movl    $PORT_PM1A_CONTROL, %edx
        movl    $PM1_SLEEP_S5, %eax
        outw    %ax, %dx
failure:
        outl    %eax, $PORT_DEBUG_EXIT
halt:
        cli
        hlt
        jmp     halt

        .section .note.GNU-stack, "", @progbits
