# Page faults, exactly: a read, a write and a fetch, from ring 0 and ring 3, against pages with every kind of right.
# Prints the error code and CR2 of each fault.
#
# The bits of an error code: 1 the page was present, 2 a write, 4 from ring 3, 8 a reserved bit was set, 0x10 a fetch.
#
# expect: read by the kernel, page not present: error code 0x0, cr2 0x40000000
# expect: write by the kernel, page not present: error code 0x2, cr2 0x40000000
# expect: fetch by the kernel, page not present: error code 0x10, cr2 0x40000000
# expect: read by the user, page not present: error code 0x4, cr2 0x40000000
# expect: write by the user, page not present: error code 0x6, cr2 0x40000000
# expect: fetch by the user, page not present: error code 0x14, cr2 0x40000000
# expect: read by the kernel, page read-only: no fault
# expect: write by the kernel, page read-only: error code 0x3, cr2 0x40001000
# expect: read by the user, page of the kernel: error code 0x5, cr2 0x40002000
# expect: write by the user, page of the kernel: error code 0x7, cr2 0x40002000
# expect: fetch by the user, page of the kernel: error code 0x15, cr2 0x40002000
# expect: read by the user, user page read-only: no fault
# expect: write by the user, user page read-only: error code 0x7, cr2 0x40003000
# expect: fetch by the user, user page read-only: no fault
# expect: read by the kernel, page not executable: no fault
# expect: fetch by the kernel, page not executable: error code 0x11, cr2 0x40004000
# expect: fetch by the user, page not executable: error code 0x15, cr2 0x40004000
# expect: write by the user, page not executable: no fault
# expect: read by the kernel, page with a reserved bit: error code 0x9, cr2 0x8000000123
# expect: write by the user, page with a reserved bit: error code 0xf, cr2 0x8000000123
# expect: eight-byte write by the kernel, end of a page before a read-only one: error code 0x3, cr2 0x40001000
# expect: the bytes before the boundary: 0xcccccccc
# expect: CR0.WP off
# expect: write by the kernel, page read-only: no fault
# expect: write by the user, user page read-only: error code 0x7, cr2 0x40003000
# expect: accessed and dirty bits: executed 0x20, written 0x60

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/segments.s"
        .include "asm/paging.s"

        .equ    BREAKPOINT_VECTOR, 3
        .equ    PAGE_FAULT_VECTOR, 14
        .equ    CR0_WP, 1 << 16
        .equ    INT3, 0xcc                      # its opcode
        .equ    NO_FAULT, -1

# Pages of the window.
        .equ    NOT_PRESENT, WINDOW
        .equ    READ_ONLY, WINDOW + 0x1000
        .equ    OF_KERNEL, WINDOW + 0x2000
        .equ    USER_READ_ONLY, WINDOW + 0x3000
        .equ    NOT_EXECUTABLE, WINDOW + 0x4000
        .equ    USER_CODE, WINDOW + 0x5000
        .equ    RESERVED_BIT, 0x8000000123      # behind the second entry of the PML4

# A trial is what is done, by whom, and to which page: three quads.
        .equ    TRIAL_OPERATION, 0
        .equ    TRIAL_RING, 8
        .equ    TRIAL_PAGE, 16
        .equ    TRIAL_SIZE, 24

# Each points to a value and, behind it, a name. A ring's value is where it finds the code of the operations.
        .equ    VALUE, 0
        .equ    NAME, 8
        .equ    RING_CS, 8
        .equ    RING_SS, 16
        .equ    RING_NAME, 24

        .text
        .globl  _start
_start:
        leaq    -8192(%rsp), %rdi
        call    segments_init
        call    idt_init
        set_gate PAGE_FAULT_VECTOR, page_fault
        set_gate BREAKPOINT_VECTOR, breakpoint
        orw     $GATE_DPL3, idt+BREAKPOINT_VECTOR*GATE_SIZE+GATE_TYPE(%rip)
        call    paging_init
        call    map_pages

        movq    %cr0, %rax
        orq     $CR0_WP, %rax
        movq    %rax, %cr0
        leaq    trials(%rip), %rbx
        call    run_trials

        movl    $NOT_PRESENT, %edi              # now something is there, below the read-only page
        leaq    target+KERNEL_PAGE(%rip), %rsi
        call    map_page
        leaq    boundary_trials(%rip), %rbx
        call    run_trials
        leaq    boundary_format(%rip), %rdi
        movl    target+PAGE_SIZE-4(%rip), %esi
        call    printk

        leaq    wp_off(%rip), %rdi
        call    console_puts
        movq    %cr0, %rax
        andq    $~CR0_WP, %rax
        movq    %rax, %cr0
        leaq    wp_off_trials(%rip), %rbx
        call    run_trials

        leaq    bits_format(%rip), %rdi
        movl    window_pt+5*8(%rip), %esi       # USER_CODE
        andl    $(PTE_ACCESSED | PTE_DIRTY), %esi
        movl    window_pt+4*8(%rip), %edx       # NOT_EXECUTABLE, which was also written
        andl    $(PTE_ACCESSED | PTE_DIRTY), %edx
        call    printk
        jmp     power_off

# Maps `target` into the window once for each kind of right.
map_pages:
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $EFER_NXE, %eax
        wrmsr
        movl    $READ_ONLY, %edi
        leaq    target+PTE_PRESENT(%rip), %rsi
        call    map_page
        movl    $OF_KERNEL, %edi
        leaq    target+KERNEL_PAGE(%rip), %rsi
        call    map_page
        movl    $USER_READ_ONLY, %edi
        leaq    target+PTE_PRESENT+PTE_USER(%rip), %rsi
        call    map_page
        movl    $NOT_EXECUTABLE, %edi
        leaq    target+USER_PAGE(%rip), %rsi
        btsq    $PTE_NX_BIT, %rsi
        call    map_page
        movl    $USER_CODE, %edi
        leaq    operations+PTE_PRESENT+PTE_USER(%rip), %rsi
        call    map_page
        leaq    pdpt+USER_PAGE+PTE_HUGE(%rip), %rax
        movq    %rax, pml4+8(%rip)              # reserved there: no page has 512 GiB
        ret

# Runs the trials at %rbx, up to a zero, and prints what each of them did.
run_trials:
        cmpq    $0, TRIAL_OPERATION(%rbx)
        je      3f
        movq    TRIAL_PAGE(%rbx), %rax
        movq    VALUE(%rax), %rdi
        movq    TRIAL_RING(%rbx), %rdx
        movq    TRIAL_OPERATION(%rbx), %rax
        movq    VALUE(%rax), %rsi
        addq    VALUE(%rdx), %rsi
        call    try
        movq    %rax, %r8                       # the error code
        movq    %rdx, %r9                       # CR2
        leaq    no_fault_format(%rip), %rdi
        cmpq    $NO_FAULT, %rax
        je      2f
        leaq    fault_format(%rip), %rdi
2:      movq    TRIAL_OPERATION(%rbx), %rsi
        leaq    NAME(%rsi), %rsi
        movq    TRIAL_RING(%rbx), %rdx
        leaq    RING_NAME(%rdx), %rdx
        movq    TRIAL_PAGE(%rbx), %rcx
        leaq    NAME(%rcx), %rcx
        call    printk
        addq    $TRIAL_SIZE, %rbx
        jmp     run_trials
3:      ret

# Does the operation at %rsi to the address %rdi in the ring at %rdx. Returns the error code and, in %rdx, CR2 of its
# page fault, or NO_FAULT. It leaves by IRETQ, and one of two exceptions brings it back.
try:
        movq    %rsp, stack_of_try(%rip)
        movq    %rsp, %rax
        pushq   RING_SS(%rdx)
        pushq   %rax
        pushq   $RFLAGS_RESERVED
        pushq   RING_CS(%rdx)
        pushq   %rsi
        iretq

page_fault:
        popq    %rax
        movq    %cr2, %rdx
        movq    stack_of_try(%rip), %rsp
        ret

breakpoint:
        movq    $NO_FAULT, %rax
        movq    stack_of_try(%rip), %rsp
        ret

        .data
# A page of code for both rings. Whatever does not fault ends in a breakpoint, and so does `target` when it is executed.
        .balign 4096
operations:
read_operation:
        movb    (%rdi), %al
        int3
write_operation:
        movb    $INT3, (%rdi)
        int3
fetch_operation:
        jmp     *%rdi
write_8_operation:
        movq    $0, (%rdi)
        int3

        .balign 4096
target:
        .fill   PAGE_SIZE, 1, INT3

read:           .quad   read_operation - operations
                .asciz  "read"
write:          .quad   write_operation - operations
                .asciz  "write"
fetch:          .quad   fetch_operation - operations
                .asciz  "fetch"
write_8:        .quad   write_8_operation - operations
                .asciz  "eight-byte write"

kernel:         .quad   operations, KERNEL_CS, KERNEL_DS
                .asciz  "kernel"
user:           .quad   USER_CODE, USER_CS, USER_DS
                .asciz  "user"

not_present:    .quad   NOT_PRESENT
                .asciz  "page not present"
read_only:      .quad   READ_ONLY
                .asciz  "page read-only"
of_kernel:      .quad   OF_KERNEL
                .asciz  "page of the kernel"
user_read_only: .quad   USER_READ_ONLY
                .asciz  "user page read-only"
not_executable: .quad   NOT_EXECUTABLE
                .asciz  "page not executable"
reserved_bit:   .quad   RESERVED_BIT
                .asciz  "page with a reserved bit"
boundary:       .quad   READ_ONLY - 4
                .asciz  "end of a page before a read-only one"

        .balign 8
trials:
        .quad   read, kernel, not_present
        .quad   write, kernel, not_present
        .quad   fetch, kernel, not_present
        .quad   read, user, not_present
        .quad   write, user, not_present
        .quad   fetch, user, not_present
        .quad   read, kernel, read_only
        .quad   write, kernel, read_only
        .quad   read, user, of_kernel
        .quad   write, user, of_kernel
        .quad   fetch, user, of_kernel
        .quad   read, user, user_read_only
        .quad   write, user, user_read_only
        .quad   fetch, user, user_read_only
        .quad   read, kernel, not_executable
        .quad   fetch, kernel, not_executable
        .quad   fetch, user, not_executable
        .quad   write, user, not_executable
        .quad   read, kernel, reserved_bit
        .quad   write, user, reserved_bit
        .quad   0
boundary_trials:
        .quad   write_8, kernel, boundary
        .quad   0
wp_off_trials:
        .quad   write, kernel, read_only
        .quad   write, user, user_read_only
        .quad   0

fault_format:
        .asciz  "%s by the %s, %s: error code 0x%x, cr2 0x%x\n"
no_fault_format:
        .asciz  "%s by the %s, %s: no fault\n"
boundary_format:
        .asciz  "the bytes before the boundary: 0x%x\n"
wp_off:
        .asciz  "CR0.WP off\n"
bits_format:
        .asciz  "accessed and dirty bits: executed 0x%x, written 0x%x\n"

        .bss
        .balign 8
stack_of_try:
        .skip   8
