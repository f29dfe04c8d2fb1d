# The interrupt descriptor table: one for all vCPUs, with a default handler behind every exception.
# Needs asm/start.s and asm/console.s.
#
#       call    idt_init                        # each vCPU loads the table, the first one fills it before
#       set_gate TIMER_VECTOR, timer_interrupt  # then handlers of the guest's own
#
# A vector without a gate raises #GP, whose error code names it: (vector << 3) | 2 or 3.

        .equ    GATE_SIZE, 16
        .equ    GATE_TYPE, 4                    # offset of type, DPL, present bit and IST
        .equ    GATE_INTERRUPT, 0x8e00          # present, DPL 0, turns interrupts off
        .equ    GATE_TRAP, 0x8f00               # present, DPL 0, leaves them as they are
        .equ    GATE_DPL3, 0x6000               # with this, ring 3 may use the gate by INT
        .equ    IDT_VECTORS, 256
        .equ    EXCEPTION_VECTORS, 32
        .equ    EXCEPTION_STUB_SIZE, 5
        .equ    EXCEPTIONS_WITH_ERROR_CODE, 0x60227d00  # 8, 10 to 14, 17, 21, 29, 30

# What the processor pushes: the frame of an interrupt, above the error code if there is one.
        .equ    FRAME_RIP, 0
        .equ    FRAME_CS, 8
        .equ    FRAME_RFLAGS, 16
        .equ    FRAME_RSP, 24
        .equ    FRAME_SS, 32
        .equ    FRAME_SIZE, 40
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
        movw    $GATE_INTERRUPT, GATE_TYPE(%rax)
        shrq    $16, %rsi
        movw    %si, 6(%rax)
        shrq    $16, %rsi
        movl    %esi, 8(%rax)
        movl    $0, 12(%rax)
        ret

# A CALL takes five bytes and pushes the address behind itself: that is how the common part knows the vector.
exception_stubs:
        .rept   EXCEPTION_VECTORS
        call    exception
        .endr

# Jumps to `exception_handler` with the vector in %edi, the error code (or 0) in %rsi, the frame in %rsp. Nothing is
# saved.
exception:
        popq    %rax
        leaq    exception_stubs(%rip), %rcx
        subq    %rcx, %rax
        movl    $EXCEPTION_STUB_SIZE, %ecx
        xorl    %edx, %edx
        divl    %ecx
        leal    -1(%rax), %edi
        xorl    %esi, %esi
        movl    $EXCEPTIONS_WITH_ERROR_CODE, %ecx
        btl     %edi, %ecx
        jnc     1f
        popq    %rsi
1:      jmp     *exception_handler(%rip)

# Says which exception came, where and with what error code, and ends the machine.
unhandled_exception:
        movq    %rsi, %rdx
        leaq    exception_names(%rip), %rsi
        leaq    (%rsi,%rdi,4), %rsi
        movq    FRAME_RIP(%rsp), %rcx
        movq    %cr2, %r8
        leaq    exception_format(%rip), %rdi
        call    printk
        movl    $EXIT_EXCEPTION, %edi
        jmp     debug_exit

        .data
        .balign 8
exception_handler:                              # where the default gates lead
        .quad   unhandled_exception
exception_format:
        .asciz  "unhandled %s, error code 0x%x, at rip 0x%x, cr2 0x%x\n"
exception_names:                                # four bytes each
        .ascii  "#DE\0#DB\0NMI\0#BP\0#OF\0#BR\0#UD\0#NM\0#DF\0???\0#TS\0#NP\0#SS\0#GP\0#PF\0???\0"
        .ascii  "#MF\0#AC\0#MC\0#XM\0#VE\0#CP\0???\0???\0???\0???\0???\0???\0#HV\0#VC\0#SX\0???\0"

        .balign 8
idt_register:
        .word   IDT_VECTORS * GATE_SIZE - 1
        .quad   idt

        .bss
        .balign 16
idt:
        .skip   IDT_VECTORS * GATE_SIZE
