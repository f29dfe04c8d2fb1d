// From RIP to a block and back: instruction fetch, the jump cache, links between blocks. Addresses are handled as two halves,
// because a bigint for each would cost more than the rest.
//
// Theory. Outside 64-bit mode RIP is EIP, an offset in CS; blocks and pages are found by the linear address, the base of CS added.
// `ripPage` is what gives EIP when an offset in the page is added to it, modulo 2^32, whatever that base is. Jump caches go by
// EIP alone, so they are emptied when segmented code is met in another CS. The limit of CS needs no check for each
// instruction: a page that lies wholly within it runs as any other, one that does not runs one instruction at a time.

import { CODE, type CodeMode } from '../segments/codeMode.ts';
import type { Blocks } from './blocks.ts';
import { raise } from '../fault.ts';
import { CLOSING, HANDLERS, SPECIAL } from './handlers.ts';
import type { Mmu } from '../memory/mmu.ts';
import { RECORD } from './records.ts';
import { FETCH_ENTRIES, JUMP_ENTRIES, LEGACY_JUMP, OFFSET, SEGMENT_SIZE, type CpuState } from '../state.ts';
import { SEGMENT } from '../../x86/names/registers.ts';
import { highWord } from '../words.ts';

const PAGE_MASK = 0xfff;
const CS = OFFSET.segments + SEGMENT_SIZE * SEGMENT.CS;
/** The limit of 4 GiB, behind which code goes on at 0. */
const WHOLE = 0xffff_ffff;
const LEGACY_TAG = highWord(LEGACY_JUMP);

/** Which records are linked to their targets: none, all, or those of code whose branches are not cut to 16 bits. */
const LINKED = { NEVER: 0, ALWAYS: 1, UNLESS_32: 2 } as const;
const FALL_THROUGHS = Object.values(CLOSING).flatMap(({ FALL_THROUGH, ATTEND }) => [FALL_THROUGH, ATTEND]);
const LINKS = Uint8Array.from(HANDLERS, ({ form, environment }, index) => {
  if (FALL_THROUGHS.includes(index)) return LINKED.ALWAYS;
  if (!form?.row.operands.some((o) => o.immediate.startsWith('j'))) return LINKED.NEVER;
  return environment !== 'long' && form.width === 16 ? LINKED.UNLESS_32 : LINKED.ALWAYS;
});

export class Fetch {
  /** Linear address of RIP, in halves, as last located. */
  low = 0;
  high = 0;
  /** The page there does not lie wholly within CS. */
  partial = false;
  readonly #state: CpuState;
  readonly #mmu: Mmu;
  readonly #blocks: Blocks;
  readonly #u32: Uint32Array;
  readonly #rip: number;
  readonly #ripPage: number;
  readonly #cs: number;
  #generation = 0;
  /** The CS that jumps of 16- and 32-bit code count in. */
  #mode: CodeMode = CODE.LONG;
  #base = 0;
  #limit = 0;

  constructor(state: CpuState, mmu: Mmu, blocks: Blocks) {
    this.#state = state;
    this.#mmu = mmu;
    this.#blocks = blocks;
    this.#u32 = state.views.u32;
    this.#rip = (state.base + OFFSET.rip) >> 2;
    this.#ripPage = (state.base + OFFSET.ripPage) >> 2;
    this.#cs = (state.base + CS) >> 2;
  }

  /** Works out where RIP is. Raises #GP(0) beyond the limit of CS. */
  locate(): void {
    this.low = this.#u32[this.#rip]!;
    this.high = this.#u32[this.#rip + 1]!;
    this.partial = false;
    if (this.#state.mode !== CODE.LONG) this.#locateInSegment(this.low);
  }

  #locateInSegment(eip: number): void {
    const mode = this.#state.mode as CodeMode;
    const base = this.#u32[this.#cs]!;
    const limit = this.#u32[this.#cs + 2]!;
    if (mode !== this.#mode || base !== this.#base || limit !== this.#limit) {
      this.#mode = mode;
      this.#base = base;
      this.#limit = limit;
      this.#mmu.translation.dropJumps();
    }
    this.low = (eip + base) >>> 0;
    this.high = 0;
    if (mode === CODE.FLAT32) return;
    if (eip > limit) raise.gp(0);
    const first = eip - (this.low & PAGE_MASK);
    const last = first + PAGE_MASK;
    this.partial = first < 0 || last > limit || (mode === CODE.SEGMENTED16 && first >>> 16 !== last >>> 16);
  }

  /** Records are about to run from RIP's page, which was located. */
  enterPage(): void {
    this.#u32[this.#ripPage] = this.#u32[this.#rip]! - (this.low & PAGE_MASK);
    this.#u32[this.#ripPage + 1] = this.#u32[this.#rip + 1]!;
  }

  /** Byte address of the page of a linear address. Raises what the fetch raises. */
  #fetchPage(low: number, high: number): number {
    const entry = (this.#state.fetchView >> 2) + ((low >>> 12) & (FETCH_ENTRIES - 1)) * 4;
    if (this.#u32[entry] === (low & ~PAGE_MASK) >>> 0 && this.#u32[entry + 1] === high >>> 0)
      return this.#u32[entry + 2]!;
    return this.#mmu.translation.translateFetch(low, high);
  }

  /** The block at RIP; fills the jump cache. 0: it is to be run by `scratch`, one instruction at a time. */
  find(): number {
    this.locate();
    if (this.partial) return 0;
    const blocks = this.#blocks;
    const mode = this.#state.mode as CodeMode;
    const rip = this.#u32[this.#rip]!;
    const tag = mode === CODE.LONG ? this.high : LEGACY_TAG;
    const known = this.#known(rip, tag);
    if (known !== 0) return known;
    const page = this.#fetchPage(this.low, this.high);
    const offset = this.low & PAGE_MASK;
    const block = blocks.find(page, offset, mode);
    if (blocks.generation !== this.#generation) {
      this.#generation = blocks.generation;
      this.#mmu.translation.dropDerived();
    }
    if (block === 0) return blocks.straddling(page, offset, this.#nextPage(), mode);
    this.#mmu.translation.fillJump(rip, tag, block);
    return block;
  }

  /** The same of 64-bit code if the jump cache knows it; else 0, and nothing was done. */
  known(): number {
    if (this.#state.mode !== CODE.LONG) return 0;
    this.locate();
    return this.#known(this.low, this.high);
  }

  #known(rip: number, tag: number): number {
    const entry = (this.#state.jumpCache >> 2) + (rip & (JUMP_ENTRIES - 1)) * 4;
    if (this.#u32[entry] !== rip || this.#u32[entry + 1] !== tag) return 0;
    if (this.#blocks.generation !== this.#generation) return 0;
    const block = this.#u32[entry + 2]!;
    return this.#state.views.u16[block >> 1] === SPECIAL.RESYNC ? 0 : block;
  }

  /** Byte address of the page behind that of RIP. An instruction that needs it where CS ends before is #GP(0). */
  #nextPage(): number {
    const next = (this.low & ~PAGE_MASK) + 4096;
    const { mode } = this.#state;
    if (mode === CODE.LONG) return this.#fetchPage(next | 0, next === 0 ? (this.high + 1) | 0 : this.high);
    const last = this.#u32[this.#rip]! + PAGE_MASK - (this.low & PAGE_MASK);
    if (this.#limit !== WHOLE && last >= this.#limit) raise.gp(0);
    return this.#fetchPage(next | 0, 0);
  }

  /** A copy of the first `count` instructions at RIP that stops behind them; only one where CS may end before. */
  scratch(count: number): number {
    this.locate();
    const blocks = this.#blocks;
    const mode = this.#state.mode as CodeMode;
    const page = this.#fetchPage(this.low, this.high);
    const offset = this.low & PAGE_MASK;
    const end = this.partial ? Math.min(PAGE_MASK, offset + this.#limit - this.#u32[this.#rip]!) + 1 : PAGE_MASK + 1;
    const block =
      blocks.scratch(page, offset, mode, this.partial ? 1 : count, end) ||
      blocks.scratchStraddling(page, offset, this.#nextPage(), mode);
    if (this.partial) {
      const length = this.#state.views.u8[block + RECORD.length]!;
      if (this.#u32[this.#rip]! + length - 1 > this.#limit) raise.gp(0);
    }
    return block;
  }

  /** Links a branch that left for a RIP in its own page to the block there. */
  link(record: number): void {
    const blocks = this.#blocks;
    const { views } = this.#state;
    const mode = this.#state.mode as CodeMode;
    const links = LINKS[views.u16[record >> 1]!]!;
    if (links === LINKED.NEVER || !blocks.isShared(record)) return;
    if (links === LINKED.UNLESS_32 && mode !== CODE.SEGMENTED16) return;
    const offset = (this.#u32[this.#rip]! - this.#u32[this.#ripPage]!) >>> 0;
    if (offset > PAGE_MASK || this.#u32[this.#ripPage + 1] !== this.#u32[this.#rip + 1]) return;
    this.locate();
    if (this.partial) return;
    const { generation } = blocks;
    const block = blocks.find(this.#fetchPage(this.low, this.high), offset, mode);
    if (block === 0 || blocks.generation !== generation) return;
    const next = views.u16[(record + RECORD.ripOffset) >> 1]! + views.u8[record + RECORD.length]!;
    if (next + views.i32[(record + RECORD.imm) >> 2]! === offset) views.i32[(record + RECORD.taken) >> 2] = block;
    if (next === offset) views.i32[(record + RECORD.fallThrough) >> 2] = block;
  }

  /** Whether RIP is what `setRip` would make it (false also where the page ends), and decoded code still what it was. */
  standsAt(record: number, extra: number): boolean {
    const offset = this.#state.views.u16[(record + RECORD.ripOffset) >> 1]! + extra;
    const distance = (this.#u32[this.#rip]! - this.#u32[this.#ripPage]!) >>> 0;
    if (distance !== offset || this.#u32[this.#rip + 1] !== this.#u32[this.#ripPage + 1]) return false;
    return this.#blocks.generation === this.#generation;
  }

  /** RIP = the record's address + `extra`. */
  setRip(record: number, extra: number): void {
    const low = this.#u32[this.#ripPage]! + this.#state.views.u16[(record + RECORD.ripOffset) >> 1]! + extra;
    const carries = low > 0xffff_ffff && this.#state.mode === CODE.LONG;
    this.#u32[this.#rip] = low;
    this.#u32[this.#rip + 1] = this.#u32[this.#ripPage + 1]! + (carries ? 1 : 0);
  }
}
