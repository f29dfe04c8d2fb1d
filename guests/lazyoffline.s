# A vCPU that uses the lazy TSC deadline goes offline and comes back, three times: the order of Linux's CPU hotplug. Going down
# it shuts the timer down and takes the structure back, whose memory is then something else's; coming up it zeroes the
# structure, shares it, and only then uses the device. Last it is taken down by INIT, with a deadline armed and put off: the
# host must let go by itself.
#
# vcpus: 2
# features: lazy-tscdeadline
# max-cycles: 200M
# expect: online: 10 ticks, 10 MSR writes
# expect: offline: the memory is untouched
# expect: online: 10 ticks, 10 MSR writes
# expect: offline: the memory is untouched
# expect: online: 10 ticks, 10 MSR writes
# expect: offline: the memory is untouched
# expect: INIT: the memory is untouched

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .include "asm/ipi.s"
        .include "asm/pv.s"
        .include "asm/deadline.s"

        .equ    NMI_VECTOR, 2
        .equ    LOCAL_TIMER_VECTOR, 0xec
        .equ    OTHER, 1                        # the vCPU that goes offline
        .equ    ROUNDS, 3
        .equ    TICKS, 10
        .equ    FIRST, 20000                    # cycles to a tick as it is asked for first
        .equ    LATER, 30000                    # ... and as it is wanted at last
        .equ    LONG, 200000                    # longer than any deadline
        .equ    PATTERN, 0x5a5a5a5a5a5a5a5a

        .text
        .globl  _start
_start:
        movl    %edi, %ebx
        movl    %esi, %ebp
        call    percpu_init
        testl   %ebx, %ebx
        jnz     1f
        call    idt_init
        set_gate LOCAL_TIMER_VECTOR, local_timer_interrupt
        set_gate NMI_VECTOR, wake_up_interrupt
1:      movl    %ebp, %edi
        call    barrier                         # the table is filled
        call    idt_load
        call    x2apic_enable
        testl   %ebx, %ebx
        jnz     other

        movl    $ROUNDS, %r12d
1:      call    wait_until_offline
        leaq    offline_format(%rip), %rdi
        call    check_memory
        movl    $0, offline(%rip)
        movl    $1, online(%rip)
        movl    $ICR_NMI, %esi
        movl    $OTHER, %edi
        call    ipi_send
        decl    %r12d
        jnz     1b

        call    wait_until_offline              # here: it waits with a deadline armed
        movl    $(ICR_INIT | ICR_ASSERT), %esi
        movl    $OTHER, %edi
        call    ipi_send
        call    fill_memory
        leaq    init_format(%rip), %rdi
        call    check_memory
        jmp     power_off

wait_until_offline:
        pause
        cmpl    $0, offline(%rip)
        je      wait_until_offline
        ret

# What somebody else keeps where the structure of the other vCPU was.
fill_memory:
        leaq    lazy+OTHER*PERCPU_SIZE(%rip), %rdi
        movq    $PATTERN, %rax
        movl    $(LAZY_SIZE / 8), %ecx
        rep stosq
        ret

# Waits for longer than any deadline, then prints the format at %rdi with what became of the memory.
check_memory:
        read_tsc
        leaq    LONG(%rax), %rcx
1:      pause
        read_tsc
        cmpq    %rcx, %rax
        jb      1b
        leaq    untouched(%rip), %rsi
        leaq    lazy+OTHER*PERCPU_SIZE(%rip), %rdx
        movq    $PATTERN, %rax
        movl    $(LAZY_SIZE / 8), %ecx
2:      cmpq    -8(%rdx,%rcx,8), %rax
        jne     3f
        decl    %ecx
        jnz     2b
        jmp     printk
3:      leaq    written_to(%rip), %rsi
        jmp     printk

# The vCPU that comes and goes.
other:
        movl    $ROUNDS, %r12d
1:      call    kvm_lazy_tscdeadline_online     # zeroed, shared, and only then registered
        movl    $LOCAL_TIMER_VECTOR, %edi
        call    timer_init
        movl    $0, %gs:written(%rip)
        movl    $TICKS, %ebx
2:      call    tick
        decl    %ebx
        jnz     2b
        leaq    online_format(%rip), %rdi
        movl    $TICKS, %esi
        movl    %gs:written(%rip), %edx
        call    printk

        call    put_off                         # a deadline is under way when it goes down
        call    lapic_timer_shutdown
        call    kvm_lazy_tscdeadline_disable
        call    fill_memory
        movl    $1, offline(%rip)
play_dead:
        hlt
        cmpl    $0, online(%rip)
        je      play_dead
        movl    $0, online(%rip)
        decl    %r12d
        jnz     1b

        call    kvm_lazy_tscdeadline_online
        movl    $LOCAL_TIMER_VECTOR, %edi
        call    timer_init
        call    put_off
        movl    $1, offline(%rip)
        jmp     park

# Asks for a tick, and puts it off.
put_off:
        movl    $FIRST, %edi
        call    kvm_lapic_next_deadline
        movl    $LATER, %edi
        jmp     kvm_lapic_next_deadline

tick:
        movl    $0, %gs:ticked(%rip)
        call    put_off
1:      sti                                     # takes effect after HLT has begun
        hlt
        cli
        cmpl    $0, %gs:ticked(%rip)
        je      1b
        ret

local_timer_interrupt:
        push_registers
        movl    $1, %gs:ticked(%rip)
        x2apic_eoi
        pop_registers
        iretq

wake_up_interrupt:
        iretq

        .data
online_format:
        .asciz  "online: %u ticks, %u MSR writes\n"
offline_format:
        .asciz  "offline: the memory is %s\n"
init_format:
        .asciz  "INIT: the memory is %s\n"
untouched:
        .asciz  "untouched"
written_to:
        .asciz  "written to"
        .balign 4
offline:
        .long   0
online: .long   0

        percpu_begin
lazy:   .skip   LAZY_SIZE
cause:  .skip   4
ticked: .skip   4
written:
        .skip   4
        percpu_end
