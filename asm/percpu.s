# Per-CPU variables as in Linux: `%gs:name(%rip)` is the variable of whichever vCPU executes the instruction.
# Needs asm/start.s and asm/msr.s.
#
# The variables stand once in the area `percpu`; vCPU n's copy lies n * PERCPU_SIZE further up, and that distance is its GS
# base. A guest names its variables as offsets:
#
#       .equ    TICKS, PERCPU_FIRST
#       incq    %gs:percpu+TICKS(%rip)

        .equ    PERCPU_SIZE, 512
        .equ    PERCPU_INDEX, 0                 # index of this vCPU
        .equ    PERCPU_FIRST, 64                # guests have the rest, from here; it starts a cache line

        .text

# Gives the vCPU of index %edi its variables.
percpu_init:
        movl    %edi, %eax
        imull   $PERCPU_SIZE, %eax, %eax
        write_msr MSR_GS_BASE
        movl    %edi, %gs:percpu+PERCPU_INDEX(%rip)
        ret

        .bss
        .balign 64
percpu:
        .skip   PERCPU_SIZE * MAX_VCPUS
