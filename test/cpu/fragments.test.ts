// Accesses that the host serves: each device register is touched exactly once, in order, in every form that an access or an
// instruction of several accesses can have.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { exitSignal } from '../../src/cpu/fault.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { BIT, GuestMemory, high, low, PAGE, type MemoryCpu } from './guestMemory.ts';

const RAM = 0x40_0000n;
const DEVICE = RAM + PAGE;
const DEVICE_GPA = 0xfee0_0000n;
const RAM_GPA = 0x5000n;
const MORE = DEVICE + PAGE;

/** A device that counts: byte n of its memory reads as n, and each touch is listed. */
class Device {
  readonly touches: string[] = [];
  serve(cpu: MemoryCpu): bigint {
    const { exitGpa, exitInfo, exitValue } = cpu.state;
    const size = exitInfo & 0xff;
    const offset = Number(exitGpa - DEVICE_GPA);
    const write = (exitInfo & 0x100) !== 0;
    this.touches.push(`${write ? 'w' : 'r'}${size}@${offset.toString(16)}${write ? `=${exitValue.toString(16)}` : ''}`);
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt((offset + i) & 0xff);
    return write ? 0n : value;
  }
}

/** RAM, then a device, then the device's next page. */
function setUp() {
  const memory = new GuestMemory();
  const { cpu } = memory;
  const device = new Device();
  memory.secondStage.markMmio(Number(DEVICE_GPA >> 12n), 2);
  cpu.map(RAM, RAM_GPA);
  cpu.map(DEVICE, DEVICE_GPA);
  cpu.map(MORE, DEVICE_GPA + PAGE);
  /** Runs an instruction as a VM does: again and again until it retires. */
  const run = (instruction: () => bigint | void): bigint => {
    for (let entries = 0; entries < 100; entries++) {
      cpu.mmu.fragments.resetReplay();
      try {
        const value = instruction() ?? 0n;
        cpu.mmu.fragments.drop();
        return value;
      } catch (thrown) {
        if (thrown !== exitSignal) throw thrown;
        expect(cpu.state.exitReason).toBe(EXIT.EPT_MISCONFIG);
        cpu.mmu.fragments.complete(device.serve(cpu));
      }
    }
    throw new Error('the instruction never retires');
  };
  return { memory, cpu, device, run };
}

describe('a load', () => {
  it.each([1, 2, 4, 8])('of %i bytes reads the device once', (size) => {
    const { cpu, device, run } = setUp();
    const value = run(() => cpu.load(DEVICE + 0x10n, size));
    expect(value).toBe(BigInt.asUintN(8 * size, 0x1716_1514_1312_1110n));
    expect(device.touches).toEqual([`r${size}@10`]);
  });

  it('exits with address, size and direction', () => {
    const { cpu } = setUp();
    cpu.attempt(() => cpu.load(DEVICE + 0x14n, 4));
    const { exitReason, exitGva, exitGpa, exitInfo, exitValue } = cpu.state;
    expect({ exitReason, exitGva, exitGpa, exitInfo, exitValue }).toEqual({
      exitReason: EXIT.EPT_MISCONFIG,
      exitGva: DEVICE + 0x14n,
      exitGpa: DEVICE_GPA + 0x14n,
      exitInfo: 4,
      exitValue: 0n,
    });
  });

  it.each([
    ['two device pages', MORE - 3n, 8, ['r3@ffd', 'r5@1000'], 0x04_0302_0100_fffe_fdn],
    ['memory, then the device', DEVICE - 2n, 4, ['r2@0'], 0x0100_bbaan],
  ])('that crosses into %s reads each part once', (_, gva, size, touches, value) => {
    const { memory, cpu, device, run } = setUp();
    memory.poke(RAM_GPA + 0xff8n, 0xbbaan << 48n);
    expect(run(() => cpu.load(gva, size))).toBe(value);
    expect(device.touches).toEqual(touches);
  });

  it.each([16, 32])('of %i bytes reads the device in eights', (size) => {
    const { memory, cpu, device, run } = setUp();
    const gva = DEVICE + 0x20n;
    let at = 0;
    run(() => void (at = cpu.mmu.slowRead(low(gva), high(gva), size, 0)));
    expect([...memory.views.u8.subarray(at, at + size)]).toEqual(Array.from({ length: size }, (_, i) => 0x20 + i));
    expect(device.touches).toEqual(['r8@20', 'r8@28', 'r8@30', 'r8@38'].slice(0, size / 8));
  });

  it('that faults in its second page does not touch the device in its first', () => {
    const { cpu, device, run } = setUp();
    cpu.map(MORE, DEVICE_GPA + PAGE, 0n);
    expect(() => run(() => cpu.load(MORE - 4n, 8))).toThrow();
    expect(cpu.attempt(() => cpu.load(MORE - 4n, 8))).toMatchObject({ fault: VECTOR.PF, address: MORE });
    expect(device.touches).toEqual([]);
  });
});

describe('a store', () => {
  it.each([1, 2, 4, 8])('of %i bytes writes the device once', (size) => {
    const { cpu, device, run } = setUp();
    const value = BigInt.asUintN(8 * size, 0x8877_6655_4433_2211n);
    run(() => cpu.store(DEVICE + 8n, size, value));
    expect(device.touches).toEqual([`w${size}@8=${value.toString(16)}`]);
  });

  it('that crosses from memory into the device writes memory once too, and last', () => {
    const { memory, cpu, device } = setUp();
    const gva = DEVICE - 2n;
    const store = () => cpu.store(gva, 4, 0x4433_2211n);
    memory.secondStage.setDirtyLogging(Number(RAM_GPA >> 12n), 1, true);
    expect(cpu.attempt(store)).toMatchObject({ exit: EXIT.EPT_MISCONFIG, gpa: DEVICE_GPA });
    expect(memory.peek(RAM_GPA + 0xff8n)).toBe(0n);
    expect(memory.arena.isDirty(memory.host(RAM_GPA))).toBe(false);
    cpu.mmu.fragments.complete(device.serve(cpu));
    cpu.mmu.fragments.resetReplay();
    store();
    expect(memory.peek(RAM_GPA + 0xff8n) >> 48n).toBe(0x2211n);
    expect(memory.arena.isDirty(memory.host(RAM_GPA))).toBe(true);
    expect(device.touches).toEqual(['w2@0=4433']);
  });

  it('that crosses two device pages writes each part once, in order', () => {
    const { cpu, device, run } = setUp();
    run(() => cpu.store(MORE - 3n, 8, 0x8877_6655_4433_2211n));
    expect(device.touches).toEqual(['w3@ffd=332211', 'w5@1000=8877665544']);
  });

  it('from the bounce buffer writes the device in eights', () => {
    const { memory, cpu, device, run } = setUp();
    run(() => {
      memory.views.u64.set([1n, 2n, 3n, 4n], cpu.state.at('bounce') >> 3);
      cpu.mmu.slowWriteBounce(low(DEVICE), high(DEVICE), 32, 0);
    });
    expect(device.touches).toEqual(['w8@0=1', 'w8@8=2', 'w8@10=3', 'w8@18=4']);
  });

  it('sets the D bit of a device page', () => {
    const { memory, cpu, run } = setUp();
    run(() => cpu.store(DEVICE, 4, 1n));
    expect(memory.peek(memory.entry(cpu.root, DEVICE, 0)) & BIT.D).toBe(BIT.D);
  });
});

describe('an instruction of several accesses', () => {
  it('read-modify-write reads once and writes once', () => {
    const { memory, cpu, device, run } = setUp();
    const gva = DEVICE + 0x10n;
    run(() => {
      const at = cpu.mmu.slowOpen(low(gva), high(gva), 4, 0);
      const value = memory.views.data.getUint32(at, true);
      cpu.mmu.slowWrite(low(gva), high(gva), 4, 0, value + 1, 0);
    });
    expect(device.touches).toEqual(['r4@10', 'w4@10=13121111']);
  });

  it('a copy within the device reads and writes in order', () => {
    const { cpu, device, run } = setUp();
    run(() => cpu.store(DEVICE + 0x100n, 8, cpu.load(DEVICE + 0x10n, 8)));
    expect(device.touches).toEqual(['r8@10', 'w8@100=1716151413121110']);
  });

  it('a copy from the device to memory writes memory when it retires', () => {
    const { memory, cpu, device, run } = setUp();
    run(() => cpu.store(RAM + 8n, 8, cpu.load(DEVICE + 0x10n, 8)));
    expect(memory.peek(RAM_GPA + 8n)).toBe(0x1716_1514_1312_1110n);
    expect(device.touches).toEqual(['r8@10']);
  });

  it('two reads of the same register are two touches', () => {
    const { cpu, device, run } = setUp();
    run(() => cpu.load(DEVICE, 4) + cpu.load(DEVICE, 4));
    expect(device.touches).toEqual(['r4@0', 'r4@0']);
  });

  it('that needs more fragments than there is room for stops by name', () => {
    const { cpu, run } = setUp();
    expect(() => run(() => { for (let i = 0n; i < 17n; i++) cpu.load(DEVICE + i, 1); })).toThrow(); // prettier-ignore
    const more = cpu.attempt(() => {
      cpu.mmu.fragments.resetReplay();
      for (let i = 0n; i < 17n; i++) cpu.load(DEVICE + i, 1);
    });
    expect(more).toMatchObject({ stopped: expect.stringContaining('more than 16 parts') });
  });
});

describe('while a fragment is done and not replayed', () => {
  const served = () => {
    const set = setUp();
    set.cpu.attempt(() => set.cpu.load(DEVICE, 4));
    set.cpu.mmu.fragments.complete(0x1234n);
    set.cpu.mmu.fragments.resetReplay();
    return set;
  };

  it('the instruction is pending, until it is dropped', () => {
    const { cpu } = served();
    expect(cpu.mmu.fragments.pending).toBe(true);
    cpu.mmu.fragments.drop();
    expect(cpu.mmu.fragments.pending).toBe(false);
  });

  it('its translation comes from the fragment, whatever became of the page tables and slots', () => {
    const { memory, cpu } = served();
    memory.poke(memory.entry(cpu.root, DEVICE, 0), 0n);
    cpu.translation.flushAll(false);
    memory.secondStage.unmap(Number(DEVICE_GPA >> 12n), 1);
    expect(cpu.load(DEVICE, 4)).toBe(0x1234n);
    expect(cpu.attempt(() => cpu.load(DEVICE, 4))).toMatchObject({ fault: VECTOR.PF });
  });

  it('it survives a snapshot', () => {
    const { cpu } = served();
    const snapshot = cpu.snapshot();
    cpu.mmu.fragments.drop();
    cpu.restore(snapshot);
    expect(cpu.load(DEVICE, 4)).toBe(0x1234n);
  });

  it.each<[string, (cpu: MemoryCpu) => unknown, string]>([
    ['another size', (cpu) => cpu.load(DEVICE, 2), 'a 2-byte read of device memory at 0xfee00000'],
    ['another place', (cpu) => cpu.load(DEVICE + 4n, 4), 'a 4-byte read of device memory at 0xfee00004'],
    ['another direction', (cpu) => cpu.store(DEVICE, 4, 0n), 'a 4-byte write to device memory at 0xfee00000'],
    ['a port', (cpu) => cpu.mmu.fragments.port(0x60, 1, 'in'), 'a 1-byte read of port 0x60'],
  ])('%s stops the machine by name', (_, access, what) => {
    const { cpu } = served();
    const ending = cpu.attempt(() => void access(cpu));
    expect(ending).toMatchObject({ stopped: expect.stringContaining(what) });
    expect(ending).toMatchObject({ stopped: expect.stringContaining('a 4-byte read of device memory at 0xfee00000') });
  });

  it('completing it again is an error', () => {
    expect(() => served().cpu.mmu.fragments.complete(0n)).toThrow('no access waits');
  });

  it('a host that did not complete the access is asked again', () => {
    const { cpu } = setUp();
    for (let i = 0; i < 3; i++) {
      cpu.mmu.fragments.resetReplay();
      expect(cpu.attempt(() => cpu.load(DEVICE, 4))).toMatchObject({ exit: EXIT.EPT_MISCONFIG });
    }
    expect(cpu.state.fragmentCount).toBe(1);
  });
});

describe('ports', () => {
  it.each([
    ['in', 1, 0x0060_0008, 0x60, 0xabn, 0xab],
    ['in', 4, 0x0cfc_000b, 0xcfc, 0xffff_ffffn, 0xffff_ffff],
    ['out', 2, 0x03f8_0001, 0x3f8, 0n, 0],
  ] as const)('%s of %i bytes', (direction, size, qualification, port, completed, value) => {
    const { cpu } = setUp();
    const access = () => cpu.mmu.fragments.port(port, size, direction, 0x4142);
    expect(access()).toBeNull();
    expect(cpu.state.exitReason).toBe(EXIT.IO_INSTRUCTION);
    expect(cpu.state.exitQualification).toBe(BigInt(qualification));
    expect(cpu.state.exitValue).toBe(direction === 'out' ? 0x4142n : 0n);
    expect(cpu.state.exitInfo).toBe(direction === 'out' ? size | 0x100 : size);
    cpu.mmu.fragments.complete(completed);
    cpu.mmu.fragments.resetReplay();
    expect(access()).toBe(value);
  });

  it('the highest port keeps its number', () => {
    const { cpu } = setUp();
    expect(cpu.mmu.fragments.port(0xffff, 1, 'out', 1)).toBeNull();
    expect(cpu.state.exitQualification).toBe(0xffff_0000n);
  });

  it('a string instruction says so', () => {
    const { cpu } = setUp();
    expect(cpu.mmu.fragments.port(0x10, 1, 'in', 0, (1 << 4) | (1 << 5))).toBeNull();
    expect(cpu.state.exitQualification).toBe(0x0010_0038n);
  });

  it('INS into a device takes one exit for each', () => {
    const { cpu, device } = setUp();
    const instruction = () => {
      cpu.mmu.probe(DEVICE, 1, 'write', 'data');
      const value = cpu.mmu.fragments.port(0x60, 1, 'in');
      if (value !== null) cpu.store(DEVICE, 1, BigInt(value));
    };
    instruction();
    expect(cpu.state.exitReason).toBe(EXIT.IO_INSTRUCTION);
    cpu.mmu.fragments.complete(0x77);
    cpu.mmu.fragments.resetReplay();
    expect(cpu.attempt(instruction)).toMatchObject({ exit: EXIT.EPT_MISCONFIG });
    cpu.mmu.fragments.complete(device.serve(cpu));
    cpu.mmu.fragments.resetReplay();
    instruction();
    expect(device.touches).toEqual(['w1@0=77']);
  });
});

it('fetching from a device stops by name', () => {
  const { cpu } = setUp();
  expect(cpu.attempt(() => cpu.fetch(DEVICE))).toMatchObject({ stopped: expect.stringContaining('device memory') });
});
