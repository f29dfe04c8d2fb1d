# Calls a payload again and again and writes '.' to the debug port before the first call and after each EACH of them, PERIODS times;
# then the last result, RAX, in hexadecimal. The payload, a function that may change every register, follows this file.

        .text
        .globl  _start
_start: movb    $2, %al                 # BEGIN (test/peers/peer.ts)
        outb    %al, $0xe9
        movb    $'.', %al
        outb    %al, $0xe9
driver_period:
        movl    $EACH, driver_calls(%rip)
driver_call:
        call    payload
        movq    %rax, driver_result(%rip)
        decl    driver_calls(%rip)
        jnz     driver_call
        movb    $'.', %al
        outb    %al, $0xe9
        decl    driver_periods(%rip)
        jnz     driver_period
        movq    driver_result(%rip), %rbx
        movl    $16, %ecx
driver_digit:
        rolq    $4, %rbx
        movl    %ebx, %eax
        andl    $15, %eax
        cmpl    $10, %eax
        jb      driver_decimal
        addl    $39, %eax               # to 'a' to 'f'
driver_decimal:
        addl    $'0', %eax
        outb    %al, $0xe9
        decl    %ecx
        jnz     driver_digit
        movb    $4, %al                 # END
        outb    %al, $0xe9
driver_stop:
        hlt
        jmp     driver_stop

        .data
        .balign 64
driver_calls:
        .long   0
driver_periods:
        .long   PERIODS
driver_result:
        .quad   0

        .text
        .balign 4096
payload:
