// Rows that have no vectors, and why: each reason says for which rows it holds on a processor. The rest is asked.
import type { Row } from '../../src/x86/row.ts';
import { existsIn, type Bits } from './bits.ts';
import type { Host } from './host.ts';

/** What a reason may look at. */
export type Offered = Pick<Host, 'features' | 'vendor'>;

export interface Reason {
  readonly name: string;
  readonly text: string;
  holds(row: Row, host: Offered, bits: Bits): boolean;
}

const oneOf = (...mnemonics: string[]): ((row: Row) => boolean) => {
  const set = new Set(mnemonics);
  return ({ mnemonic }) => set.has(mnemonic);
};

const FX_STATE = ['fxsave', 'fxsave64', 'fxrstor', 'fxrstor64', 'ldmxcsr', 'stmxcsr'];

/** The first that holds counts. */
export const REASONS: readonly Reason[] = [
  {
    name: 'no64',
    text: 'does not exist in 64-bit mode',
    holds: (row, _, bits) => bits === 64 && !existsIn(row, bits),
  },
  {
    name: 'only64',
    text: 'exists in 64-bit mode alone',
    holds: (row, _, bits) => bits !== 64 && !existsIn(row, bits),
  },
  {
    name: 'not executed',
    text: 'trapline only decodes it as yet',
    holds: ({ semantics, microcode }) => semantics === undefined && microcode === undefined,
  },
  {
    name: 'x87 state',
    text: 'acts on x87 and SSE state, which vectors do not hold yet: tested from the manual (x87Control, fxState in test/cpu)',
    holds: oneOf('fldcw', 'fnstcw', 'fnstsw', 'fnclex', 'fninit', 'fnop', 'fwait', ...FX_STATE),
  },
  {
    name: 'emulated by the kernel',
    text: 'with CR4.UMIP set Linux emulates it for programs with values of its own (arch/x86/kernel/umip.c)',
    holds: oneOf('sgdt', 'sidt', 'sldt', 'str', 'smsw'),
  },
  {
    name: 'system call',
    text: 'enters the kernel underneath',
    holds: oneOf('syscall', 'sysenter'),
  },
  {
    name: 'hypercall',
    text: 'calls the hypervisor that the processor underneath may run under',
    holds: oneOf('vmcall', 'vmmcall'),
  },
  {
    name: 'not repeatable',
    text: 'tells something of the moment or of the processor: time, chance, its number, its CPUID',
    holds: oneOf('rdtsc', 'rdtscp', 'tpause', 'umwait', 'rdrand', 'rdseed', 'rdpid', 'cpuid'),
  },
  {
    name: 'INT1 under a hypervisor',
    text: 'KVM on AMD takes its #DB and gives it back as a fault, with RIP at the instruction instead of behind it',
    holds: ({ mnemonic }, { vendor }) => mnemonic === 'int1' && vendor === 'AMD',
  },
  {
    name: 'feature',
    text: 'the processor that was asked lacks its CPUID feature',
    holds: ({ cpuid }, { features }) => cpuid !== undefined && !features.has(cpuid),
  },
  {
    name: 'VMX',
    text: 'a guest of trapline is no hypervisor itself',
    holds: ({ cpuid }) => cpuid === 'VMX',
  },
];

/** Why the oracle is not asked about a row in code of so many bits; null if it is. */
export const reasonNotToAsk = (row: Row, host: Offered, bits: Bits = 64): Reason | null =>
  REASONS.find((reason) => reason.holds(row, host, bits)) ?? null;
