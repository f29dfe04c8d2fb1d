# Ping-pong between two vCPUs: each sends the other an interrupt through the x2APIC ICR and halts until the answer
# comes. Prints how long a round trip takes.
#
# vcpus: 2
# expect: 1000 round trips, * cycles each
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/ipi.s"

        .equ    BALL_VECTOR, 0xfb               # CALL_FUNCTION_SINGLE_VECTOR of Linux
        .equ    ROUNDS, 1000

        .text
        .globl  _start
_start:
        movl    %esi, %ebp
        movl    %edi, %ebx
        call    percpu_init
        testl   %ebx, %ebx
        jnz     1f
        call    idt_init
        set_gate BALL_VECTOR, ball
1:      call    x2apic_enable
        movl    %ebp, %edi
        call    barrier                         # the table is filled, both can receive
        call    idt_load
        movl    $1, %r12d                       # the round
        testl   %ebx, %ebx
        jnz     pong

ping:
        read_tsc
        movq    %rax, %r13
1:      movl    $1, %edi
        call    throw
        call    catch
        incl    %r12d
        cmpl    $ROUNDS, %r12d
        jbe     1b

        read_tsc
        subq    %r13, %rax
        xorl    %edx, %edx
        movl    $ROUNDS, %esi
        divq    %rsi
        movq    %rax, %rdx
        leaq    format(%rip), %rdi
        call    printk
        jmp     power_off

pong:
        call    catch
        movl    $0, %edi
        call    throw
        incl    %r12d
        jmp     pong

# Sends the ball to vCPU %edi.
throw:
        movl    $BALL_VECTOR, %esi
        jmp     ipi_send

# Halts until ball number %r12d has come.
catch:
        cli
        cmpl    %r12d, %gs:balls(%rip)
        jae     1f
        sti                                     # takes effect after HLT has begun: the ball cannot slip in between
        hlt
        jmp     catch
1:      sti
        ret

ball:
        push_registers
        incl    %gs:balls(%rip)
        x2apic_eoi
        pop_registers
        iretq

        .data
format:
        .asciz  "%u round trips, %u cycles each\n"

        percpu_begin
balls:                                          # how many have come
        .skip   4
        percpu_end
