# A boot sector that tries what the BIOS does for it, and loads its second sector in two ways.
#
# boot: boot-sector
# memory: 16M
# expect: drive 0080
# expect: by cylinder, head and sector: second
# expect: by address: second
# expect: memory 027f
# expect: extended 3c00
# expect: map 00000000 0009fc00 0001
# expect: map 0009fc00 00000400 0002
# expect: map 000f0000 00010000 0002
# expect: map 00100000 00f00000 0001
# expect: mode 5003
# expect: ticks
# expect: absent 0001 0001

        .code16
        .text
        .globl  _start
_start:
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        movb    %dl, drive

        movw    $drive_is, %si
        call    puts
        movzbw  drive, %ax
        call    hex_line

        movw    $by_chs, %si
        call    puts
        movw    $0x0201, %ax            # read a sector
        movw    $0x0002, %cx            # cylinder 0, sector 2
        movb    $0, %dh
        movb    drive, %dl
        movw    $buffer, %bx
        int     $0x13
        jc      failed
        movw    $buffer, %si
        call    puts
        movw    $buffer, %di
        movw    $256, %cx
        xorw    %ax, %ax
        rep stosw

        movw    $by_lba, %si
        call    puts
        movb    $0x42, %ah
        movb    drive, %dl
        movw    $packet, %si
        int     $0x13
        jc      failed
        movw    $buffer, %si
        call    puts
        jmp     second

failed: movw    $failed_is, %si
        call    puts
        jmp     power_off

# SI: a string that ends with a zero byte.
puts:   lodsb
        testb   %al, %al
        jz      1f
        movb    $0x0e, %ah
        xorw    %bx, %bx
        int     $0x10
        jmp     puts
1:      ret

# AX in hexadecimal.
hex:    pushw   %cx
        movw    %ax, %bp
        movw    $4, %cx
1:      rolw    $4, %bp
        movw    %bp, %ax
        andb    $15, %al
        cmpb    $10, %al
        sbbb    $0x69, %al
        das
        orb     $0x20, %al
        movb    $0x0e, %ah
        xorw    %bx, %bx
        int     $0x10
        loop    1b
        popw    %cx
        ret

hex_line:
        call    hex
newline:
        movw    $line_end, %si
        jmp     puts

power_off:
        movw    $0x604, %dx
        movw    $0x2000, %ax
        outw    %ax, %dx
1:      hlt
        jmp     1b

drive:  .byte   0
        .balign 4
# Read one sector, number 1, to 0000:buffer.
packet: .byte   16, 0
        .word   1, buffer, 0
        .quad   1

drive_is: .asciz "drive "
by_chs: .asciz  "by cylinder, head and sector: "
by_lba: .asciz  "by address: "
failed_is: .asciz "the disk failed\r\n"
line_end: .asciz "\r\n"

        .org    510
        .word   0xaa55
        .set    buffer, 0x7e00

# The second sector, which runs where it was loaded.
text:   .asciz  "second\r\n"
second: movw    $memory_is, %si
        call    puts
        int     $0x12
        call    hex_line
        movw    $extended_is, %si
        call    puts
        movb    $0x88, %ah
        int     $0x15
        call    hex_line

        xorl    %ebx, %ebx
1:      movl    $0xe820, %eax
        movl    $0x534d4150, %edx
        movl    $20, %ecx
        movw    $range, %di
        int     $0x15
        jc      2f
        pushl   %ebx
        movw    $map_is, %si
        call    puts
        movw    range + 2, %ax
        call    hex
        movw    range, %ax
        call    hex
        call    space
        movw    range + 10, %ax
        call    hex
        movw    range + 8, %ax
        call    hex
        call    space
        movw    range + 16, %ax
        call    hex_line
        popl    %ebx
        testl   %ebx, %ebx
        jnz     1b

2:      movw    $mode_is, %si
        call    puts
        movb    $0x0f, %ah
        int     $0x10
        call    hex_line

        # The timer counts while the processor waits.
        movb    $0, %ah
        int     $0x1a
        movw    %dx, %bp
3:      hlt
        movb    $0, %ah
        int     $0x1a
        cmpw    %bp, %dx
        je      3b
        movw    $ticks_are, %si
        call    puts

        # A drive that is not there.
        movw    $absent_is, %si
        call    puts
        movw    $0x0201, %ax
        movw    $0x0001, %cx
        movw    $0x0099, %dx
        movw    $range, %bx
        int     $0x13
        pushfw
        movb    %ah, %al
        movb    $0, %ah
        call    hex
        call    space
        popw    %ax
        andw    $1, %ax
        call    hex_line
        jmp     power_off

space:  movw    $0x0e20, %ax
        xorw    %bx, %bx
        int     $0x10
        ret

memory_is: .asciz "memory "
extended_is: .asciz "extended "
map_is: .asciz  "map "
mode_is: .asciz "mode "
ticks_are: .asciz "ticks\r\n"
absent_is: .asciz "absent "
        .balign 4
range:  .skip   20
        .org    1024
