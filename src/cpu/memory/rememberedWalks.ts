// Walks of 4-level paging that were made before, for the walker (paging.ts).
//
// Theory. A flush of the TLB says that translations may have changed; mostly they have not. What a walk finds follows from the
// entries it reads, from CR3, EFER.NXE, CPUID and the second stage. If all of these are as they were, its result is too,
// whatever happened in between, and comparing four entries costs less than reading them as a processor does. So nothing here
// is ever invalidated. The G bit is kept as it stands in the entry, since CR4.PGE says what it means.

import { PAGE_MASK, PAGE_SHIFT } from '../../x86/names/paging.ts';
import { RIGHTS } from './access.ts';
import type { MemoryContext, PagingFeatures, PagingRegisters } from './memoryContext.ts';

const WALK_BITS = 9;
const WALKS = 1 << WALK_BITS;
/** Words of a walk: what it is found by, its result, then each entry's place and halves, from the PML4E down. */
const WORD = { PAGE: 0, HIGH: 1, CR3: 2, STAGES: 4, GPA: 5, RIGHTS: 7, COUNT: 8, ENTRIES: 9 } as const;
const WORDS = 24;
const ENTRY_WORDS = 3;
const VALID = 1;

export class RememberedWalks {
  /** The result of the walk that was recalled: guest physical page in halves, and rights. */
  gpaLow = 0;
  gpaHigh = 0;
  rights = 0;
  readonly #context: MemoryContext;
  readonly #registers: PagingRegisters;
  readonly #u32: Uint32Array;
  readonly #walks = new Uint32Array(WALKS * WORDS);
  #features: PagingFeatures;

  constructor(context: MemoryContext, registers: PagingRegisters) {
    this.#context = context;
    this.#registers = registers;
    this.#u32 = context.state.views.u32;
    this.#features = context.features;
  }

  /** Whether a walk for this address would be one that is remembered. All A bits on its way are set then. */
  recall(low: number, high: number): boolean {
    const walks = this.#walks;
    const memory = this.#u32;
    const registers = this.#registers;
    const at = placeOf(low);
    if (walks[at] !== ((low & ~PAGE_MASK) | VALID) >>> 0 || walks[at + WORD.HIGH] !== high >>> 0) return false;
    if (walks[at + WORD.CR3] !== registers.cr3Low || walks[at + WORD.CR3 + 1] !== registers.cr3High) return false;
    if (walks[at + WORD.STAGES] !== this.#stages() || this.#features !== this.#context.features) return false;
    if (!registers.longMode || !registers.paging) return false;
    const end = at + WORD.ENTRIES + walks[at + WORD.COUNT]! * ENTRY_WORDS;
    for (let entry = at + WORD.ENTRIES; entry < end; entry += ENTRY_WORDS) {
      const place = walks[entry]!;
      if (walks[entry + 1] !== memory[place] || walks[entry + 2] !== memory[place + 1]) return false;
    }
    this.gpaLow = walks[at + WORD.GPA]!;
    this.gpaHigh = walks[at + WORD.GPA + 1]!;
    const rights = walks[at + WORD.RIGHTS]!;
    this.rights = registers.globalPages ? rights : rights & ~RIGHTS.GLOBAL;
    return true;
  }

  /**
   * A walk went well, and its A bits are set. `entries`: by level, where they are in linear memory, in words; down to `leaf`.
   * `global`: the G bit of the entry that maps the page.
   */
  keep(
    low: number,
    high: number,
    entries: Int32Array,
    leaf: number,
    gpaLow: number,
    gpaHigh: number,
    rights: number,
    global: boolean,
  ): void {
    const walks = this.#walks;
    if (this.#features !== this.#context.features) {
      walks.fill(0);
      this.#features = this.#context.features;
    }
    const at = placeOf(low);
    walks[at] = (low & ~PAGE_MASK) | VALID;
    walks[at + WORD.HIGH] = high;
    walks[at + WORD.CR3] = this.#registers.cr3Low;
    walks[at + WORD.CR3 + 1] = this.#registers.cr3High;
    walks[at + WORD.STAGES] = this.#stages();
    walks[at + WORD.GPA] = gpaLow;
    walks[at + WORD.GPA + 1] = gpaHigh;
    walks[at + WORD.RIGHTS] = global ? rights | RIGHTS.GLOBAL : rights;
    walks[at + WORD.COUNT] = entries.length - leaf;
    let entry = at + WORD.ENTRIES;
    for (let level = entries.length - 1; level >= leaf; level--, entry += ENTRY_WORDS) {
      const place = entries[level]!;
      walks[entry] = place;
      walks[entry + 1] = this.#u32[place]!;
      walks[entry + 2] = this.#u32[place + 1]!;
    }
  }

  /** What the second stage and EFER.NXE are, as a word. */
  #stages(): number {
    return (this.#context.secondStage.generation * 2 + (this.#registers.nxe ? 1 : 0)) >>> 0;
  }
}

/** Where a page is remembered: code, data and stacks often lie at like offsets in large pieces of memory. */
function placeOf(low: number): number {
  const page = low >>> PAGE_SHIFT;
  return ((page ^ (page >>> WALK_BITS)) & (WALKS - 1)) * WORDS;
}
