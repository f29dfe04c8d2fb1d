// What the transform refuses, because a preemption would silently be lost or moved: every marked line, and no other.
import type { Cell, Cells } from '../../src/host/cells.ts';

interface HasA {
  a: number;
}

class Box implements HasA {
  a: Cell<number> = 1; // refused
  f: Cell<() => number> = () => 1;
  readonly words: Cells<Uint32Array> = new Uint32Array(4);
  /** Mutable and no cell: only an audit announces it. */
  plain = 0;

  /* refused */ set half(value: number) {
    this.a = value / 2;
  }
}

export function byDestructuring(b: Box) {
  const { a } = b; // refused
  [b.a] = [a]; // refused
}
export function byParameter(
  { a }: Box, // refused
  b: Box,
) {
  return a + b.a;
}
export function byParameterAlone(
  { a }: Box, // refused
) {
  return a;
}
export function byKey(b: Box) {
  return b['a']; // refused
}
export function byAnyKey(b: Box, key: keyof Box) {
  return b[key]; // refused
}
export function bySpread(b: Box) {
  return { ...b, sum: b.a }; // refused
}
export function byIteration(b: Box) {
  return [...b.words, b.a]; // refused
}
export function byDefault(
  b: Box,
  k = b.a, // refused
) {
  return k + b.plain;
}
export function byChain(b: Box | null) {
  return b?.a.toFixed(1); // refused
}
export function byCall(b: Box) {
  return b.f(); // refused
}
export function bySetter(b: Box) {
  b.half = b.a; // refused
}
export function byLibraryCallback(b: Box) {
  return [3, 1].sort((x, y) => (x - y) * b.a); // refused
}
