# A 32-bit guest of Xen, without paging: its registers and layouts are others than those of guests/xenhello.s. Hello over the
# console ring; then an event on each of two ports, one of them in the second word of the 32-bit bitmap, and SCHEDOP_poll.
#
# boot: multiboot
# xen: domain
# expect: Hello from 32-bit code.
# expect: Events select words 0 and 1.
# max-cycles: 20M

        .set    MAGIC, 0x1badb002
        .set    ADDRESSES, 1 << 16
        .set    XEN_MSR_LEAF, 0x40000002
        .set    XEN_SIGNATURE_EBX, 0x566e6558

        .set    MEMORY_OP, 12
        .set    SCHED_OP, 29
        .set    EVENT_CHANNEL_OP, 32
        .set    HVM_OP, 34
        .set    DOMID_SELF, 0x7ff0
        .set    PENDING, 0x800                  # struct shared_info of 32-bit guests
        .set    PENDING_SEL, 4                  # struct vcpu_info of them
        .set    SECOND_WORD, 32                 # its first port
        .set    CONS_OUT, 1024
        .set    CONS_OUT_CONS, 3080
        .set    CONS_OUT_PROD, 3084
        .set    PORT_DEBUG_EXIT, 0xf4

        .code32
        .text
header: .long   MAGIC, ADDRESSES, -(MAGIC + ADDRESSES)
        .long   header, header, loaded_end, stack, _start

        .globl  _start
_start:
        movl    $stack, %esp
        movl    $0x40000000, %eax
        xorl    %ecx, %ecx
        cpuid
        cmpl    $XEN_SIGNATURE_EBX, %ebx
        jne     wrong
        movl    $XEN_MSR_LEAF, %eax
        xorl    %ecx, %ecx
        cpuid
        movl    %ebx, %ecx
        movl    $hypercall_page, %eax
        xorl    %edx, %edx
        wrmsr

        movl    $shared_info, %eax
        shrl    $12, %eax
        movl    %eax, add_to_physmap+12
        movl    $7, %ebx                        # XENMEM_add_to_physmap
        movl    $add_to_physmap, %ecx
        call    hypercall_page + MEMORY_OP * 32
        call    must

        movl    $17, param+4                    # HVM_PARAM_CONSOLE_PFN
        call    get_param
        shll    $12, %eax
        movl    %eax, console
        movl    $18, param+4                    # HVM_PARAM_CONSOLE_EVTCHN
        call    get_param
        movl    %eax, console_port
        movl    $hello, %esi
        call    puts

# Ports for IPIs, up to the first one of the second word; an event on the first and on the last.
        movl    $7, %ebx                        # EVTCHNOP_bind_ipi
        movl    $bind, %ecx
1:      call    hypercall_page + EVENT_CHANNEL_OP * 32
        call    must
        cmpl    $SECOND_WORD, bind+4
        jb      1b
        movl    $2, first_port
        movl    $first_port, %ecx
        call    send
        movl    $bind+4, %ecx
        call    send
        cmpl    $(1 << 1 | 1 << 2), shared_info+PENDING # the console has answered on its port, 1
        jne     wrong
        cmpl    $1 << 0, shared_info+PENDING+4
        jne     wrong
        cmpl    $3, shared_info+PENDING_SEL
        jne     wrong

        movl    $3, %ebx                        # SCHEDOP_poll, which finds it pending
        movl    $poll, %ecx
        call    hypercall_page + SCHED_OP * 32
        call    must
        movl    $events, %esi
        call    puts
        movl    $2, %ebx                        # SCHEDOP_shutdown
        movl    $poweroff, %ecx
        call    hypercall_page + SCHED_OP * 32
wrong:  movl    $1, %eax
        outl    %eax, $PORT_DEBUG_EXIT
1:      cli
        hlt
        jmp     1b

must:   testl   %eax, %eax
        jnz     wrong
        ret

# Returns the parameter whose number stands in `param`.
get_param:
        movl    $1, %ebx                        # HVMOP_get_param
        movl    $param, %ecx
        call    hypercall_page + HVM_OP * 32
        call    must
        movl    param+8, %eax
        ret

# Sends on the port that stands at %ecx.
send:   movl    $4, %ebx                        # EVTCHNOP_send
        call    hypercall_page + EVENT_CHANNEL_OP * 32
        jmp     must

# Puts the short string at %esi into the ring, and waits until it is taken.
puts:   movl    console, %edi
        movl    CONS_OUT_PROD(%edi), %eax
1:      movb    (%esi), %dl
        testb   %dl, %dl
        jz      2f
        movb    %dl, CONS_OUT(%edi,%eax)
        incl    %eax
        incl    %esi
        jmp     1b
2:      movl    %eax, CONS_OUT_PROD(%edi)
        movl    $console_port, %ecx
        call    send
3:      movl    CONS_OUT_CONS(%edi), %eax
        cmpl    CONS_OUT_PROD(%edi), %eax
        jne     3b
        ret

        .data
hello:  .asciz  "Hello from 32-bit code.\n"
events: .asciz  "Events select words 0 and 1.\n"
        .balign 8
add_to_physmap:                                 # domid, size, space, index, frame
        .word   DOMID_SELF, 0
        .long   0, 0, 0
param:  .word   DOMID_SELF, 0                   # domid, index, value
        .long   0, 0, 0
bind:   .long   0, 0                            # vCPU, port
poll:   .long   first_port, 1, 0, 0             # ports, how many, timeout
poweroff:
        .long   0
console:
        .long   0
console_port:
        .long   0
first_port:
        .long   0
        .balign 4096
hypercall_page:
        .skip   4096
shared_info:
        .skip   4096
        .skip   4096
stack:
loaded_end:
