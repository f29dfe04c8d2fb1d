# The runstate of each vCPU, in an area that crosses into the next page, read as Linux reads it: again, until nobody has written
# meanwhile. What is read must add up: four times to the entry time, none of them ever less than before, and this vCPU running.
#
# xen: domain
# vcpus: 2
# expect: 2000 readings, 0 wrong
# max-cycles: 200M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/xen.s"

        .equ    READINGS, 1000
        .equ    VMASST_ENABLE, 0
        .equ    VMASST_RUNSTATE_UPDATE_FLAG, 5
        .equ    VCPUOP_REGISTER_RUNSTATE, 5
        .equ    RUNSTATE_TIME, 8                # state_entry_time, and four times behind it
        .equ    RUNSTATE_UPDATE_BIT, 63         # of state_entry_time: it is being written
        .equ    BEFORE_END, 15                  # of its first page: within an eight-byte field

        .text
        .globl  _start
_start:
        movl    %esi, %ebp
        movl    %edi, %ebx
        call    percpu_init
        testl   %ebx, %ebx
        jnz     1f
        call    xen_init
        movl    $VMASST_ENABLE, %edi
        movl    $VMASST_RUNSTATE_UPDATE_FLAG, %esi
        hypercall HYPERVISOR_VM_ASSIST
        xen_must
1:      movl    %ebp, %edi
        call    barrier                         # the hypercall page is there

        movl    %ebx, %r12d                     # two pages for each vCPU
        shll    $13, %r12d
        leaq    areas+PAGE_SIZE-BEFORE_END(%rip), %rax
        addq    %rax, %r12
        movq    %r12, %gs:area(%rip)
        movl    $VCPUOP_REGISTER_RUNSTATE, %edi
        movl    %ebx, %esi
        leaq    area(%rip), %rdx
        movl    %ebx, %eax
        imull   $PERCPU_SIZE, %eax, %eax
        addq    %rax, %rdx
        hypercall HYPERVISOR_VCPU_OP
        xen_must

        movl    $READINGS, %r13d
1:      call    read
        addl    %eax, wrong(%rip)
        lock incl readings(%rip)
        movl    $1, %eax                        # an exit, as others of a guest's life
        xorl    %ecx, %ecx
        pushq   %rbx
        cpuid
        popq    %rbx
        decl    %r13d
        jnz     1b
        movl    %ebp, %edi
        call    barrier
        testl   %ebx, %ebx
        jnz     park
        leaq    format(%rip), %rdi
        movl    readings(%rip), %esi
        movl    wrong(%rip), %edx
        call    printk
        jmp     xen_power_off

# Reads the area at %r12, and returns how many things are wrong with it.
read:
        movq    RUNSTATE_TIME(%r12), %rcx
        btq     $RUNSTATE_UPDATE_BIT, %rcx
        jc      read
        movl    (%r12), %edx                    # state
        movq    RUNSTATE_TIME+8(%r12), %r8
        movq    RUNSTATE_TIME+16(%r12), %r9
        movq    RUNSTATE_TIME+24(%r12), %r10
        movq    RUNSTATE_TIME+32(%r12), %r11
        cmpq    RUNSTATE_TIME(%r12), %rcx
        jne     read
        xorl    %eax, %eax
        testl   %edx, %edx                      # running
        jz      1f
        incl    %eax
1:      subq    %r8, %rcx
        subq    %r9, %rcx
        subq    %r10, %rcx
        subq    %r11, %rcx
        jz      2f
        incl    %eax
2:      cmpq    %gs:last(%rip), %r8
        jae     3f
        incl    %eax
3:      movq    %r8, %gs:last(%rip)
        cmpq    %gs:last+8(%rip), %r9
        jae     4f
        incl    %eax
4:      movq    %r9, %gs:last+8(%rip)
        ret

        .data
format:
        .asciz  "%u readings, %u wrong\n"
        .balign 4
readings:
        .long   0
wrong:
        .long   0

        .bss
        .balign 4096
areas:
        .skip   MAX_VCPUS * 2 * PAGE_SIZE

        percpu_begin
area:                                           # where it lies
        .skip   8
last:                                           # times of the last reading: running, runnable
        .skip   16
        percpu_end
