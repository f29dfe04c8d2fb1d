# By which vector events come to a vCPU of a latency guest. Needs asm/xenevents.s.

        .text

# Has vCPU %edi interrupted by vector %esi: by the callback vector, or by one of its own when the lab says so.
choose_vector:
        cmpq    $0, own_vector(%rip)
        jne     xen_set_upcall_vector
        movl    %esi, %edi
        jmp     xen_set_callback_vector

        .data
        .balign 8
own_vector:                                     # told by the lab
        .quad   0
