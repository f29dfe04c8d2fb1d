import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { segmentBase, segmentLimit, segmentSelector } from '../../src/cpu/segments/segments.ts';
import { BootError } from '../../src/vmm/boot/bootError.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import { type Image, ImageError } from '../../src/vmm/image.ts';
import { loadMultiboot, multibootHeader } from '../../src/vmm/loaders/multiboot.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { GPR, SEGMENT } from '../../src/x86/names/registers.ts';
import { elfFile } from './elfFile.ts';
import { GuestRecord } from './guestRecord.ts';

const MAGIC = 0x1badb002;
const KIB = 1024;
const MIB = 2 ** 20;
const ADDRESSES = 1 << 16;
const VIDEO = 1 << 2;

/** The fields of a header in order, the checksum filled in. */
function header(flags: number, ...rest: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.of(MAGIC, flags, -(MAGIC + flags) >>> 0, ...rest).buffer);
}

/** A file with its header at an offset, for the a.out kludge. */
function flat(at: number, bytes: Uint8Array, size: number): Uint8Array {
  const file = new Uint8Array(size).fill(0xf4);
  file.set(bytes, at);
  return file;
}

const load = (file: Uint8Array): Image => ({ ...loadMultiboot(file), name: 'toy' });
const elf = (bits: 32 | 64, flags = 3): Uint8Array =>
  elfFile(0x10_000cn, [{ vaddr: 0x10_0000n, bytes: flat(0, header(flags), 32), memorySize: 0x3000n }], [], { bits });

function boot(options: Partial<BootOptions> = {}): { machine: Machine; info: GuestRecord } {
  const machine = Machine.boot({ image: load(elf(32)), memory: 16 * MIB, ...options });
  const ebx = Number(machine.vm.vcpus[0]!.guest.state.gpr(GPR.RBX));
  return { machine, info: new GuestRecord(machine, ebx) };
}

describe('a Multiboot header', () => {
  it.each([0, 4, 8180])('is found at offset %i', (at) => {
    expect(multibootHeader(flat(at, header(0), 9000))).toBe(at);
  });

  it.each<[string, Uint8Array]>([
    ['at an odd place', flat(2, header(0), 9000)],
    ['beyond 8 KiB', flat(8192, header(0), 9000)],
    ['cut off', flat(0, header(0), 12).subarray(0, 11)],
    ['with a wrong checksum', flat(0, Uint8Array.of(...header(0).subarray(0, 8), 0, 0, 0, 0), 100)],
  ])('%s is none', (_what, file) => {
    expect(multibootHeader(file)).toBeNull();
  });

  it.each<[32 | 64]>([[32], [64]])('starts an ELF%i file at its entry', (bits) => {
    expect(load(elf(bits))).toMatchObject({ format: `elf${bits}`, entry: 0x10_000cn, protocol: { kind: 'multiboot' } });
  });

  it('says where a file without a format belongs', () => {
    const at = 16;
    const file = flat(at, header(ADDRESSES, 0x20_0010, 0x20_0000, 0x20_0040, 0x20_1000, 0x20_0030), 100);
    expect(load(file)).toMatchObject({
      format: 'raw',
      entry: 0x20_0030n,
      segments: [{ gpa: 0x20_0000, bytes: file.subarray(0, 0x40), memorySize: 0x1000 }],
    });
  });

  it('takes the rest of the file when it says no end', () => {
    const file = flat(0, header(ADDRESSES, 0x10_0000, 0x10_0000, 0, 0, 0x10_0020), 100);
    expect(load(file).segments).toEqual([{ gpa: 0x10_0000, bytes: file, memorySize: 100 }]);
  });

  it('may load less than the file has in front of it', () => {
    const file = flat(64, header(ADDRESSES, 0x10_0010, 0x10_0000, 0, 0, 0x10_0010), 200);
    expect(load(file).segments).toEqual([{ gpa: 0x10_0000, bytes: file.subarray(48), memorySize: 152 }]);
  });

  it('tells which display it would prefer', () => {
    const text = load(
      elfFile(0x10_0000n, [{ vaddr: 0x10_0000n, bytes: flat(0, header(VIDEO, 0, 0, 0, 0, 0, 1, 80, 25, 0), 64) }]),
    );
    expect(text.protocol).not.toHaveProperty('wanted');
    const graphics = load(
      elfFile(0x10_0000n, [{ vaddr: 0x10_0000n, bytes: flat(0, header(VIDEO, 0, 0, 0, 0, 0, 0, 1024, 768, 32), 64) }]),
    );
    expect(graphics.protocol).toMatchObject({ kind: 'multiboot', wanted: 'a graphics mode of 1024 x 768 in 32 bits' });
  });

  // prettier-ignore
  it.each<[string, Uint8Array, string]>([
    ['unknown demands', elf(32, 1 << 5), 'its Multiboot header demands what no version of the specification has (flags 0x20)'],
    ['no format, no addresses', flat(0, header(0), 100), 'its Multiboot header does not say where the file is to be loaded, and the file is not ELF'],
    ['addresses cut off', flat(0, header(ADDRESSES), 20), 'the file is cut off: the Multiboot header with its addresses should end at byte 32, and the file has 20'],
    ['the header in front', flat(0, header(ADDRESSES, 0x10_0000, 0x10_0004, 0, 0, 0x10_0020), 100), 'the addresses in its Multiboot header: the header at 0x100000 is in front of what is loaded at 0x100004'],
    ['more in front than there is', flat(0, header(ADDRESSES, 0x10_0004, 0x10_0000, 0, 0, 0x10_0020), 100), 'the addresses in its Multiboot header: 4 bytes are loaded in front of the header, and the file has 0 there'],
    ['an end in front', flat(0, header(ADDRESSES, 0x10_0000, 0x10_0000, 0x0f_ff00, 0, 0x10_0020), 100), 'the addresses in its Multiboot header: loading ends at 0xfff00, not behind its begin at 0x100000'],
    ['more than the file', flat(0, header(ADDRESSES, 0x10_0000, 0x10_0000, 0x10_0065, 0, 0x10_0020), 100), 'the file is cut off: what the Multiboot header says is loaded should end at byte 101, and the file has 100'],
    ['.bss within the bytes', flat(0, header(ADDRESSES, 0x10_0000, 0x10_0000, 0, 0x10_0010, 0x10_0020), 100), 'the addresses in its Multiboot header: .bss ends at 0x100010, in front of the bytes loaded up to 0x100064'],
    ['an entry elsewhere', flat(0, header(ADDRESSES, 0x10_0000, 0x10_0000, 0, 0, 0x20_0000), 100), 'the addresses in its Multiboot header: the entry 0x200000 is not in memory from 0x100000 to 0x100064'],
  ])('with %s is refused', (_what, file, reason) => {
    expect(() => load(file)).toThrow(expect.objectContaining({ name: 'ImageError', message: reason }));
  });
});

describe('whatever a header says, the file is loaded or refused', () => {
  const whole = flat(
    8,
    header(ADDRESSES | VIDEO, 0x10_0008, 0x10_0000, 0x10_0080, 0x10_1000, 0x10_0040, 1, 80, 25, 0),
    128,
  );

  function loadsOrRefuses(file: Uint8Array): void {
    const at = multibootHeader(file);
    if (at === null) return;
    try {
      const { segments, entry } = loadMultiboot(file);
      for (const { gpa, bytes, memorySize } of segments) {
        expect(bytes.buffer).toBe(file.buffer);
        expect(memorySize).toBeGreaterThanOrEqual(bytes.length);
        expect(entry >= gpa && entry < gpa + memorySize).toBe(true);
      }
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(ImageError);
    }
  }

  it('cut off anywhere', () => {
    for (let length = 0; length < whole.length; length++) loadsOrRefuses(whole.slice(0, length));
  });

  it('with any fields', () => {
    const address = fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0x0f_ff00, max: 0x10_1000 }));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x1_ffff }), fc.array(address, { maxLength: 9 }), (flags, fields) => {
        loadsOrRefuses(flat(8, header(flags, ...fields), 128));
      }),
      { numRuns: 3000 },
    );
  });
});

describe('a Multiboot kernel finds', () => {
  it('the state that the specification promises', () => {
    const { machine } = boot({ vcpus: 3 });
    const [first, ...others] = machine.vm.vcpus;
    const { state } = first!.guest;
    expect(state.gpr(GPR.RAX)).toBe(0x2bad_b002n);
    expect(state.rip).toBe(0x10_000cn);
    expect({ cr0: state.cr0, cr4: state.cr4, efer: state.efer, rflags: state.rflags }).toEqual({
      cr0: 0x11n,
      cr4: 0n,
      efer: 0n,
      rflags: 2,
    });
    for (const index of [SEGMENT.CS, SEGMENT.DS, SEGMENT.ES, SEGMENT.FS, SEGMENT.GS, SEGMENT.SS]) {
      expect(segmentSelector(state, index)).toBe(index === SEGMENT.CS ? 0x08 : 0x10);
      expect([segmentBase(state, index), segmentLimit(state, index)]).toEqual([0n, 0xffff_ffff]);
    }
    expect(others.map(({ mpState }) => mpState)).toEqual(['uninitialized', 'uninitialized']);
  });

  it('its command line behind its name, and who loaded it', () => {
    const { info } = boot({ commandLine: 'a=1 b' });
    expect(info.string(info.u32(16))).toBe('toy a=1 b');
    expect(info.string(info.u32(64))).toBe('trapline');
    expect(info.u32(0)).toBe(0b1_0010_0110_1101);
  });

  it('its memory', () => {
    const { info } = boot();
    expect([info.u32(4), info.u32(8)]).toEqual([639, 15 * KIB]);
    const map = info.at(info.u32(48));
    const entries = Array.from({ length: info.u32(44) / 24 }, (_, i) => [24 * i, map.u32(24 * i)] as const);
    expect(entries.every(([, size]) => size === 20)).toBe(true);
    expect(entries.map(([at]) => [map.u64(at + 4), map.u64(at + 12), map.u32(at + 20)])).toEqual([
      [0n, 0x9fc00n, 1],
      [0x9fc00n, 0x400n, 2],
      [0xf0000n, 0x1_0000n, 2],
      [0x10_0000n, 0xf0_0000n, 1],
    ]);
  });

  it('its modules behind its .bss, each at the begin of a page, in order', () => {
    const modules = [
      { name: 'one', bytes: Uint8Array.of(1, 2, 3) },
      { name: 'empty', bytes: new Uint8Array(0) },
      { name: 'two words', bytes: new Uint8Array(5000).fill(7) },
    ];
    const { info } = boot({ modules });
    expect(info.u32(20)).toBe(3);
    const list = info.at(info.u32(24));
    expect(modules.map((_, i) => [list.u32(16 * i), list.u32(16 * i + 4), list.string(list.u32(16 * i + 8))])).toEqual([
      [0x10_3000, 0x10_3003, 'one'],
      [0x10_4000, 0x10_4000, 'empty'],
      [0x10_4000, 0x10_4000 + 5000, 'two words'],
    ]);
    expect(info.bytes(0x10_3000, 4)).toEqual(Uint8Array.of(1, 2, 3, 0));
  });

  it('a display in text mode', () => {
    const { info } = boot();
    expect([info.u64(88), info.u32(96), info.u32(100), info.u32(104), info.u8(108), info.u8(109)]).toEqual([
      0xb8000n,
      160,
      80,
      25,
      16,
      2,
    ]);
  });

  it('what it was told elsewhere when it lies where that usually is', () => {
    const at = 0x8000;
    const low = elfFile(BigInt(at), [{ vaddr: BigInt(at), bytes: flat(0, header(0), 32), memorySize: 0x5000n }], [], {
      bits: 32,
    });
    const { machine, info } = boot({ image: load(low) });
    expect(Number(machine.vm.vcpus[0]!.guest.state.gpr(GPR.RBX))).toBe(0xd000);
    expect(info.string(info.u32(16))).toBe('toy');
  });
});

describe('a Multiboot kernel that does not fit is refused', () => {
  const placed = (vaddr: bigint, memorySize: bigint): Image =>
    load(elfFile(vaddr, [{ vaddr, bytes: flat(0, header(0), 32), memorySize }], [], { bits: 32 }));
  // prettier-ignore
  it.each<[string, Partial<BootOptions>, RegExp]>([
    ['in memory', { image: placed(0x10_0000n, 0x200_0000n) }, /^the image needs memory up to 0x2100000, and the machine has 0x1000000 bytes: try 33 MiB or more$/],
    ['with its modules', { modules: [{ name: 'big', bytes: new Uint8Array(16 * MIB) }] }, /^no room for the module big \(16777216 bytes\) in memory from 0x103000 to 0x100000000: give the machine more memory, or less to load$/],
    ['below the display', { image: placed(0x9_0000n, 0x2_0000n) }, /^the image has bytes at 0x90000 to 0xb0000, and not all of that is free for kernels/],
    ['beyond 4 GiB', { image: placed(0xfff0_0000n, 0x1000n) }, /^the image has bytes at 0xfff00000 to 0xfff01000, where no memory can be/],
  ])('%s', (_what, options, reason) => {
    expect(() => boot(options)).toThrow(BootError);
    expect(() => boot(options)).toThrow(reason);
  });
});
