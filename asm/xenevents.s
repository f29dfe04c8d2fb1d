# Xen's 2-level event channels: ports are bound, sent on, and taken in an interrupt handler. Needs asm/xen.s.
# The arguments lie in one place: only one vCPU at a time may bind or send.

        .equ    EVTCHNOP_BIND_VIRQ, 1
        .equ    EVTCHNOP_BIND_PIRQ, 2
        .equ    EVTCHNOP_SEND, 4
        .equ    EVTCHNOP_BIND_IPI, 7
        .equ    EVTCHNOP_UNMASK, 9
        .equ    VIRQ_TIMER, 0
        .equ    PHYSDEVOP_EOI, 12
        .equ    PHYSDEVOP_MAP_PIRQ, 13
        .equ    PHYSDEVOP_GET_FREE_PIRQ, 23
        .equ    MAP_PIRQ_TYPE_MSI, 0
        .equ    MAP_PIRQ_TYPE_GSI, 1
        .equ    HVMOP_SET_PARAM, 0
        .equ    HVMOP_GET_PARAM, 1
        .equ    HVMOP_SET_EVTCHN_UPCALL_VECTOR, 23
        .equ    HVM_PARAM_CALLBACK_IRQ, 0
        .equ    CALLBACK_VECTOR, 2              # upper byte of the parameter

# An operation whose structure has been put together at xen_argument.
        .macro xen_ask nr, op
        movl    $\op, %edi
        leaq    xen_argument(%rip), %rsi
        hypercall \nr
        xen_must
        .endm

        .text

# Has all vCPUs interrupted by vector %edi; such an interrupt needs no EOI.
xen_set_callback_vector:
        movl    %edi, %eax
        movl    $CALLBACK_VECTOR, %edx
        shlq    $56, %rdx
        orq     %rdx, %rax
        movq    %rax, xen_param+8(%rip)
        movl    $HVM_PARAM_CALLBACK_IRQ, xen_param+4(%rip)
        movl    $HVMOP_SET_PARAM, %edi
        leaq    xen_param(%rip), %rsi
        hypercall HYPERVISOR_HVM_OP
        xen_must
        ret

# Has vCPU %edi interrupted by vector %esi of its local APIC, which wants an EOI.
xen_set_upcall_vector:
        movl    %edi, xen_argument(%rip)
        movl    %esi, xen_argument+4(%rip)
        xen_ask HYPERVISOR_HVM_OP, HVMOP_SET_EVTCHN_UPCALL_VECTOR
        ret

# Returns parameter %edi of the domain.
xen_get_param:
        movl    %edi, xen_param+4(%rip)
        movl    $HVMOP_GET_PARAM, %edi
        leaq    xen_param(%rip), %rsi
        hypercall HYPERVISOR_HVM_OP
        xen_must
        movq    xen_param+8(%rip), %rax
        ret

# Returns a port that notifies vCPU %edi when it is sent on.
xen_bind_ipi:
        movl    %edi, xen_argument(%rip)
        xen_ask HYPERVISOR_EVENT_CHANNEL_OP, EVTCHNOP_BIND_IPI
        movl    xen_argument+4(%rip), %eax
        ret

# Returns a port for VIRQ %edi of vCPU %esi.
xen_bind_virq:
        movl    %edi, xen_argument(%rip)
        movl    %esi, xen_argument+4(%rip)
        xen_ask HYPERVISOR_EVENT_CHANNEL_OP, EVTCHNOP_BIND_VIRQ
        movl    xen_argument+8(%rip), %eax
        ret

# Returns a PIRQ that is free, for a vector of MSI or MSI-X.
xen_get_free_pirq:
        movl    $MAP_PIRQ_TYPE_MSI, xen_argument(%rip)
        xen_ask HYPERVISOR_PHYSDEV_OP, PHYSDEVOP_GET_FREE_PIRQ
        movl    xen_argument+4(%rip), %eax
        ret

# Returns a PIRQ for the line of GSI %edi.
xen_map_gsi:
        movl    %edi, xen_map_pirq+8(%rip)
        movl    $PHYSDEVOP_MAP_PIRQ, %edi
        leaq    xen_map_pirq(%rip), %rsi
        hypercall HYPERVISOR_PHYSDEV_OP
        xen_must
        movl    xen_map_pirq+12(%rip), %eax
        ret

# Returns a port for PIRQ %edi.
xen_bind_pirq:
        movl    %edi, xen_argument(%rip)
        movl    $0, xen_argument+4(%rip)
        xen_ask HYPERVISOR_EVENT_CHANNEL_OP, EVTCHNOP_BIND_PIRQ
        movl    xen_argument+8(%rip), %eax
        ret

# Ends an interrupt of PIRQ %edi: a line that is still high interrupts again.
xen_eoi_pirq:
        movl    %edi, xen_argument(%rip)
        xen_ask HYPERVISOR_PHYSDEV_OP, PHYSDEVOP_EOI
        ret

# Sends on the port that stands at %rsi.
xen_send:
        movl    $EVTCHNOP_SEND, %edi
        hypercall HYPERVISOR_EVENT_CHANNEL_OP
        xen_must
        ret

# Calls `xen_event_handler` with each port in %edi that is pending for the vCPU whose vcpu_info is at %rdi. upcall_pending is
# cleared before the words are taken: what comes in between asks again.
xen_take_events:
        pushq   %rbx
        pushq   %rbp
        movb    $0, UPCALL_PENDING(%rdi)
        xorl    %ebx, %ebx
        xchgq   %rbx, PENDING_SEL(%rdi)
1:      bsfq    %rbx, %rbp                      # the next word that was selected
        jz      3f
        btrq    %rbp, %rbx
2:      leaq    shared_info(%rip), %rax
        movq    EVTCHN_MASK(%rax,%rbp,8), %rcx
        notq    %rcx
        andq    EVTCHN_PENDING(%rax,%rbp,8), %rcx
        bsfq    %rcx, %rdi
        jz      1b
        lock btrq %rdi, EVTCHN_PENDING(%rax,%rbp,8)
        movl    %ebp, %ecx
        shll    $6, %ecx
        addl    %ecx, %edi
        call    *xen_event_handler(%rip)
        jmp     2b
3:      popq    %rbp
        popq    %rbx
        ret

        .data
        .balign 8
xen_event_handler:
        .quad   0
xen_param:                                      # struct xen_hvm_param: domid, index, value
        .word   DOMID_SELF
        .word   0
        .long   0
        .quad   0
xen_map_pirq:                                   # domid, type, index, pirq (any), and what only domain 0 says
        .word   DOMID_SELF
        .word   0
        .long   MAP_PIRQ_TYPE_GSI
        .long   0
        .long   -1
        .skip   24
