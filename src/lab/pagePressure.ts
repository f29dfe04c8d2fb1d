// A host short of memory: again and again, at chance moments, it takes a page of the guest away, as reclaim does through the MMU
// notifier. Nothing is lost with the page: whoever needs it looks it up again.

import type { PhysicalCpu } from '../host/cpu.ts';
import type { Host } from '../host/host.ts';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../host/hrtimer.ts';
import { Random } from '../host/random.ts';
import type { GuestPageCache } from '../hypervisor/guestPageCache.ts';
import { pageOf, type Memslots } from '../hypervisor/memslots.ts';

export class PagePressure implements HrtimerOwner {
  readonly name = 'the memory pressure';
  readonly #random: Random;
  readonly #every: number;
  readonly #takes: readonly (() => void)[];
  /** How often a page was taken. */
  taken = 0;

  /** Starts at once, on a CPU that nothing else runs on. `takes`: what takes each page; `every`: cycles between two, on average. */
  constructor(host: Host, cpu: PhysicalCpu, seed: number, every: number, takes: readonly (() => void)[]) {
    this.#random = new Random(seed);
    this.#every = every;
    this.#takes = takes;
    const before = host.thisCpu;
    host.thisCpu = cpu;
    new Hrtimer(host, this, 'reclaim').start(cpu.now + this.#wait());
    host.thisCpu = before;
  }

  onHrtimer(timer: Hrtimer): HrtimerRestart {
    this.taken++;
    this.#takes[this.#random.below(this.#takes.length)]!();
    timer.expires += this.#wait();
    return 'restart';
  }

  #wait(): number {
    return 1 + this.#random.below(2 * this.#every);
  }
}

/** Takes away the guest page that a cache stands for, if there is one. */
export function takePage(memslots: Memslots, { activeGpa }: GuestPageCache): void {
  if (activeGpa !== null) memslots.invalidate(pageOf(activeGpa), 1);
}
