// The events that wait for one physical CPU: what will happen when its position in time reaches them. Events are data, so
// that a machine can be saved with them; who runs them is host.ts.

import type { SavedFields } from '../cpu/savedFields.ts';

/** Whoever an event is for. `name` stands for it in snapshots and reports. */
export interface EventOwner {
  readonly name: string;
  /** Called in hard interrupt context on the event's CPU; must not sleep. */
  onEvent(event: HostEvent): void;
}

/**
 * One pending event. The owner makes it once and queues it as often as it likes; it is in at most one queue at a time.
 * `args` are plain numbers, with a meaning by `kind`.
 */
export class HostEvent {
  readonly owner: EventOwner;
  readonly kind: string;
  readonly args: readonly number[];
  /** Position in cycles at which it is due. */
  at = 0;
  /** Order among events due at the same cycle: the order in which they were queued. */
  sequence = 0;
  /** Index in the heap of the queue that holds it; -1: not queued. */
  slot = -1;

  constructor(owner: EventOwner, kind: string, args: readonly number[] = []) {
    this.owner = owner;
    this.kind = kind;
    this.args = args;
  }

  get queued(): boolean {
    return this.slot >= 0;
  }
}

/** The sequence of an event that goes first at its cycle. */
const FIRST = -1;

const before = (a: HostEvent, b: HostEvent): boolean => a.at < b.at || (a.at === b.at && a.sequence < b.sequence);

/** A binary heap by (at, sequence); each event knows its slot, so that removal needs no search. */
export class EventQueue {
  /** When the first event is due; Infinity when there is none. Kept as a field because every guest entry reads it. */
  next = Infinity;
  #heap: HostEvent[] = [];
  #sequence = 0;

  get size(): number {
    return this.#heap.length;
  }
  /** The event that is taken next. */
  get first(): HostEvent | undefined {
    return this.#heap[0];
  }

  /** Queues an event at position `at` (cycles). An event that is queued already moves there, behind others due at that cycle. */
  insert(event: HostEvent, at: number): void {
    this.#insert(event, at, this.#sequence++);
  }

  /** Queues an event before all others that are due at that cycle, whenever these were or will be queued: only one may be so. */
  insertFirst(event: HostEvent, at: number): void {
    this.#insert(event, at, FIRST);
  }

  #insert(event: HostEvent, at: number, sequence: number): void {
    if (event.slot >= 0) this.remove(event);
    event.at = at;
    event.sequence = sequence;
    event.slot = this.#heap.length;
    this.#heap.push(event);
    this.#up(event.slot);
    this.next = this.#heap[0]!.at;
  }

  /** Whether this queue holds an event. */
  holds(event: HostEvent): boolean {
    return event.slot >= 0 && this.#heap[event.slot] === event;
  }

  /** Queues an event where it stood when a snapshot was taken: among those due at one cycle by `sequence`. */
  restore(event: HostEvent, at: number, sequence: number): void {
    this.#insert(event, at, sequence);
  }

  transfer(fields: SavedFields): void {
    this.#sequence = fields.value('sequence', this.#sequence);
  }

  /** Takes an event out again; false when it was not queued. */
  remove(event: HostEvent): boolean {
    const slot = event.slot;
    if (slot < 0) return false;
    if (this.#heap[slot] !== event) {
      throw new Error(`event "${event.kind}" of ${event.owner.name} is queued on another CPU`);
    }
    const last = this.#heap.pop()!;
    event.slot = -1;
    if (last !== event) {
      this.#heap[slot] = last;
      last.slot = slot;
      this.#up(slot);
      this.#down(last.slot);
    }
    this.next = this.#heap.length > 0 ? this.#heap[0]!.at : Infinity;
    return true;
  }

  /** Takes out the first event that is due at or before `now`; undefined when none is. */
  take(now: number): HostEvent | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    this.remove(first);
    return first;
  }

  /** All pending events in the order in which they will be taken. */
  pending(): HostEvent[] {
    return [...this.#heap].sort((a, b) => (before(a, b) ? -1 : 1));
  }

  #up(slot: number): void {
    const heap = this.#heap;
    const event = heap[slot]!;
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      this.#place(heap[parent]!, slot);
      slot = parent;
    }
    this.#place(event, slot);
  }

  #down(slot: number): void {
    const heap = this.#heap;
    const event = heap[slot]!;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, event)) break;
      this.#place(heap[child]!, slot);
      slot = child;
    }
    this.#place(event, slot);
  }

  #place(event: HostEvent, slot: number): void {
    this.#heap[slot] = event;
    event.slot = slot;
  }
}
