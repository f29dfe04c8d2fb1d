#!/usr/bin/env node
// The program `trapline`: what a shell runs, and what the threads of `trapline test` run. What commands there are is said in commandLine.ts.

import { isMainThread } from 'node:worker_threads';
import { EXIT_STATUS } from '../vmm/result.ts';
import { commandLine } from './commandLine.ts';
import { inlineMore } from './inlining.ts';
import { serveJobs } from './test/worker.ts';

inlineMore();

// A reader that has seen enough (| head) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    if (stream === process.stdout) process.stderr.write(`trapline: cannot write its output: ${error.message}\n`);
    process.exit(EXIT_STATUS.USAGE);
  });
}

if (isMainThread) process.exitCode = await commandLine(process.argv.slice(2));
else serveJobs();
