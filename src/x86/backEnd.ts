// What executes semantics: the interface that generated code, the evaluator and later a translator implement. Values and
// places of operands are its vocabulary; what instructions do with them is said in the rows.
//
// What a back end guarantees, whatever the order in the source: register and flag results are held and stored after the
// last memory access, so an instruction that faults has changed nothing.

import type { Expr } from '../wasm/expr.ts';
import type { Int, Type } from '../wasm/types.ts';
import type { Flags, Width } from './flags.ts';

/** A register as a back end meets it: named by the row, or by operand slot 0 to 2 of the decoded instruction. */
export type Register = { readonly fixed: number } | { readonly slot: number };

/** Where an operand of a form is found. `width` in bits. */
export type Place =
  | { readonly kind: 'register'; readonly register: Register; readonly width: Width }
  | { readonly kind: 'memory'; readonly width: Width; readonly address: 'modrm' | 'immediate' | 'rsi' | 'rdi' }
  /** `stored`: the immediate is in the record; otherwise it is the constant `value`. */
  | { readonly kind: 'immediate'; readonly value?: bigint };

/** What a segment register holds: limit in bytes, attributes as in SEGMENT_ATTRIBUTE. */
type SegmentField = 'Base' | 'Limit' | 'Attributes' | 'Selector';

/** `processorControls`: PROCESSOR_CONTROLS. */
export type StateField =
  | `${'cs' | 'ss'}${SegmentField}`
  | 'gdtrBase'
  | 'gdtrLimit'
  | 'nmiBlocked'
  | 'tscAux'
  | 'cr4'
  | 'cpl'
  | 'rvi'
  | 'fsBase'
  | 'gsBase'
  | 'kernelGsBase'
  | 'dr7'
  | 'processorControls';

export type FaultName = 'de' | 'br' | 'ud' | 'gp';

/** A memory operand that is read and then perhaps written: the write was probed for when it was opened. */
export interface MemoryCell {
  readonly value: Expr<Int>;
  store(value: Expr<Int>): void;
}

export interface BackEnd {
  /** Evaluates once; the result may be used many times. */
  let<T extends Type>(value: Expr<T>): Expr<T>;
  /** The low `width` bits of a register, zero-extended (i64 for 64 bits, else i32). */
  register(register: Register, width: Width): Expr<Int>;
  /** Held until the instruction commits. 32 bits zero the upper half, 8 and 16 keep it. */
  setRegister(register: Register, width: Width, value: Expr<Int>): void;
  /** The number of a register that is no general one, by its slot. */
  registerNumber(slot: number): Expr<'i32'>;
  /** The immediate, extended to 64 bits as the instruction uses it. */
  immediate(): Expr<'i64'>;
  /** The second immediate of ENTER and the like. */
  immediate2(): Expr<'i32'>;
  /** Effective address of the ModRM operand: no segment base, wrapped to the address size. */
  effectiveAddress(): Expr<'i64'>;
  /** 1 if the ModRM operand's base is RSP. */
  baseIsStackPointer(): Expr<'i32'>;
  /** Cuts an address to the address size of the form. */
  wrapAddress(address: Expr<'i64'>): Expr<'i64'>;
  /** Bits of the address size that this form was decoded with; 64 or 32 in 64-bit mode. */
  readonly addressWidth: Width;
  /** Cuts an offset to the width of the stack. */
  wrapStack(offset: Expr<'i64'>): Expr<'i64'>;
  /** RSP becomes this offset, as far as the stack's width goes. Held until the instruction commits. */
  setStackPointer(top: Expr<'i64'>): void;
  load(address: Expr<'i64'>, bytes: number, segment: Segment): Expr<Int>;
  open(address: Expr<'i64'>, bytes: number, segment: Segment): MemoryCell;
  store(address: Expr<'i64'>, bytes: number, segment: Segment, value: Expr<Int>): void;
  flags(): Flags;
  /** Held until commit. With `when`, the flags change only if it is 1. */
  setFlags(flags: Flags, when?: Expr<'i32'>): void;
  /** RFLAGS bits that are not lazy (DF, IF, IOPL, ...). */
  systemFlags(): Expr<'i32'>;
  setSystemFlags(value: Expr<'i32'>): void;
  /** Address of the next instruction. */
  nextRip(): Expr<'i64'>;
  /** The next instruction's address plus the relative displacement. */
  relativeTarget(): Expr<'i64'>;
  /** The guest's time stamp counter at this instruction. */
  tsc(): Expr<'i64'>;
  /** A field of the CPU's state by name, zero-extended, for the few instructions that ask for one. */
  stateField(name: StateField): Expr<'i64'>;
  /** Held until the instruction commits. */
  setStateField(name: StateField, value: Expr<'i64'>): void;
  /** The row's microcode executes the instruction, with nothing done yet, if `when`: what is rare of it. */
  microcodeIf(when: Expr<'i32'>): void;
  /**
   * The 64-bit words of so many bytes, by their offsets, of the stack or of a system table, if they can be read by just looking: no page is
   * walked, nothing is raised. Else the row's microcode executes the instruction. A back end may have nothing at hand.
   */
  atHand(address: Expr<'i64'>, bytes: number, segment: 'stack' | 'system'): (offset: number) => Expr<'i64'>;
  /** Interrupts stay blocked for one more instruction, if `when`. Held until the instruction commits. */
  shadowIf(when: Expr<'i32'>): void;
  /** The block ends behind the next instruction, and attends there (attendIf). */
  attendsLater(): Expr<'i32'>;
  /** Behind the instruction the CPU looks what it runs under, if `when`: events, views, single steps. Last. */
  attendIf(when: Expr<'i32'>): void;
  faultIf(when: Expr<'i32'>, fault: FaultName): void;
  /** Raises #GP unless the target is canonical, or within the limit of CS. Before anything is stored. */
  checkTarget(target: Expr<'i64'>): void;
  /** Control goes to `target`, which was checked; if `attends`, the CPU first looks what it runs under. Last. */
  jump(target: Expr<'i64'>, attends?: Expr<'i32'>): void;
  /** Control goes to the relative target if `when` (always, if absent), else to the next instruction. Last. */
  branch(when?: Expr<'i32'>): void;
  /**
   * REP MOVS (no `value`) and STOS: as many iterations at once as cannot be told from one after the other. A back end that has
   * nothing of the kind runs them one by one. After skipIf, before anything else.
   */
  repeatAtOnce?(bytes: number, value?: Expr<Int>): void;
  /** REP: the instruction runs again (as one more unit) if `when`. Last. */
  repeatIf(when: Expr<'i32'>): void;
  /** The instruction ends here, with nothing done, if `when`: a REP whose count is zero. First. */
  skipIf(when: Expr<'i32'>): void;
}

/** Which segment an access goes through: that of the memory operand, ES of string destinations, SS of the stack. */
export type Segment = 'operand' | 'es' | 'stack';
