# Does time ever run backwards between two vCPUs? As check_tsc_warp of Linux does, both read the TSC in turn under a
# lock and compare it with the value that whoever came before has left.
#
# vcpus: 2
# expect: 20000 readings, 0 warps, at most 0 cycles backwards
# max-cycles: 100M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"

        .equ    READINGS, 10000                 # of each vCPU

        .text
        .globl  _start
_start:
        movl    %edi, %r12d
        movl    %esi, %r13d
        movl    %esi, %edi
        call    barrier
        movl    $READINGS, %ebx
1:      call    check_tsc_warp
        decl    %ebx
        jnz     1b
        movl    %r13d, %edi
        call    barrier
        testl   %r12d, %r12d
        jnz     park

        leaq    format(%rip), %rdi
        movl    readings(%rip), %esi
        movl    warps(%rip), %edx
        movq    max_warp(%rip), %rcx
        call    printk
        jmp     power_off

check_tsc_warp:
        call    spin_lock
        lfence                                  # RDTSC waits for what comes before it in the program
        read_tsc
        movq    last_tsc(%rip), %rcx
        movq    %rax, last_tsc(%rip)
        incl    readings(%rip)
        subq    %rax, %rcx
        jbe     spin_unlock
        incl    warps(%rip)
        cmpq    max_warp(%rip), %rcx
        jbe     spin_unlock
        movq    %rcx, max_warp(%rip)

spin_unlock:
        movl    $0, lock_word(%rip)
        ret

spin_lock:
        movl    $1, %ecx
1:      xorl    %eax, %eax
        lock cmpxchgl %ecx, lock_word(%rip)
        je      2f
        pause
        jmp     1b
2:      ret

        .data
format:
        .asciz  "%u readings, %u warps, at most %u cycles backwards\n"

        .balign 8
last_tsc:
        .quad   0
max_warp:
        .quad   0
readings:
        .long   0
warps:
        .long   0
lock_word:
        .long   0
