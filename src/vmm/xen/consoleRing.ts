// The guest's console: a page with a ring of bytes in each direction (struct xencons_interface of Xen public/io/console.h), and
// a port for both. Whoever has put bytes in, or taken them out, sends an event.
//
// Theory: `out` has 2048 bytes. The guest writes at out_prod and then moves it, whoever prints reads at out_cons and then moves that;
// both count without end, and are taken modulo the size. So the ring is empty when they are equal and full when they
// are 2048 apart. The guest waits for room until the other end's event tells of some. `in` has 1024 bytes, and goes the
// other way; what is typed while it is full waits here, until the guest tells that it has taken some.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import type { GuestConsole } from '../console.ts';
import type { InputTaker } from '../input.ts';

/** Where the page lies: in the hole below 4 GiB, behind the APICs, where QEMU has Xen's special pages. */
export const CONSOLE_GPA = 0xfeff_8000;
const IN = { RING: 0, SIZE: 1024, CONS: 3072, PROD: 3076 } as const;
const OUT = { RING: 1024, SIZE: 2048, CONS: 3080, PROD: 3084 } as const;

export class ConsoleRing implements InputTaker {
  readonly gfn = CONSOLE_GPA / PAGE_SIZE;
  /** The guest's port. */
  readonly port: number;
  readonly #vm: Vm;
  readonly #console: GuestConsole;
  readonly #raise: (port: number) => void;
  /** Typed, and not in the ring yet. */
  #waiting: number[] = [];
  /** The guest has sent an event: it has a driver. */
  listens = false;

  /** `raise`: sends the guest an event. */
  constructor(vm: Vm, console: GuestConsole, port: number, raise: (port: number) => void) {
    this.#vm = vm;
    this.#console = console;
    this.port = port;
    this.#raise = raise;
  }

  /** The guest has sent an event: what it has written is printed, and what waits for room is put in. */
  notified(): void {
    this.listens = true;
    const printed = this.#print();
    if (this.#put() || printed) this.#raise(this.port);
  }

  type(bytes: readonly number[]): void {
    this.#waiting.push(...bytes);
    if (this.#put()) this.#raise(this.port);
  }

  get awaitsInput(): boolean {
    return this.listens;
  }

  get backlog(): number {
    const { from, to } = this.#counts(this.#page, IN);
    return this.#waiting.length + ((to - from) >>> 0);
  }

  transfer(fields: SavedFields): void {
    this.listens = fields.value('listens', this.listens);
    this.#waiting = fields.data('waiting', this.#waiting);
  }

  get #page(): Uint8Array {
    return this.#vm.memory.read(CONSOLE_GPA, PAGE_SIZE)!;
  }

  #counts(page: Uint8Array, { CONS, PROD }: { readonly CONS: number; readonly PROD: number }) {
    const ring = new DataView(page.buffer);
    return { from: ring.getUint32(CONS, true), to: ring.getUint32(PROD, true) };
  }

  /** False: there is nothing to print, or the ring cannot be. */
  #print(): boolean {
    const page = this.#page;
    const { from, to } = this.#counts(page, OUT);
    const count = (to - from) >>> 0;
    if (count === 0 || count > OUT.SIZE) return false;
    for (let i = 0; i < count; i++) this.#console.write(page[OUT.RING + ((from + i) % OUT.SIZE)]!);
    this.#write(OUT.CONS, to);
    return true;
  }

  /** False: nothing waits, or there is no room, or the ring cannot be. */
  #put(): boolean {
    const { from, to } = this.#counts(this.#page, IN);
    const room = IN.SIZE - ((to - from) >>> 0);
    const bytes = room > 0 ? this.#waiting.splice(0, room) : [];
    for (const [i, byte] of bytes.entries())
      this.#vm.memory.write(CONSOLE_GPA + IN.RING + ((to + i) % IN.SIZE), Uint8Array.of(byte));
    if (bytes.length > 0) this.#write(IN.PROD, to + bytes.length);
    return bytes.length > 0;
  }

  #write(at: number, count: number): void {
    this.#vm.memory.write(CONSOLE_GPA + at, new Uint8Array(Uint32Array.of(count).buffer));
  }
}
