# 32-bit and PAE paging (vol. 3, 4.3 and 4.4): page sizes, rights, reserved bits, error codes, the PDPTE registers.

        .include "test/system/include/case.s"
        .include "test/system/include/window.s"
        .include "test/system/include/legacy.s"
        .include "test/system/include/tables32.s"

        .text
cases:  call    tables32_init

        case    "a page of 32-bit paging", 1f   # vol. 3, figure 4-2
        window32 PAGE | ALL
        protected
        controls PG, 0, DIRECTORY32
1:      movl    (%ebx), %eax
        outcome
        show    rax
        #= ok, rax=1a2b3c4d

        case    "a read of nothing in 32-bit paging", 1f # vol. 3, 4.7
        window32 0
        protected
        controls PG, 0, DIRECTORY32
1:      movl    (%ebx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "a write to nothing in 32-bit paging", 1f # vol. 3, 4.7
        window32 0
        protected
        controls PG, 0, DIRECTORY32
1:      movl    %eax, (%ebx)
        outcome
        #= #PF(2), cr2=40000000

        case    "a page whose table is not there", 1f # vol. 3, 4.7
        window32 PAGE | ALL, TABLE32 | W | U
        protected
        controls PG, 0, DIRECTORY32
1:      movl    %eax, (%ebx)
        outcome
        #= #PF(2), cr2=40000000

        case    "a read of nothing by a user in 32-bit paging", 1f # vol. 3, 4.7
        window32 0
        protected
        controls PG, 0, DIRECTORY32, identity=ALL
        user32
1:      movl    (%ebx), %eax
        outcome
        #= #PF(4), ring 3, cr2=40000000

        case    "a user page in 32-bit paging", 1f # vol. 3, 4.6
        window32 PAGE | ALL
        protected
        controls PG, 0, DIRECTORY32, identity=ALL
        user32
1:      movl    (%ebx), %eax
        outcome
        show    rax
        #= ok, ring 3, rax=1a2b3c4d

        case    "a supervisor page, by its PTE", 1f # vol. 3, 4.6
        window32 PAGE | P | W
        protected
        controls PG, 0, DIRECTORY32, identity=ALL
        user32
1:      movl    (%ebx), %eax
        outcome
        #= #PF(5), ring 3, cr2=40000000

        case    "a supervisor page, by its PDE", 1f # vol. 3, 4.6
        window32 PAGE | ALL, TABLE32 | P | W
        protected
        controls PG, 0, DIRECTORY32, identity=ALL
        user32
1:      movl    %eax, (%ebx)
        outcome
        #= #PF(7), ring 3, cr2=40000000

        case    "a read-only page, by its PTE", 1f # vol. 3, 4.6
        window32 PAGE | P | U
        protected
        controls PG, 0, DIRECTORY32, identity=ALL
        user32
1:      movl    %eax, (%ebx)
        outcome
        #= #PF(7), ring 3, cr2=40000000

        case    "a read-only page, by its PDE", 1f # vol. 3, 4.6
        window32 PAGE | ALL, TABLE32 | P | U
        protected
        controls PG, 0, DIRECTORY32, identity=ALL
        user32
1:      movl    %eax, (%ebx)
        outcome
        #= #PF(7), ring 3, cr2=40000000

        case    "the supervisor writes read-only pages", 1f # vol. 3, 4.6
        window32 PAGE + 0x1000 | P
        protected
        controls PG, 0, DIRECTORY32
1:      movl    %eax, (%ebx)
        outcome
        #= ok

        case    "the supervisor does not write them under WP", 1f # vol. 3, 4.6
        window32 PAGE | P
        protected
        controls PG | CR0_WP, 0, DIRECTORY32
1:      movl    %eax, (%ebx)
        outcome
        #= #PF(3), cr2=40000000

        case    "a fetch from nothing is not told under NXE in 32-bit paging" # vol. 3, 4.7
        window32 0
        protected
        controls PG, 0, DIRECTORY32, EFER_NXE
        jmp     *%ebx
        outcome
        #= #PF(0) at =40000000, cr2=40000000

        case    "a fetch from nothing is told under SMEP in 32-bit paging"          # vol. 3, 4.7
        window32 0
        protected
        controls PG, CR4_SMEP, DIRECTORY32
        jmp     *%ebx
        outcome
        #= #PF(10) at =40000000, cr2=40000000

        case    "a fetch from a user page under SMEP in 32-bit paging" # vol. 3, 4.6
        window32 PAGE | ALL
        protected
        controls PG, CR4_SMEP, DIRECTORY32
        jmp     *%ebx
        outcome
        #= #PF(11) at =40000000, cr2=40000000

        case    "a read of a user page under SMAP in 32-bit paging", 1f # vol. 3, 4.6
        window32 PAGE | ALL
        protected
        controls PG, CR4_SMAP, DIRECTORY32
1:      movl    (%ebx), %eax
        outcome
        #= #PF(1), cr2=40000000

        case    "PS without PSE is ignored", 1f # vol. 3, table 4-5
        window32 PAGE | ALL, TABLE32 | PS | ALL
        protected
        controls PG, 0, DIRECTORY32
1:      movl    (%ebx), %eax
        outcome
        show    rax
        #= ok, rax=1a2b3c4d

        case    "a page of 4 MiB", 1f           # vol. 3, figure 4-3
        window32 0, LARGE_PAGE | PS | ALL
        protected
        controls PG, CR4_PSE, DIRECTORY32
1:      movl    (%ebx), %eax
        outcome
        show    rax
        #= ok, rax=55667788

        case    "22 bits of an address are within a page of 4 MiB", 1f # vol. 3, figure 4-3
        window32 0, 0x400000 | PS | ALL
        protected
        controls PG, CR4_PSE, DIRECTORY32
1:      movl    (PAGE - 0x400000)(%ebx), %eax
        outcome
        show    rax
        #= ok, rax=1a2b3c4d

        case    "a reserved bit of a page of 4 MiB", 1f # vol. 3, table 4-4
        window32 0, LARGE_PAGE | 1 << 21 | PS | ALL
        protected
        controls PG, CR4_PSE, DIRECTORY32
1:      movl    (%ebx), %eax
        outcome
        #= #PF(9), cr2=40000000

        case    "a reserved bit of a page of 4 MiB that is not present", 1f # vol. 3, 4.7
        window32 0, LARGE_PAGE | 1 << 21 | PS
        protected
        controls PG, CR4_PSE, DIRECTORY32
1:      movl    (%ebx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "bit 21 of a PDE without PSE", 1f  # vol. 3, table 4-5
        window32 0, TABLE32 | 1 << 21 | PS | ALL
        protected
        controls PG, 0, DIRECTORY32
1:      movl    (%ebx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "a read sets A in both entries", 1f # vol. 3, 4.8
        window32 PAGE | ALL
        protected
        controls PG, 0, DIRECTORY32
1:      movl    (%ebx), %eax
        movl    TABLE32, %ecx
        andl    $0xfff, %ecx
        movl    WINDOW32, %edx
        andl    $0xfff, %edx
        outcome
        show    rcx, rdx
        #= ok, rcx=27, rdx=27

        case    "a write sets D in the last", 1f # vol. 3, 4.8
        window32 PAGE + 0x1000 | ALL
        protected
        controls PG, 0, DIRECTORY32
1:      movl    %eax, (%ebx)
        movl    TABLE32, %ecx
        andl    $0xfff, %ecx
        movl    WINDOW32, %edx
        andl    $0xfff, %edx
        outcome
        show    rcx, rdx
        #= ok, rcx=67, rdx=27

        case    "a write to 4 MiB sets D in the PDE", 1f # vol. 3, 4.8
        window32 0, LARGE_PAGE | PS | ALL
        protected
        controls PG, CR4_PSE, DIRECTORY32
1:      movl    %eax, 0x1000(%ebx)
        movl    WINDOW32, %edx
        andl    $0xfff, %edx
        outcome
        show    rdx
        #= ok, rdx=e7

        case    "INVLPG anywhere in 4 MiB drops all of it", 1f # vol. 3, 4.10.4.1
        window32 PAGE | ALL, LARGE_PAGE | PS | ALL
        protected
        controls PG, CR4_PSE, DIRECTORY32
        movl    (%ebx), %ecx
        movl    $(TABLE32 | ALL), WINDOW32
        invlpg  0x3ff000(%ebx)
1:      movl    (%ebx), %eax
        outcome
        show    rax, rcx
        #= ok, rax=1a2b3c4d, rcx=55667788

        case    "an access wraps at 4 GiB, in 32-bit paging", 1f # vol. 3, 3.4.1
        window32 0
        movl    $(PAGE | ALL), TABLE32 + 4 * 1023
        movl    $(TABLE32 | ALL), DIRECTORY32 + 4 * 1023
        movw    $0x1122, PAGE + 0xffe
        movw    $0x3344, 0
        protected
        controls PG, 0, DIRECTORY32
        movl    $0xffff, LEGACY_GDT + P_GATE    # data, base 0x100000, limit 4 GiB
        movl    $0x00cf9310, LEGACY_GDT + P_GATE + 4
        movl    $P_GATE, %eax
        movl    %eax, %es
1:      movl    %es:0xffeffffe, %eax
        outcome
        show    rax
        #= ok, rax=33441122

        case    "a page of PAE paging", 1f      # vol. 3, figure 4-5
        window_pae PAGE | ALL
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    (%ebx), %eax
        outcome
        show    rax
        #= ok, rax=1a2b3c4d

        case    "a read of nothing in PAE paging", 1f # vol. 3, 4.7
        window_pae 0
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    (%ebx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "a write to a gigabyte that is not there", 1f # vol. 3, 4.7
        window_pae PAGE | ALL, pdpte=DIRECTORY_PAE
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    %eax, (%ebx)
        outcome
        #= #PF(2), cr2=40000000

        case    "a user page in PAE paging", 1f # vol. 3, table 4-8: a PDPTE says nothing of rights
        window_pae PAGE | ALL
        protected
        controls PG, CR4_PAE, PDPTES, identity=ALL
        user32
1:      movl    (%ebx), %eax
        outcome
        show    rax
        #= ok, ring 3, rax=1a2b3c4d

        case    "a supervisor page in PAE paging", 1f # vol. 3, 4.6
        window_pae PAGE | P | W
        protected
        controls PG, CR4_PAE, PDPTES, identity=ALL
        user32
1:      movl    (%ebx), %eax
        outcome
        #= #PF(5), ring 3, cr2=40000000

        case    "a page of 2 MiB, without PSE", 1f # vol. 3, figure 4-6
        window_pae PAGE | ALL, directory=LARGE_PAGE | PS | ALL
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    (%ebx), %eax
        outcome
        show    rax
        #= ok, rax=55667788

        case    "a reserved bit of a page of 2 MiB", 1f # vol. 3, table 4-9
        window_pae PAGE | ALL, directory=LARGE_PAGE | 1 << 13 | PS | ALL
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    (%ebx), %eax
        outcome
        #= #PF(9), cr2=40000000

        case    "bit 62 of a PTE", 1f           # vol. 3, table 4-11
        window_pae PAGE | ALL, high=1 << 30
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    (%ebx), %eax
        outcome
        #= #PF(9), cr2=40000000

        case    "bit 52 of a PDE", 1f           # vol. 3, table 4-10
        window_pae PAGE | ALL, directory_high=1 << 20
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    (%ebx), %eax
        outcome
        #= #PF(9), cr2=40000000

        case    "bit 51 of a PTE, beyond the physical addresses", 1f # vol. 3, table 4-11
        window_pae PAGE | ALL, high=1 << 19
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    (%ebx), %eax
        outcome
        #= #PF(9), cr2=40000000

        case    "reserved bits of a PTE that is not present", 1f # vol. 3, 4.7
        window_pae PAGE, high=0x7fffffff
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    (%ebx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "NX without NXE is reserved in PAE paging", 1f # vol. 3, table 4-11
        window_pae PAGE | ALL, high=NX
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    (%ebx), %eax
        outcome
        #= #PF(9), cr2=40000000

        case    "NX in PAE paging does not keep data away", 1f # vol. 3, 4.6
        window_pae PAGE | ALL, high=NX
        protected
        controls PG, CR4_PAE, PDPTES, EFER_NXE
1:      movl    (%ebx), %eax
        outcome
        show    rax
        #= ok, rax=1a2b3c4d

        case    "a fetch from an NX page in PAE paging" # vol. 3, 4.6
        window_pae PAGE | ALL, high=NX
        protected
        controls PG, CR4_PAE, PDPTES, EFER_NXE
        jmp     *%ebx
        outcome
        #= #PF(11) at =40000000, cr2=40000000

        case    "a fetch from an NX table"      # vol. 3, 4.6
        window_pae PAGE | ALL, directory_high=NX
        protected
        controls PG, CR4_PAE, PDPTES, EFER_NXE
        jmp     *%ebx
        outcome
        #= #PF(11) at =40000000, cr2=40000000

        case    "A and D in PAE paging", 1f     # vol. 3, 4.8: PDPTEs have none
        window_pae PAGE + 0x1000 | ALL
        protected
        controls PG, CR4_PAE, PDPTES
1:      movl    %eax, (%ebx)
        movl    TABLE_PAE, %ecx
        andl    $0xfff, %ecx
        movl    DIRECTORY_PAE, %edx
        andl    $0xfff, %edx
        movl    PDPTES + 8, %esi
        andl    $0xfff, %esi
        outcome
        show    rcx, rdx, rsi
        #= ok, rcx=67, rdx=27, rsi=1

        case    "a PDPTE is read when CR3 is written, not by a walk", 1f # vol. 3, 4.4.1
        window_pae PAGE | ALL
        protected
        controls PG, CR4_PAE, PDPTES
        movl    $0, PDPTES + 8
        invlpg  (%ebx)
1:      movl    (%ebx), %eax
        outcome
        show    rax
        #= ok, rax=1a2b3c4d

        case    "a PDPTE that was changed counts from there on", 1f # vol. 3, 4.4.1
        window_pae PAGE | ALL
        protected
        controls PG, CR4_PAE, PDPTES
        movl    $0, PDPTES + 8
        movl    %cr3, %eax
        movl    %eax, %cr3
1:      movl    (%ebx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "a PDPTE that was changed counts when CR4.PGE changes", 1f # vol. 3, 4.4.1
        window_pae PAGE | ALL
        protected
        controls PG, CR4_PAE, PDPTES
        movl    $0, PDPTES + 8
        movl    $(CR4_PAE | CR4_PGE), %eax
        movl    %eax, %cr4
1:      movl    (%ebx), %eax
        outcome
        #= #PF(0), cr2=40000000

        case    "a reserved bit of a PDPTE, when paging is turned on", 1f # vol. 3, 4.4.1
        window_pae PAGE | ALL, pdpte=DIRECTORY_PAE | P | W
        protected
        controls 0, CR4_PAE, PDPTES
        movl    $(PG | CR0_PROTECTED), %eax
1:      movl    %eax, %cr0
        outcome
        #= #GP(0)

        case    "a reserved bit of a PDPTE, when CR3 is written", 1f # vol. 3, 4.4.1
        window_pae PAGE | ALL
        protected
        controls PG, CR4_PAE, PDPTES
        movl    $(DIRECTORY_PAE | P | U), PDPTES + 8
        movl    %cr3, %eax
1:      movl    %eax, %cr3
        outcome
        #= #GP(0)

        case    "a reserved bit of a PDPTE, when CR4 is written", 1f # vol. 3, 4.4.1
        window_pae PAGE | ALL
        protected
        controls PG, CR4_PAE, PDPTES
        movl    $(DIRECTORY_PAE | P | 1 << 8), PDPTES + 8
        movl    $(CR4_PAE | CR4_PGE), %eax
1:      movl    %eax, %cr4
        outcome
        #= #GP(0)

        case    "reserved bits of a PDPTE that is not present", 1f # vol. 3, 4.4.1
        window_pae PAGE | ALL, pdpte=0x1e6
        protected
        controls 0, CR4_PAE, PDPTES
        movl    $(PG | CR0_PROTECTED), %eax
1:      movl    %eax, %cr0
        outcome
        #= ok

        case    "reserved bits of a PDPTE without paging", 1f # vol. 3, 4.4.1
        window_pae PAGE | ALL, pdpte=DIRECTORY_PAE | P | W
        protected
        controls 0, CR4_PAE, PDPTES
        movl    %cr3, %eax
1:      movl    %eax, %cr3
        outcome
        #= ok

        end_cases
