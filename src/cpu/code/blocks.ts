// The code cache: straight runs of decoded instructions, kept as records in linear memory, found by physical page, offset
// and mode. Not what decoding means (x86/decoder.ts) nor how blocks are run (cpu.ts).
//
// Theory. A block never crosses a page, so it is valid wherever its page is mapped. When bytes that a block was decoded
// from are written, each of its records becomes a RESYNC record in place: whoever reaches one (through a link, through a
// jump cache, or because it is being executed right now) leaves generated code and looks its RIP up again. So nobody has
// to know who refers to a block, and self-modifying code is seen on the next instruction. Records are only ever reused
// when the whole cache is dropped, between runs, together with all jump caches.
//
// An instruction that straddles two pages is a block of its own, valid only for that pair of pages: it is never linked
// to, and whoever looks it up says which second page is mapped now.

import { Decoded, decode, MAX_LENGTH, TOO_LONG, TRUNCATED } from '../../x86/decoder.ts';
import { operandsOf, type Form } from '../../x86/forms.ts';
import { SEGMENT } from '../../x86/names/registers.ts';
import type { Row } from '../../x86/row.ts';
import { ROWS } from '../../x86/rows.ts';
import { FORMS, formByName, formWithoutFeature } from '../../x86/tables.ts';
import type { Arena, CodeCache } from '../memory/arena.ts';
import type { Features } from '../features.ts';
import { CODE, DECODED_AS, ENVIRONMENT_OF, type CodeMode, type Environment } from '../segments/codeMode.ts';
import { CLOSING, HANDLER_OF_FORM, SPECIAL, type Closing } from './handlers.ts';
import type { Views } from '../layout.ts';
import { CODE_CACHE_SIZE, SCRATCH_SIZE, type MemoryMap } from '../memory/memoryMap.ts';
import { RECORD, RECORD_SIZE, writeRecord, type RecordShape } from './records.ts';
import { SpinLoop } from './spin.ts';

/** Instructions in a block at most: what one budget check pays for. */
const LONGEST_BLOCK = 64;
const PAGE_SIZE = 4096;
/** Blocks that are found without asking the map, whose keys are no small integers. */
const RECENT = 1024;
const RECENT_WORDS = 4;
/** Room that one block may take, with SPIN and its closing record. */
const BLOCK_ROOM = (LONGEST_BLOCK + 2) * RECORD_SIZE;

interface Block {
  readonly key: number;
  /** Address of the head record. */
  readonly at: number;
  readonly records: number;
  /** Pages and byte ranges it was decoded from: one, or two for a straddling instruction. */
  readonly sources: readonly Source[];
}

interface Source {
  /** Byte address of the page in linear memory. */
  readonly page: number;
  /** First and last byte within the page. */
  readonly first: number;
  readonly last: number;
}

/** Its shadow covers the next instruction, behind which an interrupt may be due. */
const STI = formByName('sti')!;
/** It ends its block and leaves generated code, so that STI need not leave before it. */
const HLT = formByName('hlt')!;
/** The immediate of CALLF and JMPF: an offset, and a selector as the second one. */
const FAR_POINTER = 'p';

/** What a record needs to know of its form, by form index; filled on first use. */
const shapes = new Array<RecordShape | undefined>(FORMS.length).fill(undefined);

function shapeOfForm(form: number): RecordShape {
  const operands = operandsOf(FORMS[form]!);
  const generalSlots = [false, false, false];
  for (const { operand, kind, slot } of operands)
    if (kind === 'register' && operand.file === 'gpr') generalSlots[slot] = true;
  return {
    isBranch: operands.some(({ operand }) => /^j/.test(operand.immediate)),
    generalSlots,
    hasSecondImmediate:
      operands.filter(({ kind }) => kind === 'immediate').length > 1 ||
      operands.some(({ operand }) => operand.immediate === FAR_POINTER),
  };
}

export class Blocks implements CodeCache {
  readonly #views: Views;
  readonly #map: MemoryMap;
  readonly #features: () => Features;
  readonly #insn = new Decoded();
  readonly #spin = new SpinLoop();
  readonly #straddled = new Uint8Array(2 * MAX_LENGTH);
  readonly #blocks = new Map<number, Block>();
  readonly #inPage = new Map<number, Set<Block>>();
  #arena: Arena | null = null;
  #top: number;
  /** Bytes decoded for the block being built. */
  #end = 0;
  /** The page that the scratch records were last decoded from, and how many they are. */
  #scratchPage = 0;
  #scratchRecords = 0;
  /** The block that they are a copy of, NO_KEY if of none, and the most of it that was asked for. */
  #scratchKey = NO_KEY;
  #scratchMost = 0;
  /** Where blocks were found last, by the address they begin at: that, the mode, the head record. */
  readonly #recent = new Uint32Array(RECENT * RECENT_WORDS);
  /** Counts drops of the whole cache: jump caches filled before are void. */
  generation = 0;

  constructor(views: Views, map: MemoryMap, features: () => Features) {
    this.#views = views;
    this.#map = map;
    this.#features = features;
    this.#top = map.codeCache;
  }

  /** The arena and its code cache know each other. */
  attach(arena: Arena): void {
    this.#arena = arena;
  }

  /**
   * Head record of the block at an offset of a page, decoding it if need be. 0: the instruction there continues on the
   * next page; ask `straddling`.
   */
  find(page: number, offset: number, mode: CodeMode): number {
    const recent = this.#recent;
    const address = page + offset;
    const place = (address & (RECENT - 1)) * RECENT_WORDS;
    const known = recent[place + 2]!;
    if (known !== 0 && recent[place] === address && recent[place + 1] === mode) {
      if (this.#views.u16[known >> 1] !== SPECIAL.RESYNC) return known;
    }
    const at = this.#found(page, offset, mode);
    recent[place] = address;
    recent[place + 1] = mode;
    recent[place + 2] = at;
    return at;
  }

  #found(page: number, offset: number, mode: CodeMode): number {
    const key = keyOf(page, offset, mode);
    const found = this.#blocks.get(key);
    if (found) return found.at;
    this.#makeRoom();
    const count = this.#decodeRun(this.#top, page, offset, mode, LONGEST_BLOCK, 'FALL_THROUGH');
    if (count === 0) return 0;
    return this.#keep(key, count, [{ page, first: offset, last: this.#end - 1 }]);
  }

  /** Head record of the block of one instruction that begins on `page` and ends on `next`. */
  straddling(page: number, offset: number, next: number, mode: CodeMode): number {
    const key = keyOf(page, offset, mode) + KEYS;
    const found = this.#blocks.get(key);
    if (found) {
      if (found.sources[1]!.page === next) return found.at;
      this.#drop(found);
    }
    this.#makeRoom();
    this.#decodeStraddling(this.#top, page, offset, next, mode, 'FALL_THROUGH');
    return this.#keep(key, 1, [
      { page, first: offset, last: PAGE_SIZE - 1 },
      { page: next, first: 0, last: this.#end - 1 - PAGE_SIZE },
    ]);
  }

  /**
   * Exactly the first `count` instructions at an offset, then a stop: for budgets that end within a block. Not kept. 0: the
   * first one needs bytes from `end` on.
   */
  scratch(page: number, offset: number, mode: CodeMode, count: number, end = PAGE_SIZE): number {
    const at = this.#map.scratch;
    const most = Math.min(count, SCRATCH_SIZE / RECORD_SIZE - 1, LONGEST_BLOCK);
    const key = keyOf(page, offset, mode);
    if (key === this.#scratchKey && most === this.#scratchMost) return at;
    this.#scratchPage = page;
    this.#scratchRecords = this.#decodeRun(at, page, offset, mode, most, 'STOP', end);
    // What a block marks and nobody has written since needs no second decoding: waits and device accesses repeat themselves.
    const isCopy = end === PAGE_SIZE && this.#scratchRecords > 0 && this.#blocks.has(key);
    this.#scratchKey = isCopy ? key : NO_KEY;
    this.#scratchMost = most;
    return this.#scratchRecords === 0 ? 0 : at;
  }

  /** The same for one straddling instruction. */
  scratchStraddling(page: number, offset: number, next: number, mode: CodeMode): number {
    this.#scratchKey = NO_KEY;
    this.#decodeStraddling(this.#map.scratch, page, offset, next, mode, 'STOP');
    return this.#map.scratch;
  }

  /** Whether a record may be linked to and jumped to: it heads a block of this cache that lies in one page. */
  isShared(record: number): boolean {
    return record >= this.#map.codeCache;
  }

  invalidate(page: number, first: number, last: number): void {
    // The block that the scratch records are a copy of marks their lines: once it is dropped, nothing else would tell.
    if (page === this.#scratchPage) {
      this.#resync(this.#map.scratch, this.#scratchRecords);
      this.#scratchKey = NO_KEY;
    }
    const blocks = this.#inPage.get(page);
    if (!blocks) return;
    for (const block of [...blocks]) {
      if (block.sources.some((s) => s.page === page && s.first <= last && s.last >= first)) this.#drop(block);
    }
  }

  /** Forgets every block, for instance when CPUID changed what is executed. Not while generated code runs. */
  dropAll(): void {
    for (const page of this.#inPage.keys()) this.#arena!.unmarkCode(page);
    this.#blocks.clear();
    this.#inPage.clear();
    this.#recent.fill(0);
    this.#top = this.#map.codeCache;
    this.#scratchKey = NO_KEY;
    this.generation++;
  }

  #makeRoom(): void {
    if (this.#top + BLOCK_ROOM > this.#map.codeCache + CODE_CACHE_SIZE) this.dropAll();
  }

  #keep(key: number, count: number, sources: readonly Source[]): number {
    const block: Block = { key, at: this.#top, records: count, sources };
    this.#top += (count + 1) * RECORD_SIZE;
    this.#blocks.set(key, block);
    for (const { page, first, last } of sources) {
      let inPage = this.#inPage.get(page);
      if (!inPage) this.#inPage.set(page, (inPage = new Set()));
      inPage.add(block);
      this.#arena!.markCode(page, first, last);
    }
    return block.at;
  }

  #drop(block: Block): void {
    this.#blocks.delete(block.key);
    this.#resync(block.at, block.records);
    for (const { page } of block.sources) {
      const inPage = this.#inPage.get(page)!;
      inPage.delete(block);
      if (inPage.size === 0) this.#inPage.delete(page);
      this.#remark(page, inPage);
    }
  }

  /** Whoever reaches one of these records looks its RIP up again. */
  #resync(at: number, records: number): void {
    for (let i = 0; i < records; i++) this.#views.u16[(at + i * RECORD_SIZE) >> 1] = SPECIAL.RESYNC;
  }

  #remark(page: number, blocks: ReadonlySet<Block>): void {
    this.#arena!.unmarkCode(page);
    for (const { sources } of blocks) {
      for (const s of sources) if (s.page === page) this.#arena!.markCode(page, s.first, s.last);
    }
  }

  /**
   * Decodes up to `most` instructions from an offset of a page into records at `at`, closed by a record of handler `close`
   * unless a branch ends them; a block that goes on also ends behind the shadow of STI, and one that waits begins with SPIN. Returns
   * how many records that are, the closing one not counted; 0 if the first instruction continues at `end`.
   */
  #decodeRun(
    at: number,
    page: number,
    offset: number,
    mode: CodeMode,
    most: number,
    close: Closing,
    end = PAGE_SIZE,
  ): number {
    const insn = this.#insn;
    let position = offset;
    let count = 0;
    let ended = false;
    let closing = close;
    let isCovered = false;
    let spins = false;
    this.#spin.begin();
    while (count < most && position < end && !ended) {
      const length = decode(this.#views.u8, page + position, page + end, DECODED_AS[mode], insn);
      if (length === TRUNCATED) break;
      const isRepeat = length > 0 && FORMS[insn.form]!.rep !== '';
      if (isRepeat && count > 0) break; // a REP is a block of its own: each iteration pays for itself
      ended = this.#write(at + count * RECORD_SIZE, length, position, mode) || isRepeat;
      count++;
      position += Math.max(length, 1);
      if (isCovered && close === 'FALL_THROUGH' && (!ended || insn.form === HLT.index)) {
        this.#views.u8[at + (count - 2) * RECORD_SIZE + RECORD.attendsLater] = 1;
        closing = 'ATTEND';
        break;
      }
      isCovered = insn.form === STI.index;
      spins = close === 'FALL_THROUGH' && this.#spin.add(insn, position - offset);
    }
    this.#end = position;
    if (count === 0) return 0;
    const head = spins ? this.#putSpin(at, count, offset) : 0;
    this.#close(at + head * RECORD_SIZE, count, position, CLOSING[ENVIRONMENT_OF[mode]!][closing]);
    return count + head;
  }

  /** Puts a SPIN record in front of a block's records. How many records that is. */
  #putSpin(at: number, count: number, offset: number): number {
    this.#views.u8.copyWithin(at + RECORD_SIZE, at, at + count * RECORD_SIZE);
    writeSpecial(this.#views, at, SPECIAL.SPIN, offset);
    this.#views.u16[(at + RECORD.remaining) >> 1] = count;
    return 1;
  }

  #decodeStraddling(at: number, page: number, offset: number, next: number, mode: CodeMode, close: Closing): void {
    const bytes = this.#straddled;
    const here = PAGE_SIZE - offset;
    bytes.set(this.#views.u8.subarray(page + offset, page + PAGE_SIZE));
    bytes.set(this.#views.u8.subarray(next, next + bytes.length - here), here);
    const length = decode(bytes, 0, bytes.length, DECODED_AS[mode], this.#insn);
    this.#write(at, length, offset, mode);
    this.#end = offset + Math.max(length, here + 1);
    this.#close(at, 1, offset + Math.max(length, 1), CLOSING[ENVIRONMENT_OF[mode]!][close]);
  }

  /** Writes one record; true if nothing decoded behind it may run before it has been executed. */
  #write(at: number, length: number, ripOffset: number, mode: CodeMode): boolean {
    const insn = this.#insn;
    if (length <= 0) {
      writeSpecial(this.#views, at, length === TOO_LONG ? SPECIAL.TOO_LONG : SPECIAL.INVALID_OPCODE, ripOffset);
      return true;
    }
    const form = this.#offered(ROWS[insn.row]!, FORMS[insn.form]!);
    if (form === undefined) {
      writeSpecial(this.#views, at, SPECIAL.INVALID_OPCODE, ripOffset);
      return true;
    }
    const handler = HANDLER_OF_FORM[environmentFor(insn, mode)][form.index]!;
    const shape = (shapes[insn.form] ??= shapeOfForm(insn.form));
    writeRecord(this.#views, at, handler, insn, ripOffset, shape);
    return form.row.endsBlock === true || handler === SPECIAL.NOT_IMPLEMENTED;
  }

  /** What a decoded encoding is on this processor; undefined: invalid. */
  #offered(row: Row, form: Form): Form | undefined {
    return row.cpuid === undefined || this.#features().has(row.cpuid) ? form : formWithoutFeature(row, form);
  }

  /** Says in each record how many units remain, and puts the closing record behind the last. */
  #close(at: number, count: number, position: number, handler: number): void {
    for (let i = 0; i < count; i++) this.#views.u16[(at + i * RECORD_SIZE + RECORD.remaining) >> 1] = count - i;
    writeSpecial(this.#views, at + count * RECORD_SIZE, handler, position);
  }
}

/** Flat code does not know CS, FS and GS, nor addresses of 16 bits: such an instruction is executed as segmented code is. */
function environmentFor({ form, segment, addressSize }: Decoded, mode: CodeMode): Environment {
  if (mode !== CODE.FLAT32 || FORMS[form]!.memory === '') return ENVIRONMENT_OF[mode]!;
  const isFlat = addressSize === 32 && (segment === SEGMENT.DS || segment === SEGMENT.ES || segment === SEGMENT.SS);
  return isFlat ? 'flat' : 'segmented';
}

/** Keys of straddling blocks lie above those of the others. */
const KEYS = 2 ** 40;
const NO_KEY = -1;
const keyOf = (page: number, offset: number, mode: CodeMode): number => (page + offset) * 16 + mode;

/** A record that is no instruction: nothing remains, no link is known. */
function writeSpecial(views: Views, at: number, handler: number, ripOffset: number): void {
  views.u8.fill(0, at, at + RECORD_SIZE);
  views.u16[at >> 1] = handler;
  views.u16[(at + RECORD.ripOffset) >> 1] = ripOffset;
}
