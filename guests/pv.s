# What KVM offers beside the lazy deadline, each used once: kvmclock by two vCPUs, ends of interrupts without an exit, an
# interrupt by hypercall, and a kick that wakes a vCPU which has halted with interrupts off.
#
# vcpus: 2
# max-cycles: 200M
#
# case: on
# expect: kvmclock: the date at 0 is 1577836800, 2000 readings, 0 went back
# expect: PV EOI: 100 interrupts, * of them ended by the MSR
# expect: PV IPI: 1 vCPU interrupted, it has counted 1
# expect: PV unhalt: vCPU 1 is awake
#
# case: without EOI
# features: -kvm-pv-eoi
# expect: kvmclock: the date at 0 is 1577836800, 2000 readings, 0 went back
# expect: PV EOI is not offered
# expect: PV IPI: 1 vCPU interrupted, it has counted 1
# expect: PV unhalt: vCPU 1 is awake
#
# case: off
# features: -all
# expect: kvmclock is not offered
# expect: PV EOI is not offered
# expect: PV IPI is not offered
# expect: PV unhalt is not offered

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/pv.s"

        .equ    EOI_VECTOR, 0x41
        .equ    IPI_VECTOR, 0x42
        .equ    READINGS, 1000
        .equ    INTERRUPTS, 100

        .text
        .globl  _start
_start:
        movl    %edi, %ebx
        movl    %esi, %ebp
        testl   %ebx, %ebx
        jnz     1f
        call    idt_init
        set_gate EOI_VECTOR, eoi_interrupt
        set_gate IPI_VECTOR, ipi_interrupt
1:      movl    %ebp, %edi
        call    barrier                         # the table is filled
        call    idt_load
        call    x2apic_enable
        sti

        movl    $KVM_FEATURE_CLOCKSOURCE2, %edi
        leaq    kvmclock_name(%rip), %rsi
        leaq    kvmclock(%rip), %rdx
        call    if_offered
        testl   %ebx, %ebx
        jnz     second

        movl    $KVM_FEATURE_PV_EOI, %edi
        leaq    eoi_name(%rip), %rsi
        leaq    pv_eoi(%rip), %rdx
        call    if_offered
        movl    $KVM_FEATURE_PV_SEND_IPI, %edi
        leaq    ipi_name(%rip), %rsi
        leaq    pv_ipi(%rip), %rdx
        call    if_offered
        movl    $KVM_FEATURE_PV_UNHALT, %edi
        leaq    unhalt_name(%rip), %rsi
        leaq    pv_unhalt(%rip), %rdx
        call    if_offered
        jmp     power_off

# The second vCPU: waits to be interrupted, then halts with interrupts off.
second:
        pause
        cmpl    $0, ipis(%rip)
        je      second
        cli
        movl    $1, halting(%rip)
        hlt
        movl    $1, awake(%rip)
        jmp     park

# Calls %rdx if KVM offers the feature with bit number %edi; otherwise the first vCPU says that %rsi is not there.
if_offered:
        pushq   %rsi
        pushq   %rdx
        call    kvm_para_has_feature
        popq    %rdx
        popq    %rsi
        testl   %eax, %eax
        jz      1f
        jmp     *%rdx
1:      testl   %ebx, %ebx
        jnz     2f
        leaq    absent_format(%rip), %rdi
        jmp     printk
2:      ret

# Both vCPUs read their pages in turns, each holding what it has read against the last reading of both.
kvmclock:
        movl    %ebx, %r12d
        imull   $PVCLOCK_SIZE, %r12d
        leaq    pages(%rip), %rax
        addq    %rax, %r12                      # this vCPU's page
        movq    %r12, %rax
        orq     $KVM_MSR_ENABLED, %rax
        write_msr MSR_KVM_SYSTEM_TIME_NEW
        movl    %ebp, %edi
        call    barrier

        movl    $READINGS, %r13d
1:      movl    $1, %eax
        xchgl   %eax, lock(%rip)
        testl   %eax, %eax
        jz      2f
        pause
        jmp     1b
2:      movq    %r12, %rdi
        call    pvclock_read
        cmpq    last(%rip), %rax
        jae     3f
        incl    back(%rip)
3:      movq    %rax, last(%rip)
        movl    $0, lock(%rip)
        decl    %r13d
        jnz     1b

        movl    %ebp, %edi
        call    barrier
        testl   %ebx, %ebx
        jnz     4f
        leaq    wall(%rip), %rax
        write_msr MSR_KVM_WALL_CLOCK_NEW
        leaq    kvmclock_format(%rip), %rdi
        movl    wall+WALL_CLOCK_SEC(%rip), %esi
        movl    $(2 * READINGS), %edx
        movl    back(%rip), %ecx
        jmp     printk
4:      ret

pv_eoi:
        leaq    eoi_word(%rip), %rax
        orq     $KVM_MSR_ENABLED, %rax
        write_msr MSR_KVM_PV_EOI_EN
        movl    $INTERRUPTS, %r12d
1:      movl    $EOI_VECTOR, %eax
        xorl    %edx, %edx
        movl    $X2APIC_SELF_IPI, %ecx
        wrmsr
        nop
        decl    %r12d
        jnz     1b
        leaq    eoi_format(%rip), %rdi
        movl    taken(%rip), %esi
        movl    eois(%rip), %edx
        jmp     printk

eoi_interrupt:
        push_registers
        incl    taken(%rip)
        btrl    $0, eoi_word(%rip)              # one instruction, as the host must not come in between
        jc      1f
        incl    eois(%rip)
        x2apic_eoi
1:      pop_registers
        iretq

pv_ipi:
        pushq   %rbx
        movl    $KVM_HC_SEND_IPI, %eax
        movl    $1, %ebx                        # the bitmap, from APIC id 1 on
        xorl    %ecx, %ecx
        movl    $1, %edx
        movl    $IPI_VECTOR, %esi
        vmcall
        popq    %rbx
        movq    %rax, %rsi
1:      pause
        movl    ipis(%rip), %edx
        testl   %edx, %edx
        jz      1b
        leaq    ipi_format(%rip), %rdi
        jmp     printk

ipi_interrupt:
        push_registers
        x2apic_eoi
        incl    ipis(%rip)
        pop_registers
        iretq

pv_unhalt:
        pushq   %rbx
1:      pause
        cmpl    $0, halting(%rip)
        je      1b
        movl    $1000, %ecx                     # it is halted by then, or about to
2:      pause
        loop    2b
        movl    $KVM_HC_KICK_CPU, %eax
        xorl    %ebx, %ebx
        movl    $1, %ecx
        vmcall
        popq    %rbx
3:      pause
        cmpl    $0, awake(%rip)
        je      3b
        leaq    unhalt_format(%rip), %rdi
        jmp     printk

        .data
kvmclock_name:
        .asciz  "kvmclock"
eoi_name:
        .asciz  "PV EOI"
ipi_name:
        .asciz  "PV IPI"
unhalt_name:
        .asciz  "PV unhalt"
absent_format:
        .asciz  "%s is not offered\n"
kvmclock_format:
        .asciz  "kvmclock: the date at 0 is %u, %u readings, %u went back\n"
eoi_format:
        .asciz  "PV EOI: %u interrupts, %u of them ended by the MSR\n"
ipi_format:
        .asciz  "PV IPI: %u vCPU interrupted, it has counted %u\n"
unhalt_format:
        .asciz  "PV unhalt: vCPU 1 is awake\n"

        .bss
        .balign 64
pages:                                          # one for each vCPU
        .skip   2 * PVCLOCK_SIZE
wall:
        .skip   WALL_CLOCK_SIZE
eoi_word:
        .skip   4
lock:
        .skip   4
back:
        .skip   4
last:
        .skip   8
taken:
        .skip   4
eois:
        .skip   4
ipis:
        .skip   4
halting:
        .skip   4
awake:
        .skip   4
