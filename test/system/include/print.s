# Output: text and numbers to the debug port. All registers survive, flags do not.

        .text
# Prints the string at %rsi.
print:  pushq   %rax
        pushq   %rsi
1:      movb    (%rsi), %al
        testb   %al, %al
        jz      2f
        outb    %al, $0xe9
        incq    %rsi
        jmp     1b
2:      popq    %rsi
        popq    %rax
        ret

# Prints %rdi in hexadecimal.
print_hex:
        pushq   %rax
        pushq   %rcx
        pushq   %rdi
        movl    $60, %ecx
1:      testl   %ecx, %ecx                      # leading zeros are left out, the last digit is not
        jz      2f
        movq    %rdi, %rax
        shrq    %cl, %rax
        jnz     2f
        subl    $4, %ecx
        jmp     1b
2:      movq    %rdi, %rax
        shrq    %cl, %rax
        andl    $15, %eax
        addl    $'0', %eax
        cmpl    $'9', %eax
        jbe     3f
        addl    $('a' - '9' - 1), %eax
3:      outb    %al, $0xe9
        subl    $4, %ecx
        jns     2b
        popq    %rdi
        popq    %rcx
        popq    %rax
        ret

# Prints ", ", the name at %rdi, "=" and %rsi.
print_value:
        pushfq
        pushq   %rax
        pushq   %rdi
        pushq   %rsi
        movb    $',', %al
        outb    %al, $0xe9
        movb    $' ', %al
        outb    %al, $0xe9
        movq    %rdi, %rsi
        call    print
        movb    $'=', %al
        outb    %al, $0xe9
        movq    (%rsp), %rdi
        call    print_hex
        popq    %rsi
        popq    %rdi
        popq    %rax
        popfq
        ret
