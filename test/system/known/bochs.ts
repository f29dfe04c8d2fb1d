// bochs, model corei7_skylake_x.

import type { Disagreement } from '../disagreements.ts';

export const BOCHS: readonly Disagreement[] = [
  {
    because: 'its Skylake has no UMIP: the bit of CR4 is reserved',
    cases: {
      control: { 'SMSW in ring 3 under UMIP': '#GP(0) at -8' },
      tables: {
        'SGDT in ring 3 under UMIP': '#GP(0) at -8',
        'STR in ring 3 under UMIP': '#GP(0) at -8',
        'UMIP does not concern ring 0': '#GP(0) at +8',
      },
    },
  },
  {
    because: 'it pushes no RF with a #DB that is a fault (vol. 3, 17.3.1.1)',
    cases: { debug: { 'general detection': '#DB, dr6=ffff2ff0, dr7=400, rflags=2' } },
  },
  {
    because: 'its error code is the old SS; the new one is null (vol. 2, INT n)',
    cases: { faults: { 'INT n from ring 3 onto an RSP0 that is not canonical': '#SS(28), ring 3' } },
  },
  {
    because: 'it pushes RF with #DF, which is no fault (vol. 3, 17.3.1.1 and table 6-1)',
    cases: { faults: { 'a double fault whose gate is an IST stack': '#DF(0), frame=800083ffd0, rflags=10002' } },
  },
  {
    because: 'it takes a null SS of any RPL (vol. 2, IRET, 64-bit mode exceptions)',
    cases: { iret: { 'a null SS with another RPL': 'ok' } },
  },
  {
    because: 'it raises #NP for SS (vol. 3, 6.15, interrupts 11 and 12)',
    cases: {
      gates32: { 'IRET to a stack that is absent': '#NP(80), rsp-14' },
      iret: { 'SS absent': '#NP(58), rsp-28' },
    },
  },
  {
    because: 'it pops SS:RSP only if the operand size is 64 bits (vol. 3, 6.14.3)',
    cases: { iret: { 'IRET of 32 bits': 'ok, rsp-8, rsp=80007ffff8' } },
  },
  {
    because: 'it drops the upper half of MSRs of 32 bits (vol. 2, WRMSR: reserved bits)',
    cases: { msrs: { 'the upper half of FMASK': 'ok', 'the upper half of TSC_AUX': 'ok' } },
  },
  {
    because: 'it lets AC lift SMAP for descriptors too (vol. 3, 4.6.1)',
    cases: { paging: { 'AC does not lift SMAP for a descriptor': 'ok, ring 3' } },
  },
  {
    because: 'it pushes no RF between the iterations of a REP (vol. 3, 17.3.1.1)',
    cases: {
      breakpoints: { 'steps between iterations: RF holds off the breakpoint on REP': null },
      step: { 'a step over an iteration of REP': '#DB, rcx=2, rflags=102' },
      watchpoints: {
        'REP MOVS: after the iteration': '#DB, rcx=5, dr6=ffff0ff1, rflags=2',
        'REP OUTS: after each iteration': '#DB, rcx=1, rflags=2',
      },
    },
  },
  {
    because: 'it forgets what MOV SS has held off when an interrupt or exception follows (CVE-2018-8897)',
    cases: {
      watchpoints: {
        'MOV SS from what is watched, and an INT: in the handler': 'ok, rsp-28',
        'MOV SS from what is watched, and INT1: one event': '#DB, dr6=ffff0ff0',
        'MOV SS from what is watched, and a fault: in the handler': 'ok, rsp-28, dr6=ffff0ff0',
      },
    },
  },
  {
    because: 'it adds BS to a general detection behind MOV SS (kvm-unit-tests, x86/debug.c)',
    cases: { breakpoints: { 'MOV SS holds off no general detection': '#DB, dr6=ffff6ff0' } },
  },
  {
    because: 'it looks at TF before SYSCALL and SYSRET, not behind them (kvm-unit-tests, x86/syscall.c)',
    cases: {
      sequences: { 'a kernel is not stepped through its system call': 'ok, ring 3, r8=6, r9=2, r10=2' },
      trapflag: {
        'SYSCALL that masks TF does not trap': '#DB, r11=102, rflags=2',
        'SYSRET that sets TF traps': '#DB at +1, ring 3, rflags=102',
      },
    },
  },
  {
    because:
      'it keeps what it decoded of an instruction over two pages, whatever becomes of the second (vol. 3, 4.10.4.1)',
    cases: {
      changes: { 'an instruction over two pages, of which one is exchanged': 'ok, rcx=11111111, rax=11111111' },
    },
  },
  {
    because: 'it cuts a 64-bit offset to 32 bits for compatibility mode (vol. 2, JMP)',
    cases: { compat: { 'JMP FAR with 64 bits beyond 4 GiB': 'ok' } },
  },
  {
    because: 'it executes VEX instructions of general registers in real mode too (vol. 2, ANDN)',
    cases: { no64: { 'VEX in real mode is undefined': 'ok' } },
  },
];
