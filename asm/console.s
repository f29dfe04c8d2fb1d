# The console: characters, strings, numbers and formatted lines on the first serial port.
# The modelled transmitter is always ready, so nothing polls the line status as a driver for real hardware would.

        .equ    PORT_SERIAL, 0x3f8              # transmitter holding register of COM1
        .equ    PORT_DEBUGCON, 0xe9             # console of Bochs and QEMU: one byte a write, no set-up

        .text

# Prints the line that the format at %rdi describes: %u decimal, %x hexadecimal, %s string, each taking the next of
# %rsi, %rdx, %rcx, %r8, %r9.
printk:
        pushq   %rbx
        pushq   %rbp
        pushq   %r9
        pushq   %r8
        pushq   %rcx
        pushq   %rdx
        pushq   %rsi
        movq    %rdi, %rbx                      # the rest of the format
        movq    %rsp, %rbp                      # the values not yet printed
1:      movzbl  (%rbx), %edi
        incq    %rbx
        cmpb    $0, %dil
        je      4f
        cmpb    $'%', %dil
        je      2f
        call    console_putc
        jmp     1b
2:      movzbl  (%rbx), %eax
        incq    %rbx
        movq    (%rbp), %rdi
        addq    $8, %rbp
        movl    $10, %esi
        cmpb    $'u', %al
        je      3f
        movl    $16, %esi
        cmpb    $'x', %al
        je      3f
        call    console_puts
        jmp     1b
3:      call    console_number
        jmp     1b
4:      addq    $(5 * 8), %rsp
        popq    %rbp
        popq    %rbx
        ret

# Prints the string at %rdi, which ends with a zero byte.
console_puts:
        movq    %rdi, %rsi
1:      movzbl  (%rsi), %edi
        testb   %dil, %dil
        jz      2f
        call    console_putc
        incq    %rsi
        jmp     1b
2:      ret

# Prints %rdi in decimal.
console_decimal:
        movl    $10, %esi
        jmp     console_number

# Prints %rdi in hexadecimal, without a prefix.
console_hex:
        movl    $16, %esi

# Prints %rdi in base %esi (at most 16). The digits appear from the last to the first, so they pass through the stack.
console_number:
        movq    %rdi, %rax
        leaq    digits(%rip), %r8
        xorl    %ecx, %ecx
1:      xorl    %edx, %edx
        divq    %rsi
        movzbl  (%r8,%rdx), %edx
        pushq   %rdx
        incl    %ecx
        testq   %rax, %rax
        jnz     1b
2:      popq    %rdi
        call    console_putc
        decl    %ecx
        jnz     2b
        ret

# Prints the character in %dil. Clobbers only %rax and %rdx.
console_putc:
        movl    %edi, %eax
        movl    $PORT_SERIAL, %edx
        outb    %al, %dx
        ret

# The same on the debug console, which QEMU keeps apart from the serial line.
debug_putc:
        movl    %edi, %eax
        movl    $PORT_DEBUGCON, %edx
        outb    %al, %dx
        ret

        .data
digits:
        .ascii  "0123456789abcdef"
