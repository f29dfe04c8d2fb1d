// A host that is busy with interrupts: on one CPU a periodic timer whose handler takes its time, as that of a network card
// under load does.

import type { PhysicalCpu } from '../host/cpu.ts';
import type { Host } from '../host/host.ts';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../host/hrtimer.ts';

/** Both in cycles; `takes` is what the handler adds to the entry and the return of an interrupt. */
export interface InterruptLoad {
  readonly every: number;
  readonly takes: number;
}

/** At 2.5 GHz an interrupt of 4 us every 20 us: a fifth of the CPU. */
export const BUSY: InterruptLoad = { every: 50_000, takes: 10_000 };

export class BusyInterrupts implements HrtimerOwner {
  readonly name = 'the interrupt load';
  readonly #cpu: PhysicalCpu;
  readonly #load: InterruptLoad;
  /** Handlers that have run. */
  served = 0;

  /** Starts at once. */
  constructor(host: Host, cpu: PhysicalCpu, load: InterruptLoad) {
    this.#cpu = cpu;
    this.#load = load;
    host.thisCpu = cpu;
    new Hrtimer(host, this, 'device interrupt').start(cpu.now + load.every);
  }

  onHrtimer(timer: Hrtimer): HrtimerRestart {
    this.served++;
    this.#cpu.now += this.#load.takes;
    while (timer.expires <= this.#cpu.now) timer.expires += this.#load.every;
    return 'restart';
  }
}
