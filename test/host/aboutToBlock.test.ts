// set_current_state(TASK_INTERRUPTIBLE): what a wake-up finds before the block, and after it.

import { expect, it } from 'vitest';
import { block, type Sleep } from '../../src/host/sleep.ts';
import type { Thread } from '../../src/host/thread.ts';
import { runHost, unitHost } from './scripts.ts';

function sleeper(looks: (self: Thread) => void) {
  const host = unitHost(1);
  const cpu = host.cpus[0]!;
  const thread = host.spawn('sleeper', cpu, body());
  function* body(): Sleep<void> {
    thread.aboutToBlock = true;
    looks(thread);
    if (thread.aboutToBlock) yield* block('a wake-up');
  }
  runHost(host);
  return { host, thread };
}

it('a wake-up before the block keeps the thread from blocking, and counts once', () => {
  const answers: boolean[] = [];
  const { host, thread } = sleeper((self) => {
    answers.push(self.stopBlocking(), self.stopBlocking());
  });
  expect(answers).toEqual([true, false]);
  expect(thread.state).toBe('finished');
  expect(host.wakeUp(thread)).toBe(false);
});

it('a thread that was woken is about to block no longer: a second wake-up finds nothing to do', () => {
  const { host, thread } = sleeper(() => {});
  expect(thread.state).toBe('blocked');
  expect(host.wakeUp(thread)).toBe(true);
  expect(thread.aboutToBlock).toBe(false);
  expect(host.wakeUp(thread)).toBe(false);
});
