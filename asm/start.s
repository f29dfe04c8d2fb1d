# What every guest shares: the machine's constants, the ways out, a barrier.
#
# A guest begins at `_start`, on every vCPU at the same time, in 64-bit mode with interrupts off:
#   %edi  index of this vCPU, which is also its APIC ID
#   %esi  number of vCPUs
#   %rsp  a stack of 16 KiB of its own
# docs/guests.md has the whole contract.
#
# Functions here and in the other files follow the System V convention: arguments in %rdi, %rsi, %rdx, %rcx, %r8, %r9,
# the result in %rax, and %rbx, %rbp, %r12 to %r15 survive a call.

        .equ    KERNEL_CS, 0x10
        .equ    KERNEL_DS, 0x18
        .equ    MAX_VCPUS, 16
        .equ    PAGE_SIZE, 4096

        .equ    PORT_DEBUG_EXIT, 0xf4           # isa-debug-exit of QEMU: writing v ends with status (v << 1) | 1
        .equ    PORT_PM1A_CONTROL, 0x604        # ACPI power management of QEMU's machines
        .equ    PM1_SLEEP_S5, 0x2000            # SLP_EN with SLP_TYP 0: soft off

        .equ    EXIT_FAILURE, 1                 # status 3: the guest found something wrong
        .equ    EXIT_EXCEPTION, 7               # status 15: an exception that nobody handles (asm/idt.s)

        .text

# Ends the machine with status 0.
power_off:
        movl    $PORT_PM1A_CONTROL, %edx
        movl    $PM1_SLEEP_S5, %eax
        outw    %ax, %dx
        jmp     park

# Ends the machine with status (%edi << 1) | 1.
debug_exit:
        movl    %edi, %eax
        outl    %eax, $PORT_DEBUG_EXIT
        jmp     park

# Takes this vCPU out of the game: it halts with interrupts off, for ever.
park:
        cli
        hlt
        jmp     park

# Waits until all %edi vCPUs have arrived; may be used again and again.
barrier:
        movl    $1, %eax
        lock xaddl %eax, barrier_arrivals(%rip)
        xorl    %edx, %edx
        divl    %edi
        incl    %eax
        imull   %edi, %eax                      # arrivals that complete this round
1:      pause
        cmpl    %eax, barrier_arrivals(%rip)
        jb      1b
        ret

        .bss
        .balign 4
barrier_arrivals:
        .skip   4
