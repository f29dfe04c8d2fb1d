// The breakpoints of DR0 to DR3: which are enabled, and what an instruction meets of them (SDM vol. 3, 17.2). Delivering the
// #DB is delivery.ts's business, when it is due guestMode.ts's.
//
// Theory: nobody pays for breakpoints who has none.
//   Instructions. A page with an instruction breakpoint is run one instruction at a time, and no jump cache leads into it;
//   links between blocks stay within a page, so generated code never runs past a breakpoint.
//   Data. The view of a page with a data breakpoint lacks the tags that would let an access through, so each access comes by
//   the slow path. When one matches, its instruction is left undone, as by a fault (`watchSignal`), and then run by itself:
//   hits are noted while it executes and become a trap once it has ended. Microcode ends its block by itself.
//   Ports. Every access is microcode, which asks.

import { CR4, DR7 } from '../x86/names/registers.ts';
import { PAGE_MASK } from '../x86/names/paging.ts';
import { ACCESS } from './memory/access.ts';
import { watchSignal } from './fault.ts';
import { OFFSET, type CpuState } from './state.ts';
import { TAGS } from './memory/views.ts';
import { joinWords } from './words.ts';

const COUNT = 4;
/** R/W of a breakpoint. */
const ON = { EXECUTION: 0, WRITE: 1, PORT: 2, ACCESS: 3 } as const;
/** Bytes that a breakpoint covers, less one, by LEN. The address is aligned to it. */
const LAST_BYTE: readonly number[] = [0, 1, 7, 3];
const ENABLES = Number(DR7.ENABLES);
const DR7_AT = OFFSET.dr + 8 * 7;
const PORTS = 0xffffn;

export class Breakpoints {
  /** An instruction breakpoint is enabled. */
  executing = false;
  /** A data breakpoint is enabled. */
  watching = false;
  /** B0 to B3: what the instruction under execution has met so far. */
  hits = 0;
  /** One instruction is being run by itself, so its hits may be noted. */
  alone = false;
  readonly #state: CpuState;
  // By breakpoint: address in halves (data: aligned), R/W, bytes less one, and whether L or G is set.
  readonly #low = new Int32Array(COUNT);
  readonly #high = new Int32Array(COUNT);
  readonly #on = new Uint8Array(COUNT);
  readonly #lastByte = new Uint8Array(COUNT);
  readonly #enabled = new Uint8Array(COUNT);

  constructor(state: CpuState) {
    this.#state = state;
  }

  /** DR0 to DR3 or DR7 have changed. Returns whether generated code may meet a breakpoint now. */
  refresh(): boolean {
    const { views, base } = this.#state;
    const dr7 = this.#state.low(DR7_AT);
    this.executing = this.watching = false;
    if ((dr7 & ENABLES) === 0) {
      this.#enabled.fill(0);
      return false;
    }
    const registers = (base + OFFSET.dr) >> 2;
    for (let i = 0; i < COUNT; i++) {
      const fields = dr7 >>> (DR7.FIELDS_SHIFT + 4 * i);
      const on = (this.#on[i] = fields & 3);
      const lastByte = on === ON.EXECUTION ? 0 : LAST_BYTE[(fields >> 2) & 3]!;
      this.#lastByte[i] = lastByte;
      this.#low[i] = views.u32[registers + 2 * i]! & ~lastByte;
      this.#high[i] = views.u32[registers + 2 * i + 1]!;
      const enabled = ((dr7 >> (2 * i)) & 3) !== 0;
      this.#enabled[i] = enabled ? 1 : 0;
      if (enabled && on === ON.EXECUTION) this.executing = true;
      if (enabled && (on === ON.WRITE || on === ON.ACCESS)) this.watching = true;
    }
    return this.executing || this.watching;
  }

  /** Whether an instruction breakpoint is in the page of an address. */
  inPage(low: number, high: number): boolean {
    for (let i = 0; i < COUNT; i++) {
      if (this.#enabled[i] !== 0 && this.#on[i] === ON.EXECUTION && this.#isPage(i, low, high)) return true;
    }
    return false;
  }

  /** B0 to B3 for an instruction that begins at an address; 0 if it may run. */
  atInstruction(low: number, high: number): number {
    let matching = 0;
    for (let i = 0; i < COUNT; i++) {
      const here = this.#on[i] === ON.EXECUTION && this.#low[i] === (low | 0) && this.#high[i] === (high | 0);
      if (here) matching |= 1 << i;
    }
    return this.#enabledOf(matching);
  }

  /** Tags that the views of a page must not have. */
  hiddenTags(low: number, high: number): number {
    let hidden = 0;
    for (let i = 0; i < COUNT; i++) {
      if (this.#enabled[i] === 0 || !this.#isPage(i, low, high)) continue;
      if (this.#on[i] === ON.WRITE) hidden |= TAGS.WRITE | TAGS.CODE;
      if (this.#on[i] === ON.ACCESS) hidden |= TAGS.READ | TAGS.WRITE | TAGS.CODE;
    }
    return hidden;
  }

  /** Generated code is about to make an access. Throws `watchSignal` if it matches and its instruction is not run by itself. */
  checkAccess(low: number, high: number, access: number): void {
    if (!this.alone && this.#atAccess(low, high, access) !== 0) throw watchSignal;
  }

  /** Notes what an access matches. */
  noteAccess(low: number, high: number, access: number): void {
    this.hits |= this.#atAccess(low, high, access);
  }

  /** Notes what an access to a port matches: only while CR4.DE is set. */
  notePort(port: number, size: number): void {
    if ((this.#state.cr4 & CR4.DE) !== 0n) this.hits |= this.#matching(BigInt(port), BigInt(size), PORTS, false, true);
  }

  /** What was met of data and I/O breakpoints becomes a trap. */
  noteHits(): void {
    if (this.hits === 0) return;
    this.#state.pendingDb |= this.hits;
    this.hits = 0;
  }

  #atAccess(low: number, high: number, access: number): number {
    const address = joinWords(low, high);
    return this.#matching(address, BigInt(access & ACCESS.SIZE), null, (access & ACCESS.WRITE) !== 0, false);
  }

  /** B0 to B3 for `size` bytes at an address, or for as many ports. `mask`: what counts of DR0 to DR3. */
  #matching(address: bigint, size: bigint, mask: bigint | null, write: boolean, port: boolean): number {
    let matching = 0;
    for (let i = 0; i < COUNT; i++) {
      const on = this.#on[i];
      if (port ? on !== ON.PORT : on !== ON.ACCESS && !(write && on === ON.WRITE)) continue;
      const full = joinWords(this.#low[i]!, this.#high[i]!);
      const first = mask === null ? full : full & mask;
      const within = BigInt.asUintN(64, address - first) <= BigInt(this.#lastByte[i]!);
      if (within || BigInt.asUintN(64, first - address) < size) matching |= 1 << i;
    }
    return this.#enabledOf(matching);
  }

  /** DR6 tells of all that match, once one of them is enabled (SDM vol. 3, 17.2.3). */
  #enabledOf(matching: number): number {
    for (let i = 0; i < COUNT; i++) if (((matching >> i) & this.#enabled[i]!) !== 0) return matching;
    return 0;
  }

  #isPage(i: number, low: number, high: number): boolean {
    return (((this.#low[i]! ^ low) & ~PAGE_MASK) | (this.#high[i]! ^ high)) === 0;
  }
}
