# The timer of an old PC: counter 0 of the 8254, whose ticks come through the 8259A and LINT0 (virtual wire mode), then
# through the IOAPIC and the local APIC. Both times ten ticks of 1193 counts are waited for, about a millisecond each.
#
# expect: 8259A: 10 ticks in 999* us
# expect: IOAPIC: 10 ticks in 999* us
# max-cycles: 100M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"

        .equ    PIC_VECTOR, 0x20                # of the timer: pin 0 of the master
        .equ    IOAPIC_VECTOR, 0x61
        .equ    IOAPIC, 0xfec00000
        .equ    TIMER_ENTRY, 0x10 + 2 * 2       # the timer's line is pin 2 there
        .equ    TICKS, 10
        .equ    COUNT, 1193                     # 0.99985 ms
        .equ    CYCLES_IN_US, 2500

        .macro  out8 port, value
        movb    $\value, %al
        outb    %al, $\port
        .endm

        .text
        .globl  _start
_start:
        call    idt_init
        set_gate PIC_VECTOR, pic_tick
        set_gate IOAPIC_VECTOR, apic_tick

        out8    0x20, 0x11                      # ICW1 to ICW4 of the master; all pins but the timer's masked
        out8    0x21, PIC_VECTOR
        out8    0x21, 0x04
        out8    0x21, 0x01
        out8    0x21, 0xfe
        out8    0x43, 0x34                      # counter 0, both bytes, mode 2
        out8    0x40, COUNT & 0xff
        out8    0x40, COUNT >> 8
        leaq    pic_name(%rip), %rdi
        call    wait_for_ticks

        out8    0x21, 0xff
        call    map_ioapic
        call    x2apic_enable
        movl    $TIMER_ENTRY + 1, %edi          # physical destination 0
        xorl    %esi, %esi
        call    ioapic_write
        movl    $TIMER_ENTRY, %edi
        movl    $IOAPIC_VECTOR, %esi            # fixed, edge, not masked
        call    ioapic_write
        leaq    apic_name(%rip), %rdi
        call    wait_for_ticks
        jmp     power_off

# Waits for one tick, and then for TICKS more, and prints in how many microseconds these came. %rdi: the controller's name.
wait_for_ticks:
        pushq   %rbx
        pushq   %r12
        movq    %rdi, %r12
        movl    $0, ticks(%rip)
        movl    $1, %edi
        call    halt_until
        read_tsc
        movq    %rax, %rbx
        movl    $TICKS + 1, %edi
        call    halt_until
        read_tsc
        subq    %rbx, %rax
        xorl    %edx, %edx
        movl    $CYCLES_IN_US, %ecx
        divq    %rcx
        movq    %rax, %rcx
        leaq    format(%rip), %rdi
        movq    %r12, %rsi
        movl    $TICKS, %edx
        call    printk
        popq    %r12
        popq    %rbx
        ret

# Halts until there were %edi ticks.
halt_until:
        sti
        hlt
        cli
        cmpl    %edi, ticks(%rip)
        jb      halt_until
        ret

# Gives the IOAPIC's registers a mapping: the boot loader's page tables end with the memory. Bit 7 makes a page of 2 MiB.
map_ioapic:
        movq    %cr3, %rax
        andq    $-4096, %rax
        movq    (%rax), %rax
        andq    $-4096, %rax                    # page directory pointers
        leaq    directory(%rip), %rcx
        movq    $(IOAPIC & ~0x1fffff) | 0x83, %rdx
        movq    %rdx, 8 * ((IOAPIC >> 21) & 511)(%rcx)
        orq     $3, %rcx
        movq    %rcx, 8 * (IOAPIC >> 30)(%rax)
        ret

# Writes %esi to the IOAPIC's register %edi.
ioapic_write:
        movl    $IOAPIC, %eax
        movl    %edi, (%rax)
        movl    %esi, 0x10(%rax)
        ret

pic_tick:
        push_registers
        incl    ticks(%rip)
        out8    0x20, 0x20                      # end of interrupt
        pop_registers
        iretq

apic_tick:
        push_registers
        incl    ticks(%rip)
        x2apic_eoi
        pop_registers
        iretq

        .section .rodata
format:         .asciz "%s: %u ticks in %u us\n"
pic_name:       .asciz "8259A"
apic_name:      .asciz "IOAPIC"

        .bss
        .balign 4096
directory:      .skip 4096
ticks:          .skip 4
