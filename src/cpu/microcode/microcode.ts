// What microcode is: instructions that are rare and intricate, in plain TypeScript, called by generated code. This file has
// the types alone; each family has a file of its own, and table.ts lists them all.
//
// Contract: state.rip and state.tsc are those of the instruction. Microcode reads its operands, checks in the manual's
// order, raises (`raise.*`), exits (`vmExit`) or stops (`stop`), and only then commits: thrown out of, it has changed nothing.

import type { AccessKind } from '../memory/access.ts';
import type { Controls } from '../controls.ts';
import type { CpuidResult, Features } from '../features.ts';
import type { CpuState } from '../state.ts';

/**
 * Guest memory by linear address, as microcode reaches it, and what invalidates translations: the part of `Mmu` that
 * microcode uses. Accesses raise guest faults or exit by throwing. Register changes are told after the fact.
 */
export interface MicrocodeMmu {
  /** `size` 1, 2, 4 or 8; the result is zero-extended. */
  read(gva: bigint, size: number, access: AccessKind): bigint;
  write(gva: bigint, size: number, value: bigint, access: AccessKind): void;
  /** `read` and `write` for whoever cannot afford bigints: address and value in halves. What was read stands in `low` and `high`. */
  readWords(low: number, high: number, size: number, access: AccessKind): void;
  writeWords(low: number, high: number, size: number, valueLow: number, valueHigh: number, access: AccessKind): void;
  readonly low: number;
  readonly high: number;
  /**
   * Index among the 32-bit words of linear memory of bytes that an access (access.ts) may touch by just doing so: they are aligned,
   * lie in one page, no table is walked, nothing raised, nobody told. 0: it takes an ordinary access to find out.
   */
  atHand(low: number, high: number, access: number): number;
  /** Throws as an access to `length` bytes would, and changes nothing. */
  probe(gva: bigint, length: number, direction: 'read' | 'write', access: AccessKind): void;
  /** The eight bytes of a paging-structure entry at a guest physical address; leaves with EPT_VIOLATION. */
  readTable(gpa: bigint): bigint;
  /** CPL or EFLAGS.AC changed: accesses go through other views. */
  selectViews(): void;
  cr0Changed(old: bigint): void;
  /** `keep`: the new PCID's translations stay. */
  cr3Changed(keep: boolean): void;
  cr4Changed(old: number): void;
  eferChanged(old: bigint): void;
  /** DR0 to DR3 or DR7 changed. Whether generated code may meet a breakpoint now. */
  breakpointsChanged(): boolean;
  invlpg(gva: bigint): void;
  invpcid(type: number, pcid: number, gva: bigint): void;
}

/** Port accesses, which the host serves: fragments of their instruction (fragments.ts). */
export interface PortFragments {
  /** The value read (0 for a write), once the host has served it; until then null: leave, the exit fields are filled. */
  port(port: number, size: 1 | 2 | 4, direction: 'in' | 'out', value?: number, flags?: number): number | null;
}

/** Registers of the physical CPU that guest code reaches by itself, where the MSR bitmaps let it through: no state of the guest's. */
export interface PhysicalMsrs {
  /** Null: none of that index (RDMSR: #GP(0)). `state.tsc` is that of the instruction. */
  read(index: number): bigint | null;
  /** Null: none of that index. False: an illegal value (WRMSR: #GP(0)). */
  write(index: number, value: bigint): boolean | null;
}

/** What I/O instructions tell of their accesses (breakpoints.ts). */
export interface PortBreakpoints {
  notePort(port: number, size: number): void;
}

/** A logical CPU, as microcode, event delivery and the MSR table see it. */
export interface MicrocodeCpu {
  readonly state: CpuState;
  readonly controls: Controls;
  readonly features: Features;
  readonly mmu: MicrocodeMmu;
  readonly fragments: PortFragments;
  /** Null: the hypervisor gives none away. */
  readonly physicalMsrs: PhysicalMsrs | null;
  readonly breakpoints: PortBreakpoints;
  /** Answers CPUID on a CPU without hypervisor (`Controls.none()`). */
  cpuid(leaf: number, subleaf: number): CpuidResult;
}

/** The decoded instruction, as microcode meets it. One object, filled for each call: do not keep it. */
export interface Operands {
  readonly rip: bigint;
  /** Bytes. */
  length: number;
  /** Operand size in bytes: 1, 2, 4 or 8. Of far pointers: that of the offset. */
  width: number;
  /** Address size in bytes: 2, 4 or 8. */
  addressSize: number;
  /**
   * Register numbers of the operands in the manual's order: general, segment, control or debug registers as the row says;
   * registers that the row names (FS of PUSH FS) too.
   */
  reg0: number;
  reg1: number;
  /** One of the operands is memory; `segment`, `offset` and `address` say where. */
  isMemory: boolean;
  /** Effective address: within the address size. */
  offset: bigint;
  /** Linear address: the segment base is added, but no limit was checked. Who accesses it asks checks.ts. */
  address: bigint;
  /** Segment of the memory operand, in the machine's numbering. */
  segment: number;
  hasImmediate: boolean;
  /** Sign-extended to 64 bits; and the same as a number. */
  immediate: bigint;
  immediateNumber: number;
  /** The second immediate (ENTER's level). */
  immediate2: number;
  /** A REP prefix repeats the instruction. */
  rep: boolean;
}

/**
 * How an instruction ends: `next` (RIP advances, the block may go on), `end` (RIP advances, but what decoding or
 * interruptibility depends on has changed: leave the block), `jump` (state.rip is set; an iteration of REP that is not the
 * last jumps to itself), `exit` (the exit fields are filled, nothing else was done: see leaveGuest), `trap` (as `end`, and
 * then exits: the exit fields are filled). One call that does not end with `exit` is one unit.
 */
export type Outcome = 'next' | 'end' | 'jump' | 'exit' | 'trap';

export type Microcode = (cpu: MicrocodeCpu, insn: Operands) => Outcome;
