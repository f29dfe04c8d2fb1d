# Samples of 32 bits, as guests that measure take them: SAMPLES of them in each array, which the guest defines. Needs asm/console.s.

        .text

# Prints the average of the array at %rdi with the format at %rsi: how many samples, and the average.
samples_report:
        xorl    %eax, %eax
        xorl    %ecx, %ecx
1:      movl    (%rdi,%rcx,4), %edx
        addq    %rdx, %rax
        incl    %ecx
        cmpl    $SAMPLES, %ecx
        jb      1b
        xorl    %edx, %edx
        divq    %rcx
        movq    %rsi, %rdi
        movl    $SAMPLES, %esi
        movq    %rax, %rdx
        jmp     printk
