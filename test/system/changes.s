# Rights and mappings that change between two accesses to one page: nothing that a processor remembers may show
# (vol. 3, 4.10.4, and 2.5 for the bits of CR0 and CR4).

        .include "test/system/include/case.s"
        .include "test/system/include/window.s"

# Code at the start of PAGE, through the supervisor's address: `mov $number, %eax; ret`.
        .macro put_code page, number
        movabsq $(KERNEL + (\page)), %rax
        movb    $0xb8, (%rax)
        movl    $(\number), 1(%rax)
        movb    $0xc3, 5(%rax)
        .endm

# Lets the window's entry `index` be another one.
        .macro remap index, low
        movabsq $(KERNEL + WINDOW_PT + 8 * (\index)), %rax
        movq    $(\low), (%rax)
        .endm

        .text
cases:
        case    "WP between two writes", 1f
        map     PAGE | P
        movl    %eax, (%rbx)
        set_cr  cr0, CR0_WP
1:      movl    %eax, (%rbx)
        outcome
        #= #PF(3), cr2=40000000

        case    "WP and back"
        map     PAGE | P
        set_cr  cr0, CR0_WP
        movl    (%rbx), %eax
        movq    %cr0, %rax
        andl    $~CR0_WP, %eax
        movq    %rax, %cr0
        movl    %eax, (%rbx)
        outcome
        #= ok

        case    "SMAP between two reads", 1f
        map     PAGE | ALL
        movl    (%rbx), %eax
        set_cr  cr4, CR4_SMAP
1:      movl    (%rbx), %eax
        outcome
        #= #PF(1), cr2=40000000

        case    "CLAC between two reads", 1f
        map     PAGE | ALL
        set_cr  cr4, CR4_SMAP
        stac
        movl    (%rbx), %eax
        clac
1:      movl    (%rbx), %eax
        outcome
        #= #PF(1), cr2=40000000

        case    "POPF that clears AC between two writes", 1f
        map     PAGE | ALL
        set_cr  cr4, CR4_SMAP
        stac
        movl    %eax, (%rbx)
        pushq   $2
        popfq
1:      movl    %eax, (%rbx)
        outcome
        #= #PF(3), cr2=40000000

        case    "an interrupt leaves AC, IRET takes it", 1f
        map     PAGE | ALL
        set_cr  cr4, CR4_SMAP
        stac
        leaq    1f(%rip), %rax
        movq    %rsp, %rcx
        pushq   $KERNEL_DS
        pushq   %rcx
        pushq   $2
        pushq   $KERNEL_CS
        pushq   %rax
        movl    (%rbx), %edx
        iretq
1:      movl    (%rbx), %edx
        outcome
        #= #PF(1), cr2=40000000

        case    "SMEP between two calls"
        map     PAGE | ALL
        put_code PAGE, 0x11
        call    *%rbx
        movl    %eax, %ecx
        set_cr  cr4, CR4_SMEP
        call    *%rbx
        outcome
        show    rcx
        #= #PF(11) at =40000000, cr2=40000000, rsp-8, rcx=11

        case    "a supervisor page, then ring 3", 1f
        map     PAGE | P | W
        movl    (%rbx), %eax
        user
1:      movl    (%rbx), %eax
        outcome
        #= #PF(5), ring 3, cr2=40000000

        case    "NX after a call"
        write_msr EFER, EFER_FIRST | EFER_NXE
        map     PAGE | ALL
        put_code PAGE, 0x11
        call    *%rbx
        movl    %eax, %ecx
        movabsq $(KERNEL + WINDOW_PT + 4), %rax
        orl     $NX, (%rax)
        invlpg  (%rbx)
        call    *%rbx
        outcome
        show    rcx
        #= #PF(11) at =40000000, cr2=40000000, rsp-8, rcx=11

        case    "NXE off makes NX reserved", 1f
        write_msr EFER, EFER_FIRST | EFER_NXE
        map     PAGE | ALL, NX
        movl    (%rbx), %eax
        write_msr EFER, EFER_FIRST
        movq    %cr3, %rax
        movq    %rax, %cr3
1:      movl    (%rbx), %eax
        outcome
        #= #PF(9), cr2=40000000

        case    "a page that goes away", 1f
        map     PAGE | ALL
        movl    (%rbx), %eax
        remap   0, 0
        invlpg  (%rbx)
1:      movl    (%rbx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "a page that becomes read-only in ring 3", 1f
        map     PAGE | ALL
        movl    %eax, (%rbx)
        remap   0, PAGE | P | U
        invlpg  (%rbx)
        user
        movl    (%rbx), %eax
1:      movl    %eax, (%rbx)
        outcome
        #= #PF(7), ring 3, cr2=40000000

        case    "D and A are set again after they were cleared"
        map     PAGE | ALL
        movl    %eax, (%rbx)
        remap   0, PAGE | ALL
        invlpg  (%rbx)
        movl    (%rbx), %eax
        entry   WINDOW_PT, rcx
        movl    %eax, (%rbx)
        entry   WINDOW_PT, rdx
        outcome
        show    rcx, rdx
        #= ok, rcx=27, rdx=67

        case    "code that is written through another address"
        map     PAGE | ALL
        put_code PAGE, 0x11
        call    *%rbx
        movl    %eax, %ecx
        put_code PAGE, 0x22
        call    *%rbx
        outcome
        show    rcx, rax
        #= ok, rcx=11, rax=22

        case    "code whose page is exchanged"
        map     PAGE | ALL
        put_code PAGE, 0x11
        put_code PAGE + 0x1000, 0x22
        call    *%rbx
        movl    %eax, %ecx
        remap   0, PAGE + 0x1000 + ALL
        movq    %cr3, %rax
        movq    %rax, %cr3
        call    *%rbx
        outcome
        show    rcx, rax
        #= ok, rcx=11, rax=22

        case    "an instruction over two pages, of which one is not there"
        map     PAGE | ALL
        put_code PAGE + 0xffd, 0x11
        leaq    0xffd(%rbx), %rcx
        remap   1, 0
        jmp     *%rcx
        outcome
        #= #PF(0) at =40000ffd, cr2=40001000

        case    "an instruction over two pages, of which one is exchanged"
        map     PAGE | ALL
        remap   1, PAGE + 0x1000 + ALL
        put_code PAGE + 0xffe, 0x11111111       # b8 11 | 11 11 11 c3
        put_code PAGE + 0x1ffe, 0x22222222
        leaq    0xffe(%rbx), %rsi
        call    *%rsi
        movl    %eax, %ecx
        remap   1, PAGE + 0x2000 + ALL
        invlpg  0x1000(%rbx)
        call    *%rsi
        outcome
        show    rcx, rax
        #= ok, rcx=11111111, rax=22222211

        end_cases
