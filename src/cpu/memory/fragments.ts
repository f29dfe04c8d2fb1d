// Accesses that the host must serve: MMIO and port I/O, in fragments of 1 to 8 bytes.
//
// Theory. Such an access leaves guest mode as an exit and its instruction is undone. The host serves the access and
// completes the fragment; at re-entry the instruction runs again from its start, and its accesses are answered, in
// order, by the fragments that are done; the first one that is not done exits again. So each device register is touched
// exactly once, whatever the number of parts, and no second emulator exists. Fragments are data in the state block:
//   fragmentCount  recorded    fragmentDone  completed by the host    fragmentNext  replayed by the run under way
// An access is found again by where it is, so a fragment that is done also answers for the translation of its page, even
// when the guest's page tables or the slots changed meanwhile.

import { IO_PORT_SHIFT, IO_QUALIFICATION, PAGE_MASK } from '../../x86/names/paging.ts';
import { EXIT } from '../exit.ts';
import { exitSignal, stop } from '../fault.ts';
import { EXIT_INFO } from '../vmexit.ts';
import { FRAGMENT_SIZE, FRAGMENTS, OFFSET, type CpuState } from '../state.ts';
import { highWord, joinWords, lowWord } from '../words.ts';

/** Word offsets in a fragment: gva u64, gpa u64 (or port), value u64, info u32 (size, WRITE), kind u32. */
const WORD = { GVA: 0, GPA: 2, VALUE: 4, INFO: 6, KIND: 7 } as const;
const WORDS = FRAGMENT_SIZE / 4;
/** In place of a fragment's place: the host has to be asked first. */
const ASKED = -1;
const KIND = { MMIO: 0, PORT: 1 } as const;

export class Fragments {
  /** Value of the last fragment that was replayed as a read. */
  valueLow = 0;
  valueHigh = 0;
  /** The access under way is all that its instruction asks of devices: its fragment is used up with it. */
  once = false;
  /** Guest physical page that `pendingPage` found, in halves. */
  gpaLow = 0;
  gpaHigh = 0;
  readonly #state: CpuState;
  readonly #u32: Uint32Array;
  readonly #first: number;
  readonly #count: number;
  readonly #done: number;
  readonly #next: number;

  constructor(state: CpuState) {
    this.#state = state;
    this.#u32 = state.views.u32;
    this.#first = state.at('fragments') >>> 2;
    this.#count = (state.base + OFFSET.fragmentCount) >>> 2;
    this.#done = (state.base + OFFSET.fragmentDone) >>> 2;
    this.#next = (state.base + OFFSET.fragmentNext) >>> 2;
  }

  /** Whether an instruction stands half way: nothing may be injected. */
  get pending(): boolean {
    return this.#u32[this.#count] !== 0;
  }

  /** Serves the fragment that exited last; `value` is what a read returns (a number: of 32 bits) and is ignored for a write. */
  complete(value: bigint | number): void {
    const u32 = this.#u32;
    const index = u32[this.#done]!;
    if (index >= u32[this.#count]!) {
      throw new Error(
        'a value was completed, but no access waits for one: complete once after each IO_INSTRUCTION or EPT_MISCONFIG exit',
      );
    }
    const at = this.#first + index * WORDS;
    if ((u32[at + WORD.INFO]! & EXIT_INFO.WRITE) === 0) {
      u32[at + WORD.VALUE] = typeof value === 'number' ? value : lowWord(value);
      u32[at + WORD.VALUE + 1] = typeof value === 'number' ? 0 : highWord(value);
    }
    u32[this.#done] = index + 1;
  }

  /** At each entry: the instruction starts anew, and an access that the host did not complete is asked for again. */
  resetReplay(): void {
    const u32 = this.#u32;
    u32[this.#next] = 0;
    u32[this.#count] = u32[this.#done]!;
  }

  /** The instruction retired, a fault took its place, or RIP was set. */
  drop(): void {
    const u32 = this.#u32;
    u32[this.#next] = 0;
    u32[this.#done] = 0;
    u32[this.#count] = 0;
    this.once = false;
  }

  /**
   * Whether a done fragment that is yet to be replayed lies in the page of this address, so that its translation is known;
   * then gpaLow, gpaHigh. A written fragment says nothing of reads: the page may be memory that only writes leave.
   */
  pendingPage(low: number, high: number, write: boolean): boolean {
    const u32 = this.#u32;
    const done = u32[this.#done]!;
    for (let index = u32[this.#next]!; index < done; index++) {
      const at = this.#first + index * WORDS;
      if (
        (((u32[at + WORD.GVA]! ^ low) & ~PAGE_MASK) | (u32[at + WORD.GVA + 1]! ^ high)) === 0 &&
        u32[at + WORD.KIND] === KIND.MMIO &&
        (write || (u32[at + WORD.INFO]! & EXIT_INFO.WRITE) === 0)
      ) {
        this.gpaLow = u32[at + WORD.GPA]! & ~PAGE_MASK;
        this.gpaHigh = u32[at + WORD.GPA + 1]!;
        return true;
      }
    }
    return false;
  }

  /** Reads 1 to 8 bytes of a device: the value in valueLow, valueHigh, or leaves. */
  read(gvaLow: number, gvaHigh: number, gpaLow: number, gpaHigh: number, size: number): void {
    const at = this.#step(KIND.MMIO, gvaLow, gvaHigh, gpaLow, gpaHigh, size, 0, 0);
    if (at === ASKED) throw exitSignal;
    this.valueLow = this.#u32[at + WORD.VALUE]!;
    this.valueHigh = this.#u32[at + WORD.VALUE + 1]!;
  }

  /** Writes 1 to 8 bytes to a device, or leaves. */
  write(
    gvaLow: number,
    gvaHigh: number,
    gpaLow: number,
    gpaHigh: number,
    size: number,
    valueLow: number,
    valueHigh: number,
  ): void {
    const info = size | EXIT_INFO.WRITE;
    const at = this.#step(KIND.MMIO, gvaLow, gvaHigh, gpaLow, gpaHigh, info, valueLow, valueHigh);
    if (at === ASKED) throw exitSignal;
  }

  /**
   * IN and INS, OUT and OUTS: returns the value read (0 for a write), or null: the exit fields are filled, and the
   * instruction must leave. `flags` are the STRING, REP and IMMEDIATE bits of the exit qualification.
   */
  port(port: number, size: 1 | 2 | 4, direction: 'in' | 'out', value = 0, flags = 0): number | null {
    const info = direction === 'out' ? size | EXIT_INFO.WRITE : size;
    const at = this.#step(KIND.PORT, flags, 0, port, 0, info, value, 0);
    if (at === ASKED) return null;
    return direction === 'out' ? 0 : this.#u32[at + WORD.VALUE]!;
  }

  /** Replays the next fragment, which must be this one, and returns its place; or records it, fills the exit fields and returns ASKED. */
  #step(
    kind: number,
    gvaLow: number,
    gvaHigh: number,
    gpaLow: number,
    gpaHigh: number,
    info: number,
    valueLow: number,
    valueHigh: number,
  ): number {
    const u32 = this.#u32;
    const index = u32[this.#next]!;
    const at = this.#first + index * WORDS;
    if (index < u32[this.#done]!) {
      const same =
        u32[at + WORD.GVA] === gvaLow >>> 0 &&
        u32[at + WORD.GVA + 1] === gvaHigh >>> 0 &&
        u32[at + WORD.GPA] === gpaLow >>> 0 &&
        u32[at + WORD.GPA + 1] === gpaHigh >>> 0 &&
        u32[at + WORD.INFO] === info &&
        u32[at + WORD.KIND] === kind;
      if (!same) this.#mismatch(at, kind, gpaLow, gpaHigh, info);
      u32[this.#next] = index + 1;
      if (this.once) this.drop();
      return at;
    }
    if (index >= FRAGMENTS) {
      stop(
        `one instruction touches devices in more than ${FRAGMENTS} parts`,
        'use accesses of at most 32 bytes to device memory',
      );
    }
    u32[at + WORD.GVA] = gvaLow;
    u32[at + WORD.GVA + 1] = gvaHigh;
    u32[at + WORD.GPA] = gpaLow;
    u32[at + WORD.GPA + 1] = gpaHigh;
    u32[at + WORD.VALUE] = valueLow;
    u32[at + WORD.VALUE + 1] = valueHigh;
    u32[at + WORD.INFO] = info;
    u32[at + WORD.KIND] = kind;
    u32[this.#count] = index + 1;
    this.#fillExit(at);
    return ASKED;
  }

  #fillExit(at: number): void {
    const u32 = this.#u32;
    const info = u32[at + WORD.INFO]!;
    const port = u32[at + WORD.KIND] === KIND.PORT;
    const write = (info & EXIT_INFO.WRITE) !== 0;
    const qualification =
      ((u32[at + WORD.GPA]! << IO_PORT_SHIFT) >>> 0) |
      (((info & EXIT_INFO.SIZE) - 1) & IO_QUALIFICATION.SIZE_MINUS_ONE) |
      (write ? 0 : IO_QUALIFICATION.IN) |
      u32[at + WORD.GVA]!;
    const state = this.#state;
    state.exitReason = port ? EXIT.IO_INSTRUCTION : EXIT.EPT_MISCONFIG;
    if (!port) state.exitLength = 0; // the instruction runs again; microcode gave that of IN and OUT
    state.exitInfo = info;
    // By words: accesses of devices are frequent, and a bigint for each field would cost more than the rest.
    state.setLow(OFFSET.exitQualification, port ? qualification : 0);
    this.#tell(OFFSET.exitGva, at + WORD.GVA, !port);
    this.#tell(OFFSET.exitGpa, at + WORD.GPA, !port);
    this.#tell(OFFSET.exitValue, at + WORD.VALUE, write);
  }

  /** Copies 64 bits of a fragment to an exit field, or 0 if they mean nothing there. */
  #tell(offset: number, from: number, means: boolean): void {
    const to = (this.#state.base + offset) >>> 2;
    this.#u32[to] = means ? this.#u32[from]! : 0;
    this.#u32[to + 1] = means ? this.#u32[from + 1]! : 0;
  }

  #mismatch(at: number, kind: number, gpaLow: number, gpaHigh: number, info: number): never {
    const u32 = this.#u32;
    const name = (k: number, low: number, high: number, i: number): string =>
      `${(i & EXIT_INFO.SIZE) === 8 ? 'an' : 'a'} ${i & EXIT_INFO.SIZE}-byte ${(i & EXIT_INFO.WRITE) !== 0 ? 'write to' : 'read of'} ${k === KIND.PORT ? 'port' : 'device memory at'} 0x${joinWords(low, high).toString(16)}`;
    const was = name(u32[at + WORD.KIND]!, u32[at + WORD.GPA]!, u32[at + WORD.GPA + 1]!, u32[at + WORD.INFO]!);
    return stop(
      `the host served ${was}, but the instruction asks for ${name(kind, gpaLow, gpaHigh, info)} when it runs again`,
      'registers and memory of a vCPU must not change between an exit for device access and its re-entry, unless RIP is set too',
    );
  }
}
