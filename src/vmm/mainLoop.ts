// The VMM's main loop, as QEMU's: the thread that is none of the vCPUs'. Timers of devices in userspace expire in it, and
// what comes from outside reaches devices through it.
//
// Theory: the thread sleeps in poll() until the earliest timer is due. A vCPU's thread that arms an earlier one wakes it
// (qemu_notify_event). It is started when it is first needed, so that a machine whose devices have no timers is one thread
// smaller. Pending timers are data: {owner, kind, expires}.

import type { SavedFields } from '../cpu/savedFields.ts';
import type { Host } from '../host/host.ts';
import { block, type Sleep } from '../host/sleep.ts';
import type { Thread } from '../host/thread.ts';

/** A device with timers; `kind` tells which one expired. Called in the main loop's thread, at or after `expires`. */
export interface TimerOwner {
  readonly name: string;
  onTimer(timer: DeviceTimer): void;
}

/** A file descriptor of the poll(): whoever has something for the main loop calls `notify`, and is served in its thread. */
export interface Source {
  readonly name: string;
  serve(): void;
}

/** One timer of a device in userspace. Times are host cycles. */
export class DeviceTimer {
  readonly owner: TimerOwner;
  readonly kind: string;
  /** Position at which it is due; null: not armed. */
  expires: number | null = null;
  readonly #loop: MainLoop;

  constructor(loop: MainLoop, owner: TimerOwner, kind: string) {
    this.#loop = loop;
    this.owner = owner;
    this.kind = kind;
  }

  /** Replaces an earlier start. An expiry in the past is due at once. */
  start(expires: number): void {
    if (this.expires === expires) return;
    this.expires = expires;
    this.#loop.notify();
  }

  cancel(): void {
    this.expires = null;
  }
}

/** Name of the thread. */
const THREAD = 'main loop';

export class MainLoop {
  readonly #host: Host;
  readonly #timers: DeviceTimer[] = [];
  readonly #sources: Source[] = [];
  #thread: Thread | null = null;

  constructor(host: Host) {
    this.#host = host;
  }

  /** A timer of a device, not armed. */
  timer(owner: TimerOwner, kind: string): DeviceTimer {
    const timer = new DeviceTimer(this, owner, kind);
    this.#timers.push(timer);
    return timer;
  }

  /** Serves a source whenever the thread wakes up. */
  watch(source: Source): void {
    this.#sources.push(source);
  }

  /** The clock of devices: the position of the CPU that runs, in host cycles. */
  get now(): number {
    return this.#host.thisCpu.now;
  }

  /** Cycles of that clock in a second. */
  get frequency(): number {
    return this.#host.tscKhz * 1000;
  }

  /** Makes the thread look at its timers again. */
  notify(): void {
    const host = this.#host;
    if (this.#thread !== null) host.wakeUp(this.#thread);
    else this.#thread = host.spawn(THREAD, host.thisCpu, this.#run(), { affinity: host.cpus, madeWhenNeeded: true });
  }

  /** The thread, if it was started. */
  get thread(): Thread | null {
    return this.#thread;
  }

  /** The thread of a machine that is being restored: it looks at its timers again, whichever it slept for. */
  adoptThread(): Thread {
    const host = this.#host;
    const options = { affinity: host.cpus, madeWhenNeeded: true };
    return (this.#thread = host.scheduler.adopt(THREAD, host.cpus[0]!, this.#run(), options));
  }

  transfer(fields: SavedFields): void {
    for (const [index, { owner, kind }] of this.#timers.entries()) {
      fields.part(`timer ${index} ${owner.name} ${kind}`).own<DeviceTimer>(this.#timers[index]!, 'expires');
    }
  }

  /** Ends the thread, with the machine. */
  end(): void {
    if (this.#thread !== null) this.#host.kill(this.#thread);
  }

  *#run(): Sleep<void> {
    for (;;) {
      for (const source of this.#sources) source.serve();
      let due = this.#earliest();
      while (due !== null && due.expires! <= this.now) {
        due.expires = null;
        due.owner.onTimer(due);
        due = this.#earliest();
      }
      yield* block('the next timer of a device', due?.expires ?? null);
    }
  }

  #earliest(): DeviceTimer | null {
    let earliest: DeviceTimer | null = null;
    for (const timer of this.#timers) {
      if (timer.expires !== null && (earliest === null || timer.expires < earliest.expires!)) earliest = timer;
    }
    return earliest;
  }
}
