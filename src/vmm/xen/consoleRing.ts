// The guest's console: a page with a ring of bytes in each direction (struct xencons_interface of Xen public/io/console.h), and
// a port for both. Whoever has put bytes in, or taken them out, sends an event.
//
// Theory: `out` has 2048 bytes. The guest writes at out_prod and then moves it, whoever prints reads at out_cons and then moves that;
// both count without end, and are taken modulo the size. So the ring is empty when they are equal and full when they
// are 2048 apart. The guest waits for room until the other end's event tells of some.

import type { Vm } from '../../hypervisor/vm.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import type { GuestConsole } from '../console.ts';

/** Where the page lies: in the hole below 4 GiB, behind the APICs, where QEMU has Xen's special pages. */
export const CONSOLE_GPA = 0xfeff_8000;
const OUT = { RING: 1024, SIZE: 2048, CONS: 3080, PROD: 3084 } as const;

export class ConsoleRing {
  readonly gfn = CONSOLE_GPA / PAGE_SIZE;
  /** The guest's port. */
  readonly port: number;
  readonly #vm: Vm;
  readonly #console: GuestConsole;
  readonly #raise: (port: number) => void;

  /** `raise`: sends the guest an event. */
  constructor(vm: Vm, console: GuestConsole, port: number, raise: (port: number) => void) {
    this.#vm = vm;
    this.#console = console;
    this.port = port;
    this.#raise = raise;
  }

  /** The guest has sent an event: what it has written is printed. A ring that cannot be is left alone. */
  notified(): void {
    const { memory } = this.#vm;
    const page = memory.read(CONSOLE_GPA, PAGE_SIZE)!;
    const ring = new DataView(page.buffer);
    const from = ring.getUint32(OUT.CONS, true);
    const to = ring.getUint32(OUT.PROD, true);
    const count = (to - from) >>> 0;
    if (count === 0 || count > OUT.SIZE) return;
    for (let i = 0; i < count; i++) this.#console.write(page[OUT.RING + ((from + i) % OUT.SIZE)]!);
    memory.write(CONSOLE_GPA + OUT.CONS, new Uint8Array(Uint32Array.of(to).buffer));
    this.#raise(this.port);
  }
}
