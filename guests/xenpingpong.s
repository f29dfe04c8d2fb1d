# Ping-pong between two vCPUs by Xen's event channels: each has a port of its own that the other sends on, and a vector of its
# own by which the event comes. Prints how long a round trip takes; guests/ipi.s plays the same game by x2APIC.
#
# xen: domain
# vcpus: 2
# expect: 1000 round trips, * cycles each
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/xen.s"
        .include "asm/xenevents.s"

        .equ    UPCALL_VECTOR, 0xf3
        .equ    ROUNDS, 1000

        .text
        .globl  _start
_start:
        movl    %esi, %ebp
        movl    %edi, %ebx
        call    percpu_init
        call    x2apic_enable
        testl   %ebx, %ebx
        jnz     1f
        call    idt_init
        set_gate UPCALL_VECTOR, upcall
        call    xen_init
        leaq    event(%rip), %rax
        movq    %rax, xen_event_handler(%rip)
        xorl    %edi, %edi
        call    bind
        movl    $1, %edi
        call    bind
1:      leaq    shared_info(%rip), %rax
        movl    %ebx, %ecx
        imull   $VCPU_INFO_SIZE, %ecx, %ecx
        addq    %rcx, %rax
        movq    %rax, %gs:vcpu_info(%rip)
        movl    %ebp, %edi
        call    barrier                         # ports and vectors are there
        call    idt_load
        movl    $1, %r12d                       # the round
        testl   %ebx, %ebx
        jnz     pong

ping:
        read_tsc
        movq    %rax, %r13
1:      leaq    ports+4(%rip), %rsi
        call    xen_send
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
        jmp     xen_power_off

pong:
        call    catch
        leaq    ports(%rip), %rsi
        call    xen_send
        incl    %r12d
        jmp     pong

# Gives vCPU %edi a port and its vector.
bind:
        pushq   %rdi
        call    xen_bind_ipi
        movl    (%rsp), %edi
        leaq    ports(%rip), %rdx
        movl    %eax, (%rdx,%rdi,4)
        movl    $UPCALL_VECTOR, %esi
        call    xen_set_upcall_vector
        popq    %rdi
        ret

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

upcall:
        push_registers
        movq    %gs:vcpu_info(%rip), %rdi
        call    xen_take_events
        x2apic_eoi
        pop_registers
        iretq

# Every event is a ball.
event:
        incl    %gs:balls(%rip)
        ret

        .data
format:
        .asciz  "%u round trips, %u cycles each\n"
        .balign 4
ports:                                          # by which each vCPU is reached
        .long   0
        .long   0

        percpu_begin
vcpu_info:
        .skip   8
balls:                                          # how many have come
        .skip   4
        percpu_end
