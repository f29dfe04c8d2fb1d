import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventQueue, HostEvent, type EventOwner } from '../../src/host/queue.ts';

const owner: EventOwner = { name: 'test', onEvent: () => undefined };
const event = (kind: string) => new HostEvent(owner, kind);

describe('the event queue of a CPU', () => {
  it('takes events in the order of their time, and of queueing when times are equal', () => {
    const queue = new EventQueue();
    for (const [kind, at] of [
      ['c', 30],
      ['a', 10],
      ['b1', 20],
      ['b2', 20],
      ['b3', 20],
    ] as const)
      queue.insert(event(kind), at);
    const taken: string[] = [];
    for (let e = queue.take(100); e; e = queue.take(100)) taken.push(e.kind);
    expect(taken).toEqual(['a', 'b1', 'b2', 'b3', 'c']);
  });

  it('takes nothing before it is due and says when the next one is', () => {
    const queue = new EventQueue();
    expect(queue.next).toBe(Infinity);
    queue.insert(event('a'), 10);
    expect(queue.next).toBe(10);
    expect(queue.take(9)).toBeUndefined();
    expect(queue.take(10)?.kind).toBe('a');
    expect(queue.next).toBe(Infinity);
  });

  it('takes an event that goes first before others of its cycle, whether they were queued before or after it', () => {
    const queue = new EventQueue();
    queue.insert(event('before'), 20);
    queue.insertFirst(event('first'), 20);
    queue.insert(event('after'), 20);
    queue.insert(event('earlier'), 10);
    expect(queue.pending().map((e) => e.kind)).toEqual(['earlier', 'first', 'before', 'after']);
  });

  it('moves an event that is queued again, behind others of that time', () => {
    const queue = new EventQueue();
    const moved = event('moved');
    queue.insert(moved, 5);
    queue.insert(event('other'), 20);
    queue.insert(moved, 20);
    expect(queue.pending().map((e) => e.kind)).toEqual(['other', 'moved']);
    expect(queue.size).toBe(2);
  });

  it('refuses to remove an event that another queue holds', () => {
    const [here, there] = [new EventQueue(), new EventQueue()];
    const lost = event('lost');
    here.insert(lost, 1);
    expect(() => there.remove(lost)).toThrow('"lost" of test is queued on another CPU');
  });

  it('behaves as a sorted list under any insertions and removals', () => {
    const command = fc.record({ id: fc.nat(15), at: fc.nat(20), remove: fc.boolean() });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const queue = new EventQueue();
        const events = Array.from({ length: 16 }, (_, id) => event(`${id}`));
        let model: { id: number; at: number }[] = [];
        for (const { id, at, remove } of commands) {
          const known = model.some((m) => m.id === id);
          model = model.filter((m) => m.id !== id);
          if (remove) expect(queue.remove(events[id]!)).toBe(known);
          else {
            queue.insert(events[id]!, at);
            model.push({ id, at });
          }
          model.sort((a, b) => a.at - b.at); // stable: equal times stay in the order of insertion
          expect(queue.next).toBe(model[0]?.at ?? Infinity);
        }
        const taken: string[] = [];
        for (let e = queue.take(1000); e; e = queue.take(1000)) taken.push(e.kind);
        expect(taken).toEqual(model.map((m) => `${m.id}`));
      }),
      { numRuns: 200 },
    );
  });
});
