# Per-CPU variables as in Linux: `%gs:name(%rip)` is the variable of whichever vCPU executes the instruction.
# Needs asm/start.s and asm/msr.s.
#
# A guest declares them once, between two macros. That is vCPU 0's copy; vCPU n's lies n * PERCPU_SIZE further up, and
# this distance is its GS base.
#
#               percpu_begin
#       ticks:  .skip   8
#               percpu_end
#
#               incq    %gs:ticks(%rip)

        .equ    PERCPU_SIZE, 256                # room for the variables of one vCPU

        .macro percpu_begin
        .bss
        .balign 64
percpu:
        .endm

        .macro percpu_end
        .skip   percpu + PERCPU_SIZE * MAX_VCPUS - .
        .endm

        .text

# Gives the vCPU of index %edi its variables; they start at zero.
percpu_init:
        movl    %edi, %eax
        imull   $PERCPU_SIZE, %eax, %eax
        write_msr MSR_GS_BASE
        ret
