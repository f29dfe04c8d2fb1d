# Exceptions in ring 0: for each the vector, the error code, and how far the saved RIP lies behind the instruction's
# own (0 for a fault, its length for a trap). Then what gates can do: leave interrupts on, and switch to another
# stack.
#
# expect: divide by zero: #DE(0x0), rip +0
# expect: quotient too large: #DE(0x0), rip +0
# expect: int3: #BP(0x0), rip +1
# expect: single step: #DB(0x0), rip +1
# expect: ud2: #UD(0x0), rip +0
# expect: non-canonical address: #GP(0x0), rip +0
# expect: non-canonical address relative to RBP: #SS(0x0), rip +0
# expect: reserved bit of CR4: #GP(0x0), rip +0
# expect: paging off in 64-bit mode: #GP(0x0), rip +0
# expect: DS beyond the GDT: #GP(0x1000), rip +0
# expect: DS with a system segment: #GP(0x40), rip +0
# expect: DS not present: #NP(0x38), rip +0
# expect: SS not present: #SS(0x38), rip +0
# expect: INT without a gate: #GP(0x782), rip +0
# expect: INT through a gate that is not present: #NP(0x78a), rip +0
# expect: page fault through a gate that is not present: #DF(0x0), rip +0
# expect: interrupts behind an interrupt gate are off, behind a trap gate on
# expect: a gate with IST 1 switches to its own stack

        .include "asm/start.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/segments.s"

        .equ    PAGE_FAULT_VECTOR, 14
        .equ    VECTOR_WITHOUT_GATE, 0xf0
        .equ    VECTOR_NOT_PRESENT, 0xf1
        .equ    TEST_VECTOR, 0xf2
        .equ    GATE_NOT_PRESENT, 0x0e00
        .equ    GATE_IST1, 1

        .equ    NOT_PRESENT_SELECTOR, 0x38
        .equ    NOT_PRESENT_DATA, 0x00cf13000000ffff
        .equ    BEYOND_GDT, 0x1000
        .equ    NOT_MAPPED, 0x7fff00000000
        .equ    NOT_CANONICAL, 0x800000000000
        .equ    CR0_PG_BIT, 31
        .equ    CR4_RESERVED_BIT, 31
        .equ    RFLAGS_TF, 1 << 8
        .equ    RFLAGS_IF_BIT, 9

# A trial: its name, where it begins, and the instruction that raises the exception.
        .equ    TRIAL_NAME, 0
        .equ    TRIAL_CODE, 8
        .equ    TRIAL_INSTRUCTION, 16
        .equ    TRIAL_SIZE, 24

        .text
        .globl  _start
_start:
        leaq    -8192(%rsp), %rdi
        call    segments_init
        call    idt_init
        movabsq $NOT_PRESENT_DATA, %rax
        movq    %rax, gdt+NOT_PRESENT_SELECTOR(%rip)
        set_gate VECTOR_NOT_PRESENT, record_gate
        movw    $GATE_NOT_PRESENT, idt+VECTOR_NOT_PRESENT*GATE_SIZE+GATE_TYPE(%rip)
        movw    $GATE_NOT_PRESENT, idt+PAGE_FAULT_VECTOR*GATE_SIZE+GATE_TYPE(%rip)
        leaq    trial_exception(%rip), %rax
        movq    %rax, exception_handler(%rip)

        leaq    trials(%rip), %rbx
1:      call    try
        movq    %rax, %rcx                      # the error code
        movq    %rdx, %r8                       # RIP
        subq    TRIAL_INSTRUCTION(%rbx), %r8
        leaq    exception_names(%rip), %rdx
        leaq    (%rdx,%rdi,4), %rdx
        movq    TRIAL_NAME(%rbx), %rsi
        leaq    trial_format(%rip), %rdi
        call    printk
        addq    $TRIAL_SIZE, %rbx
        leaq    trials_end(%rip), %rax
        cmpq    %rax, %rbx
        jb      1b

        set_gate TEST_VECTOR, record_gate
        sti
        int     $TEST_VECTOR
        movq    flags_behind_gate(%rip), %rbx
        movw    $GATE_TRAP, idt+TEST_VECTOR*GATE_SIZE+GATE_TYPE(%rip)
        int     $TEST_VECTOR
        cli
        leaq    interrupts_format(%rip), %rdi
        movq    %rbx, %rax
        call    on_or_off
        movq    %rax, %rsi
        movq    flags_behind_gate(%rip), %rax
        call    on_or_off
        movq    %rax, %rdx
        call    printk

        leaq    ist_stack_end(%rip), %rax
        movq    %rax, tss+TSS_IST1(%rip)
        orw     $GATE_IST1, idt+TEST_VECTOR*GATE_SIZE+GATE_TYPE(%rip)
        int     $TEST_VECTOR
        leaq    ist_stack_end-FRAME_SIZE(%rip), %rax
        leaq    own_stack(%rip), %rsi
        cmpq    %rax, stack_behind_gate(%rip)
        je      2f
        leaq    wrong_stack(%rip), %rsi
2:      leaq    ist_format(%rip), %rdi
        call    printk
        jmp     power_off

# Runs the trial at %rbx up to its exception. Returns the vector in %rdi, the error code in %rax and RIP in %rdx.
try:
        pushq   %rbx
        movq    %rsp, stack_of_try(%rip)
        jmp     *TRIAL_CODE(%rbx)

trial_exception:
        movq    %rsi, %rax
        movq    FRAME_RIP(%rsp), %rdx
        movq    stack_of_try(%rip), %rsp
        popq    %rbx
        ret

record_gate:
        pushfq
        popq    flags_behind_gate(%rip)
        movq    %rsp, stack_behind_gate(%rip)
        iretq

# Returns a word for the interrupt flag of the flags in %rax.
on_or_off:
        btq     $RFLAGS_IF_BIT, %rax
        leaq    on(%rip), %rax
        jc      1f
        leaq    off(%rip), %rax
1:      ret

# The trials.
divide_by_zero:
        xorl    %ecx, %ecx
divide_zero:
        divl    %ecx

quotient_too_large:
        movl    $2, %edx                        # 2 << 32 divided by 1
        movl    $1, %ecx
divide_too_large:
        divl    %ecx

breakpoint:
        int3

single_step:
        pushfq
        orq     $RFLAGS_TF, (%rsp)
        popfq                                   # traps behind the next instruction
stepped:
        nop

undefined:
        ud2

non_canonical:
        movabsq $NOT_CANONICAL, %rax
load_non_canonical:
        movq    (%rax), %rax

non_canonical_stack:
        movabsq $NOT_CANONICAL, %rbp
load_from_stack:
        movq    (%rbp), %rax

reserved_cr4:
        movq    %cr4, %rax
        btsq    $CR4_RESERVED_BIT, %rax
load_cr4:
        movq    %rax, %cr4

paging_off:
        movq    %cr0, %rax
        btrq    $CR0_PG_BIT, %rax
load_cr0:
        movq    %rax, %cr0

ds_beyond_gdt:
        movl    $BEYOND_GDT, %eax
load_ds_beyond_gdt:
        movl    %eax, %ds

ds_system:
        movl    $TSS_SELECTOR, %eax
load_ds_system:
        movl    %eax, %ds

ds_not_present:
        movl    $NOT_PRESENT_SELECTOR, %eax
load_ds_not_present:
        movl    %eax, %ds

ss_not_present:
        movl    $NOT_PRESENT_SELECTOR, %eax
load_ss_not_present:
        movl    %eax, %ss

int_without_gate:
        int     $VECTOR_WITHOUT_GATE

int_not_present:
        int     $VECTOR_NOT_PRESENT

double_fault:
        movabsq $NOT_MAPPED, %rax
load_not_mapped:
        movq    (%rax), %rax

        .data
        .balign 8
trials:
        .quad   divide_by_zero_name, divide_by_zero, divide_zero
        .quad   quotient_too_large_name, quotient_too_large, divide_too_large
        .quad   breakpoint_name, breakpoint, breakpoint
        .quad   single_step_name, single_step, stepped
        .quad   undefined_name, undefined, undefined
        .quad   non_canonical_name, non_canonical, load_non_canonical
        .quad   non_canonical_stack_name, non_canonical_stack, load_from_stack
        .quad   reserved_cr4_name, reserved_cr4, load_cr4
        .quad   paging_off_name, paging_off, load_cr0
        .quad   ds_beyond_gdt_name, ds_beyond_gdt, load_ds_beyond_gdt
        .quad   ds_system_name, ds_system, load_ds_system
        .quad   ds_not_present_name, ds_not_present, load_ds_not_present
        .quad   ss_not_present_name, ss_not_present, load_ss_not_present
        .quad   int_without_gate_name, int_without_gate, int_without_gate
        .quad   int_not_present_name, int_not_present, int_not_present
        .quad   double_fault_name, double_fault, load_not_mapped
trials_end:

divide_by_zero_name:
        .asciz  "divide by zero"
quotient_too_large_name:
        .asciz  "quotient too large"
breakpoint_name:
        .asciz  "int3"
single_step_name:
        .asciz  "single step"
undefined_name:
        .asciz  "ud2"
non_canonical_name:
        .asciz  "non-canonical address"
non_canonical_stack_name:
        .asciz  "non-canonical address relative to RBP"
reserved_cr4_name:
        .asciz  "reserved bit of CR4"
paging_off_name:
        .asciz  "paging off in 64-bit mode"
ds_beyond_gdt_name:
        .asciz  "DS beyond the GDT"
ds_system_name:
        .asciz  "DS with a system segment"
ds_not_present_name:
        .asciz  "DS not present"
ss_not_present_name:
        .asciz  "SS not present"
int_without_gate_name:
        .asciz  "INT without a gate"
int_not_present_name:
        .asciz  "INT through a gate that is not present"
double_fault_name:
        .asciz  "page fault through a gate that is not present"

trial_format:
        .asciz  "%s: %s(0x%x), rip +%u\n"
interrupts_format:
        .asciz  "interrupts behind an interrupt gate are %s, behind a trap gate %s\n"
on:
        .asciz  "on"
off:
        .asciz  "off"
ist_format:
        .asciz  "a gate with IST 1 switches to %s\n"
own_stack:
        .asciz  "its own stack"
wrong_stack:
        .asciz  "a wrong stack"

        .bss
        .balign 16
stack_of_try:
        .skip   8
flags_behind_gate:
        .skip   8
stack_behind_gate:
        .skip   8
        .balign 16
        .skip   4096
ist_stack_end:
