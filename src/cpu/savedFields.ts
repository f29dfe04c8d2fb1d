// How a class says what of it belongs to a snapshot: one method that names each mutable field once. Whether the fields are
// written down or read back is the visitor's business (vmm/snapshot).
//
// Theory. A class with state has a method `transfer(fields)`. It hands over each field with its name and takes back what it
// is to be: the same value while a machine is saved, the saved one while a machine is restored. So both directions are one
// text and cannot disagree, private fields included:
//
//   transfer(fields: SavedFields): void {
//     fields.own(this, 'period', 'end');
//     this.#divide = fields.value('divide', this.#divide);
//   }
//
// Not handed over are what never changes, what is derived from other fields, and trapline's own caches, which no guest and
// no count can tell apart.

/** A value that stands in a snapshot by itself. */
export type Plain = number | bigint | boolean | string | null;
/** The same, and what is made of such values. */
export type PlainData = Plain | readonly PlainData[] | { readonly [name: string]: PlainData };

/** Names of the fields of T that hold plain values. */
export type PlainField<T> = { [K in keyof T]: T[K] extends Plain ? K : never }[keyof T] & string;

export interface SavedFields {
  /** The machine is being restored: `value` and its kin answer what was saved. */
  readonly restoring: boolean;
  /** One plain value. */
  value<T extends Plain>(name: string, now: T): T;
  /** Several fields of an object, under their own names. */
  own<T extends object>(of: T, ...names: PlainField<T>[]): void;
  /** Every field of an object that holds a number: counters. */
  numbers(name: string, of: object): void;
  /** The elements of an array that stays where it is. */
  elements(name: string, array: Uint8Array | Uint32Array | Float64Array): void;
  /** Data of any shape; what comes back while restoring must be checked by who asked. */
  data<T>(name: string, now: T): T;
  /** Fields of a part. */
  part(name: string): this;
  /** What stands there cannot be saved now, or has nothing here that it could be restored to. */
  refuse(what: string, hint: string): never;
}
