// The names that KVM's tracepoints print instead of numbers (Linux 6.16 arch/x86/kvm/trace.h, include/trace/events/kvm.h).
// They are what its tables know, no more: a number that they lack is printed as one, as __print_symbolic() does.

import { EXIT } from '../cpu/exit.ts';
import { SVM_EXIT } from '../x86/names/svm.ts';
import { KVM_ISA } from './probes.ts';
import { VECTOR } from '../x86/names/vectors.ts';

export type Symbols = ReadonlyMap<number, string>;

/** __print_symbolic(). */
export const symbolic = (symbols: Symbols, value: number): string =>
  symbols.get(value) ?? `0x${(value >>> 0).toString(16)}`;

const table = (entries: Readonly<Record<string, number>>, prefix = ''): Symbols =>
  new Map(Object.entries(entries).map(([name, value]) => [value, prefix + name]));

/** A table whose numbers are positions. */
const sequence = (...names: readonly string[]): Symbols => new Map(names.entries());

/** VMX_EXIT_REASONS, as far as trapline has them. */
const EXIT_REASONS = table(Object.fromEntries(Object.entries(EXIT).filter(([, reason]) => reason >= 0)));

/** kvm_trace_exit_reason: why KVM_RUN returned. */
// prettier-ignore
export const USERSPACE_EXITS = table({
  UNKNOWN: 0, EXCEPTION: 1, IO: 2, HYPERCALL: 3, DEBUG: 4, HLT: 5, MMIO: 6, IRQ_WINDOW_OPEN: 7, SHUTDOWN: 8, FAIL_ENTRY: 9, INTR: 10,
  SET_TPR: 11, TPR_ACCESS: 12, NMI: 16, INTERNAL_ERROR: 17, SYSTEM_EVENT: 24, IOAPIC_EOI: 26, HYPERV: 27, X86_RDMSR: 29, X86_WRMSR: 30,
  DIRTY_RING_FULL: 31, AP_RESET_HOLD: 32, X86_BUS_LOCK: 33, XEN: 34, NOTIFY: 37, MEMORY_FAULT: 39, TDX: 40,
}, 'KVM_EXIT_');

/** kvm_trace_symbol_apic: the first of the eight registers of ISR, TMR and IRR has the name, LVTCMCI has none. */
// prettier-ignore
export const APIC_REGISTERS = table({
  ID: 0x020, LVR: 0x030, TASKPRI: 0x080, ARBPRI: 0x090, PROCPRI: 0x0a0, EOI: 0x0b0, RRR: 0x0c0, LDR: 0x0d0, DFR: 0x0e0, SPIV: 0x0f0,
  ISR: 0x100, TMR: 0x180, IRR: 0x200, ESR: 0x280, ICR: 0x300, ICR2: 0x310, LVTT: 0x320, LVTTHMR: 0x330, LVTPC: 0x340, LVT0: 0x350,
  LVT1: 0x360, LVTERR: 0x370, TMICT: 0x380, TMCCT: 0x390, TDCR: 0x3e0, SELF_IPI: 0x3f0, EFEAT: 0x400, ECTRL: 0x410,
}, 'APIC_');

/** kvm_deliver_mode. */
export const DELIVERY_MODES = sequence('Fixed', 'LowPrio', 'SMI', 'Res3', 'NMI', 'INIT', 'SIPI', 'ExtINT');

/** kvm_irqchips. */
export const IRQCHIPS = sequence('PIC master', 'PIC slave', 'IOAPIC');

/** kvm_apic_dst_shorthand. */
export const SHORTHANDS = sequence('dst', 'self', 'all', 'all-but-self');

const { DE, DB, BP, OF, BR, UD, NM, DF, TS, NP, SS, GP, PF, MF, AC, MC } = VECTOR;
/** kvm_trace_sym_exc. */
export const EXCEPTIONS = table({ DE, DB, BP, OF, BR, UD, NM, DF, TS, NP, SS, GP, PF, MF, AC, MC }, '#');

/** SVM_EXIT_REASONS, likewise. Control and debug registers and exceptions are numbered on from the first. */
const svmNames = (): Symbols => {
  const names = new Map<number, string>(
    Object.entries(SVM_EXIT).map(([name, code]) => [code, SVM_SPELLING[name] ?? name.toLowerCase()]),
  );
  for (let i = 0; i < REGISTERS; i++) {
    for (const kind of ['READ_CR0', 'WRITE_CR0', 'READ_DR0', 'WRITE_DR0'] as const) {
      names.set(SVM_EXIT[kind] + i, kind.toLowerCase().replace('0', String(i)));
    }
  }
  for (const [vector, name] of EXCEPTIONS) names.set(SVM_EXIT.EXCP_BASE + vector, `${name.slice(1)} excp`);
  return names;
};
const REGISTERS = 16;
/** Where the name is not that of the constant. */
const SVM_SPELLING: Readonly<Record<string, string>> = { INTR: 'interrupt', IOIO: 'io', VMMCALL: 'hypercall' };

const SVM_EXIT_REASONS = svmNames();

/** The exits of a KVM_ISA by number. */
export const exitReasons = (isa: number): Symbols => (isa === KVM_ISA.SVM ? SVM_EXIT_REASONS : EXIT_REASONS);
