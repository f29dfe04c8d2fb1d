// From RIP to a block and back: instruction fetch, the jump cache, links between blocks. Addresses are handled as two halves,
// because a bigint for each would cost more than the rest.

import { MODE } from '../x86/decoder.ts';
import type { Blocks } from './blocks.ts';
import { HANDLERS, SPECIAL } from './handlers.ts';
import type { Mmu } from './mmu.ts';
import { RECORD } from './records.ts';
import { FETCH_ENTRIES, JUMP_ENTRIES, OFFSET, type CpuState } from './state.ts';

const PAGE_MASK = 0xfff;

/** Handlers whose records are linked to their targets. */
const IS_LINKED = Uint8Array.from(HANDLERS, ({ form }, index) =>
  index === SPECIAL.FALL_THROUGH || form?.row.operands.some((o) => o.immediate.startsWith('j')) ? 1 : 0,
);

export class Fetch {
  readonly #state: CpuState;
  readonly #mmu: Mmu;
  readonly #blocks: Blocks;
  readonly #u32: Uint32Array;
  readonly #rip: number;
  readonly #ripPage: number;
  #generation = 0;

  constructor(state: CpuState, mmu: Mmu, blocks: Blocks) {
    this.#state = state;
    this.#mmu = mmu;
    this.#blocks = blocks;
    this.#u32 = state.views.u32;
    this.#rip = (state.base + OFFSET.rip) >> 2;
    this.#ripPage = (state.base + OFFSET.ripPage) >> 2;
  }

  /** Records are about to run from RIP's page. */
  enterPage(): void {
    this.#u32[this.#ripPage] = this.#u32[this.#rip]! & ~PAGE_MASK;
    this.#u32[this.#ripPage + 1] = this.#u32[this.#rip + 1]!;
  }

  /** Byte address of the page that RIP lies in. Raises what the fetch raises. */
  #fetchPage(low: number, high: number): number {
    const entry = (this.#state.fetchView >> 2) + ((low >>> 12) & (FETCH_ENTRIES - 1)) * 4;
    if (this.#u32[entry] === (low & ~PAGE_MASK) >>> 0 && this.#u32[entry + 1] === high >>> 0)
      return this.#u32[entry + 2]!;
    return this.#mmu.translation.translateFetch(low, high);
  }

  /** The block at RIP; fills the jump cache. */
  find(): number {
    const blocks = this.#blocks;
    const low = this.#u32[this.#rip]!;
    const high = this.#u32[this.#rip + 1]!;
    const entry = (this.#state.jumpCache >> 2) + (low & (JUMP_ENTRIES - 1)) * 4;
    const known = this.#u32[entry] === low && this.#u32[entry + 1] === high;
    if (known && blocks.generation === this.#generation) {
      const block = this.#u32[entry + 2]!;
      if (this.#state.views.u16[block >> 1] !== SPECIAL.RESYNC) return block;
    }
    const page = this.#fetchPage(low, high);
    const block = blocks.find(page, low & PAGE_MASK, MODE.CODE64);
    if (blocks.generation !== this.#generation) {
      this.#generation = blocks.generation;
      this.#mmu.translation.dropDerived();
    }
    if (block === 0) return blocks.straddling(page, low & PAGE_MASK, this.#nextPage(low, high), MODE.CODE64);
    this.#u32[entry] = low;
    this.#u32[entry + 1] = high;
    this.#u32[entry + 2] = block;
    return block;
  }

  /** Byte address of the page behind that of an address. */
  #nextPage(low: number, high: number): number {
    const next = (low & ~PAGE_MASK) + 4096;
    return this.#fetchPage(next | 0, next === 0 ? (high + 1) | 0 : high);
  }

  /** A copy of the first `count` instructions at RIP that stops behind them. */
  scratch(count: number): number {
    const blocks = this.#blocks;
    const low = this.#u32[this.#rip]!;
    const high = this.#u32[this.#rip + 1]!;
    const page = this.#fetchPage(low, high);
    const block = blocks.scratch(page, low & PAGE_MASK, MODE.CODE64, count);
    return block || blocks.scratchStraddling(page, low & PAGE_MASK, this.#nextPage(low, high), MODE.CODE64);
  }

  /** Links a branch that left for a RIP in its own page to the block there. */
  link(record: number): void {
    const blocks = this.#blocks;
    const { views } = this.#state;
    if (!blocks.isShared(record) || IS_LINKED[views.u16[record >> 1]!] === 0) return;
    const low = this.#u32[this.#rip]!;
    if (
      this.#u32[this.#ripPage] !== (low & ~PAGE_MASK) >>> 0 ||
      this.#u32[this.#ripPage + 1] !== this.#u32[this.#rip + 1]
    )
      return;
    const { generation } = blocks;
    const block = blocks.find(this.#fetchPage(low, this.#u32[this.#rip + 1]!), low & PAGE_MASK, MODE.CODE64);
    if (block === 0 || blocks.generation !== generation) return;
    const next = views.u16[(record + RECORD.ripOffset) >> 1]! + views.u8[record + RECORD.length]!;
    if (next + views.i32[(record + RECORD.imm) >> 2]! === (low & PAGE_MASK))
      views.i32[(record + RECORD.taken) >> 2] = block;
    if (next === (low & PAGE_MASK)) views.i32[(record + RECORD.fallThrough) >> 2] = block;
  }

  /** RIP = the record's address + `extra`. */
  setRip(record: number, extra: number): void {
    const low = this.#u32[this.#ripPage]! + this.#state.views.u16[(record + RECORD.ripOffset) >> 1]! + extra;
    this.#u32[this.#rip] = low;
    this.#u32[this.#rip + 1] = this.#u32[this.#ripPage + 1]! + (low > 0xffff_ffff ? 1 : 0);
  }
}
