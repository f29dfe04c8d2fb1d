// Describes an exit to a person: its reason with what belongs to it, by name. The one place that does.

import type { Exit, FailedEvent, TripleFault } from '../cpu/exit.ts';
import { PF } from '../cpu/fault.ts';
import { X2APIC_FIRST } from '../x86/names/msrs.ts';
import { ERROR_CODE } from '../x86/names/registers.ts';
import { VECTOR, vectorName } from '../x86/names/vectors.ts';
import { nameOfMsr } from './msrs.ts';

/** The MSR of the register at an offset of the APIC page. */
const x2apicMsr = (offset: number): number => X2APIC_FIRST + (offset >> 4);
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
      return `${reason} ${leafName(exit.leaf, exit.subleaf)}`;
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
    case 'EOI_INDUCED':
      return `${reason} vector ${hex(exit.vector)}`;
    case 'APIC_WRITE':
      return `${reason} ${nameOfMsr(x2apicMsr(exit.offset))}`;
    case 'EXCEPTION_NMI':
      return `${reason} ${describeEvent(exit)}`;
    case 'TRIPLE_FAULT':
      return `${reason} ${describeEvent(exit.first)}, then ${describeEvent(exit.last)}`;
    case 'EXTERNAL_INTERRUPT':
    case 'INTERRUPT_WINDOW':
    case 'NMI_WINDOW':
    case 'PREEMPTION_TIMER':
    case 'TPR_BELOW_THRESHOLD':
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

/** Leaves whose answer depends on ECX (SDM vol. 2, CPUID). */
const WITH_SUBLEAVES = new Set([0x4, 0x7, 0xb, 0xd, 0xf, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1f]);

/** `0x7.0`; without subleaf where ECX means nothing. */
const leafName = (leaf: number, subleaf: number): string =>
  `${hex(leaf)}${WITH_SUBLEAVES.has(leaf) ? `.${subleaf}` : ''}`;

/** `#PF(0x2)`. */
const describeEvent = ({ vector, errorCode }: FailedEvent): string =>
  `${vectorName(vector)}${errorCode === null ? '' : `(${hex(errorCode)})`}`;

/** How a triple fault came about, in lines. */
export function describeTripleFault({ first, last, cr2 }: TripleFault): string[] {
  const address = `; CR2 ${hex(cr2)}`;
  const lastIsPageFault = last.vector === VECTOR.PF;
  const firstIsPageFault = first.vector === VECTOR.PF && !lastIsPageFault;
  return [
    `first ${describeEvent(first)}${blame(first)}${firstIsPageFault ? address : ''}`,
    'then  #DF, because that could not be delivered',
    `then  ${describeEvent(last)}${blame(last)}${lastIsPageFault ? address : ''}, by delivering #DF: the processor shuts down`,
  ];
}

/** What an error code points at. */
function blame({ vector, errorCode }: FailedEvent): string {
  if (vector === VECTOR.PF && errorCode !== null) return `, ${pageFaultCause(errorCode)}`;
  if (errorCode === null || errorCode >> 3 === 0) return '';
  const index = errorCode >> 3;
  if ((errorCode & ERROR_CODE.IDT) !== 0) return `, for IDT entry ${index} (${vectorName(index)})`;
  return `, for selector ${hex(errorCode & ~7)}`;
}

function pageFaultCause(code: number): string {
  const access = (code & PF.I) !== 0 ? 'a fetch' : (code & PF.W) !== 0 ? 'a write' : 'a read';
  const from = (code & PF.U) !== 0 ? 'ring 3' : 'the kernel';
  if ((code & PF.P) === 0) return `${access} by ${from} of a page that is not present`;
  if ((code & PF.RSVD) !== 0) return `${access} by ${from} with a reserved bit set in a page table`;
  return `${access} by ${from} of a page that does not permit it`;
}

/** A value written to a port; a printable byte also as a character. */
function byteText(value: number, size: number): string {
  const printable = size === 1 && value > 0x20 && value < 0x7f;
  return printable ? `${hex(value)} '${String.fromCharCode(value)}'` : hex(value);
}
