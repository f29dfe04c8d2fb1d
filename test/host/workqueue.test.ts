import { describe, expect, it } from 'vitest';
import { compute } from '../../src/host/compute.ts';
import type { Host } from '../../src/host/host.ts';
import { block, type Sleep } from '../../src/host/sleep.ts';
import { WorkItem, Workqueue, type WorkOwner } from '../../src/host/workqueue.ts';
import { callback, runHost, unitHost } from './scripts.ts';

/** Runs what the test says for each kind of work, and notes begin and end. */
class Owner implements WorkOwner {
  readonly name = 'owner';
  readonly log: string[] = [];
  readonly #host: Host;
  readonly bodies: Record<string, (item: WorkItem) => Sleep<void>> = {};
  constructor(host: Host) {
    this.#host = host;
  }
  *onWork(item: WorkItem): Sleep<void> {
    this.log.push(`${item.kind} in ${this.#host.thisCpu.thread!.name}`);
    const body = this.bodies[item.kind];
    if (body) yield* body(item);
    this.log.push(`${item.kind} done`);
  }
}

const rig = (cpus = 1) => {
  const host = unitHost(cpus);
  const owner = new Owner(host);
  const item = (kind: string, ...args: number[]) => new WorkItem(owner, kind, args);
  return { host, owner, item, queue: new Workqueue(host) };
};

const spawn = (host: Host, id: number, body: () => Sleep<void>) => host.spawn(`t${id}`, host.cpus[id]!, body());

describe('work', () => {
  it('queued twice runs once, and can be queued again while it runs', () => {
    const { host, owner, item, queue } = rig();
    const work = item('work');
    const answers: boolean[] = [];
    owner.bodies['work'] = function* () {
      if (answers.length < 3) answers.push(queue.queue(work));
      yield* compute(host, 10);
    };
    spawn(host, 0, function* () {
      answers.push(queue.queue(work), queue.queue(work));
      yield* compute(host, 1);
    });
    expect(runHost(host)).toBe('idle');
    expect(answers).toEqual([true, false, true]);
    expect(owner.log).toEqual(['work in kworker/0:0', 'work done', 'work in kworker/0:0', 'work done']);
  });

  it('whose owner goes away while it waits is not run, and is not known any more', () => {
    const { host, owner, queue } = rig();
    const work = queue.lasting(owner, 'work');
    spawn(host, 0, function* () {
      queue.queue(work);
      queue.release(work);
      yield* compute(host, 10);
    });
    expect(runHost(host)).toBe('idle');
    expect(owner.log).toEqual([]);
    expect(work.pending).toBe(false);
  });

  it('queued in a hard interrupt runs in a thread of that CPU, with its arguments', () => {
    const { host, owner, item, queue } = rig(2);
    const seen: number[] = [];
    owner.bodies['work'] = function* ({ args }) {
      yield* block('a limit', host.thisCpu.now + 10);
      seen.push(...args, host.thisCpu.id);
    };
    host.cpus[1]!.events.insert(
      callback('irq', () => queue.queue(item('work', 7, 8))),
      100,
    );
    runHost(host);
    expect(seen).toEqual([7, 8, 1]);
  });

  it('goes on with the next item in another worker when one sleeps', () => {
    const { host, owner, item, queue } = rig();
    owner.bodies['slow'] = () => block('a limit', 500);
    spawn(host, 0, function* () {
      for (const kind of ['slow', 'quick']) queue.queue(item(kind));
      yield* compute(host, 1);
    });
    runHost(host);
    expect(owner.log).toEqual(['slow in kworker/0:0', 'quick in kworker/0:1', 'quick done', 'slow done']);
  });

  it('never runs twice at once: queued elsewhere while it runs, it waits for that pool', () => {
    const { host, owner, item, queue } = rig(2);
    const work = item('work');
    owner.bodies['work'] = () => block('a limit', host.thisCpu.now + 200);
    spawn(host, 0, function* () {
      queue.queue(work);
      yield* compute(host, 50);
      expect(queue.queueOn(host.cpus[1]!, work)).toBe(true);
    });
    runHost(host);
    expect(owner.log).toEqual(['work in kworker/0:0', 'work done', 'work in kworker/0:0', 'work done']);
  });

  it('unbound runs on whichever CPU is idle', () => {
    const { host, owner, item, queue } = rig(2);
    spawn(host, 0, function* () {
      queue.queueUnbound(item('work'));
      yield* compute(host, 5000);
    });
    owner.bodies['work'] = function* () {
      expect(host.thisCpu.id).toBe(1);
      yield* compute(host, 1);
    };
    runHost(host);
    expect(owner.log).toEqual(['work in kworker/u0:0', 'work done']);
  });
});

describe('flush_work', () => {
  it('waits for the last queueing, not for later ones, and says whether there was one', () => {
    const { host, owner, item, queue } = rig(2);
    const work = item('work');
    owner.bodies['work'] = () => block('a limit', host.thisCpu.now + 100);
    spawn(host, 1, function* () {
      owner.log.push(`idle: ${yield* queue.flush(work)}`);
      queue.queueOn(host.cpus[0]!, work);
      owner.log.push(`queued: ${yield* queue.flush(work)}`);
    });
    runHost(host);
    expect(owner.log).toEqual(['idle: false', 'work in kworker/0:0', 'work done', 'queued: true']);
  });

  it('may be called by other work of the same CPU', () => {
    const { host, owner, item, queue } = rig();
    const inner = item('inner');
    owner.bodies['outer'] = function* () {
      queue.queue(inner);
      yield* queue.flush(inner);
    };
    spawn(host, 0, function* () {
      queue.queue(item('outer'));
      yield* compute(host, 1);
    });
    runHost(host);
    expect(owner.log).toEqual(['outer in kworker/0:0', 'inner in kworker/0:1', 'inner done', 'outer done']);
  });

  it('may not be called by the work itself, nor where one must not sleep', () => {
    const { host, owner, item, queue } = rig();
    const work = item('work');
    owner.bodies['work'] = function* () {
      yield* queue.flush(work);
    };
    spawn(host, 0, function* () {
      queue.queue(work);
      yield* compute(host, 1);
    });
    expect(() => runHost(host)).toThrow(
      'flush_work of the work "work" of owner from that work itself would wait for itself (CPU 0, in kworker/0:0)',
    );
    host.cpus[0]!.events.insert(
      callback('irq', () => void queue.flush(work).next()),
      500,
    );
    expect(() => runHost(host)).toThrow(
      /waiting for the work "work" of owner\) where it must not.*hard interrupt "irq"/,
    );
  });
});

describe('cancel_work_sync', () => {
  it('takes queued work out, and waits for work that runs, which cannot be queued meanwhile', () => {
    const { host, owner, item, queue } = rig(2);
    const [running, queued] = [item('running'), item('queued')];
    owner.bodies['running'] = function* () {
      yield* block('a limit', host.thisCpu.now + 100);
      owner.log.push(`queues itself: ${queue.queue(running)}`);
    };
    spawn(host, 1, function* () {
      queue.queueOn(host.cpus[0]!, running);
      yield* compute(host, 50);
      queue.queueOn(host.cpus[0]!, queued);
      owner.log.push(`queued: ${yield* queue.cancelSync(queued)}`);
      owner.log.push(`running: ${yield* queue.cancelSync(running)}`);
      expect([running.pending, running.runsIn]).toEqual([false, null]);
    });
    expect(runHost(host)).toBe('idle');
    expect(owner.log).toEqual([
      'running in kworker/0:0',
      'queued: true',
      'queues itself: false',
      'running done',
      'running: false',
    ]);
  });
});
