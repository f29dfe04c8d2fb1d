// The client's half of the GDB remote protocol, as far as a stub is asked to show registers, step and run to a place.

import { createConnection, type Socket } from 'node:net';

const CONNECT_TRIES = 100;
const RETRY_MS = 50;

/** Connects to a stub's socket as soon as somebody listens there. */
export async function connectGdb(path: string): Promise<GdbClient> {
  for (let i = 0; ; i++) {
    try {
      return await GdbClient.connect(path);
    } catch (error) {
      if (i === CONNECT_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

export class GdbClient {
  readonly #socket: Socket;
  #received = '';
  #waiting: { resolve(packet: string): void; reject(error: Error): void } | null = null;
  #acknowledges = true;

  static connect(path: string): Promise<GdbClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ path });
      socket.once('error', reject);
      socket.once('connect', () => {
        const client = new GdbClient(socket);
        client.#start().then(() => resolve(client), reject);
      });
    });
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('close', () => this.#waiting?.reject(new Error('the GDB stub closed the connection')));
  }

  async #start(): Promise<void> {
    if ((await this.request('QStartNoAckMode')) === 'OK') this.#acknowledges = false;
  }

  /** Sends a packet; the stub's answer to it. */
  request(packet: string): Promise<string> {
    const sum = [...packet].reduce((total, c) => (total + c.charCodeAt(0)) & 0xff, 0);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(`$${packet}#${sum.toString(16).padStart(2, '0')}`, 'latin1');
    });
  }

  /** The same where only one answer will do. */
  async expect(packet: string, wanted: RegExp): Promise<string> {
    const answer = await this.request(packet);
    if (!wanted.test(answer)) throw new Error(`the GDB stub answers '${answer}' to '${packet}'`);
    return answer;
  }

  #receive(text: string): void {
    this.#received += text;
    const found = /\$([^#]*)#[0-9a-f]{2}/.exec(this.#received);
    if (found === null || this.#waiting === null) return;
    this.#received = this.#received.slice(found.index + found[0].length);
    if (this.#acknowledges) this.#socket.write('+');
    const { resolve } = this.#waiting;
    this.#waiting = null;
    resolve(found[1]!);
  }

  async registers(): Promise<Buffer> {
    return Buffer.from(await this.expect('g', /^[0-9a-fx]{100,}$/), 'hex');
  }
  async step(): Promise<void> {
    await this.expect('s', /^[ST]05/);
  }
  /** Runs until an address is reached. */
  async runTo(address: number): Promise<void> {
    await this.expect(`Z1,${address.toString(16)},1`, /^OK$/);
    await this.expect('c', /^[ST]05/);
    await this.expect(`z1,${address.toString(16)},1`, /^OK$/);
  }
  close(): void {
    this.#waiting = null;
    this.#socket.destroy();
  }
}
