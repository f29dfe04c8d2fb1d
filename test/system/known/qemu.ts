// QEMU (TCG).

import type { Disagreement } from '../disagreements.ts';

export const QEMU: readonly Disagreement[] = [
  {
    because: 'ENTER changes RBP and RSP first, and probes below the frame (vol. 2, ENTER)',
    cases: {
      accesses: { 'ENTER probes where the frame will end': '#PF(2) at +4, cr2=3fffffd8, rsp=3fffffe8, rbp=40000008' },
    },
  },
  {
    because: 'it takes a null CS whose RPL is not 0, and faults for ever (vol. 2, SYSENTER)',
    cases: { syscall: { 'SYSENTER without a CS': null } },
  },
  {
    because: 'it raises #GP for the stack segment too (vol. 1, 3.3.7.1)',
    cases: {
      canonical: {
        'a read through RBP': '#GP(0)',
        'LEAVE with an RBP that is not canonical': '#GP(0)',
        'DS does not override SS in 64-bit mode': '#GP(0)',
      },
    },
  },
  {
    because: 'it goes to an address that is not canonical, and faults there (vol. 2, JMP and the like)',
    cases: {
      canonical: {
        JMP: '#GP(0) at =800000000000',
        'CALL pushes nothing': '#GP(0) at =800000000000, rsp-8',
        'RET pops nothing': '#GP(0) at =800000000000',
        'a short jump into the hole': '#GP(0) at =800000000010',
      },
      farcalls: {
        'JMP FAR to an offset that is not canonical': '#GP(0) at =800000000000',
        'RET FAR to a RIP that is not canonical': '#GP(0) at =800000000000',
      },
      interrupts: { 'a gate to an address that is not canonical': '#GP(0) at =800000000000, rsp-28' },
      iret: { 'a RIP that is not canonical': '#GP(0) at =800000000000' },
      syscall: {
        'SYSRET to an address that is not canonical': '#GP(0) at =800000000000, ring 3',
        'SYSEXIT to a RIP that is not canonical': '#GP(0) at =800000000000, ring 3, rsp=176',
      },
    },
  },
  {
    because: 'version 7.2 has no INVPCID',
    cases: {
      canonical: {
        'INVPCID in ring 3': '#UD, ring 3',
        'INVPCID of type 4': '#UD',
        'INVPCID of a PCID without PCIDE': '#UD',
        'INVPCID with reserved bits': '#UD',
        'INVPCID of an address that is not canonical': '#UD',
        'INVPCID of everything': '#UD',
      },
    },
  },
  {
    because: 'it takes any value of control registers (vol. 2, MOV CR)',
    cases: {
      control: {
        'NW without CD': 'ok',
        'the upper half of CR0 is reserved': 'ok',
        'reserved bits of the lower half of CR0 stay clear, ET set': 'ok, rbx=9ffafff3',
        'PCIDE while CR3 has bits of a PCID': 'ok',
        'CR8 has four bits': 'ok',
      },
    },
  },
  {
    because: 'it takes LOCK before instructions that cannot be locked (vol. 2, LOCK)',
    cases: { control: { 'MOV CR with LOCK': 'ok' }, decode: { 'LOCK MOV': 'ok', 'LOCK BT': 'ok' } },
  },
  {
    because: 'it checks privilege before OSXSAVE (vol. 2, XSETBV)',
    cases: { control: { 'XSETBV without OSXSAVE in ring 3': '#GP(0), ring 3' } },
  },
  {
    because: 'it takes any value of CR0 and CR4, and does not get over it (vol. 2, MOV CR)',
    cases: {
      control: {
        'paging stays on in 64-bit mode': null,
        'PG without PE': null,
        'PAE stays on in long mode': null,
        'reserved bits of CR4': null,
        'the upper half of CR4': null,
      },
    },
  },
  {
    because: 'it takes reserved bits of CR3 for address bits, and has no tables any more (vol. 2, MOV CR)',
    cases: { control: { 'bits of CR3 beyond the physical address': null, 'bit 63 of CR3 without PCIDs': null } },
  },
  { because: 'version 7.2 has no PCIDs', cases: { control: { PCIDs: null } } },
  {
    because: 'bit 12 of DR6 can be set (vol. 3, 17.2.3)',
    cases: { debug: { 'DR6 holds B0 to B3, BD, BS and BT': 'ok, rbx=ffffffff' } },
  },
  {
    because: 'it has no general detection (vol. 3, 17.2.4)',
    cases: {
      breakpoints: { 'MOV SS holds off no general detection': '#DB at +3, dr6=ffff4ff0' },
      debug: { 'general detection': 'ok, dr6=ffff0ff0, dr7=2400, rflags=2' },
    },
  },
  {
    because: 'it takes any number for the operation (vol. 2, appendix A, table A-6)',
    cases: { decode: { 'MOV to memory with /1': 'ok', 'POP with /1': 'ok, rsp+8' } },
  },
  {
    because: 'it keeps a REX prefix that another prefix follows (vol. 2, 2.2.1)',
    cases: { decode: { 'a REX prefix that a legacy prefix follows is ignored': 'ok, rax=1234' } },
  },
  {
    because: 'an error code of the IDT has the vector in the wrong place, and no EXT (vol. 3, 6.13)',
    cases: {
      faults: { 'a contributory exception within a benign one': '#NP(62)' },
      interrupts: {
        'INT n in ring 3 through a gate of DPL 0': '#GP(412), ring 3',
        'INT3 in ring 3 through a gate of DPL 0': '#GP(32), ring 3',
        'a gate that is not present': '#NP(412)',
        'an exception through a gate that is not present': '#NP(62)',
        'INT3 through a gate that is not present': '#NP(32)',
        'a task gate': '#GP(412)',
        'a 16-bit interrupt gate': '#GP(412)',
        'a code segment in the IDT': '#GP(412)',
        'DPL before present': '#GP(412), ring 3',
        'a vector beyond the limit of the IDT': '#GP(412)',
      },
    },
  },
  {
    because: 'it tells no EXT (vol. 3, 6.13)',
    cases: {
      gates32: { "an exception's stack error has EXT": 'ok, ring 3, rax=70' },
      faults: { 'an exception and a TSS too short': '#TS(80)' },
      interrupts: { 'an exception to a null selector': '#GP(0)' },
    },
  },
  {
    because: 'it raises #GP for a stack that is not canonical, onto that stack (vol. 2, CALL, POP, INT n)',
    cases: {
      canonical: {
        'CALL onto a stack that is not canonical': null,
        'POP from a stack that is not canonical': null,
      },
      faults: {
        'INT n onto a stack that is not canonical': null,
        'an exception onto a stack that is not canonical': null,
      },
    },
  },
  {
    because: 'it pushes no RF (vol. 3, 17.3.1.1)',
    cases: {
      gates32: { 'an error code is pushed last': 'ok, rsp-10, rax=f8, rcx=8, rdx=2' },
      breakpoints: {
        'RF holds off a breakpoint on REP for all iterations': '#DB at +43, rcx=2',
        'steps between iterations: RF holds off the breakpoint on REP': null,
      },
      flags: { 'POPF that faults changes nothing': '#PF(0), cr2=7f00000000, rsp=7f00000000, rflags=2' },
      interrupts: { 'a fault pushes RF': '#UD, rflags=2' },
      step: { 'a step over an iteration of REP': '#DB, rcx=2, rflags=102' },
      trapflag: { 'a fault under TF': '#UD, dr6=ffff0ff0, rflags=102' },
      watchpoints: { 'REP MOVS: after the iteration': '#DB, rcx=5, dr6=ffff0ff1, rflags=2' },
    },
  },
  {
    because: 'MOV SS holds off no breakpoints (vol. 3, 6.8.3)',
    cases: {
      breakpoints: { 'no breakpoint behind MOV SS': '#DB at +20' },
      watchpoints: {
        'MOV SS from what is watched: after the next instruction': '#DB at -1, dr6=ffff0ff1',
        'MOV SS from what is watched, and an INT: in the handler': '#DB at -2',
        'MOV SS from what is watched, and INT1: one event': '#DB at -1, dr6=ffff0ff1',
        'MOV SS from what is watched, and a fault: in the handler': '#DB at -2, dr6=ffff0ff1',
      },
    },
  },
  {
    because: 'it does not align the addresses of breakpoints (vol. 3, 17.2.5)',
    cases: {
      watchpoints: { 'the address is aligned to the length': 'ok', 'eight bytes': '#DB', 'four ports': '#DB' },
    },
  },
  {
    because:
      'it goes on from a data breakpoint with what is left of the instruction, and traps behind that (vol. 3, 17.3.1.2); in the frame of an exception it ends with an assertion',
    cases: {
      watchpoints: {
        'two breakpoints and a step: one #DB': null,
        'MOVS between two places that are watched': '#DB at +1, dr6=ffff0ff1',
        'REP MOVS: after the last iteration': '#DB, rcx=0, rflags=2',
        'an instruction that faults does not trap': null,
        'the frame of an exception: in the handler': null,
        'the frame of an interrupt: in the handler': null,
      },
    },
  },
  {
    because:
      'breakpoints on ports need no DE, do not see a step, and come after all iterations (vol. 3, 17.2.4, 17.3.1)',
    cases: {
      watchpoints: {
        'no breakpoints on ports without DE': '#DB at +1c',
        'a port and a step': '#DB at +2, dr6=ffff0ff1',
        'REP OUTS: after each iteration': '#DB at +2, rcx=2, rflags=2',
      },
    },
  },
  {
    because: 'it checks no alignment (vol. 3, 6.15, interrupt 17)',
    cases: {
      flags: {
        'an alignment check in ring 3': 'ok, ring 3',
        'an alignment check of a push': 'ok, ring 3, rsp-a',
        'an alignment check of a far pointer': 'ok, ring 3',
      },
    },
  },
  {
    because: 'version 7.2 has no INT1',
    cases: {
      breakpoints: {
        'INT1 under TF: no step': '#UD, dr6=ffff0ff0, rflags=102',
        'MOV SS and INT1 under TF: no step': '#UD, dr6=ffff0ff0',
      },
      interrupts: {
        INT1: '#UD, dr6=ffff0ff0',
        'INT1 in ring 3 through a gate of DPL 0': '#UD, ring 3',
        'INT1 through a gate that is not present': '#UD',
      },
    },
  },
  {
    because: 'a stack of the IST makes SS null at the same privilege too (vol. 3, 6.14.4)',
    cases: {
      interrupts: { 'an IST stack, at the same privilege': 'interrupt 41 at +2, frame=800083ffd8, handler ss=0' },
    },
  },
  {
    because: 'it marks no code or stack segment accessed in delivery and IRET (vol. 3, 3.4.5.1)',
    cases: {
      interrupts: { 'delivery marks the code segment accessed': 'ok, rdx=9a' },
      iret: { 'marks CS and SS accessed': 'ok, rax=9a, rbx=92' },
    },
  },
  {
    because: 'it takes a null SS of any RPL (vol. 2, MOV and IRET)',
    cases: { iret: { 'a null SS with another RPL': 'ok' }, segments: { 'SS null with another RPL': 'ok' } },
  },
  { because: 'it takes code with L and D (vol. 2, IRET)', cases: { iret: { 'CS with L and D': 'ok' } } },
  {
    because: 'it raises #NP for SS (vol. 3, 6.15, interrupts 11 and 12)',
    cases: { iret: { 'SS absent': '#NP(58), rsp-28' } },
  },
  {
    because: 'it takes MSRs that it does not know for 0 (vol. 2, RDMSR)',
    cases: { msrs: { 'RDMSR of what does not exist': 'ok', 'WRMSR of what does not exist': 'ok' } },
  },
  {
    because: 'it checks no reserved bits of MSRs (vol. 2, WRMSR)',
    cases: {
      msrs: {
        'a reserved bit of EFER': 'ok',
        'the upper half of EFER': 'ok',
        'EFER.LME stays while paging is on': 'ok',
        'the upper half of FMASK': 'ok',
        'the upper half of TSC_AUX': 'ok',
        'a memory type that PAT does not know': 'ok',
        'a reserved bit of PAT': 'ok',
      },
    },
  },
  {
    because: 'it takes addresses that are not canonical (vol. 2, WRMSR, LLDT, SYSEXIT, WRFSBASE)',
    cases: {
      msrs: {
        'LSTAR takes no address that is not canonical': 'ok',
        'CSTAR takes no address that is not canonical': 'ok',
        'FS_BASE takes no address that is not canonical': 'ok',
        'GS_BASE takes no address that is not canonical': 'ok',
        'KERNEL_GS_BASE takes no address that is not canonical': 'ok',
        'SYSENTER_EIP takes no address that is not canonical': 'ok',
        'SYSENTER_ESP takes no address that is not canonical': 'ok',
      },
      syscall: {
        'SYSEXIT to an RSP that is not canonical': 'ok, ring 3, rsp=800000000000',
        'WRFSBASE of an address that is not canonical': 'ok',
      },
      tables: { 'LLDT with a base that is not canonical': 'ok' },
    },
  },
  {
    because: 'what reads and writes reads first (vol. 3, 4.7)',
    cases: {
      paging: {
        'reading and writing nothing is a write': '#PF(0), cr2=40000000',
        'XCHG with nothing': '#PF(0), cr2=40000000',
      },
    },
  },
  {
    because: 'P is clear in the error code of a reserved bit (vol. 3, 4.7)',
    cases: {
      changes: { 'NXE off makes NX reserved': '#PF(8), cr2=40000000' },
      paging: {
        'a reserved bit of an entry': '#PF(8), cr2=40000000',
        'a reserved bit of a large page': '#PF(c), ring 3, cr2=40000000',
        'PS in the PML4 is reserved': '#PF(8), cr2=10000000000',
        'NX without NXE is reserved': '#PF(8), cr2=40000000',
      },
      paging32: {
        'a reserved bit of a page of 4 MiB': '#PF(8), cr2=40000000',
        'a reserved bit of a page of 2 MiB': '#PF(8), cr2=40000000',
        'bit 62 of a PTE': '#PF(8), cr2=40000000',
        'bit 52 of a PDE': '#PF(8), cr2=40000000',
        'bit 51 of a PTE, beyond the physical addresses': '#PF(8), cr2=40000000',
        'NX without NXE is reserved in PAE paging': '#PF(8), cr2=40000000',
      },
    },
  },
  {
    because: 'it has no PDPTE registers: a walk reads the entries, and sets A in them (vol. 3, 4.4.1)',
    cases: {
      paging32: {
        'A and D in PAE paging': 'ok, rcx=67, rdx=27, rsi=21',
        'a PDPTE is read when CR3 is written, not by a walk': '#PF(0), cr2=40000000, rax=0',
        'a reserved bit of a PDPTE, when paging is turned on': 'ok',
        'a reserved bit of a PDPTE, when CR3 is written': 'ok',
        'a reserved bit of a PDPTE, when CR4 is written': 'ok',
      },
    },
  },
  {
    because:
      'it does not check what IA-32e mode and paging ask for, and some of it is its end (vol. 3, 4.1.2 and 9.8.5.4)',
    cases: {
      modes: {
        'PG with LME and without PAE': 'ok',
        'PG with LME and a 16-bit TSS': null,
        'PG with LME and CS.L': null,
        'PG without PE, outside of IA-32e mode': null,
        'PE cleared under PG': null,
        'LME set while 32-bit paging is on': 'ok',
        'LME set while PAE paging is on': 'ok',
        'PAE cleared in compatibility mode': null,
        'LME cleared in compatibility mode': 'ok',
        'paging ends in compatibility mode, not under PCIDE': null,
        'PCIDE outside of IA-32e mode': 'ok',
      },
    },
  },
  {
    because: 'LAR knows 16-bit TSSs in IA-32e mode (vol. 2, LAR)',
    cases: { selectors: { 'LAR of a 16-bit TSS in IA-32e mode': 'ok, rcx=1' } },
  },
  {
    because: 'LSS and STI hold off a step (vol. 3, 6.8.3; vol. 2, STI)',
    cases: { step: { 'a step over LSS': '#DB at +8', 'a step over STI': '#DB at +2, rflags=302' } },
  },
  {
    because: 'SYSCALL loses the arithmetic flags (vol. 2, SYSCALL)',
    cases: { syscall: { 'SYSCALL clears what FMASK says': 'ok, r11=647, rflags=2' } },
  },
  {
    because: 'SYSRET loads RF, and neither VIF nor VIP (vol. 2, SYSRET)',
    cases: {
      syscall: {
        'SYSRET to ring 3': 'ok, ring 3, cs=33, ss=2b, rflags=10202',
        'SYSRET does not load VM, RF and reserved flags': 'ok, ring 3, rflags=277e02',
      },
    },
  },
  {
    because: '66 makes SIDT store a base of 24 bits (vol. 2, SIDT)',
    cases: { tables: { 'SIDT ignores the operand size': 'ok, rax=4010000fff, rbx=ffffffffffff0000' } },
  },
  { because: 'LTR takes a null selector (vol. 2, LTR)', cases: { tables: { 'LTR null': 'ok' } } },
  {
    because: 'it takes the base, and has no table any more (vol. 2, LGDT)',
    cases: {
      tables: { 'LGDT with a base that is not canonical': null, 'LIDT with a base that is not canonical': null },
    },
  },
  {
    because: 'a gate to ring 1 leaves CPL at 0: it takes it from the null SS (vol. 3, 5.8.5.1)',
    cases: {
      sequences: {
        'down and up through all rings': '#GP(30), rsp=800081ffd0, rax=80, rbx=99, rcx=10, rdx=8000400110',
      },
    },
  },
  {
    because: 'it writes four bytes to set A, which the manual leaves open (vol. 3, 3.4.5.1)',
    cases: { descriptors: { 'A cannot be set on a read-only page': '#PF(3), ring 3, cr2=40000004' } },
  },
  {
    because: 'it checks no limits and no kinds of segments (vol. 3, 5.3 and 5.5)',
    cases: {
      compat: {
        'a read through a null selector': 'ok',
        'limits count': 'ok',
      },
      gates32: {
        'a gate beyond the limit of its code': 'ok, rsp-c',
        'a stack that is too small for the frame': 'ok, ring 3, rax=10',
        'IRET beyond the limit of the code': null,
        'RET FAR beyond the limit': null,
        'a call gate beyond the limit of its code': 'ok, rsp-8',
        'a call gate onto a stack that is too small': '#UD at +90, rsp=fffffffc, rax=10',
        "parameters beyond the limit of the caller's stack": '#UD at +7, rsp+ffe8',
      },
      no64: { 'ARPL wants to write, even where nothing changes': 'ok' },
      protected: {
        'a read beyond the limit': 'ok',
        'a read that is half beyond the limit': 'ok',
        'a read beyond the limit of SS': 'ok, ring 3',
        'expand-down: below and at the limit': 'ok',
        'expand-down of 16 bits ends at 64 KiB': 'ok',
        'a write to read-only data': 'ok',
        'a write to code': 'ok',
        'a read through a null selector': 'ok',
        'a read of execute-only code': 'ok',
        'execution beyond the limit of CS': null,
        'PUSHA beyond the limit of the stack': 'ok, ring 3, rsp=fff2',
        'SIDT beyond the limit': 'ok',
        'OUTS from a segment, beyond its limit': 'ok',
        'INS beyond the limit of ES': 'ok',
      },
      real: {
        'IRET beyond the limit': null,
        'a read beyond 64 KiB': 'ok',
        'a read beyond 64 KiB through SS': 'ok',
        'a read beyond 64 KiB by a 32-bit address': 'ok',
        'a far pointer that only half lies within the limit': 'ok',
        'a small limit lives on': 'ok',
        'JMP FAR beyond the limit': null,
        'CALL FAR beyond the limit': null,
        'RET FAR beyond the limit': null,
      },
    },
  },
  {
    because: 'it stores 24 bits of the base with a 16-bit SGDT (vol. 2, SGDT)',
    cases: { real: { 'LGDT of 32 bits takes all': 'ok, rcx=123456' } },
  },
  {
    because: "it has AMD's SYSCALL and SYSRET outside 64-bit mode (vol. 2, SYSCALL)",
    cases: { compat: { SYSCALL: null, SYSRET: null } },
  },
  {
    because: 'it takes a null SS for 32-bit code (vol. 2, IRET)',
    cases: { compat: { 'IRET from 64-bit code to a null stack': null } },
  },
  {
    because: 'it raises #NP for SS (vol. 3, 6.15, interrupts 11 and 12)',
    cases: { gates32: { 'IRET to a stack that is absent': '#NP(80), rsp-14', 'a stack that is absent': null } },
  },
  {
    because: 'it ends where an instruction breakpoint is met without paging',
    cases: {
      debug32: {
        'an instruction in protected mode': null,
        'an instruction in real mode, by the linear address': null,
      },
    },
  },
];
