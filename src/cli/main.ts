#!/usr/bin/env node
// The program `trapline`.

import { commandLine } from './commandLine.ts';

// A reader that has seen enough (| head) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

process.exitCode = await commandLine(process.argv.slice(2));
