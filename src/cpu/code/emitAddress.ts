// Emits addresses: the effective address of a record, and what a segment makes of an offset in each environment (codeMode.ts).
// In 64-bit code a general memory operand adds the base of FS or GS; flat code adds and checks nothing; segmented code
// compares with the segment's bounds, and asks segmentation.ts about what lies beyond.

import { SEGMENT } from '../../x86/names/registers.ts';
import type { Segment } from '../../x86/backEnd.ts';
import { RSP } from '../../x86/semantics.ts';
import { i32, i64, load, type Expr } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import { call } from '../../wasm/module.ts';
import { ACCESS } from '../memory/access.ts';
import type { Environment } from '../segments/codeMode.ts';
import type { Rare } from './imports.ts';
import { RECORD, registerOffset } from './records.ts';
import { OFFSET, SEGMENT_SIZE } from '../state.ts';

/** How a form's memory operand is addressed: shapes.ts. */
export type MemoryShape = 'm' | 'm32' | 's';

const MASK32 = i64(0xffff_ffffn);
/** From a segment register to its bounds. */
const TO_READ_END = OFFSET.bounds - OFFSET.segments;
const TO_WRITE_END = TO_READ_END + 8;
const segmentOffset = (segment: number): number => OFFSET.segments + SEGMENT_SIZE * segment;

export class AddressEmitter {
  readonly #fn: FunctionBuilder;
  readonly #rare: Rare;
  readonly #environment: Environment;
  readonly #shape: MemoryShape;
  readonly #record: Expr<'i32'>;
  readonly #state: Expr<'i32'>;
  readonly #leave: () => void;
  #effective: Expr<'i64'> | null = null;

  /** `leave`: how generated code leaves when a segment check has raised something. */
  constructor(
    fn: FunctionBuilder,
    rare: Rare,
    environment: Environment,
    shape: MemoryShape,
    record: Expr<'i32'>,
    state: Expr<'i32'>,
    leave: () => void,
  ) {
    this.#fn = fn;
    this.#rare = rare;
    this.#environment = environment;
    this.#shape = shape;
    this.#record = record;
    this.#state = state;
    this.#leave = leave;
  }

  #u16(offset: number): Expr<'i32'> {
    return load('i32', 2, this.#record, offset);
  }

  effective(): Expr<'i64'> {
    if (this.#effective) return this.#effective;
    const base = load('i64', 8, this.#state.add(this.#u16(RECORD.base)));
    const index = load('i64', 8, this.#state.add(this.#u16(RECORD.index)));
    // Shift counts are modulo 64: the bits above the scale that select the mask do not matter.
    const scaled = index.shl(load('i64', 1, this.#record, RECORD.scale));
    const disp = load('i32', 4, this.#record, RECORD.disp).sext();
    return (this.#effective = this.#fn.let(this.wrap(base.add(scaled).add(disp))));
  }

  /** Cuts to the address size. */
  wrap(address: Expr<'i64'>): Expr<'i64'> {
    if (this.#shape === 'm') return address;
    if (this.#shape === 'm32') return address.and(MASK32);
    const select = load('i32', 1, this.#record, RECORD.scale).shrU(i32(6)).shl(i32(3));
    return address.and(load('i64', 8, this.#state.add(select), OFFSET.addressMask));
  }

  /** Linear address of `bytes` bytes at an offset; leaves if the segment does not hold them, or not for this access. */
  linear(offset: Expr<'i64'>, bytes: number, segment: Segment, intent: 'read' | 'write'): Expr<'i64'> {
    const fn = this.#fn;
    if (this.#environment === 'flat') return fn.let(offset);
    if (this.#environment === 'long') {
      if (this.#shape !== 's' || segment !== 'operand') return fn.let(offset);
      return fn.let(offset.add(load('i64', 8, this.#state.add(this.#u16(RECORD.segment)))));
    }
    const held = fn.let(offset);
    const register = this.#register(segment);
    const at = fn.let(this.#state.add(register));
    const end = load('i64', 8, at, intent === 'read' ? TO_READ_END : TO_WRITE_END);
    fn.if(held.add(i64(bytes)).gtU(end), () => {
      if (typeof this.#rare === 'function') return this.#rare();
      const access = i32(bytes | (intent === 'read' ? 0 : ACCESS.WRITE));
      const admitted = call<'i32'>(this.#rare.checkSegment, 'i32', [register, held.wrap(), access, this.#record]);
      fn.if(admitted.eqz(), this.#leave);
    });
    return fn.let(held.add(load('i64', 8, at)).and(MASK32));
  }

  /** State offset of the segment register of an access. */
  #register(segment: Segment): Expr<'i32'> {
    if (segment === 'operand') return this.#u16(RECORD.segment);
    return i32(segmentOffset(segment === 'es' ? SEGMENT.ES : SEGMENT.SS));
  }

  /** Cuts an offset to the width of the stack. */
  wrapStack(offset: Expr<'i64'>): Expr<'i64'> {
    if (this.#environment === 'long') return offset;
    return offset.and(this.#environment === 'flat' ? MASK32 : this.#stackMask());
  }

  /** What RSP becomes with such an offset as its top: 16 bits leave the others alone. */
  stackPointer(top: Expr<'i64'>): Expr<'i64'> {
    if (this.#environment !== 'segmented') return top;
    const kept = load('i64', 8, this.#state, registerOffset(RSP)).and(this.#stackMask().xor(MASK32));
    return kept.or(top);
  }
  #stackMask(): Expr<'i64'> {
    return load('i64', 8, this.#state, OFFSET.stackMask);
  }
}
