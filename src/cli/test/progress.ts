// The line on a terminal that says how far a test run is: rewritten in place, gone at the end.

import type { Verdict } from './testCase.ts';

const CLEAR_LINE = '\r\x1b[K';

export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #total: number;
  readonly #running = new Set<string>();
  readonly #ended: Record<Verdict, number> = { ok: 0, 'not ok': 0, skip: 0 };

  constructor(stream: NodeJS.WriteStream, total: number) {
    this.#stream = stream;
    this.#total = total;
  }

  started(name: string): void {
    this.#running.add(name);
    this.#draw();
  }

  finished(name: string, verdict: Verdict): void {
    this.#running.delete(name);
    this.#ended[verdict]++;
    this.#draw();
  }

  /** Makes room for other output; the next change draws the line again. */
  clear(): void {
    this.#stream.write(CLEAR_LINE);
  }

  #draw(): void {
    const { ok, skip } = this.#ended;
    const failed = this.#ended['not ok'];
    const done = ok + skip + failed;
    const text = `[${done}/${this.#total}] ${ok} ok, ${failed} not ok, ${skip} skipped; running ${[...this.#running].join(', ')}`;
    this.#stream.write(`${CLEAR_LINE}${text.slice(0, (this.#stream.columns ?? 80) - 1)}`);
  }
}
