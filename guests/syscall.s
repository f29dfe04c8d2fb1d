# A kernel with one user program in ring 3: system calls through SYSCALL and SYSRET with SWAPGS, an interrupt gate
# that ring 3 may use, a timer that preempts it, and a privileged instruction that ends it.
#
# expect: user: hello from ring 3
# expect: user: 1000 system calls, * cycles each
# expect: user: getpid is 4711, call 99 returns -38
# expect: kernel: int $0x80 from cs 0x33
# expect: kernel: timer interrupt from cs 0x33
# expect: user: preempted and resumed
# expect: kernel: #GP(0) from cs 0x33, ring 3
# max-cycles: 20M

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/segments.s"
        .include "asm/paging.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"

        .equ    GP_VECTOR, 13
        .equ    SYSCALL_VECTOR, 0x80            # IA32_SYSCALL_VECTOR of Linux
        .equ    TIMER_VECTOR, 0xec
        .equ    ALARM, 50000                    # cycles

        .equ    USER_CODE, WINDOW               # the user program's two pages
        .equ    USER_STACK, WINDOW + PAGE_SIZE

        .equ    SYS_GETPID, 0
        .equ    SYS_PRINT, 1                    # %rdi: format, %rsi, %rdx: values
        .equ    SYS_ALARM, 2                    # the timer fires soon
        .equ    SYSCALLS, 3
        .equ    ENOSYS, 38
        .equ    PID, 4711
        .equ    CALLS, 1000

# For MSR_STAR: SYSCALL takes CS 0x10 and SS 0x18; SYSRET takes CS 0x20 + 16 and SS 0x20 + 8, in ring 3.
        .equ    STAR_SELECTORS, (0x23 << 48) | (KERNEL_CS << 32)

        .text
        .globl  _start
_start:
        call    percpu_init
        movq    %rsp, %gs:kernel_stack(%rip)
        leaq    -8192(%rsp), %rdi               # interrupts from ring 3 have the lower half of the stack
        call    segments_init
        call    idt_init
        set_gate GP_VECTOR, general_protection
        set_gate TIMER_VECTOR, timer_interrupt
        set_gate SYSCALL_VECTOR, int80
        orw     $GATE_DPL3, idt+SYSCALL_VECTOR*GATE_SIZE+GATE_TYPE(%rip)
        call    x2apic_enable
        movl    $TIMER_VECTOR, %edi
        call    timer_init
        call    syscall_init

        call    paging_init
        movl    $USER_CODE, %edi
        leaq    user_program+USER_PAGE(%rip), %rsi
        call    map_page
        movl    $USER_STACK, %edi
        leaq    user_stack+USER_PAGE(%rip), %rsi
        call    map_page

        movl    $USER_CODE, %edi
        movl    $(USER_STACK + PAGE_SIZE), %esi
        movl    $(RFLAGS_IF | RFLAGS_RESERVED), %edx
        swapgs                                  # ring 3 has a GS base of its own
        jmp     enter_user

syscall_init:
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $EFER_SCE, %eax
        wrmsr
        movabsq $STAR_SELECTORS, %rax
        write_msr MSR_STAR
        leaq    syscall_entry(%rip), %rax
        write_msr MSR_LSTAR
        movl    $RFLAGS_IF, %eax                # SYSCALL turns interrupts off
        write_msr MSR_FMASK
        ret

# %rax: number of the call, its arguments in %rdi, %rsi, %rdx. SYSCALL has put RIP into %rcx and RFLAGS into %r11 and
# changed nothing else: not even the stack.
syscall_entry:
        swapgs
        movq    %rsp, %gs:user_rsp(%rip)
        movq    %gs:kernel_stack(%rip), %rsp
        pushq   %gs:user_rsp(%rip)
        pushq   %rcx
        pushq   %r11
        cmpq    $SYSCALLS, %rax
        jae     1f
        leaq    syscall_table(%rip), %rcx
        call    *(%rcx,%rax,8)
        jmp     2f
1:      movq    $-ENOSYS, %rax
2:      popq    %r11
        popq    %rcx
        popq    %rsp
        swapgs
        sysretq

sys_getpid:
        movl    $PID, %eax
        ret

sys_print:
        call    printk
        xorl    %eax, %eax
        ret

sys_alarm:
        read_tsc
        leaq    ALARM(%rax), %rdi
        call    timer_arm
        xorl    %eax, %eax
        ret

# The handlers find the stack of the TSS. They use no per-CPU variables, so GS may stay the user's.
int80:
        push_registers
        movq    REGISTERS_SIZE+FRAME_CS(%rsp), %rsi
        leaq    int80_format(%rip), %rdi
        call    printk
        pop_registers
        iretq

timer_interrupt:
        push_registers
        movq    REGISTERS_SIZE+FRAME_CS(%rsp), %rsi
        leaq    timer_format(%rip), %rdi
        call    printk
        incl    preemptions(%rip)
        x2apic_eoi
        pop_registers
        iretq

general_protection:
        popq    %rsi                            # the error code
        movq    FRAME_CS(%rsp), %rdx
        movl    %edx, %ecx
        andl    $3, %ecx
        leaq    gp_format(%rip), %rdi
        call    printk
        jmp     power_off

        .data
        .balign 8
syscall_table:
        .quad   sys_getpid, sys_print, sys_alarm
int80_format:
        .asciz  "kernel: int $0x80 from cs 0x%x\n"
timer_format:
        .asciz  "kernel: timer interrupt from cs 0x%x\n"
gp_format:
        .asciz  "kernel: #GP(%u) from cs 0x%x, ring %u\n"

# The user program: one page of code and data, seen in ring 3 at USER_CODE. It reaches everything relative to RIP.
        .balign 4096
user_program:
        leaq    hello_format(%rip), %rdi
        movl    $SYS_PRINT, %eax
        syscall

        rdtsc
        movl    %eax, %ebp
        movl    $CALLS, %ebx
1:      movl    $SYS_GETPID, %eax
        syscall
        decl    %ebx
        jnz     1b
        rdtsc
        subl    %ebp, %eax
        xorl    %edx, %edx
        movl    $CALLS, %ecx
        divl    %ecx
        movl    %eax, %edx
        movl    $CALLS, %esi
        leaq    calls_format(%rip), %rdi
        movl    $SYS_PRINT, %eax
        syscall

        movl    $SYS_GETPID, %eax
        syscall
        movq    %rax, %rbx
        movl    $99, %eax
        syscall
        negq    %rax
        movq    %rax, %rdx
        movq    %rbx, %rsi
        leaq    results_format(%rip), %rdi
        movl    $SYS_PRINT, %eax
        syscall

        int     $SYSCALL_VECTOR

        movl    $SYS_ALARM, %eax
        syscall
2:      cmpl    $0, preemptions(%rip)
        je      2b
        leaq    preempted_format(%rip), %rdi
        movl    $SYS_PRINT, %eax
        syscall

        hlt                                     # not for ring 3

hello_format:
        .asciz  "user: hello from ring 3\n"
calls_format:
        .asciz  "user: %u system calls, %u cycles each\n"
results_format:
        .asciz  "user: getpid is %u, call 99 returns -%u\n"
preempted_format:
        .asciz  "user: preempted and resumed\n"
        .balign 4
preemptions:
        .long   0

        .bss
        .balign 4096
user_stack:
        .skip   PAGE_SIZE

        percpu_begin
kernel_stack:
        .skip   8
user_rsp:
        .skip   8
        percpu_end
