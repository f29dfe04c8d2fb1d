# System programming in AT&T syntax, one instruction a line: assembled by GNU as and by trapline, the bytes must be the same.

sysretl
sysretq
lgdt (%rax)
lidt 0x10(%rip)
sgdt (%rbx)
sidt (%rcx)
ltr %ax
ltr (%rax)
str %ax
str (%rax)
sldt (%rax)
lldt %cx
lldt (%rcx)
verr %ax
verw (%rax)
verw %ax
clts
lmsw %ax
smsw %eax
smsw (%rax)
invlpg (%rax)
invpcid (%rax),%rbx
invept (%rax),%rbx
invvpid (%rax),%rbx
mov %cr0,%rax
mov %cr2,%rax
mov %cr3,%rax
mov %rax,%cr3
mov %rax,%cr4
mov %cr8,%r9
mov %r9,%cr8
mov %dr6,%rax
mov %rax,%dr7
rdmsr
wrmsr
rdtsc
rdtscp
rdpmc
cpuid
hlt
pause
monitor
mwait
monitorx
mwaitx
vmcall
vmmcall
vmlaunch
vmresume
vmxoff
vmxon (%rax)
vmptrld (%rax)
vmptrst (%rax)
vmclear (%rax)
vmread %rax,%rbx
vmread %rax,(%rbx)
vmwrite %rax,%rbx
vmwrite (%rax),%rbx
vmfunc
stgi
clgi
skinit
vmrun
vmload
vmsave
invlpga
swapgs
syscall
sysenter
sysexit
iretq
lretq
iretw
lretw
int $0x80
int $3
int3
int1
ud2
ud1 (%rax),%ecx
ud0 %eax,%ecx
cli
sti
cld
std
clc
stc
cmc
lahf
sahf
pushfq
popfq
pushf
popf
pushfw
popfw
push %fs
pop %gs
push %gs
pop %fs
pushq $0x10
pushw $0x10
push %r15
pushw %ax
popw %ax
pushq (%rax)
popq (%rax)
enter $16,$0
enter $16,$1
leave
ret
ret $8
lret $8
xgetbv
xsetbv
xsave (%rax)
xsave64 (%rax)
xrstor (%rax)
xrstor64 (%rax)
xsaveopt (%rax)
xsaveopt64 (%rax)
xsavec (%rax)
xsavec64 (%rax)
xsaves (%rax)
xsaves64 (%rax)
xrstors (%rax)
xrstors64 (%rax)
fxsave (%rax)
fxsave64 (%rax)
fxrstor (%rax)
fxrstor64 (%rax)
ldmxcsr (%rax)
stmxcsr (%rax)
fninit
fnclex
fnstcw (%rax)
fldcw (%rax)
fnstsw %ax
fnsave (%rax)
frstor (%rax)
fwait
emms
rdfsbase %rax
rdgsbase %eax
wrfsbase %rax
wrgsbase %ecx
rdrand %eax
rdrand %rax
rdseed %ax
rdpid %rcx
clflush (%rax)
clflushopt (%rax)
clwb (%rax)
prefetcht0 (%rax)
prefetcht1 (%rax)
prefetcht2 (%rax)
prefetchnta (%rax)
prefetchw (%rax)
prefetch (%rax)
lfence
mfence
sfence
serialize
wbinvd
wbnoinvd
invd
endbr64
endbr32
clac
stac
umonitor %rax
umwait %ecx
tpause %edx
rdsspq %rax
incsspq %rax
saveprevssp
setssbsy
xbegin 1f
1: xend
xabort $1
xtest
lar %ax,%eax
lar (%rax),%ecx
larq (%rax),%rcx
lsl %ecx,%eax
lsl (%rcx),%rax
movslq %eax,%rcx
movsxd %eax,%rcx
lcall *(%rax)
ljmp *(%rax)
ljmpw *(%rax)
ljmpl *(%rax)
lcalll *(%rax)
rex.w ljmp *(%rax)
lfs (%rax),%ebx
inb $0x71,%al
inb (%dx),%al
inw (%dx),%ax
inl (%dx),%eax
inl $0x10,%eax
outb %al,$0x70
outw %ax,(%dx)
outl %eax,(%dx)
outl %eax,$0x10
in %dx,%eax
out %eax,%dx
insb
rep insl
rep outsw
outsb
movsb
rep movsq
rep stosl
repne scasb
repe cmpsb
lodsq
lock cmpxchg8b (%rax)
lock cmpxchg16b (%rax)
lock xadd %eax,(%rbx)
lock incl (%rax)
lock orl $0,(%rsp)
lock btsl $5,(%rax)
lock cmpxchg %rcx,(%rdx)
xchg %al,(%rcx)
xlatb
cwtl
cltq
cqto
cltd
cwtd
cbtw
bswap %eax
movbe %eax,(%rax)
movbe (%rax),%cx
movq %gs:0x60,%rax
movl %fs:4,%eax
movq %rax,%gs:8
addq $1,%gs:0x10
movl 0x1000,%eax
movl %ebx,0x1000
jmp *0x2000
call *0x2000
jmp *%gs:0x10
call *%rax
jmp *%r11
jmp *8(%rax,%rcx,8)
call *0x10(%rip)
notrack jmp *%rax
bnd ret
nop
nopl (%rax)
nopw 0x0(%rax,%rax,1)
nop %eax
nopl 8(%rcx,%rdx,4)
data16 nop
xchg %rax,%rax
xchg %eax,%eax
xchg %ax,%ax
movabs $0x123456789abcdef0,%rax
movabs 0x123456789abcdef0,%rax
movabs %al,0x123456789abcdef0
mov $-1,%rax
mov $0xffffffff,%eax
mov $0xffffffff,%rax
movq $-1,(%rax)
movb $0xff,%al
movb $-1,(%rcx)
movw $0xffff,(%rcx)
cmpb $255,%dl
test $1,%al
testl $0x80000000,%eax
testb $0x80,8(%rsp)
shl %cl,%rax
shl $3,%rax
sar %eax
shrd $3,%eax,%ecx
shld %cl,%rax,%rcx
rolw $8,%ax
rcl %al
bt $3,%eax
bts %rax,(%rcx)
btcq $63,%rax
bsf %eax,%ecx
bsr %rax,%rcx
tzcnt %eax,%ecx
lzcnt %eax,%ecx
popcnt %rax,%rcx
imul %rax
imul %rax,%rcx
imul $10,%rax,%rcx
imul $1000,%rax,%rcx
imul $10,%rax
mul %rcx
div %rcx
idivl (%rcx)
crc32b %al,%ecx
crc32q %rax,%rcx
setc %al
setnae (%rax)
cmovnz %eax,%ecx
cmovpe %rax,%rcx
leaq 8(%rax,%rcx,4),%rdx
lea 0x1000(,%rcx,8),%edx
lea (%rip),%rax
movl (%eax),%ecx
cs movl (%rax),%ecx
fs movl (%rax),%ecx
movaps %xmm0,(%rax)
movdqu (%rax),%xmm9
vmovdqu (%rax),%ymm9
vzeroupper
pshufd $0x1b,%xmm0,%xmm1
pextrq $1,%xmm0,%rax
cvtsi2sd %rax,%xmm0
aesenc %xmm1,%xmm2
andn %eax,%ebx,%ecx
bextr %eax,%ebx,%ecx
rorx $3,%eax,%ecx
shlx %eax,%ebx,%ecx
adcx %eax,%ecx
mulx %rax,%rbx,%rcx
lgs (%rax),%ebx
lssl (%rax),%esp
# Values that are known only behind the instruction, and the widths that they get.
forward_values:
addl $FORWARD,%eax
addq $FORWARD,%rax
movb $FORWARD,%al
movw $FORWARD,%cx
outb %al,$FORWARD
shll $FORWARD,%eax
movl FORWARD(%rax),%ebx
movl FORWARD(,%rcx,4),%ebx
movq $FORWARD,(%rax)
pushq $FORWARD
.equ FORWARD, 3
pushq $forward_values
movq $forward_values,%rax
movabs $forward_values,%rax
movl forward_values,%eax
movl %eax,forward_values+4
movl forward_values(%rip),%eax
leaq forward_values+8(%rip),%rcx
cmpl $1,forward_values(%rip)
cmpw $0x1234,forward_values(%rip)
call *table(%rip)
jmp *table(,%rax,8)
movq table-8(,%rax,8),%rcx
movl $(end-forward_values),%ecx
addq $end-forward_values,%rax
.set COUNT, 7
movl $COUNT*2+1,%ecx
movl $(1<<31)|COUNT,%ecx
andl $~(1<<31),%eax
andq $~15,%rsp
movb $'a',%al
movb $'\n',%al
cmpb $'#',%al      # not a comment
cmpb $';',%al; nop
# Branches that just reach and just do not.
short_backward:
.skip 125
jmp short_backward+1
near_backward:
.skip 127
jmp near_backward
jz forward_reach
.skip 127
forward_reach:
jz forward_near
.skip 128
forward_near:
# Each of these pushes the next one out of reach.
.macro chain from, to
jmp chain_\to
.skip 60
chain_\from:
.endm
chain 0, 1
chain 1, 2
chain 2, 3
chain 3, 0
loop forward_loop
jrcxz forward_loop
jecxz forward_loop
.skip 100
forward_loop:
# Repetition and choice.
.rept 3
1: decl %eax
jnz 1b
.endr
.irp register, rax, rcx, r15
pushq %\register
.endr
.irpc digit, 0123
movl $\digit,%eax
.endr
.if COUNT > 5
nop
.else
hlt
.endif
.ifdef COUNT
cli
.endif
.ifndef NOT_DEFINED
sti
.endif
.macro store value:req, at=8
movl $\value,\at(%rsp)
.endm
store 5
store 6, 12
store value=7, at=16
# Gaps.
.p2align 4
ret
.balign 32
ret
.align 64, 0xcc
ret
.p2align 4,,3
ret
.balign 16, 0x90
ret
.balign 512
ret
.org 0x1800
ret
.fill 3, 2, 0x1234
.fill 2, 8, 5
.skip 3, 0x90
end:
.section .rodata
text: .ascii "a\tb\"c\\\0\x41\101", "d"
.asciz "z"
.string "s"
.data
.align 8
table: .quad forward_values, end, table+8, end-forward_values, -1, 0xffffffffffffffff
.long 1, 0x80000000, -1, .-table
.word 65535, -1
.byte 255, -128, 'x', 1+2*3, (1+2)*3, 10%4, 1<<3|1, 7&~2, 5-3-1, 2+3&1
.byte -1 >> 60, !0, 3==3, 3>4, 2!=3 && 1, 0 || 0, 1 ^ 3, 6/2
.bss
.align 16
.skip 100
