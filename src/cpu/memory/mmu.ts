// A CPU's access to guest memory when generated code finds no tag: the slow paths that generated code imports, the reads
// and writes of microcode, and what changes of registers invalidate. It knows bytes; which page they are in is
// translation.ts's business, and what does not lie in one page of memory is accessParts.ts's.

import { CR0, CR3, CR4, EFER } from '../../x86/names/registers.ts';
import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../../x86/names/paging.ts';
import { ACCESS, ACCESS_OF, type AccessKind } from './access.ts';
import { AccessParts, FRAGMENT_BYTES, highBehind, nextPage } from './accessParts.ts';
import { Breakpoints } from '../breakpoints.ts';
import { isLongMode } from '../segments/codeMode.ts';
import { stop } from '../fault.ts';
import { Fragments } from './fragments.ts';
import type { MemoryContext } from './memoryContext.ts';
import { eptViolationOfPdptes } from './memoryExits.ts';
import { pageAddress, STAGE } from './secondStage.ts';
import { DEVICE, Translation } from './translation.ts';
import { OFFSET } from '../state.ts';
import { highWord, lowWord } from '../words.ts';

/** INVPCID types (SDM vol. 2, INVPCID). */
export const INVPCID = { ADDRESS: 0, CONTEXT: 1, ALL: 2, ALL_BUT_GLOBAL: 3 } as const;

/** Bits of CR4 that translations or rights depend on, and those whose changes invalidate all translations. */
const PAGING_CR4 = Number(CR4.PSE | CR4.PAE | CR4.PGE | CR4.LA57 | CR4.PCIDE | CR4.SMEP | CR4.SMAP);
const FLUSHING_CR4 = Number(CR4.PGE | CR4.PAE | CR4.LA57);
const PCIDE = Number(CR4.PCIDE);
const SMEP = Number(CR4.SMEP);
const PCID_MASK = Number(CR3.PCID_MASK);

export class Mmu {
  readonly translation: Translation;
  readonly fragments: Fragments;
  readonly breakpoints: Breakpoints;
  readonly #context: MemoryContext;
  readonly #u8: Uint8Array;
  readonly #data: DataView;
  readonly #bounce: number;
  readonly #parts: AccessParts;

  constructor(context: MemoryContext) {
    const { state } = context;
    this.#context = context;
    this.fragments = new Fragments(state);
    this.breakpoints = new Breakpoints(state);
    this.translation = new Translation(context, this.fragments, this.breakpoints);
    this.#u8 = state.views.u8;
    this.#data = state.views.data;
    this.#bounce = state.at('bounce');
    this.#parts = new AccessParts(context, this.translation, this.fragments);
  }

  // What generated code imports. Linear addresses in halves; `access` is an access word: the size in bytes, perhaps with
  // STACK, SYSTEM or USER.

  /** Byte address in linear memory of the bytes to load: in their page, or in the bounce buffer until the next slow path. */
  slowRead(low: number, high: number, access: number, record: number): number {
    this.#context.record = record;
    this.#context.state.spinRecord = 0;
    if (this.breakpoints.watching) this.breakpoints.checkAccess(low, high, access);
    return this.#read(low, high, access);
  }

  /** As slowRead, for an instruction that will write these bytes: what its slowWrite would raise, this raises. */
  slowOpen(low: number, high: number, access: number, record: number): number {
    this.#context.record = record;
    if (this.breakpoints.watching) this.breakpoints.checkAccess(low, high, access | ACCESS.WRITE);
    this.translation.checkAlignment(low, high, access);
    this.#probe(low, high, access | ACCESS.WRITE | ACCESS.PROBE, access & ACCESS.SIZE);
    return this.#read(low, high, access);
  }

  /** Writes 1, 2, 4 or 8 bytes. */
  slowWrite(low: number, high: number, access: number, record: number, valueLow: number, valueHigh: number): void {
    this.#context.record = record;
    if (this.breakpoints.watching) this.breakpoints.checkAccess(low, high, access | ACCESS.WRITE);
    this.#write(low, high, access | ACCESS.WRITE, valueLow, valueHigh);
  }

  /** Writes the 16 or 32 bytes that stand in the bounce buffer. */
  slowWriteBounce(low: number, high: number, access: number, record: number): void {
    this.#context.record = record;
    if (this.breakpoints.watching) {
      this.breakpoints.checkAccess(low, high, access | ACCESS.WRITE);
      this.breakpoints.noteAccess(low, high, access | ACCESS.WRITE);
    }
    this.#parts.write(low, high, access | ACCESS.WRITE);
  }

  // What microcode uses.

  /** Reads 1, 2, 4 or 8 bytes, zero-extended. */
  read(gva: bigint, size: number, access: AccessKind): bigint {
    const at = this.#read(lowWord(gva), this.#highOf(gva), size | ACCESS_OF[access]);
    switch (size) {
      case 1:
        return BigInt(this.#u8[at]!);
      case 2:
        return BigInt(this.#data.getUint16(at, true));
      case 4:
        return BigInt(this.#data.getUint32(at, true));
      default:
        return this.#data.getBigUint64(at, true);
    }
  }

  /** Writes the low 1, 2, 4 or 8 bytes of a value. */
  write(gva: bigint, size: number, value: bigint, access: AccessKind): void {
    const word = size | ACCESS_OF[access] | ACCESS.WRITE;
    this.#write(lowWord(gva), this.#highOf(gva), word, lowWord(value), highWord(value));
  }

  // The same by halves: a bigint for each word of a frame would cost more than the access.

  /** Halves of what `readWords` read last. */
  low = 0;
  high = 0;

  readWords(low: number, high: number, size: number, access: AccessKind): void {
    const at = this.#read(low, isLongMode(this.#context.state) ? high : 0, size | ACCESS_OF[access]);
    this.high = size === 8 ? this.#data.getUint32(at + 4, true) : 0;
    if (size >= 4) this.low = this.#data.getUint32(at, true);
    else this.low = size === 2 ? this.#data.getUint16(at, true) : this.#u8[at]!;
  }

  writeWords(low: number, high: number, size: number, valueLow: number, valueHigh: number, access: AccessKind): void {
    const word = size | ACCESS_OF[access] | ACCESS.WRITE;
    this.#write(low, isLongMode(this.#context.state) ? high : 0, word, valueLow, valueHigh);
  }

  atHand(low: number, high: number, access: number): number {
    return this.translation.views.atHand(low, high, access);
  }

  /** Throws what an access to `length` bytes would throw; sets no D bit and changes no memory. */
  probe(gva: bigint, length: number, intent: 'read' | 'write', access: AccessKind): void {
    const write = intent === 'write' ? ACCESS.WRITE | ACCESS.PROBE : 0;
    const [low, high] = [lowWord(gva), this.#highOf(gva)];
    if (length <= FRAGMENT_BYTES) this.translation.checkAlignment(low, high, ACCESS_OF[access] | length);
    this.#probe(low, high, ACCESS_OF[access] | write, length);
  }

  /** Bytes at a linear address for an onlooker (debugger, trace), by the page tables as they stand; null where none are. */
  peek(gva: bigint, length: number): Uint8Array | null {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const at = gva + BigInt(done);
      const gpa = this.translation.peek(lowWord(at), highWord(at));
      const stage = gpa === null ? 0 : this.#context.secondStage.lookup(Number(gpa >> BigInt(PAGE_SHIFT)));
      if ((stage & STAGE.PRESENT) === 0) return null;
      const offset = lowWord(at) & PAGE_MASK;
      const part = Math.min(PAGE_SIZE - offset, length - done);
      bytes.set(this.#u8.subarray(pageAddress(stage) + offset, pageAddress(stage) + offset + part), done);
      done += part;
    }
    return bytes;
  }

  /** The eight bytes at a guest physical address, which no page crosses, for the PDPTE registers. */
  readTable(gpa: bigint): bigint {
    const stage = this.#context.secondStage.lookup(Number(gpa >> BigInt(PAGE_SHIFT)));
    if ((stage & STAGE.MMIO) !== 0) {
      stop(
        `CR3 leads into device memory, at guest physical 0x${gpa.toString(16)}`,
        'put page tables in memory: CR3 is likely wrong',
      );
    }
    if ((stage & STAGE.PRESENT) === 0) eptViolationOfPdptes(this.#context.state, gpa, 8);
    return this.#data.getBigUint64(pageAddress(stage) + (lowWord(gpa) & PAGE_MASK), true);
  }

  // What changes of registers invalidate (SDM vol. 3, 4.10.4). The register has its new value already; `old` is the one before.

  /** CPL or EFLAGS.AC changed. */
  selectViews(): void {
    this.translation.selectViews();
  }

  cr0Changed(old: bigint): void {
    const changed = old ^ this.#context.state.cr0;
    if ((changed & CR0.PG) !== 0n) {
      this.translation.flushAll(false);
      this.translation.selectViews();
    } else if ((changed & (CR0.WP | CR0.AM)) !== 0n) this.translation.protectionChanged();
  }

  /** `keep`: bit 63 of the source was set, so the new PCID's translations stay. */
  cr3Changed(keep: boolean): void {
    if (keep) this.translation.addressSpaceChanged();
    else this.translation.flushPcid(this.#pcid(), true);
  }

  /** `old`: its low half. */
  cr4Changed(old: number): void {
    const now = this.#context.state.low(OFFSET.cr4);
    const changed = old ^ now;
    if ((changed & FLUSHING_CR4) !== 0 || (old & ~now & PCIDE) !== 0) this.translation.flushAll(false);
    else if ((changed & now & SMEP) !== 0) this.translation.flushPcid(this.#pcid(), false);
    if ((changed & PAGING_CR4) !== 0) this.translation.rightsChanged();
  }

  /** Rights hold NX as the walk saw it, so a change of NXE invalidates everything. */
  eferChanged(old: bigint): void {
    if (((old ^ this.#context.state.efer) & (EFER.NXE | EFER.LMA)) !== 0n) this.translation.flushAll(false);
  }

  /** DR0 to DR3 or DR7 changed: views and jump caches must not lead past an enabled breakpoint. Whether one may be met. */
  breakpointsChanged(): boolean {
    const may = this.breakpoints.refresh();
    if (may) this.translation.dropDerived();
    return may;
  }

  invlpg(gva: bigint): void {
    this.translation.invlpg(gva);
  }

  /** INVPCID, whose operands were checked. */
  invpcid(type: number, pcid: number, gva: bigint): void {
    if (type === INVPCID.ADDRESS) this.translation.invlpgPcid(gva, pcid);
    else if (type === INVPCID.CONTEXT) this.translation.flushPcid(pcid, true);
    else this.translation.flushAll(type === INVPCID.ALL_BUT_GLOBAL);
  }

  /** Linear addresses have 32 bits outside of IA-32e mode: what registers keep of wider ones does not count. */
  #highOf(gva: bigint): number {
    return isLongMode(this.#context.state) ? highWord(gva) : 0;
  }

  #pcid(): number {
    const { state } = this.#context;
    return (state.low(OFFSET.cr4) & PCIDE) === 0 ? 0 : state.low(OFFSET.cr3) & PCID_MASK;
  }

  #read(low: number, high: number, access: number): number {
    if (this.breakpoints.watching) this.breakpoints.noteAccess(low, high, access);
    this.translation.checkAlignment(low, high, access);
    const offset = low & PAGE_MASK;
    if (offset + (access & ACCESS.SIZE) <= PAGE_SIZE) {
      const page = this.translation.translate(low, high, access, this.translation.modeOf(access));
      if (page !== DEVICE) return page + offset;
    }
    return this.#parts.read(low, high, access);
  }

  #write(low: number, high: number, access: number, valueLow: number, valueHigh: number): void {
    if (this.breakpoints.watching) this.breakpoints.noteAccess(low, high, access);
    this.translation.checkAlignment(low, high, access);
    const size = access & ACCESS.SIZE;
    const offset = low & PAGE_MASK;
    if (offset + size <= PAGE_SIZE) {
      const page = this.translation.translate(low, high, access, this.translation.modeOf(access));
      if (page !== DEVICE) {
        this.#store(page + offset, size, valueLow, valueHigh);
        this.#context.arena.invalidateCode(page + offset, size);
        return;
      }
    }
    this.#store(this.#bounce, FRAGMENT_BYTES, valueLow, valueHigh);
    this.#parts.write(low, high, access);
  }

  #store(at: number, size: number, low: number, high: number): void {
    if (size === 1) this.#u8[at] = low;
    else if (size === 2) this.#data.setUint16(at, low, true);
    else this.#data.setUint32(at, low, true);
    if (size === 8) this.#data.setUint32(at + 4, high, true);
  }

  #probe(low: number, high: number, access: number, length: number): void {
    const mode = this.translation.modeOf(access);
    for (let left = length; left > 0; ) {
      this.translation.translate(low, high, access, mode);
      left -= PAGE_SIZE - (low & PAGE_MASK);
      low = nextPage(low);
      if (low === 0) high = highBehind(this.#context.state, high, access);
    }
  }
}
