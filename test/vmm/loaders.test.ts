// What every loader has in common: whatever the bytes are, a file is loaded whole or refused with a reason, and a machine that
// cannot hold it says so.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BootError } from '../../src/vmm/boot/bootError.ts';
import { type Image, ImageError, type ProtocolName } from '../../src/vmm/image.ts';
import { loadImage, PROTOCOL_NAMES, protocolOf } from '../../src/vmm/loaders/protocols.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { bootSector, bzImage, multiboot2, MULTIBOOT2_TAG, multibootElf, multibootFlat, pvhElf } from './kernels.ts';
import { elfFile } from './elfFile.ts';

const CODE = Uint8Array.of(0xf4);
const GOOD: readonly [string, ProtocolName, Uint8Array][] = [
  ['Multiboot in ELF32', 'multiboot', multibootElf(32)],
  ['Multiboot in ELF64', 'multiboot', multibootElf(64)],
  ['Multiboot without a format', 'multiboot', multibootFlat()],
  ['Multiboot 2', 'multiboot2', multiboot2()],
  ['PVH in ELF32', 'pvh', pvhElf(32)],
  ['PVH in ELF64', 'pvh', pvhElf(64)],
  ['a bzImage', 'linux', bzImage()],
  ['a boot sector', 'boot-sector', bootSector(3 * 512)],
  ['ELF64', 'direct', elfFile(0x10_0000n, [{ vaddr: 0x10_0000n, bytes: CODE }])],
];

/** Loads it or throws ImageError; what loads has its bytes in the file and its sizes within reason. */
function load(file: Uint8Array, protocol?: ProtocolName): Image | null {
  try {
    const image = loadImage(file, protocol);
    for (const { gpa, bytes, memorySize } of image.segments) {
      expect(bytes.buffer).toBe(file.buffer);
      expect(memorySize).toBeGreaterThanOrEqual(bytes.length);
      expect(Number.isSafeInteger(gpa + memorySize)).toBe(true);
    }
    return image;
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(ImageError);
    return null;
  }
}

/** Boots it or throws BootError. */
function boot(image: Image): void {
  try {
    Machine.boot({ image, memory: 4 * 2 ** 20, commandLine: 'x', modules: [{ name: 'm', bytes: CODE }] });
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(BootError);
  }
}

describe.each(GOOD)('%s', (_what, protocol, good) => {
  it('is recognised, loaded and booted', () => {
    expect(protocolOf(good)).toBe(protocol);
    const image = loadImage(good);
    expect(image.protocol.kind).toBe(protocol);
    expect(() => Machine.boot({ image, memory: 8 * 2 ** 20 })).not.toThrow();
  });

  it('cut off anywhere is loaded or refused', () => {
    for (let length = 0; length < good.length; length++) {
      load(good.slice(0, length));
      load(good.slice(0, length), protocol);
    }
  });

  it('with bits flipped is loaded and booted, or refused', () => {
    const bit = fc.nat({ max: good.length * 8 - 1 });
    let booted = 0;
    fc.assert(
      fc.property(fc.array(bit, { minLength: 1, maxLength: 4 }), (flips) => {
        const file = good.slice();
        for (const at of flips) file[at >> 3]! ^= 1 << (at & 7);
        load(file);
        const image = load(file, protocol);
        // A machine costs some milliseconds.
        if (image !== null && booted++ < 12) boot(image);
      }),
      { numRuns: 500 },
    );
  });

  it('with words replaced by extreme numbers is loaded and booted, or refused', () => {
    const extreme = fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x10_0000, 0xffff_fff8);
    const write = fc.tuple(fc.nat({ max: (good.length >> 2) - 1 }), extreme);
    let booted = 0;
    fc.assert(
      fc.property(fc.array(write, { minLength: 1, maxLength: 3 }), (writes) => {
        const file = good.slice();
        const view = new DataView(file.buffer);
        for (const [word, value] of writes) view.setUint32(4 * word, value, true);
        load(file);
        const image = load(file, protocol);
        if (image !== null && booted++ < 12) boot(image);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a protocol that is asked for', () => {
  const plain = Uint8Array.of(0x90, 0xf4, 0xff);
  // prettier-ignore
  it.each<[ProtocolName, Uint8Array, string]>([
    ['multiboot', plain, 'it has no Multiboot header (1badb002, flags and their checksum) in its first 8 KiB'],
    ['multiboot2', plain, 'it has no Multiboot 2 header (e85250d6, architecture, length and their checksum) in its first 32 KiB'],
    ['pvh', plain, 'not an ELF file: it does not start with 7f 45 4c 46'],
    ['pvh', multibootElf(32), 'it has no PVH note'],
    ['linux', plain, "it is neither a bzImage ('HdrS' at 0x202) nor a vmlinux (ELF)"],
    ['boot-sector', plain, 'it has 3 bytes, and a boot sector has 512'],
    ['boot-sector', new Uint8Array(512), 'its first sector does not end with 55 aa, the signature of a boot sector'],
    ['direct', multibootElf(32), 'a 32-bit ELF file without a header of a boot protocol'],
  ])('is refused when the file does not have it: %s', (protocol, file, reason) => {
    expect(() => loadImage(file, protocol)).toThrow(expect.objectContaining({ name: 'ImageError', message: reason }));
  });

  it('goes before what the file announces', () => {
    expect(loadImage(multibootElf(64), 'direct').protocol.kind).toBe('direct');
    expect(loadImage(pvhElf(64), 'linux').protocol.kind).toBe('linux');
  });

  it('has a name of its own', () => {
    expect(new Set(PROTOCOL_NAMES).size).toBe(6);
  });
});

describe('a Multiboot 2 header', () => {
  const { address, entry, end } = MULTIBOOT2_TAG;

  it('may load from the begin of the file', () => {
    const file = multiboot2([address(0x10_0010, 0xffff_ffff), entry(0x10_0020), end], 16);
    expect(loadImage(file)).toMatchObject({ entry: 0x10_0020n, segments: [{ gpa: 0x10_0000, bytes: file }] });
  });

  it('may be in an ELF file, whose entry a tag replaces', () => {
    const header = multiboot2([entry(0x10_0008), end]);
    const file = elfFile(0x10_0000n, [{ vaddr: 0x10_0000n, bytes: header }]);
    // Contents of the file begin on a multiple of eight.
    expect(loadImage(file)).toMatchObject({ format: 'elf64', entry: 0x10_0008n, protocol: { kind: 'multiboot2' } });
  });

  // prettier-ignore
  it.each<[string, number[][], string]>([
    ['an unknown tag', [[42, 8]], 'its Multiboot 2 header demands something unknown, by a tag of type 42'],
    ['unknown information', [[1, 16, 1, 99]], 'its Multiboot 2 header demands information of type 99, which does not exist'],
    ['a console without text', [[4, 12, 1]], 'its Multiboot 2 header demands a console and supports no text, and a text display is all that there is'],
    ['a graphics mode', [[5, 20, 800, 600, 24]], 'its Multiboot 2 header demands a graphics mode of 800 x 600 in 24 bits, and the display has text only'],
    ['another place', [[10, 24, 0x100_0000, 0x200_0000, 0x1000, 0]], 'its Multiboot 2 header wants to be relocated to between 0x1000000 and 0x2000000, from 0x100000'],
    ['a tag too short', [[2, 12, 0]], 'its Multiboot 2 header has a tag of type 2 and 12 bytes, which is not its size'],
  ])('that demands %s is refused', (_what, tags, reason) => {
    const file = multiboot2([...tags, address(0x10_0000, 0x10_0000), entry(0x10_0010), end]);
    expect(() => loadImage(file, 'multiboot2')).toThrow(expect.objectContaining({ message: reason }));
  });

  it('that would like a graphics mode gets text, and its wish is kept', () => {
    const file = multiboot2([[5 | (1 << 16), 20, 800, 600, 24], address(0x10_0000, 0x10_0000), entry(0x10_0010), end]);
    expect(loadImage(file).protocol).toMatchObject({ wanted: 'a graphics mode of 800 x 600 in 24 bits' });
  });

  it('without an end tag is refused', () => {
    expect(() => loadImage(multiboot2([address(0x10_0000, 0x10_0000), entry(0x10_0010)]), 'multiboot2')).toThrow(
      'its Multiboot 2 header ends without an end tag',
    );
  });
});

it('a PVH note that is longer than its segment is refused', () => {
  const file = pvhElf(32);
  const note = 52 + 2 * 32 + 1;
  file[note + 4] = 200;
  expect(() => loadImage(file, 'pvh')).toThrow(`a note at byte ${note} is longer than its segment`);
});

describe('a bzImage', () => {
  const patched = (at: number, ...bytes: number[]): Uint8Array => {
    const file = bzImage();
    file.set(bytes, at);
    return file;
  };
  // prettier-ignore
  it.each<[string, Uint8Array, string]>([
    ['loaded low', patched(0x211, 0), 'a Linux kernel of the old zImage format, which is loaded low'],
    ['of an old protocol', patched(0x206, 0x0b, 0x02), 'a Linux kernel of boot protocol 2.11 without a 64-bit entry'],
    ['for 32-bit processors', patched(0x236, 0, 0), 'a Linux kernel of boot protocol 2.15 without a 64-bit entry'],
    ['without its kernel', bzImage().slice(0, 1024), 'the file is cut off: the setup code with the kernel behind it should end at byte 1537, and the file has 1024'],
  ])('%s is refused', (_what, file, reason) => {
    expect(() => loadImage(file)).toThrow(expect.objectContaining({ message: reason }));
  });

  it('takes command lines as long as it says, and no longer', () => {
    const image = loadImage(bzImage());
    const start = (length: number): Machine =>
      Machine.boot({ image, memory: 8 * 2 ** 20, commandLine: 'x'.repeat(length) });
    expect(() => start(255)).not.toThrow();
    expect(() => start(256)).toThrow(
      'the kernel takes command lines of 255 characters, and this one has 256: leave something out',
    );
  });

  it('has its initrd as high as it reaches, behind nothing', () => {
    const modules = [{ name: 'initrd', bytes: new Uint8Array(5000).fill(1) }];
    const machine = Machine.boot({ image: loadImage(bzImage()), memory: 8 * 2 ** 20, modules });
    expect(machine.vm.memory.read(0x7f_e000, 5001)!.findIndex((byte) => byte !== 1)).toBe(5000);
  });
});
