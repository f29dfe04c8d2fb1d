// What the user types, or what a pipe delivers, on its way to the guest. Standard input is opened when the guest first wants
// it and let go at the end, so that a guest that does not read leaves it alone. On a terminal keys arrive as they are struck,
// Ctrl-C still stops the run, and Ctrl-A is QEMU's: Ctrl-A x stops too, Ctrl-A Ctrl-A types Ctrl-A.

const CTRL_A = 0x01;
const CTRL_C = 0x03;

export class TypedInput {
  readonly #stream: NodeJS.ReadStream;
  #open = false;
  #ended = false;
  #escape = false;
  #interrupted = false;
  #bytes: number[] = [];
  #wake: () => void = () => {};

  constructor(stream: NodeJS.ReadStream = process.stdin) {
    this.#stream = stream;
  }

  /** The user has asked to stop. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** Nothing more will come. */
  get ended(): boolean {
    return this.#ended && this.#bytes.length === 0;
  }

  /** Begins to read; again: no effect. */
  open(): void {
    if (this.#open) return;
    this.#open = true;
    const stream = this.#stream;
    if (stream.isTTY) stream.setRawMode(true);
    stream.on('data', this.#onData);
    stream.on('end', this.#onEnd);
    stream.on('error', this.#onEnd);
    stream.resume();
  }

  /** What has come since; the rest of the stream waits until it is taken. */
  take(): readonly number[] {
    const bytes = this.#bytes;
    this.#bytes = [];
    if (this.#open && !this.#ended) this.#stream.resume();
    return bytes;
  }

  /** Until there is something to take, the end, or an interrupt. */
  async wait(): Promise<void> {
    if (this.#bytes.length > 0 || this.#ended || this.#interrupted) return;
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** Ends a wait. */
  interrupt(): void {
    this.#interrupted = true;
    this.#wake();
  }

  /** Gives standard input back as it was. */
  close(): void {
    if (!this.#open) return;
    const stream = this.#stream;
    stream.off('data', this.#onData);
    stream.off('end', this.#onEnd);
    stream.off('error', this.#onEnd);
    if (stream.isTTY) stream.setRawMode(false);
    stream.pause();
    // A file has nothing that would keep the process.
    (stream as Partial<NodeJS.ReadStream>).unref?.();
    this.#open = false;
  }

  readonly #onData = (chunk: Buffer | string): void => {
    const bytes = typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk;
    for (const byte of bytes) {
      if (!this.#stream.isTTY) this.#bytes.push(byte);
      else this.#key(byte);
    }
    this.#stream.pause();
    this.#wake();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#wake();
  };

  #key(byte: number): void {
    if (byte === CTRL_C || (this.#escape && byte === 'x'.charCodeAt(0))) this.#interrupted = true;
    else if (this.#escape || byte !== CTRL_A) {
      if (!this.#escape || byte === CTRL_A) this.#bytes.push(byte);
      this.#escape = false;
    } else this.#escape = true;
  }
}
