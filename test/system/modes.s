# Into and out of IA-32e mode, paging and protected mode (vol. 3, 4.1, 9.8.5 and 9.9): what is allowed, and what is refused.

        .include "test/system/include/case.s"
        .include "test/system/include/window.s"
        .include "test/system/include/legacy.s"
        .include "test/system/include/tables32.s"

        .text
cases:  call    tables32_init

        case    "EFER in compatibility mode"    # vol. 3, 2.2.1
        compat
        movl    $EFER, %ecx
        rdmsr
        outcome
        show    rax
        #= ok, rax=500

        case    "without paging LMA is clear"   # vol. 3, 9.8.5.4
        protected
        controls 0, 0, 0, EFER_LME
        movl    $EFER, %ecx
        rdmsr
        movl    %cr0, %ebx
        outcome
        show    rax, rbx
        #= ok, rax=100, rbx=33

        case    "LME is written while paging is off", 1f # vol. 3, 9.8.5
        protected
        movl    $EFER, %ecx
        movl    $(EFER_LME | 0x400), %eax
        xorl    %edx, %edx
1:      wrmsr
        rdmsr
        outcome
        show    rax
        #= ok, rax=100

        case    "PG with LME and PAE activates IA-32e mode", 1f # vol. 3, 9.8.5
        protected
        controls 0, CR4_PAE, PML4, EFER_LME
        lgdtl   gdt64_register
        lidtl   idt64_register
        movl    $(PG | CR0_PROTECTED), %eax
1:      movl    %eax, %cr0
        movl    $EFER, %ecx
        rdmsr
        outcome
        show    rax
        #= ok, rax=500

        case    "PG with LME and without PAE", 1f # vol. 3, 9.8.5.4
        protected
        controls 0, 0, PML4, EFER_LME
        movl    $(PG | CR0_PROTECTED), %eax
1:      movl    %eax, %cr0
        outcome
        #= #GP(0)

        case    "PG with LME and a 16-bit TSS", 1f # vol. 3, 9.8.5.4
        protected
        controls 0, CR4_PAE, PML4, EFER_LME
        movl    $P_TSS16, %eax
        ltr     %ax
        movl    $(PG | CR0_PROTECTED), %eax
1:      movl    %eax, %cr0
        outcome
        #= #GP(0)

        case    "PG with LME and CS.L", 1f      # vol. 3, 9.8.5.4: 16-bit code until then
        protected
        controls 0, CR4_PAE, PML4, EFER_LME
        movl    $(PG | CR0_PROTECTED), %eax
        ljmp    $P_CODE64, $1f
        .code16
1:      movl    %eax, %cr0
        outcome
        #= #GP(0)

        case    "PG with a 16-bit TSS and CS.L, without LME", 1f # vol. 3, 9.8.5.4
        protected
        controls 0, 0, DIRECTORY32
        movl    $P_TSS16, %eax
        ltr     %ax
        movl    $(PG | CR0_PROTECTED), %eax
        ljmp    $P_CODE64, $1f
        .code16
1:      movl    %eax, %cr0
        outcome
        #= ok

        case    "PG without PE, outside of IA-32e mode", 1f # vol. 2, MOV CR
        protected
        controls 0, 0, DIRECTORY32
        movl    $(PG | 0x32), %eax
1:      movl    %eax, %cr0
        outcome
        #= #GP(0)

        case    "PE cleared under PG", 1f       # vol. 2, MOV CR
        protected
        controls PG, 0, DIRECTORY32
        movl    $(PG | 0x32), %eax
1:      movl    %eax, %cr0
        outcome
        #= #GP(0)

        case    "LME set while 32-bit paging is on", 1f # vol. 3, 9.8.5.4
        protected
        controls PG, 0, DIRECTORY32
        movl    $EFER, %ecx
        movl    $EFER_LME, %eax
        xorl    %edx, %edx
1:      wrmsr
        outcome
        #= #GP(0)

        case    "LME set while PAE paging is on", 1f # vol. 3, 9.8.5.4
        window_pae 0
        protected
        controls PG, CR4_PAE, PDPTES
        movl    $EFER, %ecx
        movl    $EFER_LME, %eax
        xorl    %edx, %edx
1:      wrmsr
        outcome
        #= #GP(0)

        case    "NXE and SCE change while paging is on", 1f # vol. 3, 2.2.1
        protected
        controls PG, 0, DIRECTORY32
        movl    $EFER, %ecx
        movl    $(EFER_NXE | EFER_SCE), %eax
        xorl    %edx, %edx
1:      wrmsr
        rdmsr
        outcome
        show    rax
        #= ok, rax=801

        case    "PAE cleared in compatibility mode", 1f # vol. 2, MOV CR
        compat
        movl    $0, %eax
1:      movl    %eax, %cr4
        outcome
        #= #GP(0)

        case    "LME cleared in compatibility mode", 1f # vol. 3, 9.8.5.4
        compat
        movl    $EFER, %ecx
        movl    $0, %eax
        xorl    %edx, %edx
1:      wrmsr
        outcome
        #= #GP(0)

        case    "paging ends in compatibility mode, not under PCIDE", 1f # vol. 2, MOV CR
        compat
        movl    $(CR4_PAE | CR4_PCIDE), %eax
        movl    %eax, %cr4
        movl    $CR0_PROTECTED, %eax
1:      movl    %eax, %cr0
        outcome
        #= #GP(0)

        case    "PCIDE outside of IA-32e mode", 1f # vol. 2, MOV CR
        window_pae 0
        protected
        controls PG, CR4_PAE, PDPTES
        movl    $(CR4_PAE | CR4_PCIDE), %eax
1:      movl    %eax, %cr4
        outcome
        #= #GP(0)

        case    "paging is turned off and on again", 1f # vol. 3, 4.1.2
        window32 PAGE | ALL
        protected
        controls PG, 0, DIRECTORY32
        movl    (%ebx), %esi
        movl    $CR0_PROTECTED, %eax
        movl    %eax, %cr0
        movl    PAGE, %edi
        movl    $(PG | CR0_PROTECTED), %eax
        movl    %eax, %cr0
        movl    $0, TABLE32
1:      movl    (%ebx), %edx
        outcome
        show    rsi, rdi
        #= #PF(0), cr2=40000000, rsi=1a2b3c4d, rdi=1a2b3c4d

        case    "32-bit paging becomes PAE paging, and again 32-bit paging", 1f # vol. 3, 4.1.2: CR3 is the same, its bits 5 to 11 count
        window32 PAGE | ALL
        window_pae 0, 0, LARGE_PAGE|PS|ALL
        movq    $(IDENTITY_PAE | P), DIRECTORY32 + 0xfe0
        movq    $(DIRECTORY_PAE | P), DIRECTORY32 + 0xfe8
        movq    $0, DIRECTORY32 + 0xff0
        movq    $0, DIRECTORY32 + 0xff8
        protected
        controls PG, 0, DIRECTORY32 + 0xfe0
        movl    (%ebx), %esi
        movl    $CR4_PAE, %eax
        movl    %eax, %cr4
        movl    (%ebx), %edi
        movl    $0, %eax
1:      movl    %eax, %cr4
        movl    (%ebx), %ebp
        outcome
        show    rsi, rdi, rbp
        #= ok, rsi=1a2b3c4d, rdi=55667788, rbp=1a2b3c4d

        case    "CS keeps what it holds while PE is off" # vol. 3, 9.9.2
        protected
        movl    $0x32, %eax
        movl    %eax, %cr0
        movl    %cr0, %esi
        orl     $PE, %eax
        movl    %eax, %cr0
        movl    %cr0, %edi
        outcome
        show    rsi, rdi
        #= ok, rsi=32, rdi=33

        case    "LMSW sets PE"                  # vol. 2, LMSW
        protected
        movl    $0x32, %eax
        movl    %eax, %cr0
        movl    $9, %eax
        lmsw    %ax
        movl    %cr0, %esi
        outcome
        show    rsi
        #= ok, rsi=39

        case    "LMSW does not clear PE in protected mode" # vol. 2, LMSW
        protected
        lmsw    %ax
        smsw    %esi
        outcome
        show    rsi
        #= ok, rsi=31

        case    "CLTS in protected mode"        # vol. 2, CLTS
        protected
        controls CR0_TS
        clts
        movl    %cr0, %esi
        outcome
        show    rsi
        #= ok, rsi=33

        case    "MOV from CR0 by a user", 1f    # vol. 2, MOV CR
        protected
        controls PG, 0, DIRECTORY32, 0, ALL
        user32
1:      movl    %cr0, %eax
        outcome
        #= #GP(0), ring 3

        case    "44 before MOV from CR0 is INC ESP, and no CR8" # vol. 2, 2.2.1
        protected
        .byte   0x44, 0x0f, 0x20, 0xc2
        decl    %esp
        outcome
        show    rdx
        #= ok, rdx=33

        case    "effective addresses wrap at 4 GiB", 1f # vol. 1, 3.3.7
        window32 0
        protected
        controls PG, 0, DIRECTORY32
1:      movl    (PAGE - WINDOW)(%ebx), %eax
        outcome
        show    rax
        #= ok, rax=1a2b3c4d

        end_cases

        .data
gdt64_register:
        .word   GDT_END - 1
        .long   GDT
idt64_register:
        .word   4095
        .long   IDT
