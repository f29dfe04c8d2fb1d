# A lost wakeup, to show how a machine is reported in which nothing can happen any more. vCPU 0 looks for a message,
# finds none and halts; but it left interrupts on in between, and just there the message comes. The right way to wait
# is in ipi.s.
#
# vcpus: 2
# expect: vCPU 0: no message yet, so I go to sleep.
# expect-exit: deadlock

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/ipi.s"

        .equ    MESSAGE_VECTOR, 0xfb

        .text
        .globl  _start
_start:
        testl   %edi, %edi
        jnz     sender

receiver:
        call    idt_init
        set_gate MESSAGE_VECTOR, message_interrupt
        call    x2apic_enable
        sti
        cmpl    $0, messages(%rip)
        jne     power_off
        movl    $1, looked(%rip)
        leaq    text(%rip), %rdi                # time enough for the message to come
        call    console_puts
sleep:
        hlt
        cmpl    $0, messages(%rip)
        je      sleep
        jmp     power_off

sender:
        call    x2apic_enable
1:      pause
        cmpl    $0, looked(%rip)
        je      1b
        movl    $0, %edi
        movl    $MESSAGE_VECTOR, %esi
        call    ipi_send
        jmp     park

message_interrupt:
        push_registers
        incl    messages(%rip)
        x2apic_eoi
        pop_registers
        iretq

        .data
text:
        .asciz  "vCPU 0: no message yet, so I go to sleep.\n"

        .bss
        .balign 4
looked:
        .skip   4
messages:
        .skip   4
