// Cases on worker threads: each thread takes the next case when it has finished one, so that long ones do not hold up others.

import { Worker } from 'node:worker_threads';
import { runTestCase, type RunLimits } from './runTestCase.ts';
import type { TestCase, TestResult } from './testCase.ts';

/** What a worker is sent, and sends back. */
export interface Job {
  readonly index: number;
  readonly test: TestCase;
  readonly limits: RunLimits;
}
export interface JobDone {
  readonly index: number;
  readonly result: TestResult;
}

/** What is told while cases run. */
export interface PoolListener {
  started(index: number): void;
  finished(index: number, result: TestResult): void;
}

/**
 * Runs cases on `threads` threads; one thread is this one. `program` is what a worker starts: it must call serveJobs().
 * Rejects when a worker dies, which is a defect of trapline.
 */
export async function runPool(
  tests: readonly TestCase[],
  { threads, limits, program }: { threads: number; limits: RunLimits; program: string },
  listener: PoolListener,
): Promise<void> {
  const count = Math.min(threads, tests.length);
  let next = 0;
  if (count <= 1) {
    for (const [index, test] of tests.entries()) {
      listener.started(index);
      listener.finished(index, await runTestCase(test, limits));
    }
    return;
  }
  const serve = (worker: Worker): Promise<void> =>
    new Promise((resolve, reject) => {
      const give = (): void => {
        if (next === tests.length) {
          void worker.terminate().then(() => resolve());
          return;
        }
        const index = next++;
        listener.started(index);
        worker.postMessage({ index, test: tests[index]!, limits } satisfies Job);
      };
      worker.on('message', ({ index, result }: JobDone) => {
        listener.finished(index, result);
        give();
      });
      worker.on('error', reject);
      give();
    });
  const workers = Array.from({ length: count }, () => new Worker(program));
  try {
    await Promise.all(workers.map(serve));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
