import { describe, expect, it } from 'vitest';
import { SecondStage, STAGE } from '../../src/cpu/memory/secondStage.ts';
import { GuestMemory } from '../../src/hypervisor/guestMemory.ts';
import { GuestPageCache } from '../../src/hypervisor/guestPageCache.ts';
import { Memslots, type MemoryRegion } from '../../src/hypervisor/memslots.ts';
import { ARENA_START, smallArena } from './vmRig.ts';

const PAGE = 4096;

function rig() {
  const arena = smallArena();
  const secondStage = new SecondStage(arena);
  const slots = new Memslots(arena, secondStage);
  return { arena, secondStage, slots, memory: new GuestMemory(slots) };
}
const ram: MemoryRegion = { slot: 0, gpa: 0, size: 4 * PAGE, address: ARENA_START };
const high: MemoryRegion = { slot: 1, gpa: 16 * PAGE, size: 2 * PAGE, address: ARENA_START + 4 * PAGE };

describe('KVM_SET_USER_MEMORY_REGION', () => {
  /* prettier-ignore */
  it.each<[string, MemoryRegion, string]>([
    ['a slot number out of range', { ...ram, slot: 32764 }, 'slot numbers are 0 to 32763, not 32764 (EINVAL)'],
    ['a guest address inside a page', { ...ram, gpa: 0x800 }, 'the guest physical address of slot 0 is 0x800, not whole pages'],
    ['a size that is no whole pages', { ...ram, size: 100 }, 'the size of slot 0 is 0x64, not whole pages'],
    ['an address inside a page', { ...ram, address: ARENA_START + 1 }, 'the address of slot 0'],
    ['a range beyond the physical address width', { ...ram, gpa: 2 ** 46 - PAGE }, 'beyond the 46 bits of a guest physical address (EINVAL)'],
    ['memory outside the arena', { ...ram, address: 0 }, 'is not all inside the arena (EINVAL)'],
    ['the deletion of a slot that is not there', { ...ram, slot: 7, size: 0 }, 'slot 7 cannot be deleted: it does not exist (EINVAL)'],
    ['an overlap', { ...high, gpa: 3 * PAGE }, 'slot 1 (guest physical 0x3000 to 0x4fff) overlaps slot 0 (guest physical 0x0 to 0x3fff) (EEXIST)'],
    ['another size', { ...ram, size: 2 * PAGE }, 'slot 0 has 4 pages and cannot have 2: delete it first (EINVAL)'],
    ['another address behind it', { ...ram, address: ARENA_START + PAGE }, 'cannot stand on'],
    ['a change to read-only', { ...ram, readOnly: true }, 'slot 0 cannot become read-only: delete it first (EINVAL)'],
  ])('refuses %s and changes nothing', (_, region, message) => {
    const { slots } = rig();
    slots.set(ram);
    const { generation } = slots;
    expect(() => slots.set(region)).toThrow(message);
    expect(slots.generation).toBe(generation);
    expect(slots.slots).toHaveLength(1);
  });

  it('creates slots side by side and finds the one that holds a page', () => {
    const { slots } = rig();
    slots.set(high);
    slots.set(ram);
    expect(slots.slots.map((s) => s.slot)).toEqual([0, 1]);
    expect(slots.at(3)?.slot).toBe(0);
    expect(slots.at(4)).toBeUndefined();
    expect(slots.at(17)?.slot).toBe(1);
    expect(slots.addressOf(17, true)).toBe(ARENA_START + 5 * PAGE);
  });

  it('moves a slot: its pages are forgotten at the old place', () => {
    const { slots, secondStage } = rig();
    slots.set(ram);
    secondStage.map(1, 1, ARENA_START + PAGE, { writable: true });
    slots.set({ ...ram, gpa: 8 * PAGE });
    expect(secondStage.lookup(1)).toBe(0);
    expect(slots.at(1)).toBeUndefined();
    expect(slots.addressOf(9, false)).toBe(ARENA_START + PAGE);
  });

  it('makes pages that were known as MMIO memory again', () => {
    const { slots, secondStage } = rig();
    secondStage.markMmio(2, 1);
    slots.set(ram);
    expect(secondStage.lookup(2) & STAGE.MMIO).toBe(0);
  });

  it('setting a slot to what it is changes nothing', () => {
    const { slots } = rig();
    slots.set(ram);
    const { generation } = slots;
    slots.set(ram);
    expect(slots.generation).toBe(generation);
  });
});

describe('dirty logging', () => {
  it('reports each page written since the last call once, host writes included', () => {
    const { slots, memory } = rig();
    slots.set(ram);
    memory.write(0, Uint8Array.of(1));
    slots.set({ ...ram, logDirty: true });
    expect(slots.getDirtyLog(0)).toEqual(Uint8Array.of(0));
    memory.write(2 * PAGE - 1, Uint8Array.of(1, 2));
    expect(slots.getDirtyLog(0)).toEqual(Uint8Array.of(0b0110));
    expect(slots.getDirtyLog(0)).toEqual(Uint8Array.of(0));
  });

  it('keeps the log until it is cleared page by page, under manual protection', () => {
    const { slots, memory } = rig();
    slots.set({ ...ram, logDirty: true });
    memory.write(0, new Uint8Array(3 * PAGE));
    expect(slots.peekDirtyLog(0)).toEqual(Uint8Array.of(0b0111));
    slots.clearDirtyLog(0, 0, Uint8Array.of(0b0010));
    expect(slots.peekDirtyLog(0)).toEqual(Uint8Array.of(0b0101));
  });

  it('is refused for a slot that does not log, or is not there', () => {
    const { slots } = rig();
    slots.set(ram);
    expect(() => slots.getDirtyLog(0)).toThrow('slot 0 does not log dirty pages: set it with logDirty first (ENOENT)');
    expect(() => slots.getDirtyLog(3)).toThrow('there is no slot 3 (ENOENT)');
  });
});

describe('guest memory as the host writes it', () => {
  it('crosses pages and slots, and writes all or nothing', () => {
    const { slots, memory } = rig();
    slots.set(ram);
    slots.set({ ...high, gpa: 4 * PAGE });
    const bytes = Uint8Array.from({ length: 8 }, (_, i) => i + 1);
    expect(memory.write(4 * PAGE - 4, bytes)).toBe(true);
    expect(memory.read(4 * PAGE - 4, 8)).toEqual(bytes);
    expect(memory.write(6 * PAGE - 4, bytes)).toBe(false);
    expect(memory.read(6 * PAGE - 4, 4)).toEqual(new Uint8Array(4));
    expect(memory.read(6 * PAGE - 4, 8)).toBeNull();
  });

  it('does not write to read-only slots', () => {
    const { slots, memory } = rig();
    slots.set({ ...ram, readOnly: true });
    expect(memory.write(0, Uint8Array.of(1))).toBe(false);
    expect(memory.read(0, 1)).toEqual(Uint8Array.of(0));
  });

  it('reads and writes words little-endian', () => {
    const { slots, memory } = rig();
    slots.set(ram);
    memory.writeU64(8, 0x0102030405060708n);
    expect(memory.readU64(8)).toBe(0x0102030405060708n);
    expect(memory.read(8, 1)).toEqual(Uint8Array.of(8));
    expect(memory.readU64(1 << 20)).toBeNull();
  });
});

describe('the guest page cache', () => {
  it('reads and writes its range, and logs it as dirty', () => {
    const { slots, memory } = rig();
    slots.set({ ...ram, logDirty: true });
    const cache = new GuestPageCache(slots);
    expect(cache.activate(0x1040n, 64)).toBe(true);
    cache.writeU64(8, 42n);
    expect(memory.readU64(0x1048)).toBe(42n);
    expect(cache.readU64(8)).toBe(42n);
    expect(slots.getDirtyLog(0)).toEqual(Uint8Array.of(0b0010));
  });

  it('refuses a range that crosses a page', () => {
    const { slots } = rig();
    slots.set(ram);
    const cache = new GuestPageCache(slots);
    expect(cache.activate(0xff8n, 16)).toBe(false);
    expect(cache.active).toBe(false);
  });

  it('is active without being valid where there is no memory, and comes back when there is', () => {
    const { slots } = rig();
    const cache = new GuestPageCache(slots);
    expect(cache.activate(0x1000n, 64)).toBe(false);
    expect(cache.active).toBe(true);
    expect(cache.valid()).toBe(false);
    slots.set(ram);
    expect(cache.refresh()).toBe(true);
    expect(cache.valid()).toBe(true);
  });

  it('loses its page with the slot, and must be refreshed after any change of the slots', () => {
    const { slots, memory } = rig();
    slots.set(ram);
    const cache = new GuestPageCache(slots);
    cache.activate(0x1000n, 8);
    slots.set(high);
    expect(cache.valid()).toBe(false);
    expect(cache.refresh()).toBe(true);
    slots.set({ ...ram, size: 0 });
    expect(cache.valid()).toBe(false);
    expect(cache.refresh()).toBe(false);
    slots.set({ ...ram, address: ARENA_START + 8 * PAGE });
    expect(cache.refresh()).toBe(true);
    cache.writeU64(0, 7n);
    expect(memory.readU64(0x1000)).toBe(7n);
  });

  it('is not for read-only memory', () => {
    const { slots } = rig();
    slots.set({ ...ram, readOnly: true });
    expect(new GuestPageCache(slots).activate(0n, 8)).toBe(false);
  });

  it('may not be used without a check', () => {
    const { slots } = rig();
    slots.set(ram);
    const cache = new GuestPageCache(slots);
    cache.activate(0n, 8);
    expect(() => cache.readU64(8)).toThrow('beyond its 8 bytes');
    cache.deactivate();
    expect(() => cache.readU64(0)).toThrow('through a cache that is not valid');
    expect(cache.refresh()).toBe(false);
  });
});
