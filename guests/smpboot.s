# How an application processor is started on a PC: INIT, then STARTUP with the page at which it begins in real mode. From there
# it goes the way that every kernel goes, through protected mode into long mode, and says what it saw on the way.
#
# vcpus: 2
# expect: vCPU 1 began at 800:0000 with CR0 10, reached 32-bit code with CR0 11 and 64-bit code with CR0 80000011, EFER d00
# max-cycles: 10M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/x2apic.s"

        .equ    TRAMPOLINE, 0x8000              # a page below 1 MiB, where real mode reaches
        .equ    STARTUP_VECTOR, TRAMPOLINE / PAGE_SIZE
        .equ    ICR_INIT, 0x4500                # INIT, asserted
        .equ    ICR_STARTUP, 0x4600
        .equ    CR0_PE, 1
        .equ    CR0_PG, 1 << 31
        .equ    EFER_LME_NXE, 1 << 8 | 1 << 11

        .text
        .globl  _start
_start:
        testl   %edi, %edi
        jnz     park                            # INIT reaches a CPU wherever it is
        call    x2apic_enable
        movq    %cr3, %rax
        movl    %eax, boot_cr3(%rip)
        movq    %cr4, %rax
        movl    %eax, boot_cr4(%rip)
        leaq    trampoline(%rip), %rsi
        movl    $TRAMPOLINE, %edi
        movl    $(trampoline_end - trampoline), %ecx
        cld
        rep movsb

        movl    $ICR_INIT, %edi
        call    send_to_1
        movl    $(ICR_STARTUP | STARTUP_VECTOR), %edi
        call    send_to_1

1:      pause
        cmpl    $0, arrived(%rip)
        je      1b
        leaq    report(%rip), %rdi
        movl    seen_cs(%rip), %esi
        movl    seen_cr0_real(%rip), %edx
        movl    seen_cr0_protected(%rip), %ecx
        movl    seen_cr0_long(%rip), %r8d
        movl    seen_efer(%rip), %r9d
        call    printk
        jmp     power_off

# Sends the ICR command %edi to the CPU with APIC ID 1.
send_to_1:
        movl    $X2APIC_ICR, %ecx
        movl    %edi, %eax
        movl    $1, %edx
        wrmsr
        ret

# Copied to TRAMPOLINE. CS is TRAMPOLINE >> 4, IP is 0, and nothing else can be relied on.
        .balign 16
        .code16
trampoline:
        cli
        movw    %cs, %ax
        movw    %ax, %ds
        movl    %cr0, %ebx
        lgdtl   trampoline_gdtr - trampoline
        movl    %ebx, %eax
        orl     $CR0_PE, %eax
        movl    %eax, %cr0
        ljmpl   $0x08, $(TRAMPOLINE + protected - trampoline)

        .code32
protected:
        movl    %ds, %edx                       # still real mode's
        movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %edx, seen_cs
        movl    %ebx, seen_cr0_real
        movl    %cr0, %eax
        movl    %eax, seen_cr0_protected
        movl    boot_cr4, %eax                  # PAE is set
        movl    %eax, %cr4
        movl    boot_cr3, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $EFER_LME_NXE, %eax
        wrmsr
        movl    %cr0, %eax
        orl     $CR0_PG, %eax
        movl    %eax, %cr0                      # compatibility mode
        ljmpl   $0x18, $long

        .balign 8, 0
trampoline_gdt:
        .quad   0
        .quad   0x00cf9b000000ffff              # 0x08: 32-bit code, flat
        .quad   0x00cf93000000ffff              # 0x10: data, flat
        .quad   0x00af9b000000ffff              # 0x18: 64-bit code
trampoline_gdtr:
        .word   4 * 8 - 1
        .long   TRAMPOLINE + trampoline_gdt - trampoline
trampoline_end:

        .code64
long:   movq    %cr0, %rax
        movl    %eax, seen_cr0_long(%rip)
        movl    $MSR_EFER, %ecx
        rdmsr
        movl    %eax, seen_efer(%rip)
        movl    $1, arrived(%rip)
        jmp     park

        .data
report: .asciz  "vCPU 1 began at %x:0000 with CR0 %x, reached 32-bit code with CR0 %x and 64-bit code with CR0 %x, EFER %x\n"

        .bss
        .balign 4
boot_cr3:
        .skip   4
boot_cr4:
        .skip   4
seen_cs:
        .skip   4
seen_cr0_real:
        .skip   4
seen_cr0_protected:
        .skip   4
seen_cr0_long:
        .skip   4
seen_efer:
        .skip   4
arrived:
        .skip   4
