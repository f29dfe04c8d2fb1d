# 16- and 32-bit code, as in a trampoline on its way to long mode.

.code16
start16:
cli
cld
xorw %ax,%ax
movw %ax,%ds
movw %ax,%ss
mov %ax,%es
movw $0x7c00,%sp
movb $0x41,%al
outb %al,$0xe9
movl $0x11223344,%eax
movl %eax,%cr0
movl %cr0,%eax
lgdtl 0x1000
lgdt 0x1000
lidtl 0x10(%bx)
movw 0x10(%bx,%si),%ax
movw (%di),%cx
movb %al,0x1234
movl 4(%esp),%eax
pushw $8
pushl $8
popl %eax
pushfl
popfl
jmp 1f
nop
1: jnc 1b
.skip 140
jmp start16_end
call start16_end
jnz 1b
ljmp $8,$0x1234
ljmpl $8,$0x12345678
retw
lretl
iretl
rdmsr
wrmsr
int $0x10
hlt
start16_end:
.balign 16, 0xf4        # without a fill GNU as pads with 64-bit NOPs, which mean something else here
.code32
start32:
movl $0x10,%eax
movw %ax,%ds
mov %eax,%es
movl 0x1000,%eax
movl %ebx,0xfee000b0
movl start32_data-start32(%ebx),%ecx
leal 8(,%ecx,4),%edx
orl $0x20,%eax
movl %eax,%cr4
pushl $8
pushw $8
pushl %eax
pusha
popa
pushfl
popfl
xchgl %eax,%eax
incl %eax
decl %ecx
call *0x1000
jmp *(%eax)
lgdt 0x1000
ljmp $8,$0x12345678
jmp start32
.skip 200
jnz start32
call start32
lret
iret
start32_data: .long 1
.code64
start64:
movq %rax,%cr3
iretq
