import { describe, expect, it } from 'vitest';
import { PcTestMemory } from '../../src/vmm/devices/pcTestMemory.ts';

describe('the memory of the test device', () => {
  it('holds what is written, in pieces of any size', () => {
    const memory = new PcTestMemory();
    memory.write(0x10, 8, 0x1122_3344_5566_7788n);
    memory.write(0x12, 1, 0xaan);
    expect(memory.read(0x10, 4)).toBe(0x55aa_7788n);
    expect(memory.read(0x17, 2)).toBe(0x0011n);
  });

  it('is saved and restored', () => {
    const memory = new PcTestMemory();
    memory.write(0xfff0, 2, 0x1234n);
    const other = new PcTestMemory();
    other.write(0, 4, 7n);
    other.restore(JSON.parse(JSON.stringify(memory.save())) as ReturnType<PcTestMemory['save']>);
    expect([other.read(0xfff0, 2), other.read(0, 4)]).toEqual([0x1234n, 0n]);
  });
});
