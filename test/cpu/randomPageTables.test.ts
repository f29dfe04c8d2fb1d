// Random page tables, of all kinds of paging, in random modes: the walker against one that was written a second time
// (referenceWalker.ts). The result or the error code must be equal, and so must A and D bits in memory.

import { expect, it } from 'vitest';
import { ACCESS } from '../../src/cpu/memory/access.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { CR0, CR4, EFER } from '../../src/x86/names/registers.ts';
import { EPT_QUALIFICATION } from '../../src/x86/names/paging.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { Random } from '../hardware/random.ts';
import { GuestMemory, high, low, PAGE, type Ending } from './guestMemory.ts';
import { referenceWalk, type WalkAccess, type Walked, type WalkKind, type WalkMemory, type WalkRegisters } from './referenceWalker.ts'; // prettier-ignore

/** Memory of the guest; nothing is in it but tables in the pool, which most entries lead to. */
const MEMORY_END = 0xf0_0000n;
const POOL = 0x20_0000n;
const POOL_PAGES = 6;
const POOL_BYTES = POOL_PAGES * Number(PAGE);
const ROUNDS = 60;
const WALKS = 150;
const ACCESSES: readonly WalkAccess[] = ['read', 'write', 'fetch'];

/** Addresses of pages with PS; some have bits that are reserved in larger ones. */
const LARGE_PAGES = [0n, 0x20_0000n, 0x40_0000n, 0x4000_0000n];

const oneIn = (random: Random, n: number): boolean => random.below(n) === 0;
const poolPage = (random: Random): bigint => POOL + BigInt(random.below(POOL_PAGES)) * PAGE;

/** An entry that mostly is in order: present, leads to a table. */
function randomEntry(random: Random, wide: boolean): bigint {
  let entry = poolPage(random) | BigInt(random.below(0x80) | (random.below(8) << 9));
  if (!oneIn(random, 8)) entry |= 1n;
  if (!oneIn(random, 4)) entry |= 6n;
  if (oneIn(random, 3)) {
    entry = (entry & 0xfffn) | 0x80n | BigInt(random.below(2) << 8) | LARGE_PAGES[random.below(LARGE_PAGES.length)]!;
    if (!wide && oneIn(random, 2)) entry |= BigInt(random.below(256) << 13);
  }
  if (oneIn(random, 8)) entry |= 1n << BigInt(12 + random.below(20));
  if (wide && oneIn(random, 10)) entry |= 1n << BigInt(32 + random.below(31));
  if (wide && oneIn(random, 10)) entry |= 1n << 63n;
  return entry;
}

function randomRegisters(random: Random): WalkRegisters {
  const flag = (): boolean => oneIn(random, 2);
  return {
    cr3: poolPage(random) | BigInt(random.below(4) << 3),
    pdptes: Array.from({ length: 4 }, () => poolPage(random) | (oneIn(random, 6) ? 0n : 1n)),
    ...{ pse: !oneIn(random, 4), pge: flag(), wp: flag(), smep: flag(), smap: flag(), nxe: flag(), ac: flag(), user: flag() },
    ...{ page1Gb: flag(), pse36: flag(), maxPhysicalAddress: [33, 36, 39, 40, 46][random.below(5)]! },
  }; // prettier-ignore
}

function setUp(memory: GuestMemory, kind: WalkKind, registers: WalkRegisters): void {
  const { cpu } = memory;
  const { pse, pge, wp, smep, smap, nxe, ac, user, maxPhysicalAddress, page1Gb, pse36 } = registers;
  const when = (on: boolean, bits: bigint): bigint => (on ? bits : 0n);
  if (kind !== '4-level') cpu.leaveLongMode(kind, registers.pdptes);
  cpu.features = { has: (feature) => (feature === 'PAGE1GB' ? page1Gb : pse36), physicalAddressBits: maxPhysicalAddress };
  // Bits 63 to 32 may be left of 64-bit mode, and are ignored outside of it.
  cpu.state.cr3 = registers.cr3 | when(kind !== '4-level', 5n << 32n);
  cpu.state.cr0 = CR0.PE | CR0.PG | when(wp, CR0.WP);
  cpu.state.cr4 =
    when(kind !== '32-bit', CR4.PAE) | when(pse, CR4.PSE) | when(pge, CR4.PGE) | when(smep, CR4.SMEP) | when(smap, CR4.SMAP);
  cpu.state.efer = when(kind === '4-level', EFER.LME | EFER.LMA) | when(nxe, EFER.NXE);
  cpu.state.cpl = user ? 3 : 0;
  cpu.setAc(ac);
} // prettier-ignore

/** A table lies where there is no memory. */
class NoTable extends Error {
  readonly gpa: bigint;
  constructor(gpa: bigint) {
    super();
    this.gpa = gpa;
  }
}

/** What the reference walks in: a copy of the pool, with zeros around it. */
class PoolCopy implements WalkMemory {
  readonly bytes: Uint8Array;
  readonly #data: DataView;

  constructor(memory: GuestMemory) {
    this.bytes = memory.views.u8.slice(memory.host(POOL), memory.host(POOL) + POOL_BYTES);
    this.#data = new DataView(this.bytes.buffer);
  }
  read(gpa: bigint, bytes: 4 | 8): bigint {
    if (gpa >= MEMORY_END) throw new NoTable(gpa);
    const at = Number(gpa - POOL);
    if (at < 0 || at >= POOL_BYTES) return 0n;
    return bytes === 4 ? BigInt(this.#data.getUint32(at, true)) : this.#data.getBigUint64(at, true);
  }
  write(gpa: bigint, bytes: 4 | 8, value: bigint): void {
    const at = Number(gpa - POOL);
    if (bytes === 4) this.#data.setUint32(at, Number(value), true);
    else this.#data.setBigUint64(at, value, true);
  }
}

type Result = Walked | { readonly noTable: bigint } | Ending;

function walkReference(...args: Parameters<typeof referenceWalk>): Result {
  try {
    return referenceWalk(...args);
  } catch (thrown) {
    if (thrown instanceof NoTable) return { noTable: thrown.gpa };
    throw thrown;
  }
}

/** Walks by the page that the access came to, or by the exit where no memory is. */
function walk(memory: GuestMemory, la: bigint, access: WalkAccess): Result {
  const { cpu } = memory;
  const [lo, hi] = [low(la), high(la)];
  const word = 1 | (access === 'write' ? ACCESS.WRITE : 0);
  const ending = cpu.attempt(() => {
    const page =
      access === 'fetch'
        ? cpu.translation.translateFetch(lo, hi)
        : cpu.translation.translate(lo, hi, word, cpu.translation.modeOf(word));
    return BigInt((page >>> 0) - memory.host(0n)) | (la & (PAGE - 1n));
  });
  if (ending.ok) return { gpa: ending.value };
  if ('fault' in ending && ending.fault === VECTOR.PF && ending.address === la) return { errorCode: ending.errorCode! };
  if ('exit' in ending && ending.exit === EXIT.EPT_VIOLATION && ending.gva === la) {
    const { gpa, qualification } = ending;
    return (qualification & EPT_QUALIFICATION.TRANSLATED) !== 0 ? { gpa } : { noTable: gpa };
  }
  return ending;
}

it.each<WalkKind>(['32-bit', 'PAE', '4-level'])('%s paging comes to what the reference comes to', (kind) => {
  const random = new Random(kind.length);
  const ends = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const memory = new GuestMemory();
    const wide = kind !== '32-bit';
    for (let at = 0; at < POOL_BYTES; at += wide ? 8 : 4) {
      const entry = randomEntry(random, wide);
      if (wide) memory.poke(POOL + BigInt(at), entry);
      else memory.poke32(POOL + BigInt(at), Number(entry));
    }
    const registers = randomRegisters(random);
    setUp(memory, kind, registers);
    const copy = new PoolCopy(memory);
    for (let i = 0; i < WALKS; i++) {
      const wideAddress = BigInt.asUintN(64, BigInt.asIntN(48, (BigInt(random.u32()) << 32n) | BigInt(random.u32())));
      const la = kind === '4-level' ? wideAddress : BigInt(random.u32());
      const access = ACCESSES[random.below(3)]!;
      memory.cpu.translation.flushAll(false);
      const got = walk(memory, la, access);
      const want = walkReference(kind, copy, registers, la, access);
      const bytes = memory.views.u8.subarray(memory.host(POOL), memory.host(POOL) + POOL_BYTES);
      const marksEqual = Buffer.compare(bytes, copy.bytes) === 0;
      expect({ round, la, access, registers, ...got, marksEqual }).toEqual({ round, la, access, registers, ...want, marksEqual: true }); // prettier-ignore
      const end = 'errorCode' in want ? `#PF(${want.errorCode! & 9})` : 'gpa' in want ? 'mapped' : 'no table';
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
  }
  // No kind of ending is rare.
  expect([...ends.keys()].sort()).toEqual(['#PF(0)', '#PF(1)', '#PF(9)', 'mapped', 'no table']);
  expect(Math.min(...ends.values())).toBeGreaterThan((ROUNDS * WALKS) / 50);
});

/** Where the entries of 4-level paging for an address are, as far as they lie in the pool, which every table is in. */
function entriesOf(copy: PoolCopy, cr3: bigint, la: bigint): bigint[] {
  const found: bigint[] = [];
  let table = cr3 & 0xf_ffff_ffff_f000n;
  for (let level = 3; level >= 0 && table >= POOL && table < POOL + BigInt(POOL_BYTES); level--) {
    const at = table + ((la >> BigInt(12 + 9 * level)) & 511n) * 8n;
    found.push(at);
    table = copy.read(at, 8) & 0xf_ffff_ffff_f000n;
  }
  return found;
}

it('a walk that was made before comes to what the reference comes to, whatever changed in between', () => {
  const random = new Random(4);
  const changes = new Map<string, number>();
  for (let round = 0; round < 40; round++) {
    const memory = new GuestMemory();
    for (let at = 0; at < POOL_BYTES; at += 8) memory.poke(POOL + BigInt(at), randomEntry(random, true));
    let registers = randomRegisters(random);
    setUp(memory, '4-level', registers);
    const copy = new PoolCopy(memory);
    const addresses: bigint[] = [];
    for (let i = 0; i < 2000 && addresses.length < 6; i++) {
      const la = BigInt.asUintN(64, BigInt.asIntN(48, (BigInt(random.u32()) << 32n) | BigInt(random.u32())));
      const walked = walkReference('4-level', new PoolCopy(memory), { ...registers, user: false }, la, 'read');
      if ('gpa' in walked) addresses.push(la);
    }
    for (let i = 0; addresses.length > 0 && i < 300; i++) {
      const la = addresses[random.below(addresses.length)]!;
      const access = ACCESSES[random.below(3)]!;
      memory.cpu.translation.flushAll(false);
      const got = walk(memory, la, access);
      const want = walkReference('4-level', copy, registers, la, access);
      const bytes = memory.views.u8.subarray(memory.host(POOL), memory.host(POOL) + POOL_BYTES);
      const marksEqual = Buffer.compare(bytes, copy.bytes) === 0;
      expect({ round, i, la, access, registers, ...got, marksEqual }).toEqual({ round, i, la, access, registers, ...want, marksEqual: true }); // prettier-ignore

      const change = ['nothing', 'nothing', 'bit', 'entry', 'registers', 'features'][random.below(6)]!;
      changes.set(change, (changes.get(change) ?? 0) + ('gpa' in want ? 1 : 0));
      const { page1Gb, maxPhysicalAddress, cr3, ...modes } = randomRegisters(random);
      if (change === 'bit' || change === 'entry') {
        const entries = entriesOf(copy, registers.cr3, la);
        const at = entries[random.below(entries.length)]!;
        const value =
          change === 'bit' ? copy.read(at, 8) ^ (1n << BigInt(random.below(64))) : randomEntry(random, true);
        memory.poke(at, value);
        copy.write(at, 8, value);
      } else if (change === 'features') registers = { ...registers, page1Gb, maxPhysicalAddress };
      else if (change === 'registers')
        registers = { ...registers, ...modes, cr3: oneIn(random, 2) ? cr3 : registers.cr3 };
      if (change === 'features' || change === 'registers') setUp(memory, '4-level', registers);
    }
  }
  // Every change came behind walks that others are like.
  expect(Math.min(...changes.values())).toBeGreaterThan(100);
  expect(changes.size).toBe(5);
});
