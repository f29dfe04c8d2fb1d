// The other side of pool.ts: a thread that runs the cases that it is sent.

import { parentPort } from 'node:worker_threads';
import type { Job, JobDone } from './pool.ts';
import { runTestCase } from './runTestCase.ts';

/** Serves jobs until the thread is ended. */
export function serveJobs(): void {
  parentPort?.on('message', ({ index, test, limits }: Job) => {
    // What rejects is a defect: it ends the thread, and the pool tells.
    void runTestCase(test, limits).then((result) => parentPort?.postMessage({ index, result } satisfies JobDone));
  });
}
