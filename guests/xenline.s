# Events that interrupt by a line of the board in place of a vector: a GSI, then a pin of a PCI slot, both through level-triggered
# entries of the IOAPIC. Each event is one interrupt, whose end lets the line fall; events that come while it is high, and are not
# all taken, raise it again. A timer interrupts by it, too.
#
# xen: domain
# expect: GSI 20: 5 events in 5 interrupts
# expect: two at once, one taken: 2 events in 2 interrupts
# expect: timer: 1 events in 1 interrupts
# expect: INTA of slot 1: 5 events in 5 interrupts
# expect: two at once, one taken: 2 events in 2 interrupts
# expect: timer: 1 events in 1 interrupts
# max-cycles: 60M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/paging.s"
        .include "asm/pv.s"
        .include "asm/xen.s"
        .include "asm/xenevents.s"

        .equ    LINE_VECTOR, 0x50
        .equ    IOAPIC, 0xfec00000
        .equ    IOAPIC_SELECT, WINDOW
        .equ    IOAPIC_DATA, WINDOW + 0x10
        .equ    IOAPIC_ENTRIES, 0x10            # two registers each
        .equ    IOAPIC_LEVEL, 1 << 15
        .equ    PORT_PIC_MASTER_MASK, 0x21
        .equ    PORT_PIC_SLAVE_MASK, 0xa1
        .equ    GSI, 20
        .equ    CALLBACK_GSI, 0                 # upper byte of the parameter
        .equ    CALLBACK_PCI_INTX, 1
        .equ    SLOT_SHIFT, 11
        .equ    INTX_GSI, 10                    # where INTA of slot 1 leads
        .equ    EVENTS, 5
        .equ    VCPUOP_SET_SINGLESHOT_TIMER, 8
        .equ    DELAY, 100000                   # nanoseconds

        .text
        .globl  _start
_start:
        call    x2apic_enable
        call    idt_init
        set_gate LINE_VECTOR, interrupt
        movb    $0xff, %al                      # lines below 16 reach the 8259A pair too: not from there
        outb    %al, $PORT_PIC_MASTER_MASK
        outb    %al, $PORT_PIC_SLAVE_MASK
        call    paging_init
        movl    $WINDOW, %edi
        movl    $(IOAPIC + KERNEL_PAGE), %esi
        call    map_page
        call    xen_init
        leaq    event(%rip), %rax
        movq    %rax, xen_event_handler(%rip)
        xorl    %edi, %edi
        call    xen_bind_ipi
        movl    %eax, port(%rip)
        xorl    %edi, %edi
        call    xen_bind_ipi
        movl    %eax, other_port(%rip)
        movl    $VIRQ_TIMER, %edi
        xorl    %esi, %esi
        call    xen_bind_virq

        movl    $GSI, %edi
        call    unmask_pin
        movl    $GSI, %edi
        movl    $CALLBACK_GSI, %esi
        call    set_callback
        leaq    gsi(%rip), %rdi
        call    play

        movl    $INTX_GSI, %edi
        call    unmask_pin
        movl    $(1 << SLOT_SHIFT), %edi
        movl    $CALLBACK_PCI_INTX, %esi
        call    set_callback
        leaq    intx(%rip), %rdi
        call    play
        jmp     xen_power_off

# Sends events one by one, then two at once of which a handler takes one only, then waits for the timer's. %rdi names the line.
play:
        pushq   %rbx
        pushq   %rdi
        xorl    %ebx, %ebx
1:      leaq    port(%rip), %rsi
        call    xen_send
        incl    %ebx
        movl    %ebx, %edi
        call    await
        cmpl    $EVENTS, %ebx
        jb      1b
        popq    %rdi
        call    report

        movb    $1, reluctant(%rip)
        leaq    port(%rip), %rsi
        call    xen_send
        leaq    other_port(%rip), %rsi
        call    xen_send
        movl    $2, %edi
        call    await
        movb    $0, reluctant(%rip)
        leaq    two(%rip), %rdi
        call    report

        leaq    shared_info+VCPU_TIME(%rip), %rdi
        call    pvclock_read
        addq    $DELAY, %rax
        movq    %rax, timer(%rip)
        movl    $VCPUOP_SET_SINGLESHOT_TIMER, %edi
        xorl    %esi, %esi
        leaq    timer(%rip), %rdx
        hypercall HYPERVISOR_VCPU_OP
        xen_must
        movl    $1, %edi
        call    await
        leaq    timer_name(%rip), %rdi
        popq    %rbx

# Prints %rdi and both counts, which begin anew.
report:
        movq    %rdi, %rsi
        leaq    format(%rip), %rdi
        xorl    %edx, %edx
        xchgl   events(%rip), %edx
        xorl    %ecx, %ecx
        xchgl   interrupts(%rip), %ecx
        jmp     printk

# Halts until there have been %edi events.
await:
        sti                                     # takes effect after HLT has begun: no event slips in between
        hlt
        cli
        cmpl    %edi, events(%rip)
        jb      await
        ret

# Unmasks pin %edi of the IOAPIC: level-triggered, to APIC 0.
unmask_pin:
        leal    IOAPIC_ENTRIES+1(,%rdi,2), %eax
        movl    %eax, IOAPIC_SELECT
        movl    $0, IOAPIC_DATA
        decl    %eax
        movl    %eax, IOAPIC_SELECT
        movl    $(IOAPIC_LEVEL | LINE_VECTOR), IOAPIC_DATA
        ret

# Has events interrupt by %edi, which type %esi says what it is.
set_callback:
        movl    %esi, %eax
        shlq    $56, %rax
        orq     %rdi, %rax
        movq    %rax, xen_param+8(%rip)
        movl    $HVM_PARAM_CALLBACK_IRQ, xen_param+4(%rip)
        movl    $HVMOP_SET_PARAM, %edi
        leaq    xen_param(%rip), %rsi
        hypercall HYPERVISOR_HVM_OP
        xen_must
        ret

# Takes all events, or when it is reluctant one and has the rest asked for again: upcall_pending and the word are as they were.
interrupt:
        push_registers
        incl    interrupts(%rip)
        leaq    shared_info(%rip), %rdi
        cmpb    $0, reluctant(%rip)
        jne     1f
        call    xen_take_events
        jmp     2f
1:      movb    $0, reluctant(%rip)
        incl    events(%rip)
        movl    port(%rip), %eax
        lock btrq %rax, EVTCHN_PENDING(%rdi)
2:      x2apic_eoi
        pop_registers
        iretq

event:
        incl    events(%rip)
        ret

        .data
gsi:    .asciz  "GSI 20"
intx:   .asciz  "INTA of slot 1"
two:    .asciz  "two at once, one taken"
timer_name:
        .asciz  "timer"
format: .asciz  "%s: %u events in %u interrupts\n"
        .balign 8
timer:  .quad   0
        .quad   0
port:   .long   0
other_port:
        .long   0
events: .long   0
interrupts:
        .long   0
reluctant:
        .byte   0
