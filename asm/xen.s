# What an HVM guest of Xen begins with: Xen's CPUID leaves, the hypercall page, shared_info, the way out.
# Needs asm/start.s and asm/console.s.
#
#       call    xen_init                        # one vCPU, once
#       hypercall HYPERVISOR_SCHED_OP           # arguments in %rdi, %rsi, %rdx, %r10, %r8; the answer in %rax
#       xen_must                                # ends the machine if it is an error
#
# Memory is identity-mapped: addresses are guest physical ones.

        .equ    XEN_CPUID_FIRST, 0x40000000
        .equ    XEN_SIGNATURE_EBX, 0x566e6558   # "XenVMMXenVMM"
        .equ    XEN_SIGNATURE_ECX, 0x65584d4d
        .equ    XEN_SIGNATURE_EDX, 0x4d4d566e

        .equ    HYPERVISOR_MEMORY_OP, 12
        .equ    HYPERVISOR_XEN_VERSION, 17
        .equ    HYPERVISOR_VM_ASSIST, 21
        .equ    HYPERVISOR_VCPU_OP, 24
        .equ    HYPERVISOR_SCHED_OP, 29
        .equ    HYPERVISOR_EVENT_CHANNEL_OP, 32
        .equ    HYPERVISOR_PHYSDEV_OP, 33
        .equ    HYPERVISOR_HVM_OP, 34

        .equ    DOMID_SELF, 0x7ff0
        .equ    XENMEM_ADD_TO_PHYSMAP, 7
        .equ    XENMAPSPACE_SHARED_INFO, 0
        .equ    SCHEDOP_SHUTDOWN, 2
        .equ    SCHEDOP_POLL, 3
        .equ    SHUTDOWN_POWEROFF, 0

# struct shared_info of 64-bit guests, and struct vcpu_info, of which it holds 32.
        .equ    EVTCHN_PENDING, 0x800
        .equ    EVTCHN_MASK, 0xa00
        .equ    VCPU_INFO_SIZE, 64
        .equ    UPCALL_PENDING, 0
        .equ    PENDING_SEL, 8
        .equ    VCPU_TIME, 0x20

        .macro hypercall nr
        call    hypercall_page + \nr * 32
        .endm

        .macro xen_must
        testq   %rax, %rax
        js      xen_failed
        .endm

        .text

# Finds Xen, asks for its hypercall page, and has shared_info mapped.
xen_init:
        pushq   %rbx
        call    xen_cpuid_base
        testl   %eax, %eax
        jz      xen_missing
        addl    $2, %eax                        # the leaf of hypercalls: EBX is the MSR
        xorl    %ecx, %ecx
        cpuid
        movl    %ebx, %ecx
        leaq    hypercall_page(%rip), %rax
        movq    %rax, %rdx
        shrq    $32, %rdx
        wrmsr
        leaq    shared_info(%rip), %rax
        shrq    $12, %rax
        movq    %rax, add_to_physmap+16(%rip)
        movl    $XENMEM_ADD_TO_PHYSMAP, %edi
        leaq    add_to_physmap(%rip), %rsi
        hypercall HYPERVISOR_MEMORY_OP
        xen_must
        popq    %rbx
        ret

# Returns the first of Xen's CPUID leaves, or 0 without Xen.
xen_cpuid_base:
        pushq   %rbx
        movl    $XEN_CPUID_FIRST, %eax
        xorl    %ecx, %ecx
        cpuid
        cmpl    $XEN_SIGNATURE_EBX, %ebx
        jne     1f
        cmpl    $XEN_SIGNATURE_ECX, %ecx
        jne     1f
        cmpl    $XEN_SIGNATURE_EDX, %edx
        jne     1f
        movl    $XEN_CPUID_FIRST, %eax
        popq    %rbx
        ret
1:      xorl    %eax, %eax
        popq    %rbx
        ret

# Ends the domain with status 0.
xen_power_off:
        movl    $SHUTDOWN_POWEROFF, xen_argument(%rip)
        movl    $SCHEDOP_SHUTDOWN, %edi
        leaq    xen_argument(%rip), %rsi
        hypercall HYPERVISOR_SCHED_OP
        jmp     park

# Says which error a hypercall had (%rax), and from where, and ends the machine.
xen_failed:
        negq    %rax
        movq    %rax, %rsi
        movq    (%rsp), %rdx
        leaq    xen_failed_format(%rip), %rdi
        call    printk
        movl    $EXIT_FAILURE, %edi
        jmp     debug_exit

xen_missing:
        leaq    xen_missing_text(%rip), %rdi
        call    console_puts
        movl    $EXIT_FAILURE, %edi
        jmp     debug_exit

        .data
xen_failed_format:
        .asciz  "hypercall: error %u, called from %x or near\n"
xen_missing_text:
        .asciz  "There is no Xen: run with --xen.\n"

        .balign 8
add_to_physmap:                                 # domid, size, space, index, frame
        .word   DOMID_SELF
        .word   0
        .long   XENMAPSPACE_SHARED_INFO
        .quad   0
        .quad   0
xen_argument:                                   # of the call that is being made
        .skip   24

        .bss
        .balign 4096
hypercall_page:
        .skip   PAGE_SIZE
shared_info:
        .skip   PAGE_SIZE
