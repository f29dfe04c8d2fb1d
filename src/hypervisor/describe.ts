// Describes an exit to a person: its reason with what belongs to it, by name. The one place that does.

import type { Exit } from '../cpu/exit.ts';
import { nameOfMsr } from './msrs.ts';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** The exit in words: `MSR_WRITE MSR_TSC_DEADLINE = 0x1a2b`, `IO_INSTRUCTION out 0x3f8 = 0x48 'H'`, `HLT`. */
export function describeExit(exit: Exit): string {
  const { reason } = exit;
  switch (exit.reason) {
    case 'MSR_READ':
      return `${reason} ${nameOfMsr(exit.index)}`;
    case 'MSR_WRITE':
      return `${reason} ${nameOfMsr(exit.index)} = ${hex(exit.value)}`;
    case 'CPUID':
      return `${reason} ${hex(exit.leaf)}${exit.subleaf === 0 ? '' : `.${exit.subleaf}`}`;
    case 'IO_INSTRUCTION':
      return `${reason} ${exit.direction} ${hex(exit.port)}${exit.direction === 'out' ? ` = ${byteText(exit.value, exit.size)}` : ''}`;
    case 'EPT_VIOLATION':
      return `${reason} ${exit.access} of gpa ${hex(exit.gpa)}`;
    case 'EPT_MISCONFIG':
      return `${reason} ${exit.access} of ${exit.size} at gpa ${hex(exit.gpa)}${exit.access === 'write' ? ` = ${hex(exit.value)}` : ''}`;
    case 'CR_ACCESS':
      return `${reason} ${exit.access} cr${exit.cr}${exit.access === 'write' ? ` = ${hex(exit.value)}` : ''}`;
    case 'DR_ACCESS':
      return `${reason} ${exit.access} dr${exit.dr}`;
    case 'INVLPG':
      return `${reason} ${hex(exit.gva)}`;
    case 'EXCEPTION_NMI':
      return `${reason} vector ${exit.vector}${exit.errorCode === null ? '' : `, error code ${hex(exit.errorCode)}`}`;
    case 'EXTERNAL_INTERRUPT':
    case 'TRIPLE_FAULT':
    case 'INTERRUPT_WINDOW':
    case 'NMI_WINDOW':
    case 'HLT':
    case 'INVD':
    case 'RDPMC':
    case 'RDTSC':
    case 'RDTSCP':
    case 'VMCALL':
    case 'PAUSE_INSTRUCTION':
    case 'WBINVD':
    case 'MWAIT_INSTRUCTION':
    case 'MONITOR_INSTRUCTION':
    case 'XSETBV':
      return reason;
  }
}

/** A value written to a port; a printable byte also as a character. */
function byteText(value: number, size: number): string {
  const printable = size === 1 && value > 0x20 && value < 0x7f;
  return printable ? `${hex(value)} '${String.fromCharCode(value)}'` : hex(value);
}
