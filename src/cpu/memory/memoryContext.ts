// What the memory half of a processor knows of the processor around it, and the low halves of the control registers as
// plain numbers, for code that must not pay for a bigint.

import { CR0, CR4, EFER, RFLAGS } from '../../x86/names/registers.ts';
import { MODE, type Mode } from './access.ts';
import type { Arena } from './arena.ts';
import type { SecondStage } from './secondStage.ts';
import { OFFSET, type CpuState } from '../state.ts';

/** What CPUID offers of paging. */
export interface PagingFeatures {
  has(feature: 'PAGE1GB' | 'PSE36'): boolean;
  /** MAXPHYADDR: 33 to 46. */
  readonly physicalAddressBits: number;
}

/** A logical CPU, as its MMU sees it. */
export interface MemoryContext {
  readonly state: CpuState;
  readonly arena: Arena;
  readonly secondStage: SecondStage;
  readonly features: PagingFeatures;
  /** The record that generated code was executing when it last took a slow path: set by the slow paths. */
  record: number;
  /** Whether the memory operand of a record goes through SS, so that a non-canonical address is #SS(0). */
  usesStackSegment(record: number): boolean;
}

const WP = Number(CR0.WP);
const AM = Number(CR0.AM);
const PG = Number(CR0.PG);
const PSE = Number(CR4.PSE);
const PAE = Number(CR4.PAE);
const SMEP = Number(CR4.SMEP);
const SMAP = Number(CR4.SMAP);
const PGE = Number(CR4.PGE);
const PCIDE = Number(CR4.PCIDE);
const LA57 = Number(CR4.LA57);
const LMA = Number(EFER.LMA);
const NXE = Number(EFER.NXE);
const PCID_MASK = 0xfff;
const USER_CPL = 3;

/** Predicates on the registers that decide how an address is translated. Reads the state block each time: nothing to invalidate. */
export class PagingRegisters {
  readonly #u32: Uint32Array;
  readonly #u8: Uint8Array;
  readonly #cr0: number;
  readonly #cr3: number;
  readonly #cr4: number;
  readonly #efer: number;
  readonly #pdptes: number;
  readonly #rflags: number;
  readonly #cpl: number;

  constructor(state: CpuState) {
    this.#u32 = state.views.u32;
    this.#u8 = state.views.u8;
    this.#cr0 = (state.base + OFFSET.cr0) >>> 2;
    this.#cr3 = (state.base + OFFSET.cr3) >>> 2;
    this.#cr4 = (state.base + OFFSET.cr4) >>> 2;
    this.#efer = (state.base + OFFSET.efer) >>> 2;
    this.#pdptes = state.at('pdpte') >>> 2;
    this.#rflags = (state.base + OFFSET.rflags) >>> 2;
    this.#cpl = state.base + OFFSET.cpl;
  }

  get paging(): boolean {
    return (this.#u32[this.#cr0]! & PG) !== 0;
  }
  get wp(): boolean {
    return (this.#u32[this.#cr0]! & WP) !== 0;
  }
  /** CR4.SMEP and CR4.SMAP, which are about pages: without paging they are as clear. */
  get smep(): boolean {
    return (this.#u32[this.#cr4]! & SMEP) !== 0 && this.paging;
  }
  get smap(): boolean {
    return (this.#u32[this.#cr4]! & SMAP) !== 0 && this.paging;
  }
  get pse(): boolean {
    return (this.#u32[this.#cr4]! & PSE) !== 0;
  }
  get pae(): boolean {
    return (this.#u32[this.#cr4]! & PAE) !== 0;
  }
  get globalPages(): boolean {
    return (this.#u32[this.#cr4]! & PGE) !== 0;
  }
  get la57(): boolean {
    return (this.#u32[this.#cr4]! & LA57) !== 0;
  }
  get longMode(): boolean {
    return (this.#u32[this.#efer]! & LMA) !== 0;
  }
  get nxe(): boolean {
    return (this.#u32[this.#efer]! & NXE) !== 0;
  }
  /** The current PCID; 0 while CR4.PCIDE = 0. */
  get pcid(): number {
    return (this.#u32[this.#cr4]! & PCIDE) === 0 ? 0 : this.#u32[this.#cr3]! & PCID_MASK;
  }
  get cr3Low(): number {
    return this.#u32[this.#cr3]!;
  }
  get cr3High(): number {
    return this.#u32[this.#cr3 + 1]!;
  }
  pdpteLow(index: number): number {
    return this.#u32[this.#pdptes + 2 * index]!;
  }
  pdpteHigh(index: number): number {
    return this.#u32[this.#pdptes + 2 * index + 1]!;
  }
  get user(): boolean {
    return this.#u8[this.#cpl] === USER_CPL;
  }
  /** Whether explicit data accesses raise #AC where they are not aligned (SDM vol. 3, 6.15). */
  get alignmentChecked(): boolean {
    return this.user && (this.#u32[this.#cr0]! & AM) !== 0 && (this.#u32[this.#rflags]! & RFLAGS.AC) !== 0;
  }
  /** Mode of explicit data accesses at the current CPL and EFLAGS.AC. */
  get dataMode(): Mode {
    if (this.user) return MODE.USER;
    return this.smap && (this.#u32[this.#rflags]! & RFLAGS.AC) === 0 ? MODE.SUPERVISOR : MODE.SUPERVISOR_AC;
  }
  /** Mode of implicit supervisor accesses: EFLAGS.AC does not matter (SDM vol. 3, 4.6.1). */
  get systemMode(): Mode {
    return this.smap ? MODE.SUPERVISOR : MODE.SUPERVISOR_AC;
  }
}
