// What people type, on its way to a device of the guest: the only thing from outside that enters a running machine.
//
// Theory: a run is a function of its image, its options and its input, if input has a position in virtual time. What is typed
// gets the first position that no CPU has passed (the one that is furthest ahead stands just before it), as an event of CPU 0
// that goes before all others of that cycle. So nothing that has happened yet depends on it, and a later run in which the
// event waits from the start goes the same way to the bit: the journal of positions and bytes is all that a replay needs. The
// interrupt gives the bytes to the main loop, which gives them to the device, as QEMU does with a file descriptor.

import { HostEvent, type EventOwner } from '../host/queue.ts';
import type { Host } from '../host/host.ts';
import type { HostFields } from '../host/savedFields.ts';
import type { MainLoop, Source } from './mainLoop.ts';

/** Devices that people type at. */
export const INPUT_DEVICES = ['serial', 'keyboard', 'xen-console'] as const;
export type InputDevice = (typeof INPUT_DEVICES)[number];

/** A backlog of bytes with which a guest has enough to read. */
const ENOUGH = 4096;

/** One arrival. `at`: position in cycles. */
export interface InputEntry {
  readonly at: number;
  readonly device: InputDevice;
  readonly bytes: readonly number[];
}

/** A device that takes what is typed. */
export interface InputTaker {
  type(bytes: readonly number[]): void;
  /** Whether an arrival would interrupt the guest. */
  readonly awaitsInput: boolean;
  /** Whether the guest has shown that it reads. */
  readonly listens: boolean;
  /** Bytes that the guest has not taken yet. */
  readonly backlog: number;
}

export class Input implements EventOwner, Source {
  readonly name = 'input';
  readonly #host: Host;
  readonly #loop: MainLoop;
  readonly #takers: Readonly<Partial<Record<InputDevice, InputTaker>>>;
  readonly #attached = new Set<InputDevice>(['serial']);
  readonly #arrival = new HostEvent(this, 'arrival');
  readonly #journal: InputEntry[] = [];
  /** In order of their positions; the first one's event is queued. */
  #pending: InputEntry[] = [];
  /** Arrived, for the main loop. */
  #arrived: InputEntry[] = [];

  constructor(host: Host, loop: MainLoop, takers: Readonly<Partial<Record<InputDevice, InputTaker>>>) {
    this.#host = host;
    this.#loop = loop;
    this.#takers = takers;
    loop.watch(this);
  }

  /** Everything that was typed, or will be in a replay, in order. */
  get journal(): readonly InputEntry[] {
    return this.#journal;
  }

  /** Bytes arrive at the first position that no CPU has passed. Throws RangeError: the machine has no such device. */
  type(device: InputDevice, bytes: readonly number[]): void {
    this.#taker(device);
    if (bytes.length === 0) return;
    const at = Math.max(...this.#host.cpus.map(({ now }) => now)) + 1;
    this.#schedule({ at: Math.max(at, this.#pending.at(-1)?.at ?? 0), device, bytes: [...bytes] });
  }

  /**
   * Bytes will arrive as they did in another run. Call it before the machine runs. Throws RangeError for entries out of order, or
   * a device that the machine has not.
   */
  replay(entries: readonly InputEntry[]): void {
    for (const [i, entry] of entries.entries()) {
      const before = entries[i - 1]?.at ?? 0;
      if (!(entry.at >= before))
        throw new RangeError(`input ${i} arrives at ${entry.at}, before the one that precedes it, at ${before}`);
      this.#taker(entry.device);
      this.#schedule(entry);
    }
  }

  /** Somebody sits at a device, so that a guest that waits for it has something to wait for. At the serial line, always. */
  attach(device: InputDevice): void {
    this.#taker(device);
    this.#attached.add(device);
  }

  /** Whether the guest would go on if somebody typed where somebody sits. */
  awaited(): boolean {
    return [...this.#attached].some((device) => this.#taker(device).awaitsInput);
  }

  /** Whether it is worth while to open what is typed at a device. */
  wanted(device: InputDevice): boolean {
    return this.#taker(device).listens;
  }

  /** Whether more should be typed: not while the guest has much to read still. */
  hasRoom(device: InputDevice): boolean {
    return this.#taker(device).backlog < ENOUGH;
  }

  /** The interrupt by which the host learns of it. */
  onEvent({ at }: HostEvent): void {
    while (this.#pending.length > 0 && this.#pending[0]!.at <= at) this.#arrived.push(this.#pending.shift()!);
    this.#queueFirst();
    this.#loop.notify();
  }

  /** The main loop has come to it. */
  serve(): void {
    for (let entry = this.#arrived.shift(); entry !== undefined; entry = this.#arrived.shift())
      this.#taker(entry.device).type(entry.bytes);
  }

  /** What a snapshot keeps; who sits where is of the session. */
  transfer(fields: HostFields): void {
    this.#pending = fields.data('pending', this.#pending);
    this.#arrived = fields.data('arrived', this.#arrived);
    const journal = fields.data('journal', this.#journal.slice());
    if (fields.restoring) this.#journal.splice(0, Infinity, ...journal);
    fields.event('arrival', this.#arrival);
  }

  #taker(device: InputDevice): InputTaker {
    const taker = this.#takers[device];
    if (taker !== undefined) return taker;
    const names = Object.keys(this.#takers).join(', ');
    throw new RangeError(`this machine has no ${device} to type at, only ${names} (a Xen domain has a xen-console)`);
  }

  #schedule(entry: InputEntry): void {
    this.#journal.push(entry);
    this.#pending.push(entry);
    if (this.#pending.length === 1) this.#queueFirst();
  }

  #queueFirst(): void {
    const [first] = this.#pending;
    if (first !== undefined) this.#host.cpus[0]!.events.insertFirst(this.#arrival, first.at);
  }
}
