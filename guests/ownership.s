# A timer that is armed all the time by vCPUs that exit a lot, halt a lot or share a CPU: the loads of `trapline lab timer-ownership`.
# Each deadline is waited for, then the next one is armed. The variable `halts` says how: in a loop that executes CPUID, which
# always exits, or in HLT.
#
# vcpus: 2
# expect: 1000 deadlines, 1000 interrupts, 0 early
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"

        .equ    VECTOR, 0xec                    # LOCAL_TIMER_VECTOR of Linux
        .equ    DEADLINES, 500                  # for each vCPU
        .equ    PERIOD, 50000                   # cycles
        .equ    WORK, 500                       # turns of a loop between two exits

        .text
        .globl  _start
_start:
        movl    %edi, %ebx
        movl    %esi, %ebp
        call    percpu_init
        testl   %ebx, %ebx
        jnz     1f
        call    idt_init
        set_gate VECTOR, expired
1:      movl    %ebp, %edi
        call    barrier                         # the table is filled
        call    idt_load
        call    x2apic_enable
        movl    $VECTOR, %edi
        call    timer_init

        movl    $DEADLINES, %r12d
2:      movl    $0, %gs:answered(%rip)
        read_tsc
        leaq    PERIOD(%rax), %rdi
        movq    %rdi, %gs:deadline(%rip)
        lock incl deadlines(%rip)
        call    timer_arm
        call    wait
        decl    %r12d
        jnz     2b

        movl    %ebp, %edi
        call    barrier                         # all are done
        testl   %ebx, %ebx
        jnz     park
        leaq    format(%rip), %rdi
        movl    deadlines(%rip), %esi
        movl    interrupts(%rip), %edx
        movl    early(%rip), %ecx
        call    printk
        jmp     power_off

# Waits until the deadline's interrupt has come.
wait:   cmpq    $0, halts(%rip)
        jne     2f
        sti
1:      movl    $WORK, %eax
3:      decl    %eax
        jnz     3b
        pushq   %rbx
        xorl    %eax, %eax
        cpuid
        popq    %rbx
        cmpl    $0, %gs:answered(%rip)
        je      1b
        cli
        ret
2:      cmpl    $0, %gs:answered(%rip)
        jne     4f
        sti                                     # takes effect after HLT has begun
        hlt
        cli
        jmp     2b
4:      ret

expired:
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        read_tsc
        cmpq    %gs:deadline(%rip), %rax
        jae     1f
        lock incl early(%rip)
1:      lock incl interrupts(%rip)
        movl    $1, %gs:answered(%rip)
        x2apic_eoi
        popq    %rdx
        popq    %rcx
        popq    %rax
        iretq

        .data
format: .asciz  "%u deadlines, %u interrupts, %u early\n"
        .balign 8
halts:  .quad   0

        .bss
        .balign 4
deadlines:
        .skip   4
interrupts:
        .skip   4
early:  .skip   4
        percpu_begin
deadline:
        .skip   8
answered:
        .skip   4
        percpu_end
