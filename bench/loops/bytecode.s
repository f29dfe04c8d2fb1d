# An interpreter for a small stack machine, dispatched through a jump table. It runs a loop of 2 000 000 rounds.
# Result in Xax: the machine's accumulator.
    .equ CODE, 0x400000
    .equ TABLE, 0x401000
    mov $CODE, %Xsi
    movl $0x03020100, (%Xsi)        # LOAD ADD XOR DEC
    movl $0x00000004, 4(%Xsi)       # LOOP
    mov $TABLE, %Xdi
    mov $op_load, %Xax
    mov %Xax, (%Xdi)
    mov $op_add, %Xax
    mov %Xax, WORD(%Xdi)
    mov $op_xor, %Xax
    mov %Xax, 2*WORD(%Xdi)
    mov $op_dec, %Xax
    mov %Xax, 3*WORD(%Xdi)
    mov $op_loop, %Xax
    mov %Xax, 4*WORD(%Xdi)
    xor %ebx, %ebx                  # accumulator
    mov $2000000, %Xcx              # counter
    xor %ebp, %ebp                  # operand
dispatch:
    movzbl (%Xsi), %edx
    inc %Xsi
    jmp *(%Xdi,%Xdx,WORD)
op_load:
    mov %Xcx, %Xbp
    jmp dispatch
op_add:
    add %Xbp, %Xbx
    jmp dispatch
op_xor:
    xor $0x55aa, %Xbx
    jmp dispatch
op_dec:
    dec %Xcx
    jmp dispatch
op_loop:
    test %Xcx, %Xcx
    je done
    mov $CODE, %Xsi
    jmp dispatch
done:
    mov %Xbx, %Xax
    ret
