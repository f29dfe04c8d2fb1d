# An interpreter for a small stack machine, dispatched through a jump table. It runs a loop of 2 000 000 rounds.
# Result in RAX: the machine's accumulator.
    .equ CODE, 0x400000
    .equ TABLE, 0x401000
    mov $CODE, %esi
    movl $0x03020100, (%rsi)        # LOAD ADD XOR DEC
    movl $0x00000004, 4(%rsi)       # LOOP
    mov $TABLE, %edi
    lea op_load(%rip), %rax
    mov %rax, (%rdi)
    lea op_add(%rip), %rax
    mov %rax, 8(%rdi)
    lea op_xor(%rip), %rax
    mov %rax, 16(%rdi)
    lea op_dec(%rip), %rax
    mov %rax, 24(%rdi)
    lea op_loop(%rip), %rax
    mov %rax, 32(%rdi)
    xor %ebx, %ebx                  # accumulator
    mov $2000000, %ecx              # counter
    xor %r8d, %r8d                  # operand
dispatch:
    movzbl (%rsi), %edx
    inc %rsi
    jmp *(%rdi,%rdx,8)
op_load:
    mov %rcx, %r8
    jmp dispatch
op_add:
    add %r8, %rbx
    jmp dispatch
op_xor:
    xor $0x55aa, %rbx
    jmp dispatch
op_dec:
    dec %rcx
    jmp dispatch
op_loop:
    test %rcx, %rcx
    je done
    mov $CODE, %esi
    jmp dispatch
done:
    mov %rbx, %rax
    ret
