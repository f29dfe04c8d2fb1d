# Pure computation: the sieve of Eratosthenes. No exits but those of the console.
#
# expect: 9592 primes below 100000, the last one 99991
# max-cycles: 10M

        .include "asm/start.s"
        .include "asm/console.s"

        .equ    LIMIT, 100000

        .text
        .globl  _start
_start:
        leaq    composite(%rip), %rbx
        xorl    %esi, %esi                      # how many primes
        movl    $2, %eax                        # the candidate
1:      cmpb    $0, (%rbx,%rax)
        jne     3f
        incl    %esi
        movl    %eax, %ecx                      # the last prime
        movl    %eax, %edx
        imulq   %rdx, %rdx                      # smaller multiples have smaller factors
2:      cmpq    $LIMIT, %rdx
        jae     3f
        movb    $1, (%rbx,%rdx)
        addq    %rax, %rdx
        jmp     2b
3:      incl    %eax
        cmpl    $LIMIT, %eax
        jb      1b

        movl    $LIMIT, %edx
        leaq    format(%rip), %rdi
        call    printk
        jmp     power_off

        .data
format:
        .asciz  "%u primes below %u, the last one %u\n"

        .bss
composite:
        .skip   LIMIT
