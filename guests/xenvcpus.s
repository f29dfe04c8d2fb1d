# Xen brings vCPUs up and down: one that has had an INIT begins in the state that VCPUOP_initialise gives it, goes on behind
# VCPUOP_down when it is brought up again, and stands still while another has brought it down. The domain ends with the last.
#
# xen: domain
# vcpus: 2
# expect: after INIT: up 0
# expect: initialised: up 0, again: error 17
# expect: brought up: up 1, RBX 1234abcd5678, RSP and entry as told
# expect: down by itself: up 0
# expect: brought up: up 1
# expect: down by vCPU 0: up 0, stands still
# expect: brought up: up 1, goes on
# max-cycles: 20M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/x2apic.s"
        .include "asm/xen.s"

        .equ    VCPUOP_INITIALISE, 0
        .equ    VCPUOP_UP, 1
        .equ    VCPUOP_DOWN, 2
        .equ    VCPUOP_IS_UP, 3
        .equ    VCPU_HVM_MODE_64B, 1
        .equ    ICR_INIT, 0x4500                # INIT, asserted
        .equ    A_WHILE, 20000                  # rounds of a loop

        .text
        .globl  _start
_start:
        testl   %edi, %edi
        jnz     park                            # INIT reaches it there
        call    x2apic_enable
        call    xen_init
        movl    $X2APIC_ICR, %ecx
        movl    $ICR_INIT, %eax
        movl    $1, %edx
        wrmsr
        call    delay                           # until vCPU 1 has taken it
        call    is_up
        leaq    after_init(%rip), %rdi
        movl    %eax, %esi
        call    printk

        movq    %cr0, %rax
        movq    %rax, context_control(%rip)
        movq    %cr3, %rax
        movq    %rax, context_control+8(%rip)
        movq    %cr4, %rax
        movq    %rax, context_control+16(%rip)
        movl    $MSR_EFER, %ecx
        rdmsr
        movl    %eax, context_control+24(%rip)
        leaq    second(%rip), %rax
        movq    %rax, context_rip(%rip)
        leaq    second_stack_end(%rip), %rax
        movq    %rax, context_rsp(%rip)
        movl    $VCPUOP_INITIALISE, %edi
        call    vcpu_op
        xen_must
        call    is_up
        movl    %eax, %ebx
        movl    $VCPUOP_INITIALISE, %edi
        call    vcpu_op
        leaq    initialised(%rip), %rdi
        movl    %ebx, %esi
        movl    %eax, %edx
        negl    %edx
        call    printk

        movl    $1, %edi
        leaq    begun(%rip), %rsi
        call    bring_up
        movq    seen_rbx(%rip), %rdx
        leaq    up_first(%rip), %rdi
        movl    %eax, %esi
        call    printk

        movl    $1, may_go(%rip)
1:      pause                                   # it brings itself down
        call    is_up
        testl   %eax, %eax
        jnz     1b
        leaq    down_self(%rip), %rdi
        movl    %eax, %esi
        call    printk

        movl    $2, %edi
        leaq    begun(%rip), %rsi
        call    bring_up
        leaq    up_again(%rip), %rdi
        movl    %eax, %esi
        call    printk

        movl    $VCPUOP_DOWN, %edi
        call    vcpu_op
        xen_must
        call    delay                           # until it has left guest mode
        movq    count(%rip), %r12
        call    delay
        cmpq    count(%rip), %r12
        jne     failed
        call    is_up
        leaq    down_other(%rip), %rdi
        movl    %eax, %esi
        call    printk
        incq    %r12
        movl    %r12d, %edi
        leaq    count(%rip), %rsi
        call    bring_up
        leaq    up_last(%rip), %rdi
        movl    %eax, %esi
        call    printk

        movl    $VCPUOP_DOWN, %edi
        call    vcpu_op
        xen_must
        movl    $VCPUOP_DOWN, %edi              # the last that is up
        xorl    %esi, %esi
        xorl    %edx, %edx
        hypercall HYPERVISOR_VCPU_OP
        jmp     failed

# Brings vCPU 1 up, waits until the number at %rsi is %edi or more, and returns whether the vCPU is up.
bring_up:
        pushq   %rdi
        pushq   %rsi
        movl    $VCPUOP_UP, %edi
        call    vcpu_op
        xen_must
        popq    %rsi
        popq    %rdi
1:      pause
        cmpl    %edi, (%rsi)
        jb      1b

# Returns whether vCPU 1 is up.
is_up:
        movl    $VCPUOP_IS_UP, %edi

# Operation %edi on vCPU 1.
vcpu_op:
        movl    $1, %esi
        leaq    context(%rip), %rdx
        hypercall HYPERVISOR_VCPU_OP
        ret

delay:
        movl    $A_WHILE, %ecx
1:      pause
        decl    %ecx
        jnz     1b
        ret

failed:
        movl    $EXIT_FAILURE, %edi
        jmp     debug_exit

# vCPU 1.
second:
        movq    %rbx, seen_rbx(%rip)
        leaq    second_stack_end(%rip), %rax
        cmpq    %rax, %rsp
        jne     failed
        movl    $1, begun(%rip)
1:      pause
        cmpl    $0, may_go(%rip)
        je      1b
        movl    $VCPUOP_DOWN, %edi
        call    vcpu_op
        xen_must
        movl    $2, begun(%rip)
1:      incq    count(%rip)
        jmp     1b

        .data
after_init:
        .asciz  "after INIT: up %u\n"
initialised:
        .asciz  "initialised: up %u, again: error %u\n"
up_first:
        .asciz  "brought up: up %u, RBX %x, RSP and entry as told\n"
down_self:
        .asciz  "down by itself: up %u\n"
up_again:
        .asciz  "brought up: up %u\n"
down_other:
        .asciz  "down by vCPU 0: up %u, stands still\n"
up_last:
        .asciz  "brought up: up %u, goes on\n"
        .balign 8
context:                                        # struct vcpu_hvm_context
        .long   VCPU_HVM_MODE_64B
        .long   0
        .quad   0, 0, 0                         # RAX, RCX, RDX
        .quad   0x1234abcd5678                  # RBX
context_rsp:
        .quad   0
        .quad   0, 0, 0                         # RBP, RSI, RDI
context_rip:
        .quad   0
        .quad   0                               # RFLAGS
context_control:
        .quad   0, 0, 0, 0                      # CR0, CR3, CR4, EFER
        .quad   0
seen_rbx:
        .quad   0
count:  .quad   0
begun:  .long   0
may_go: .long   0

        .bss
        .balign 16
second_stack:
        .skip   4096
second_stack_end:
