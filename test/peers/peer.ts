// Other machines that run a guest of ours from its entry to its end: one interface, a driver for each kind of machine. Not in
// step (that is test/lockstep): the guest says by itself what came of it, through the debug port.

import type { Readable } from 'node:stream';
import type { Registers } from '../lockstep/driver.ts';

/** Where a guest stands before its first instruction: one vCPU, in 64-bit mode. */
export interface Start {
  /** All of memory from physical address 0 on. */
  readonly memory: Uint8Array;
  readonly registers: Registers;
}

/** What the guest wrote to port 0xE9 between BEGIN and END, and when: one time in milliseconds for each byte. */
export interface Output {
  readonly bytes: Uint8Array;
  readonly times: readonly number[];
}

export interface Peer {
  readonly name: string;
  /** True, or what is missing on this machine. */
  available(): true | string;
  /** As in "7.2"; null for trapline itself, and for a program that does not tell. */
  version(): string | null;
  /** Runs a guest until it writes END. Throws if that takes longer than `patience` milliseconds, or the machine ends by itself. */
  run(start: Start, patience: number): Promise<Output>;
}

/** The bytes that begin and end what a guest writes (STX and EOT): some programs have something to say before. */
export const BEGIN = 2;
export const END = 4;

/** Bytes as they come in. */
export class Collector {
  readonly #bytes: number[] = [];
  readonly #times: number[] = [];
  #state: 'before' | 'within' | 'behind' = 'before';

  /** Takes one byte; true once the guest has ended. */
  take(byte: number): boolean {
    if (this.#state === 'before') this.#state = byte === BEGIN ? 'within' : 'before';
    else if (byte === END) this.#state = 'behind';
    else if (this.#state === 'within') {
      this.#bytes.push(byte);
      this.#times.push(performance.now());
    }
    return this.#state === 'behind';
  }

  get output(): Output {
    return { bytes: Uint8Array.from(this.#bytes), times: this.#times };
  }

  get text(): string {
    return Buffer.from(this.#bytes).toString('latin1');
  }
}

/** Reads what a guest writes from the standard output of the program that runs it. */
export function collect(from: Readable, name: string, patience: number): Promise<Output> {
  const collector = new Collector();
  return new Promise((resolve, reject) => {
    const fail = (why: string): void =>
      reject(new Error(`${name} ${why}; so far the guest has written '${collector.text.slice(-200)}'`));
    const timer = setTimeout(() => fail(`did not come to an end within ${patience} ms`), patience);
    from.on('data', (chunk: Buffer) => {
      for (const byte of chunk) {
        if (!collector.take(byte)) continue;
        clearTimeout(timer);
        resolve(collector.output);
        return;
      }
    });
    from.on('close', () => {
      clearTimeout(timer);
      fail('ended before the guest did');
    });
  });
}
