// What generated code calls in TypeScript, seen from both sides.

import type { Callable } from '../../wasm/module.ts';

/** Functions that handlers call. Addresses and values of 64 bits travel as two halves, low first; `access` as in access.ts. */
export interface HandlerImports {
  /** (low, high, access, record) -> address in linear memory of the bytes, or 0: leave with STATUS.RAISED. */
  readonly slowRead: Callable;
  /** The same for a read-modify-write: probes for writing. */
  readonly slowOpen: Callable;
  /** (low, high, access, record, valueLow, valueHigh) -> 0: leave with STATUS.RAISED. */
  readonly slowWrite: Callable;
  /** (state offset of a segment register, offset, access, record) -> 0: leave with STATUS.RAISED; else the segment admits it. */
  readonly checkSegment: Callable;
  /** (vector, record): then leave with STATUS.RAISED. */
  readonly raise: Callable;
  /** (record) -> the record to go on with; 0: leave, the status is set. */
  readonly microcode: Callable;
  /** (closing record behind an instruction in the shadow of STI, where a window is awaited) -> likewise. */
  readonly attend: Callable;
  /** (record) -> 0: its instruction may observe time; else the status to leave with. */
  readonly ahead: Callable;
  /** (address, bytes, view entry) -> host address, or 0: a store to a page with decoded code, where its lines allow it. */
  readonly storeBesideCode: Callable;
}

/**
 * Goes to the handler of the record, of which nothing was done yet. Inlined forms leave to it all that is rare, and so call nothing
 * themselves: a compiler keeps on the stack what must outlive a call, on the fast way too.
 */
export type ByCall = () => void;

/** What is rare of a form (a view that misses, a fault, microcode) is done with imports, or elsewhere. */
export type Rare = HandlerImports | ByCall;

/** What TypeScript gives generated code; names are those of `HandlerImports`. */
export interface InterpreterImports {
  slowRead(low: number, high: number, access: number, record: number): number;
  slowOpen(low: number, high: number, access: number, record: number): number;
  slowWrite(low: number, high: number, access: number, record: number, valueLow: number, valueHigh: number): number;
  checkSegment(register: number, offset: number, access: number, record: number): number;
  raise(vector: number, record: number): void;
  microcode(record: number): number;
  attend(record: number): number;
  ahead(record: number): number;
}
