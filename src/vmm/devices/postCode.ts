// Port 0x80, where firmware shows how far it has come: what was written last is kept for the report of a crash.

import { byteRegister, type BoardDevice } from './device.ts';

export const POST_CODE = 0x80;

export interface PostCodeState {
  /** Null: nothing was written. */
  last: number | null;
}

export class PostCode implements BoardDevice<PostCodeState> {
  readonly name = 'POST code';
  readonly registers;
  readonly state: PostCodeState = { last: null };

  constructor() {
    const { state } = this;
    this.registers = new Map([
      [
        POST_CODE,
        byteRegister('POST code', { read: () => state.last ?? 0xff, write: (value) => void (state.last = value) }),
      ],
    ]);
  }

  save(): PostCodeState {
    return { ...this.state };
  }

  restore(state: PostCodeState): void {
    Object.assign(this.state, state);
  }
}
