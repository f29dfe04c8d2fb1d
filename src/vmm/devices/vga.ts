// The registers of a VGA that text-mode programs touch (IBM VGA technical reference). Text memory is plain RAM, which
// vmm/screen.ts reads. No mode but 80x25 text is shown: the others' registers only keep what is written to them.

import type { PortRegister } from '../../hypervisor/bus/ports.ts';
import { byteRegister, type BoardDevice } from './device.ts';

/** A bank of registers behind an index and a data port. */
interface Bank {
  readonly name: 'crtc' | 'sequencer' | 'graphics';
  readonly index: number;
  readonly data: number;
  readonly count: number;
}
const BANKS: readonly Bank[] = [
  { name: 'sequencer', index: 0x3c4, data: 0x3c5, count: 5 },
  { name: 'graphics', index: 0x3ce, data: 0x3cf, count: 9 },
  { name: 'crtc', index: 0x3d4, data: 0x3d5, count: 25 },
];
const PORT = {
  ATTRIBUTE: 0x3c0,
  ATTRIBUTE_READ: 0x3c1,
  MISCELLANEOUS: 0x3c2,
  ENABLE: 0x3c3,
  DAC: [0x3c6, 0x3c7, 0x3c8, 0x3c9],
  MISCELLANEOUS_READ: 0x3cc,
  INPUT_STATUS: 0x3da,
} as const;
const ATTRIBUTES = 21;
const CRTC = { CURSOR_START: 0x0a, CURSOR_END: 0x0b, START: 0x0c, CURSOR: 0x0e } as const;
const CURSOR_OFF = 1 << 5;
/** Miscellaneous output: colour, memory enabled. */
const COLOUR = 0x67;
/** Display off and vertical retrace. */
const RETRACE = 0x09;
const MASK: Readonly<Record<Bank['name'], number>> = { crtc: 0x3f, sequencer: 0x07, graphics: 0x0f };

export interface VgaState {
  crtc: number[];
  sequencer: number[];
  graphics: number[];
  attribute: number[];
  index: Record<Bank['name'] | 'attribute', number>;
  /** The attribute port takes data next. */
  attributeData: boolean;
  miscellaneous: number;
  /** The retrace bits that were read last: each read finds the other ones, so that nobody who waits for either waits long. */
  retrace: number;
}

export class Vga implements BoardDevice<VgaState> {
  readonly name = 'VGA';
  readonly registers;
  readonly state: VgaState = {
    crtc: new Array<number>(25).fill(0),
    sequencer: new Array<number>(5).fill(0),
    graphics: new Array<number>(9).fill(0),
    attribute: new Array<number>(ATTRIBUTES).fill(0),
    index: { crtc: 0, sequencer: 0, graphics: 0, attribute: 0 },
    attributeData: false,
    miscellaneous: COLOUR,
    retrace: 0,
  };

  constructor() {
    const { state } = this;
    // A cursor of two lines at the bottom of its cell, as the BIOS sets it.
    state.crtc[CRTC.CURSOR_START] = 0x0d;
    state.crtc[CRTC.CURSOR_END] = 0x0e;
    const map = new Map<number, PortRegister>();
    for (const { name, index, data, count } of BANKS) {
      map.set(index, byteRegister(`VGA ${name} index`, {
        read: () => state.index[name],
        write: (value) => void (state.index[name] = value & MASK[name]),
      }));
      map.set(data, byteRegister(`VGA ${name} data`, {
        read: () => state[name][state.index[name]] ?? 0,
        write: (value) => void (state.index[name] < count && (state[name][state.index[name]] = value)),
      }));
    } // prettier-ignore
    map.set(PORT.ATTRIBUTE, byteRegister('VGA attribute', {
      read: () => state.index.attribute,
      write: (value) => this.#attribute(value),
    })); // prettier-ignore
    map.set(PORT.ATTRIBUTE_READ, byteRegister('VGA attribute data', {
      read: () => state.attribute[state.index.attribute & 0x1f] ?? 0,
    })); // prettier-ignore
    map.set(PORT.MISCELLANEOUS, byteRegister('VGA miscellaneous output', {
      read: () => 0,
      write: (value) => void (state.miscellaneous = value),
    })); // prettier-ignore
    map.set(PORT.MISCELLANEOUS_READ, byteRegister('VGA miscellaneous output', { read: () => state.miscellaneous }));
    map.set(PORT.ENABLE, byteRegister('VGA enable', { read: () => 1, write: () => {} }));
    map.set(PORT.INPUT_STATUS, byteRegister('VGA input status', { read: () => this.#inputStatus(), write: () => {} }));
    for (const port of PORT.DAC) map.set(port, byteRegister('VGA palette', { read: () => 0, write: () => {} }));
    this.registers = map;
  }

  /** Where text memory begins that is shown, in characters from 0xB8000. */
  get start(): number {
    return this.#word(CRTC.START);
  }

  /** Where the cursor is, in characters from 0xB8000; null: it is off. */
  get cursor(): number | null {
    return (this.state.crtc[CRTC.CURSOR_START]! & CURSOR_OFF) !== 0 ? null : this.#word(CRTC.CURSOR);
  }

  save(): VgaState {
    return structuredClone(this.state);
  }

  restore(state: VgaState): void {
    Object.assign(this.state, structuredClone(state));
  }

  #word(index: number): number {
    return this.state.crtc[index]! * 256 + this.state.crtc[index + 1]!;
  }

  #attribute(value: number): void {
    const { state } = this;
    if (!state.attributeData) state.index.attribute = value & 0x3f;
    else if ((state.index.attribute & 0x1f) < ATTRIBUTES) state.attribute[state.index.attribute & 0x1f] = value;
    state.attributeData = !state.attributeData;
  }

  /** Reading it makes the attribute port take an index next. */
  #inputStatus(): number {
    this.state.attributeData = false;
    this.state.retrace ^= RETRACE;
    return this.state.retrace;
  }
}
