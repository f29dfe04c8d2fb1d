// Host threads: a generator of the sleeping colour, pinned to one physical CPU. The scheduler is in host.ts.

import { HostEvent, type EventOwner } from './queue.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { Sleep } from './sleep.ts';

export type ThreadState = 'runnable' | 'running' | 'blocked' | 'finished';

export class Thread implements EventOwner {
  readonly name: string;
  readonly cpu: PhysicalCpu;
  readonly body: Sleep<void>;
  state: ThreadState = 'runnable';
  /** What a blocked thread waits for, as it said itself. */
  waitsFor = '';
  /** schedule_timeout(): ends a block that has a limit. */
  readonly timeout: HostEvent;
  /** resched IPI: makes an idle CPU look at its queue. */
  readonly reschedule: HostEvent;

  constructor(name: string, cpu: PhysicalCpu, body: Sleep<void>) {
    this.name = name;
    this.cpu = cpu;
    this.body = body;
    this.timeout = new HostEvent(this, 'timeout');
    this.reschedule = new HostEvent(this, 'reschedule');
  }

  /** Makes a blocked thread runnable; the scheduler or an interrupt on its CPU takes it from there. False: it was not blocked. */
  becomeRunnable(): boolean {
    if (this.state !== 'blocked') return false;
    this.state = 'runnable';
    this.cpu.events.remove(this.timeout);
    this.cpu.queue.push(this);
    return true;
  }

  onEvent(event: HostEvent): void {
    if (event === this.timeout) this.becomeRunnable();
  }
}
