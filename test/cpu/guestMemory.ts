// A CPU that is nothing but memory: an Mmu over a plain buffer, for tests that need no interpreter. Guest physical memory
// is the arena, one to one from gpa 0. `load` and `store` do what generated code does: compare a tag, else take the slow path.

import { Arena } from '../../src/cpu/memory/arena.ts';
import { selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { exitSignal, guestFault, stopSignal } from '../../src/cpu/fault.ts';
import { Views } from '../../src/cpu/layout.ts';
import type { MemoryContext, PagingFeatures } from '../../src/cpu/memory/memoryContext.ts';
import { Mmu } from '../../src/cpu/memory/mmu.ts';
import { setPdptes } from '../../src/cpu/memory/pdptes.ts';
import { SecondStage } from '../../src/cpu/memory/secondStage.ts';
import { ARCHITECTURAL_SIZE, STATE_SIZE, stateAt, VIEW_ENTRIES, VIEW_ENTRY_SIZE } from '../../src/cpu/state.ts';
import { PTE } from '../../src/x86/names/paging.ts';
import { CR0, CR4, EFER } from '../../src/x86/names/registers.ts';

const MEMORY = 16 << 20;
const BITMAP = 0x1_0000;
const STATES = 0x2_0000;
const ARENA = 0x10_0000;
export const PAGE = 4096n;
/** Page tables are built from this gpa upwards. */
const TABLES = 0x10_0000n;
const ADDRESS = 0x000f_ffff_ffff_f000n;

/** Bits of entries, in full width. */
export const BIT = {
  P: BigInt(PTE.P),
  W: BigInt(PTE.W),
  U: BigInt(PTE.U),
  A: BigInt(PTE.A),
  D: BigInt(PTE.D),
  PS: BigInt(PTE.PS),
  G: BigInt(PTE.G),
  NX: 1n << 63n,
};
/** Present, writable, user. */
export const PWU = BIT.P | BIT.W | BIT.U;

export interface Invalidation {
  page: number;
  first: number;
  last: number;
}

/** How an access ended: a value, or what was thrown. */
export type Ending =
  | { ok: true; value: bigint }
  | { ok: false; fault: number; errorCode: number | null; address: bigint }
  | { ok: false; exit: number; gva: bigint; gpa: bigint; qualification: number }
  | { ok: false; stopped: string };

export class GuestMemory {
  readonly views = new Views(new ArrayBuffer(MEMORY));
  readonly invalidations: Invalidation[] = [];
  readonly arena = new Arena(this.views, ARENA, MEMORY, BITMAP, {
    invalidate: (page, first, last) => {
      this.invalidations.push({ page, first, last });
    },
  });
  readonly secondStage = new SecondStage(this.arena);
  readonly cpus: MemoryCpu[] = [];
  #nextTable = TABLES;

  constructor(cpus = 1) {
    const size = MEMORY - ARENA;
    this.secondStage.map(0, size / 4096, this.arena.allocate(size), { writable: true });
    for (let i = 0; i < cpus; i++) this.cpus.push(new MemoryCpu(this, STATES + i * STATE_SIZE));
  }

  get cpu(): MemoryCpu {
    return this.cpus[0]!;
  }

  /** Where a guest physical address is in linear memory. */
  host(gpa: bigint): number {
    return ARENA + Number(gpa);
  }
  /** Reads and writes memory behind everybody's back. */
  peek(gpa: bigint): bigint {
    return this.views.data.getBigUint64(this.host(gpa), true);
  }
  poke(gpa: bigint, value: bigint): void {
    this.views.data.setBigUint64(this.host(gpa), value, true);
  }
  peek32(gpa: bigint): number {
    return this.views.data.getUint32(this.host(gpa), true);
  }
  poke32(gpa: bigint, value: number): void {
    this.views.data.setUint32(this.host(gpa), value, true);
  }

  /** An empty table. */
  newTable(): bigint {
    const table = this.#nextTable;
    this.#nextTable += PAGE;
    return table;
  }

  /** Guest physical address of the entry at `level` (0: PTE) for an address; makes the tables above it as needed. */
  entry(root: bigint, gva: bigint, level: number): bigint {
    let table = root;
    for (let at = 3; ; at--) {
      const entry = table + ((gva >> BigInt(12 + 9 * at)) & 511n) * 8n;
      if (at === level) return entry;
      if ((this.peek(entry) & BIT.P) === 0n) this.poke(entry, this.newTable() | PWU);
      table = this.peek(entry) & ADDRESS;
    }
  }

  /** Maps a page (of 4 KiB, or larger by level) with the bits given. */
  map(root: bigint, gva: bigint, gpa: bigint, bits = PWU, level = 0): bigint {
    const entry = this.entry(root, gva, level);
    this.poke(entry, gpa | bits | (level > 0 ? BIT.PS : 0n));
    return entry;
  }
}

export class MemoryCpu implements MemoryContext {
  readonly state;
  readonly arena: Arena;
  readonly secondStage: SecondStage;
  features: PagingFeatures = { has: () => true, physicalAddressBits: 46 };
  record = 0;
  stackRecords = new Set<number>();
  readonly mmu: Mmu;
  readonly #memory: GuestMemory;

  /** In 64-bit mode at CPL 0, with a root table of its own, WP, PAE, PGE and NXE. */
  constructor(memory: GuestMemory, base: number) {
    this.#memory = memory;
    this.state = stateAt(memory.views, base);
    this.arena = memory.arena;
    this.secondStage = memory.secondStage;
    this.state.cr0 = CR0.PE | CR0.PG | CR0.WP;
    this.state.cr4 = CR4.PAE | CR4.PGE;
    this.state.efer = EFER.LMA | EFER.LME | EFER.NXE;
    this.state.cr3 = memory.newTable();
    this.mmu = new Mmu(this);
  }

  usesStackSegment(record: number): boolean {
    return this.stackRecords.has(record);
  }

  get translation() {
    return this.mmu.translation;
  }
  get root(): bigint {
    return this.state.cr3 & ADDRESS;
  }
  map(gva: bigint, gpa: bigint, bits = PWU, level = 0): bigint {
    return this.#memory.map(this.root, gva, gpa, bits, level);
  }

  /** Out of long mode: 16-bit code with paging off, with 32-bit paging and PSE, or with PAE paging from these PDPTEs on. */
  leaveLongMode(paging: 'off' | '32-bit' | 'PAE', pdptes: readonly bigint[] = []): void {
    const { state } = this;
    state.cr0 = paging === 'off' ? CR0.PE : CR0.PE | CR0.PG | CR0.WP;
    state.cr4 = paging === 'PAE' ? CR4.PAE | CR4.PGE : CR4.PSE | CR4.PGE;
    state.efer = EFER.NXE;
    setPdptes(state, pdptes);
    selectCodeMode(state);
    this.translation.flushAll(false);
    this.translation.selectViews();
  }

  setCpl(cpl: number): void {
    this.state.cpl = cpl;
    this.translation.selectViews();
  }
  setAc(on: boolean): void {
    this.state.rflags = on ? this.state.rflags | (1 << 18) : this.state.rflags & ~(1 << 18);
    this.translation.selectViews();
  }
  setCr3(value: bigint, keep = false): void {
    this.state.cr3 = value;
    this.mmu.cr3Changed(keep);
  }
  /** Sets and clears bits of a control register, as MOV CR and WRMSR do. */
  change(register: 'cr0' | 'cr4' | 'efer', set: bigint, clear = 0n): void {
    const old = this.state[register];
    this.state[register] = (old | set) & ~clear;
    if (register === 'cr4') this.mmu.cr4Changed(Number(old));
    else this.mmu[`${register}Changed`](old);
  }

  /** The view entry of an address in the current data view, as generated code sees it. */
  view(gva: bigint, which: 'dataView' | 'systemView' = 'dataView') {
    const { views } = this.#memory;
    const entry = this.state[which] + (Number(gva >> 12n) & (VIEW_ENTRIES - 1)) * VIEW_ENTRY_SIZE;
    const tag = (offset: number): boolean => views.u64[(entry + offset) >> 3] === (gva & ~0xfffn);
    return {
      read: tag(0),
      write: tag(8),
      code: tag(16),
      host: (Number(BigInt.asIntN(32, gva)) + views.i32[(entry + 24) >> 2]!) >>> 0,
    };
  }

  /** The tag of the current fetch view matches, or the jump cache has this address. */
  fetchHit(rip: bigint): boolean {
    const entry = this.state.fetchView + (Number(rip >> 12n) & 255) * 16;
    return this.#memory.views.u64[entry >> 3] === (rip & ~0xfffn);
  }

  /** A load of generated code. */
  load(gva: bigint, size: number): bigint {
    const last = BigInt.asUintN(64, gva + BigInt(size - 1));
    const hit = this.view(gva).read && last >> 12n === gva >> 12n;
    const at = hit ? this.view(gva).host : this.mmu.slowRead(low(gva), high(gva), size, 0) >>> 0;
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#memory.views.u8[at + i]!);
    return value;
  }

  /** A store of generated code. */
  store(gva: bigint, size: number, value: bigint): void {
    const last = BigInt.asUintN(64, gva + BigInt(size - 1));
    const view = this.view(gva);
    if (view.write && last >> 12n === gva >> 12n) {
      for (let i = 0; i < size; i++) this.#memory.views.u8[view.host + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    } else {
      this.mmu.slowWrite(low(gva), high(gva), size, 0, low(value), high(value));
    }
  }

  /** A fetch of generated code: the page's address in linear memory. */
  fetch(rip: bigint): bigint {
    const entry = this.state.fetchView + (Number(rip >> 12n) & 255) * 16;
    if (this.fetchHit(rip)) return BigInt(this.#memory.views.u32[(entry + 8) >> 2]!);
    return BigInt(this.mmu.translation.translateFetch(low(rip), high(rip)) >>> 0);
  }

  /** The architectural part of the state block. */
  snapshot(): Uint8Array {
    return this.#memory.views.u8.slice(this.state.base, this.state.base + ARCHITECTURAL_SIZE);
  }
  restore(snapshot: Uint8Array): void {
    this.#memory.views.u8.set(snapshot, this.state.base);
    this.translation.restored();
  }

  /** Does something and says how it ended. */
  attempt(access: () => bigint | void): Ending {
    try {
      return { ok: true, value: access() ?? 0n };
    } catch (thrown) {
      if (thrown === guestFault) {
        const { vector, errorCode, address } = guestFault;
        return { ok: false, fault: vector, errorCode, address };
      }
      if (thrown === exitSignal) {
        const { exitReason, exitGva, exitGpa, exitQualification } = this.state;
        return {
          ok: false,
          exit: exitReason,
          gva: exitGva,
          gpa: exitGpa,
          qualification: Number(exitQualification),
        };
      }
      if (thrown === stopSignal) return { ok: false, stopped: stopSignal.what };
      throw thrown;
    }
  }
}

export const low = (value: bigint): number => Number(BigInt.asIntN(32, value));
export const high = (value: bigint): number => Number(BigInt.asIntN(32, value >> 32n));
