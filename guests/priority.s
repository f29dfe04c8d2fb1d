# Interrupt priorities of the local APIC, shown by a vCPU that interrupts itself: which of several pending interrupts
# comes first, what the task priority holds back, who may interrupt a handler before its EOI, and that an NMI heeds
# none of this. Each line is the order in which handlers began; `end` is where a handler left that others had
# interrupted.
#
# expect: the highest vector first, each once: a0 55 52 31
# expect: TPR 0x50 lets through: a0
# expect: and PPR is 0x50; back at TPR 0: 55 52 31
# expect: CR8 is 5 where TPR is 0x50
# expect: before its EOI a handler at 0x52 yields only to a higher class: 52 a0 end 55 31
# expect: within it PPR is 0x50, in service are 0x40000, requested are 0x200000
# expect: an NMI with interrupts off and TPR 0xff: 2

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/ipi.s"

        .equ    NMI_VECTOR, 2
        .equ    CLASS, 0x50
        .equ    END, 0xffff                     # in the log: the end of a handler
        .equ    X2APIC_ISR2, X2APIC_ISR0 + 2    # vectors 0x40 to 0x5f
        .equ    X2APIC_IRR2, X2APIC_IRR0 + 2

# A handler that only logs its vector.
        .macro  handler name, vector
\name:  pushq   $\vector
        jmp     logged_interrupt
        .endm

        .text
        .globl  _start
_start:
        call    idt_init
        set_gate NMI_VECTOR, nmi
        set_gate 0x31, interrupt_31
        set_gate 0x52, interrupt_52
        set_gate 0x55, interrupt_55
        set_gate 0xa0, interrupt_a0
        call    x2apic_enable
        movl    %eax, %r12d                     # the APIC ID

        leaq    order_text(%rip), %rdi
        call    console_puts
        call    request_all
        call    open_window
        call    print_log

        leaq    tpr_text(%rip), %rdi
        call    console_puts
        movl    $CLASS, %eax
        write_msr X2APIC_TPR
        call    request_all
        call    open_window
        call    print_log
        read_msr X2APIC_PPR
        movq    %rax, %rsi
        leaq    ppr_format(%rip), %rdi
        call    printk
        movq    %cr8, %rbx
        xorl    %eax, %eax
        write_msr X2APIC_TPR
        call    open_window
        call    print_log
        movq    %rbx, %rsi
        leaq    cr8_format(%rip), %rdi
        call    printk

        leaq    nested_text(%rip), %rdi
        call    console_puts
        leaq    interrupt_52_nested(%rip), %rsi
        movl    $0x52, %edi
        call    idt_set_gate
        movl    $0x52, %edi
        call    ipi_send_self
        call    open_window
        call    print_log
        leaq    within_format(%rip), %rdi
        movl    ppr_within(%rip), %esi
        movl    isr_within(%rip), %edx
        movl    irr_within(%rip), %ecx
        call    printk

        leaq    nmi_text(%rip), %rdi
        call    console_puts
        movl    $0xff, %eax
        write_msr X2APIC_TPR
        movl    $ICR_NMI, %esi
        movl    %r12d, %edi
        call    ipi_send
        nop
        call    print_log
        jmp     power_off

# Requests an interrupt at each vector, the lowest one twice.
request_all:
        movl    $0x31, %edi
        call    ipi_send_self
        movl    $0x55, %edi
        call    ipi_send_self
        movl    $0x52, %edi
        call    ipi_send_self
        movl    $0xa0, %edi
        call    ipi_send_self
        movl    $0x31, %edi
        jmp     ipi_send_self

# Lets in whatever may come in.
open_window:
        sti
        nop                                     # STI takes effect behind this one
        nop
        cli
        ret

        handler interrupt_31, 0x31
        handler interrupt_52, 0x52
        handler interrupt_55, 0x55
        handler interrupt_a0, 0xa0

logged_interrupt:
        xchgq   %rdi, (%rsp)                    # the vector
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        call    log
        x2apic_eoi
        popq    %rdx
        popq    %rcx
        popq    %rax
        popq    %rdi
        iretq

# Before its EOI it asks for an interrupt of its own class, of a lower and of a higher one.
interrupt_52_nested:
        push_registers
        movl    $0x52, %edi
        call    log
        movl    $0x55, %edi
        call    ipi_send_self
        movl    $0x31, %edi
        call    ipi_send_self
        movl    $0xa0, %edi
        call    ipi_send_self
        call    open_window
        read_msr X2APIC_PPR
        movl    %eax, ppr_within(%rip)
        read_msr X2APIC_ISR2
        movl    %eax, isr_within(%rip)
        read_msr X2APIC_IRR2
        movl    %eax, irr_within(%rip)
        movl    $END, %edi
        call    log
        x2apic_eoi
        pop_registers
        iretq

nmi:
        push_registers
        movl    $NMI_VECTOR, %edi
        call    log
        pop_registers
        iretq

# Appends %edi to the log. Clobbers %rax and %rcx.
log:
        leaq    entries(%rip), %rax
        movl    entry_count(%rip), %ecx
        movl    %edi, (%rax,%rcx,4)
        incl    entry_count(%rip)
        ret

# Prints the log as a line and empties it.
print_log:
        pushq   %rbx
        pushq   %rbp
        xorl    %ebx, %ebx
        leaq    entries(%rip), %rbp
1:      cmpl    entry_count(%rip), %ebx
        jae     3f
        movl    (%rbp,%rbx,4), %esi
        leaq    vector_format(%rip), %rdi
        cmpl    $END, %esi
        jne     2f
        leaq    end_text(%rip), %rdi
2:      call    printk
        incl    %ebx
        jmp     1b
3:      leaq    newline(%rip), %rdi
        call    console_puts
        movl    $0, entry_count(%rip)
        popq    %rbp
        popq    %rbx
        ret

        .data
order_text:
        .asciz  "the highest vector first, each once:"
tpr_text:
        .asciz  "TPR 0x50 lets through:"
ppr_format:
        .asciz  "and PPR is 0x%x; back at TPR 0:"
cr8_format:
        .asciz  "CR8 is %u where TPR is 0x50\n"
nested_text:
        .asciz  "before its EOI a handler at 0x52 yields only to a higher class:"
within_format:
        .asciz  "within it PPR is 0x%x, in service are 0x%x, requested are 0x%x\n"
nmi_text:
        .asciz  "an NMI with interrupts off and TPR 0xff:"
vector_format:
        .asciz  " %x"
end_text:
        .asciz  " end"
newline:
        .asciz  "\n"

        .bss
        .balign 4
entry_count:
        .skip   4
entries:
        .skip   32 * 4
ppr_within:
        .skip   4
isr_within:
        .skip   4
irr_within:
        .skip   4
