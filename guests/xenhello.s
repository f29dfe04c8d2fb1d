# Hello to Xen: by the hypercall page to the ring of the console, which answers with an event when it has taken the bytes. The
# domain ends by a hypercall, too.
#
# xen: domain
# expect: Hello over the console ring.
# expect: The console has answered.

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/paging.s"
        .include "asm/xen.s"
        .include "asm/xenevents.s"
        .include "asm/xenconsole.s"

        .equ    UPCALL_VECTOR, 0xf3             # HYPERVISOR_CALLBACK_VECTOR of Linux

        .text
        .globl  _start
_start:
        call    idt_init
        set_gate UPCALL_VECTOR, upcall
        call    paging_init
        call    xen_init
        leaq    event(%rip), %rax
        movq    %rax, xen_event_handler(%rip)
        movl    $UPCALL_VECTOR, %edi
        call    xen_set_callback_vector
        call    xen_console_init

        leaq    hello(%rip), %rdi
        call    xen_console_puts
1:      cli
        cmpl    $0, answers(%rip)
        jne     2f
        sti
        hlt
        jmp     1b
2:      leaq    answered(%rip), %rdi
        call    xen_console_puts
        jmp     xen_power_off

upcall:
        push_registers
        leaq    shared_info(%rip), %rdi
        call    xen_take_events
        pop_registers
        iretq

# Port %edi: the console's is the only one.
event:
        cmpl    %edi, xen_console_port(%rip)
        jne     1f
        incl    answers(%rip)
1:      ret

        .data
hello:
        .asciz  "Hello over the console ring.\n"
answered:
        .asciz  "The console has answered.\n"
        .balign 4
answers:
        .long   0
