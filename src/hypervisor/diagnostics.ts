// What a guest asked for in vain (unknown MSRs, ports, hypercalls, physical addresses): counted, so that a run can name each
// once at its end. Nothing here decides what the guest was answered.

import type { SavedFields } from '../cpu/savedFields.ts';

export type AskedFor =
  | 'msr-read'
  | 'msr-write'
  | 'port-in'
  | 'port-out'
  | 'mmio-read'
  | 'mmio-write'
  | 'hypercall'
  | 'a20-off'
  | 'bios-call';

export interface Diagnostic {
  readonly what: AskedFor;
  /** MSR index, port (of 'a20-off' too), guest physical address, hypercall number, or vector and AH of a BIOS call. */
  readonly index: number;
  /** What the guest got: "#GP(0)", "all ones". */
  readonly answer: string;
  /** RIP of the first time. */
  readonly rip: bigint;
  readonly vcpu: number;
  count: number;
}

/** Different requests that are kept: a guest may walk through all of an address space. */
const MOST = 1000;

export class Diagnostics {
  /** In order of first appearance; and by what and index. */
  readonly #found: Diagnostic[] = [];
  readonly #known = new Map<AskedFor, Map<number, Diagnostic>>();
  /** What was asked for again last. */
  #last: Diagnostic | null = null;

  /** Counts a vain request, or several. */
  note(
    what: AskedFor,
    index: number,
    answer: string,
    vcpu: { id: number; guest: { state: { rip: bigint } } },
    times = 1,
  ): void {
    const last = this.#last;
    const known = last?.what === what && last.index === index ? last : this.#known.get(what)?.get(index);
    if (known !== undefined) {
      known.count += times;
      this.#last = known;
    } else if (this.#found.length < MOST)
      this.#add({ what, index, answer, rip: vcpu.guest.state.rip, vcpu: vcpu.id, count: times });
  }

  #add(diagnostic: Diagnostic): void {
    const { what, index } = diagnostic;
    this.#found.push(diagnostic);
    if (!this.#known.has(what)) this.#known.set(what, new Map());
    this.#known.get(what)!.set(index, diagnostic);
  }

  transfer(fields: SavedFields): void {
    const found = fields.data('found', this.#found);
    if (!fields.restoring) return;
    this.#found.length = 0;
    this.#known.clear();
    this.#last = null;
    for (const diagnostic of found) this.#add(diagnostic);
  }

  /** In order of first appearance. */
  get list(): readonly Diagnostic[] {
    return this.#found;
  }
}
