// Interrupt priorities: the 256-bit vector registers ISR, TMR and IRR, and TPR and PPR, which decide what may be delivered
// (SDM vol. 3, 11.8.3). Pure functions over the register page.

import type { Atomic, Cells } from '../../host/cells.ts';
import { APIC } from './registers.ts';

/** The register page by 32-bit words: the register at offset o is word o >> 2. */
export type RegisterPage = Cells<Uint32Array>;

/** No vector. */
export const NONE = -1;

/** Priority class of a vector, of TPR or of PPR: bits 7:4, in place. */
const PRIORITY_CLASS = 0xf0;

const WORDS = 8;
/** Words of the page from one register to the next. */
const STEP = 4;
const wordOf = (file: number, vector: number): number => (file >> 2) + (vector >> 5) * STEP;

/** Whether a vector's bit is set in the file (APIC.ISR, APIC.TMR or APIC.IRR). */
export const testVector = (regs: RegisterPage, file: number, vector: number): boolean =>
  ((regs[wordOf(file, vector)]! >>> (vector & 31)) & 1) !== 0;

/** Indivisible, as senders on other CPUs set IRR bits while the vCPU clears them. */
export function setVector(regs: RegisterPage, file: number, vector: number): Atomic<void> {
  regs[wordOf(file, vector)]! |= 1 << (vector & 31);
}

export function clearVector(regs: RegisterPage, file: number, vector: number): Atomic<void> {
  regs[wordOf(file, vector)]! &= ~(1 << (vector & 31));
}

/** The highest vector that is set in a file; NONE when it is empty. */
export function highestVector(regs: RegisterPage, file: number): number {
  for (let i = WORDS - 1; i >= 0; i--) {
    const word = regs[(file >> 2) + i * STEP]!;
    if (word !== 0) return i * 32 + 31 - Math.clz32(word);
  }
  return NONE;
}

/** PPR from TPR and the highest vector in service: __apic_update_ppr(). */
export function processorPriority(regs: RegisterPage): number {
  const tpr = regs[APIC.TASKPRI >> 2]! & 0xff;
  const inService = Math.max(highestVector(regs, APIC.ISR), 0);
  const serviceClass = inService & PRIORITY_CLASS;
  return (tpr & PRIORITY_CLASS) >= serviceClass ? tpr : serviceClass;
}

/** The vector that a processor at priority `ppr` takes next: apic_has_interrupt_for_ppr(). NONE when nothing is above it. */
export function deliverableVector(regs: RegisterPage, ppr: number): number {
  const requested = highestVector(regs, APIC.IRR);
  return requested !== NONE && (requested & PRIORITY_CLASS) > ppr ? requested : NONE;
}
