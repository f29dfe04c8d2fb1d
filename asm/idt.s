# The interrupt descriptor table: one for all vCPUs, with a default handler behind every exception.
# Needs asm/start.s and asm/console.s.
#
#       call    idt_init                        # each vCPU loads the table, the first one fills it before
#       set_gate TIMER_VECTOR, timer_interrupt  # then handlers of the guest's own
#
# A vector without a gate raises #GP, whose error code names it: (vector << 3) | 2 or 3.

        .equ    GATE_INTERRUPT, 0x8e00          # present, DPL 0, 64-bit interrupt gate, no IST
        .equ    IDT_VECTORS, 256
        .equ    EXCEPTION_VECTORS, 32
        .equ    EXCEPTION_STUB_SIZE, 5
        .equ    EXCEPTIONS_WITH_ERROR_CODE, 0x60227d00  # 8, 10 to 14, 17, 21, 29, 30
        .equ    REGISTERS_SIZE, 9 * 8           # what push_registers puts below the interrupt frame

# What a handler does first and last when it calls functions: save and restore the registers that they may change.
        .macro push_registers
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        pushq   %rsi
        pushq   %rdi
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        .endm

        .macro pop_registers
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rdi
        popq    %rsi
        popq    %rdx
        popq    %rcx
        popq    %rax
        .endm

# Makes `handler` the interrupt handler of `vector`.
        .macro set_gate vector, handler
        movl    $\vector, %edi
        leaq    \handler(%rip), %rsi
        call    idt_set_gate
        .endm

        .text

# Puts the default handler behind every exception and loads the table.
idt_init:
        xorl    %ecx, %ecx
        leaq    exception_stubs(%rip), %rdx
1:      movl    %ecx, %edi
        movq    %rdx, %rsi
        call    idt_set_gate
        addq    $EXCEPTION_STUB_SIZE, %rdx
        incl    %ecx
        cmpl    $EXCEPTION_VECTORS, %ecx
        jb      1b

# Loads the table that another vCPU has filled.
idt_load:
        lidt    idt_register(%rip)
        ret

# Makes the function at %rsi the interrupt handler of vector %edi. Clobbers only %rax, %rsi and %rdi.
idt_set_gate:
        shll    $4, %edi
        leaq    idt(%rip), %rax
        addq    %rdi, %rax
        movw    %si, (%rax)
        movw    $KERNEL_CS, 2(%rax)
        movw    $GATE_INTERRUPT, 4(%rax)
        shrq    $16, %rsi
        movw    %si, 6(%rax)
        shrq    $16, %rsi
        movl    %esi, 8(%rax)
        movl    $0, 12(%rax)
        ret

# A CALL takes five bytes and pushes the address behind itself: that is how the common part knows the vector.
exception_stubs:
        .rept   EXCEPTION_VECTORS
        call    unhandled_exception
        .endr

# Says which exception came, where and with what error code, and ends the machine. It does not return, so it saves nothing.
unhandled_exception:
        popq    %rax
        leaq    exception_stubs(%rip), %rcx
        subq    %rcx, %rax
        movl    $EXCEPTION_STUB_SIZE, %ecx
        xorl    %edx, %edx
        divl    %ecx
        decl    %eax                            # the vector
        xorl    %edx, %edx
        movl    $EXCEPTIONS_WITH_ERROR_CODE, %ecx
        btl     %eax, %ecx
        jnc     1f
        popq    %rdx                            # the error code
1:      popq    %rcx                            # RIP
        movq    %cr2, %r8
        leaq    exception_names(%rip), %rsi
        leaq    (%rsi,%rax,4), %rsi
        leaq    exception_format(%rip), %rdi
        call    printk
        movl    $EXIT_EXCEPTION, %edi
        jmp     debug_exit

        .data
exception_format:
        .asciz  "unhandled %s, error code 0x%x, at rip 0x%x, cr2 0x%x\n"
exception_names:
        .ascii  "#DE\0#DB\0NMI\0#BP\0#OF\0#BR\0#UD\0#NM\0#DF\0???\0#TS\0#NP\0#SS\0#GP\0#PF\0???\0"
        .ascii  "#MF\0#AC\0#MC\0#XM\0#VE\0#CP\0???\0???\0???\0???\0???\0???\0#HV\0#VC\0#SX\0???\0"

        .balign 8
idt_register:
        .word   IDT_VECTORS * 16 - 1
        .quad   idt

        .bss
        .balign 16
idt:
        .skip   IDT_VECTORS * 16
