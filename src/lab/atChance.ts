// Something that happens on the host again and again, at chance moments that are the same in every run: a page that is taken away, a
// device that interrupts.

import type { PhysicalCpu } from '../host/cpu.ts';
import type { Host } from '../host/host.ts';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../host/hrtimer.ts';
import { Random } from '../host/random.ts';
import type { GuestPageCache } from '../hypervisor/guestPageCache.ts';
import { pageOf, type Memslots } from '../hypervisor/memslots.ts';

/** In cycles between two, each by the same chance. */
export interface Interval {
  readonly from: number;
  readonly to: number;
}

export class AtChance implements HrtimerOwner {
  readonly name: string;
  readonly #random: Random;
  readonly #interval: Interval;
  readonly #act: (random: Random) => void;
  /** How often it has happened. */
  times = 0;

  /** Starts at once; `act` runs in a hard interrupt of the CPU. */
  constructor(name: string, host: Host, cpu: PhysicalCpu, interval: Interval, act: (random: Random) => void) {
    this.name = name;
    this.#random = new Random(1);
    this.#interval = interval;
    this.#act = act;
    const before = host.thisCpu;
    host.thisCpu = cpu;
    new Hrtimer(host, this, 'interrupt').start(cpu.now + this.#wait());
    host.thisCpu = before;
  }

  onHrtimer(timer: Hrtimer): HrtimerRestart {
    this.times++;
    this.#act(this.#random);
    timer.expires += this.#wait();
    return 'restart';
  }

  #wait(): number {
    const { from, to } = this.#interval;
    return from + this.#random.below(to - from);
  }
}

/** Takes away the guest page that a cache stands for, if there is one. Nothing is lost with it: who needs it looks it up again. */
export function takePage(memslots: Memslots, { activeGpa }: GuestPageCache): void {
  if (activeGpa !== null) memslots.invalidate(pageOf(activeGpa), 1);
}
