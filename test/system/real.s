# Real mode (vol. 3, 20.1): segments are 16 times their selectors, limits are those of reset or of protected mode ("unreal
# mode"), exceptions have no error codes.

        .include "test/system/include/case.s"
        .include "test/system/include/legacy.s"

# Makes the vector lead to `label`. Needs %ax; ES is lost.
        .macro vector number, label
        movw    $(VECTOR_TABLE / 16), %ax
        movw    %ax, %es
        movw    $(\label - HMA_BASE), %es:(4 * (\number))
        movw    $HMA, %es:(4 * (\number) + 2)
        .endm

# Loads ES with the selector of a descriptor, in protected mode for a moment.
        .macro borrow selector
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        movw    $(\selector), %dx
        movw    %dx, %es
        andb    $0xfe, %al
        movl    %eax, %cr0
        .endm

        .macro single instruction:vararg
        real
1:      \instruction
        outcome
        .endm

        .text
cases:
        case    "an exception pushes FLAGS, CS and IP, and no error code", 1f # vol. 3, 20.1.4
        real
        vector  6, 2f
        stc
1:      ud2
2:      popw    %ax
        subw    $(1b - HMA_BASE), %ax
        popw    %bx
        popw    %cx
        outcome
        show    rax, rbx, rcx
        #= ok, rax=0, rbx=ffff, rcx=3

        case    "INT clears IF and TF" # vol. 2, INT n
        real
        vector  0x40, 2f
        pushw   $(RFLAGS_IF | 2)
        popfw
        int     $0x40
2:      pushfw
        popw    %ax
        addw    $4, %sp
        popw    %bx
        outcome
        show    rax, rbx
        #= ok, rax=2, rbx=202

        case    "IRET goes back with FLAGS"
        real
        vector  0x40, 2f
        pushw   $(RFLAGS_IF | 2)
        popfw
        int     $0x40
        pushfw
        popw    %bx
        jmp     3f
2:      movw    $1, %cx
        iretw
3:      outcome
        show    rbx, rcx
        #= ok, rbx=202, rcx=1

        case    "IRET of 32 bits loads EFLAGS but VM" # vol. 2, IRET
        real
        pushl   $0x24fed7                       # without RF
        pushl   $HMA
        pushl   $(2f - HMA_BASE)
        iretl
2:      outcome
        show_event rflags
        #= ok, rflags=7ed7

        case    "IRET beyond the limit", 1f
        real
        pushl   $2
        pushl   $HMA
        pushl   $0x10000
1:      iretl
        outcome
        #= #GP, rsp-c

        case    "an IDT that is too short for the vector", 1f # vol. 2, INT n: #GP
        real
        movw    $0xff, real_idt_register - HMA_BASE
        lidtl   real_idt_register - HMA_BASE
        movw    $1023, real_idt_register - HMA_BASE
1:      int     $0x40
        outcome
        #= #GP

        case    "the table may be anywhere"
        real
        movw    %cs, %ax
        movw    %ax, %ds
        movl    $table, %eax
        movl    %eax, table_register + 2 - HMA_BASE
        lidtl   table_register - HMA_BASE
        int     $2
        ud2
table_handler:
        lidtl   real_idt_register - HMA_BASE
        outcome
        #= ok, rsp-6

        case    "a segment load sets the base"
        real
        movw    $0xfff0, %ax
        movw    %ax, %es
        movw    %es:0xf0, %bx
        movw    0, %cx
        xorw    %bx, %cx
        movw    %es, %dx
        outcome
        show    rcx, rdx
        #= ok, rcx=0, rdx=fff0

        case    "a read beyond 64 KiB", 1f
        single  movw 0xffff, %ax
        #= #GP

        case    "a read of the last byte", 1f
        single  movb 0xffff, %al
        #= ok

        case    "a read beyond 64 KiB through SS", 1f
        single  movw %ss:0xffff, %ax
        #= #SS

        case    "a read beyond 64 KiB by a 32-bit address", 1f
        single  movb 0x10000(%ebx), %al
        #= #GP

        case    "a far pointer that only half lies within the limit", 1f
        single  lesw 0xfffd, %ax
        #= #GP

        case    "code may be written"
        real
        movb    $0x42, %cs:3f - HMA_BASE + 1
3:      movb    $0, %al
        outcome
        show    rax
        #= ok, rax=42

        case    "the limit of protected mode lives on" # vol. 3, 9.9.2
        real
        borrow  P_DATA
        movl    $0x405008, %edi
        movl    %es:(%edi), %ebx
        xorl    %edx, %edx
        movw    %dx, %es
        movl    %es:(%edi), %ecx
        outcome
        show    rbx, rcx
        #= ok, rbx=ffff, rcx=ffff

        case    "a small limit lives on", 1f
        real
        borrow  P_SMALL
        movw    $0x6000, %ax
        movw    %ax, %es
        movb    %es:0xfff, %al
1:      movb    %es:0x1000, %al
        outcome
        #= #GP

        case    "POP to SS, and its stack"
        real
        movw    $(REAL_SS - 0x10), %ax
        pushw   %ax
        popw    %ss
        addw    $0x100, %sp
        pushw   $0x1234
        popw    %bx
        subw    $0x100, %sp
        movw    $REAL_SS, %ax
        movw    %ss, %cx
        movw    %ax, %ss
        outcome
        show    rbx, rcx
        #= ok, rbx=1234, rcx=6ff0

        case    "LDS and LSS"
        real
        pushw   $0x1234
        pushw   $0x5678
        movw    %sp, %bp
        ldsw    (%bp), %ax
        movw    %ds, %bx
        movw    $HMA, %dx
        movw    %dx, %ds
        movl    $(REAL_SS << 16 | REAL_SP), %ecx
        movl    %ecx, (%bp)
        lssw    (%bp), %sp
        outcome
        show    rax, rbx
        #= ok, rax=5678, rbx=1234

        case    "JMP FAR to another segment of the same place"
        real
        ljmp    $(HMA - 0x100), $(2f - HMA_BASE + 0x1000)
        ud2
2:      movw    %cs, %bx
        outcome
        show    rbx
        #= ok, rbx=feff

        case    "JMP FAR beyond the limit", 1f
        single  ljmpl $HMA, $0x10000
        #= #GP

        case    "CALL FAR beyond the limit", 1f
        single  lcalll $HMA, $0x10000
        #= #GP

        case    "CALL FAR and RET FAR"
        real
        lcall   $HMA, $(2f - HMA_BASE)
3:      jmp     4f
2:      movw    %sp, %bp
        movw    (%bp), %ax
        subw    $(3b - HMA_BASE), %ax
        movw    2(%bp), %bx
        lretw
4:      outcome
        show    rax, rbx, rbp
        #= ok, rax=0, rbx=ffff, rbp=7ffc

        case    "CALL FAR of 32 bits pushes two words of 32 bits"
        real
        lcalll  $HMA, $(2f - HMA_BASE)
3:      jmp     4f
2:      movw    %sp, %bp
        movl    (%bp), %eax
        subl    $(3b - HMA_BASE), %eax
        movw    4(%bp), %bx
        lretl
4:      outcome
        show    rax, rbx, rbp
        #= ok, rax=0, rbx=ffff, rbp=7ff8

        case    "CALL FAR through memory, RET FAR that releases words"
        real
        pushw   $1
        pushw   $HMA
        pushw   $(2f - HMA_BASE)
        movw    %sp, %bp
        lcallw  *(%bp)
        jmp     4f
2:      lretw   $6
4:      outcome
        #= ok

        case    "RET FAR beyond the limit", 1f
        real
        pushl   $HMA
        pushl   $0x10000
1:      lretl
        outcome
        #= #GP, rsp-8

        case    "INTO"
        real
        vector  4, 2f
        into
        movb    $0x7f, %al
        incb    %al
        into
3:      ud2
2:      popw    %ax
        subw    $(3b - HMA_BASE), %ax
        addw    $4, %sp
        outcome
        show    rax
        #= ok, rax=0

        case    "PUSHA and POPA of 16 bits"
        real
        movl    $0x11110001, %eax
        movl    $0x22220002, %ecx
        movl    $0x33330003, %ebx
        movl    $0x44440004, %ebp
        pushaw
        movl    $0x55555555, %ecx
        movl    %ecx, %ebx
        movw    %sp, %si
        movw    %ss:6(%si), %di
        movl    %edi, %edx
        movl    $0x66666666, %ebp
        popaw
        outcome
        show    rax, rcx, rbx, rbp, rdx
        #= ok, rax=11110001, rcx=55550002, rbx=55550003, rbp=66660004, rdx=0

        case    "PUSHA keeps the SP of before"
        real
        pushal
        movw    %sp, %bp
        movl    12(%bp), %eax
        addw    $32, %sp
        outcome
        show    rax, rbp
        #= ok, rax=8000, rbp=7fe0

        case    "ENTER and LEAVE of 16 bits"
        real
        movl    $0x12347000, %ebp
        enter   $8, $0
        movl    %ebp, %eax
        movw    %sp, %bx
        leave
        outcome
        show    rax, rbx, rbp
        #= ok, rax=12347ffe, rbx=7ff6, rbp=12347000

        case    "ENTER copies frames below BP"
        real
        movl    $0x7800, %ebp
        movw    $0x1111, -2(%bp)
        movw    $0x2222, -4(%bp)
        enter   $4, $3
        movw    -2(%bp), %ax
        movw    -4(%bp), %bx
        movw    -6(%bp), %cx
        movw    %sp, %dx
        movw    $REAL_SP, %sp
        outcome
        show    rax, rbx, rcx, rdx
        #= ok, rax=1111, rbx=2222, rcx=7ffe, rdx=7ff4

        case    "SP wraps at 64 KiB"
        real
        xorw    %sp, %sp
        pushw   $0x1234
        movw    %sp, %ax
        popw    %bx
        movw    %sp, %cx
        movw    $REAL_SP, %sp
        outcome
        show    rax, rbx, rcx
        #= ok, rax=fffe, rbx=1234, rcx=0

        case    "POPF changes IOPL and NT"
        real
        pushw   $0x7202
        popfw
        outcome
        show_event rflags
        #= ok, rflags=7202

        case    "LGDT of 16 bits takes 24 bits of the base" # vol. 2, LGDT
        real
        movw    $0x1234, far - HMA_BASE
        movl    $0xab123456, far + 2 - HMA_BASE
        lgdtw   far - HMA_BASE
        sgdtl   far + 8 - HMA_BASE
        movw    far + 8 - HMA_BASE, %bx
        movl    far + 10 - HMA_BASE, %ecx
        lgdtl   legacy_gdt_register - HMA_BASE
        outcome
        show    rbx, rcx
        #= ok, rbx=1234, rcx=123456

        case    "LGDT of 32 bits takes all"
        real
        movw    $0x1234, far - HMA_BASE
        movl    $0xab123456, far + 2 - HMA_BASE
        lgdtl   far - HMA_BASE
        sgdtw   far + 8 - HMA_BASE              # stores 32 bits too (vol. 2, SGDT)
        movl    far + 10 - HMA_BASE, %ecx
        lgdtl   legacy_gdt_register - HMA_BASE
        outcome
        show    rcx
        #= ok, rcx=ab123456

        case    "SLDT", 1f
        single  sldtw %ax
        #= #UD

        case    "STR", 1f
        single  strw %ax
        #= #UD

        case    "LLDT", 1f
        single  lldtw %ax
        #= #UD

        case    "LTR", 1f
        single  ltrw %ax
        #= #UD

        case    "LAR", 1f
        single  larw %ax, %ax
        #= #UD

        case    "LSL", 1f
        single  lslw %ax, %ax
        #= #UD

        case    "VERR", 1f
        single  verrw %ax
        #= #UD

        case    "VERW", 1f
        single  verw  %ax
        #= #UD

        case    "ARPL", 1f
        single  arpl %ax, %ax
        #= #UD

        case    "SYSENTER", 1f
        single  sysenter
        #= #GP

        case    "SYSEXIT", 1f
        single  sysexit
        #= #GP

        case    "SYSCALL", 1f
        single  syscall
        #= #UD

        end_cases

        .data
        .balign 8
far:    .quad   0, 0
table_register:
        .word   11
        .long   0
table:  .word   0, 0, 0, 0
        .word   table_handler - HMA_BASE, HMA
