# A bzImage in which nothing is compressed: a setup header, and 64-bit code that prints what it finds in the zero page.
#
# boot: linux
# memory: 16M
# expect: command line: *
# expect: initrd of 0 bytes
# expect: 4 ranges
# expect: 0 9fc00 1
# expect: 9fc00 400 2
# expect: f0000 10000 2
# expect: 100000 f00000 1
# expect: loader 255, kernel at 100400
# expect: segments 10 18
# expect: mapped up to 0xffffffff

        .set    SECTOR, 512
        .set    COMMAND_LINE, 0x228
        .set    MAP_ENTRIES, 0x1e8
        .set    MAP, 0x2d0
        .set    MAP_ENTRY, 20

        .text
        # The boot sector and the setup code, which no 64-bit loader runs.
image:  .org    0x1f1
        .byte   1                       # setup_sects: one behind this
        .org    0x1fe
        .word   0xaa55                  # boot_flag
        .byte   0xeb, header_end - (jump_end)
jump_end:
        .ascii  "HdrS"
        .word   0x020f                  # version
        .org    0x211
        .byte   1                       # loadflags: loaded high
        .org    0x214
        .long   0x100000                # code32_start
        .org    0x22c
        .long   0x7fffffff              # initrd_addr_max
        .long   0x200000                # kernel_alignment
        .byte   0, 0                    # not relocatable
        .word   1                       # xloadflags: a 64-bit entry
        .long   255                     # cmdline_size
        .org    0x258
        .quad   kernel                  # pref_address: where this is assembled to lie
        .long   0x10000                 # init_size
        .long   0
header_end:

        .org    2 * SECTOR
kernel: hlt                             # the 32-bit entry
        .org    2 * SECTOR + 0x200
        .globl  _start
_start: leaq    stack_end(%rip), %rsp
        movq    %rsi, %rbx              # the zero page

        leaq    line_is(%rip), %rdi
        movl    COMMAND_LINE(%rbx), %esi
        call    printk

        movl    0x21c(%rbx), %esi
        leaq    initrd_is(%rip), %rdi
        call    printk
        movl    0x21c(%rbx), %ecx
        movl    0x218(%rbx), %esi
        jecxz   2f
1:      movzbl  (%rsi), %edi
        push    %rsi
        push    %rcx
        call    console_putc
        pop     %rcx
        pop     %rsi
        incq    %rsi
        loop    1b

2:      movzbl  MAP_ENTRIES(%rbx), %r12d
        leaq    ranges_are(%rip), %rdi
        movl    %r12d, %esi
        call    printk
        leaq    MAP(%rbx), %r13
3:      leaq    range_is(%rip), %rdi
        movq    (%r13), %rsi
        movq    8(%r13), %rdx
        movl    16(%r13), %ecx
        call    printk
        addq    $MAP_ENTRY, %r13
        decl    %r12d
        jnz     3b

        leaq    loader_is(%rip), %rdi
        movzbl  0x210(%rbx), %esi
        movl    0x214(%rbx), %edx
        call    printk
        leaq    segments_are(%rip), %rdi
        movl    %cs, %esi
        movl    %ss, %edx
        call    printk
        # The loader maps the addresses of the devices too.
        movl    $0xfee00030, %eax
        movl    (%rax), %eax
        leaq    mapped_is(%rip), %rdi
        call    printk
        jmp     power_off

        .include "asm/start.s"
        .include "asm/console.s"

        .text
line_is: .asciz "command line: %s\n"
initrd_is: .asciz "initrd of %u bytes\n"
ranges_are: .asciz "%u ranges\n"
range_is: .asciz "%x %x %u\n"
loader_is: .asciz "loader %u, kernel at %x\n"
segments_are: .asciz "segments %x %x\n"
mapped_is: .asciz "mapped up to 0xffffffff\n"
        .balign 16
        .skip   4096
stack_end:
