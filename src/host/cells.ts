// How host code declares the state that several activities share. The markers cost nothing: they are types, and the fields
// that carry them are ordinary fields.
//
// Theory: two activities (a vCPU thread, a hard interrupt on another CPU, a VMM thread) race only through memory that both
// touch. Each such field is a cell. In normal runs nothing else happens; under `explore` the same source is transformed so
// that it can be preempted before each access to a cell, and only there. `this.count += 1` is two accesses, as in C. An
// access that hardware makes indivisible (test_and_set_bit, xchg) is a function that returns `Atomic<T>`.
//
// A cell is accessed as `object.field`, never through destructuring, spread or a string key: the transform refuses these.
// An interface that has the field marks it, too. Constructors and field initialisers run before the object is shared and are
// not preempted.

/** A field shared by several activities: `armed: Cell<boolean> = false`. */
export type Cell<T> = T;

/**
 * A container whose elements are shared: `irr: Cells<Uint32Array>`. Each `irr[i]` is one access, and so is each call of one
 * of its methods (`fill`, `Map.get`); the field itself is set once and is no cell.
 */
export type Cells<T extends object> = T;

/** Result of a function that is one indivisible access, preempted before it and never within: `testAndSet(bit): Atomic<boolean>`. */
export type Atomic<T> = T;
