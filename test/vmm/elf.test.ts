import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { imageEnd, ImageError } from '../../src/vmm/image.ts';
import { type ElfFile, loadElf64, physicalEntry, readElf } from '../../src/vmm/loaders/elf.ts';
import { elfFile, type ProgramHeader } from './elfFile.ts';

const CODE = Uint8Array.of(0xf4, 0xeb, 0xfd);
const text: ProgramHeader = { vaddr: 0x10_0000n, bytes: CODE };
const data: ProgramHeader = { vaddr: 0x20_0000n, bytes: Uint8Array.of(1, 2, 3, 4), memorySize: 0x3000n };
const symbols = [
  { name: '_start', address: 0x10_0000n },
  { name: 'spin', address: 0x10_0001n, info: 0x02 },
  { name: 'counter', address: 0x20_0004n, info: 0x11 },
  { name: 'LIMIT', address: 7n, info: 0x00, section: 0xfff1 },
  { name: 'elsewhere', address: 0n, section: 0 },
  { name: 'file.c', address: 0n, info: 0x04 },
];
const good = elfFile(0x10_0000n, [text, data], symbols);
const good32 = elfFile(0x10_0000n, [text, data], symbols, { bits: 32 });

/** A copy with some bytes replaced. */
function patched(at: number, ...bytes: number[]): Uint8Array {
  const copy = good.slice();
  copy.set(bytes, at);
  return copy;
}

function refusal(bytes: Uint8Array): string {
  try {
    loadElf64(bytes);
  } catch (thrown) {
    if (thrown instanceof ImageError) return thrown.message;
    throw thrown;
  }
  throw new Error('this file loaded, and should not have');
}

describe('an ELF64 executable', () => {
  it('loads its segments, entry and symbols', () => {
    const image = loadElf64(good);
    expect(image.format).toBe('elf64');
    expect(image.entry).toBe(0x10_0000n);
    expect(image.segments).toEqual([
      { gpa: 0x10_0000, bytes: CODE, memorySize: 3, executable: false },
      { gpa: 0x20_0000, bytes: data.bytes, memorySize: 0x3000, executable: false },
    ]);
    expect(imageEnd(image)).toBe(0x20_3000);
    expect(image.symbols.format(0x10_0002n)).toBe('spin+0x1');
    expect(image.symbols.find('counter')).toEqual({
      name: 'counter',
      address: 0x20_0004n,
      size: 0,
      kind: 'object',
      global: true,
    });
    expect(image.symbols.find('LIMIT')?.kind).toBe('absolute');
    expect([...image.symbols].map(({ name }) => name)).toEqual(['_start', 'spin', 'counter', 'LIMIT']);
  });

  it('needs no symbols', () => {
    const stripped = patched(0x28, 0, 0, 0, 0, 0, 0, 0, 0);
    expect(loadElf64(stripped).symbols.size).toBe(0);
  });

  it('puts segments at their physical addresses, and names both addresses of a high kernel', () => {
    const high = 0xffff_ffff_8020_0000n;
    const boot = { vaddr: 0x10_0000n, bytes: CODE };
    const kernel = { vaddr: high, paddr: 0x20_0000n, bytes: CODE };
    const image = loadElf64(elfFile(0x10_0000n, [boot, kernel], [{ name: 'start_kernel', address: high }]));
    expect(image.segments.map(({ gpa }) => gpa)).toEqual([0x10_0000, 0x20_0000]);
    expect(image.symbols.format(high + 2n)).toBe('start_kernel+0x2');
  });
});

describe('an ELF32 executable', () => {
  it('has the same segments, entry and symbols', () => {
    const elf = readElf(good32);
    expect(elf.layout.bits).toBe(32);
    expect(elf.entry).toBe(0x10_0000n);
    expect(elf.loadable.map(({ segment: { gpa, bytes, memorySize } }) => [gpa, [...bytes], memorySize])).toEqual([
      [0x10_0000, [...CODE], 3],
      [0x20_0000, [1, 2, 3, 4], 0x3000],
    ]);
    expect([...elf.symbols].map(({ name, kind }) => [name, kind])).toEqual([
      ['_start', 'function'],
      ['spin', 'function'],
      ['counter', 'object'],
      ['LIMIT', 'absolute'],
    ]);
  });

  it('may be for x86-64 too, as the x32 ABI has it', () => {
    expect(readElf(elfFile(0x10_0000n, [text], [], { bits: 32, machine: 62 })).layout.bits).toBe(32);
  });
});

describe('the entry without paging', () => {
  it.each<[string, bigint, ProgramHeader, bigint]>([
    ['stands where virtual is physical', 0x10_0001n, text, 0x10_0001n],
    [
      'is moved with a segment that is loaded elsewhere',
      0xc010_0002n,
      { vaddr: 0xc010_0000n, paddr: 0x10_0000n, bytes: CODE },
      0x10_0002n,
    ],
    ['may be physical already', 0x10_0002n, { vaddr: 0xc010_0000n, paddr: 0x10_0000n, bytes: CODE }, 0x10_0002n],
  ])('%s', (_what, entry, program, expected) => {
    expect(physicalEntry(readElf(elfFile(entry, [program], [], { bits: 32 })))).toBe(expected);
  });
});

describe('a file that cannot boot is refused with its reason', () => {
  const high = 0xffff_ffff_8020_0000n;
  const ends = (0x1_0000_0000_0000_0000n - 8n) & ((1n << 64n) - 1n);
  // prettier-ignore
  it.each<[string, Uint8Array, string]>([
    ['no ELF', Uint8Array.of(1, 2, 3), 'not an ELF file: it does not start with 7f 45 4c 46'],
    ['cut in the header', good.subarray(0, 40), 'the file is cut off: the ELF header should end at byte 64, and the file has 40'],
    ['cut in the program headers', good.subarray(0, 100), 'the file is cut off: the program headers should end at byte 176, and the file has 100'],
    ['cut in a segment', good.subarray(0, 178), 'the file is cut off: segment 0 should end at byte 179, and the file has 178'],
    ['cut in the sections', good.subarray(0, good.length - 1), `the file is cut off: the section headers should end at byte ${good.length}, and the file has ${good.length - 1}`],
    ['32 bits without a header', elfFile(0x10_0000n, [text], [], { bits: 32 }), 'a 32-bit ELF file without a header of a boot protocol'],
    ['64 bits for i386', patched(0x12, 3), 'an ELF file for i386'],
    ['no class', patched(4, 9), 'ELF class 9 does not exist'],
    ['big-endian', patched(5, 2), 'a big-endian ELF file'],
    ['version', patched(6, 0), 'ELF version 0 does not exist'],
    ['AArch64', patched(0x12, 183), 'an ELF file for AArch64'],
    ['unknown machine', patched(0x12, 0xfe, 0xca), 'an ELF file for machine 51966'],
    ['object file', patched(0x10, 1), 'an object file that is not linked yet'],
    ['PIE', patched(0x10, 3), 'a position-independent or shared ELF file'],
    ['core dump', patched(0x10, 4), 'a core dump'],
    ['no program headers', patched(0x38, 0), 'no program headers: nothing to load'],
    ['odd header size', patched(0x36, 32), 'program headers of 32 bytes; ELF64 has 56'],
    ['dynamic', elfFile(0x10_0000n, [text, { type: 3, vaddr: 0n, bytes: CODE }]), 'a dynamically linked program'],
    ['nothing to load', elfFile(0n, [{ type: 4, vaddr: 0n, bytes: CODE }]), 'no segment is loaded into memory'],
    ['overlap', elfFile(0x10_0000n, [text, { vaddr: 0x10_0002n, bytes: CODE }]), 'segments 0 and 1 overlap at physical address 0x100002'],
    ['file beyond memory', elfFile(0x10_0000n, [{ ...text, memorySize: 2n }]), 'segment 0 has 3 bytes in the file but 2 in memory'],
    ['beyond physical memory', elfFile(high, [{ vaddr: high, bytes: CODE }]), 'segment 0 ends at 0xffffffff80200003, beyond every physical address'],
    ['wrapping', elfFile(ends, [{ vaddr: ends, bytes: CODE, memorySize: 100n }]), 'segment 0 ends at 0x1000000000000005c, beyond every physical address'],
    ['huge', elfFile(0x10_0000n, [{ ...text, memorySize: 1n << 62n }]), 'segment 0 ends at 0x4000000000100000, beyond every physical address'],
    ['entry nowhere', elfFile(0x50_0000n, [text]), 'the entry 0x500000 is in no segment'],
    ['entry high', elfFile(high, [{ vaddr: high, paddr: 0x20_0000n, bytes: CODE }]), 'the entry 0xffffffff80200000 is a virtual address: segment 0 is linked there but loaded at 0x200000'],
  ])('%s', (_what, bytes, reason) => {
    expect(refusal(bytes)).toBe(reason);
  });

  it('refuses symbol names that would unfold to far more than the file', () => {
    const name = 'x'.repeat(60_000);
    const many = Array.from({ length: 200 }, (_, i) => ({ name: i === 0 ? name : '', address: 0x10_0000n }));
    const file = elfFile(0x10_0000n, [text], many);
    const view = new DataView(file.buffer);
    const symbolsAt = Number(view.getBigUint64(Number(view.getBigUint64(0x28, true)) + 2 * 64 + 0x18, true));
    for (let i = 1; i <= 200; i++) view.setUint32(symbolsAt + 24 * i, i, true);
    expect(refusal(file)).toBe("the symbols' names overlap until they are many times the size of the file");
  });

  it('gives a hint with every reason', () => {
    expect(() => loadElf64(patched(0x10, 3))).toThrow(
      expect.objectContaining({ hint: 'guests are not relocated: link with -static -no-pie' }),
    );
  });
});

/** What must hold of anything that is read: contents inside of the file, sizes that were in it. */
function check(file: Uint8Array, { loadable }: ElfFile): void {
  let contents = 0;
  for (const { gpa, bytes, memorySize } of loadable.map(({ segment }) => segment)) {
    expect(bytes.buffer).toBe(file.buffer);
    expect(bytes.length).toBeLessThanOrEqual(memorySize);
    expect(Number.isSafeInteger(gpa + memorySize)).toBe(true);
    contents += bytes.length;
  }
  expect(contents).toBeLessThanOrEqual(file.length * loadable.length);
}

function readsOrRefuses(file: Uint8Array): void {
  try {
    const elf = readElf(file);
    check(file, elf);
    const { entry, segments } = loadElf64(file);
    expect(segments.some(({ gpa, memorySize }) => entry >= gpa && entry < gpa + memorySize)).toBe(true);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(ImageError);
  }
}

describe.each([
  ['64', good],
  ['32', good32],
])('whatever the bytes are, ELF%s is read whole or refused', (_bits, whole) => {
  it('cut off anywhere', () => {
    for (let length = 0; length < whole.length; length++) readsOrRefuses(whole.slice(0, length));
  });

  it('with bits flipped', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: whole.length * 8 - 1 }), { minLength: 1, maxLength: 6 }), (flips) => {
        const file = whole.slice();
        for (const bit of flips) file[bit >> 3]! ^= 1 << (bit & 7);
        readsOrRefuses(file);
      }),
      { numRuns: 2000 },
    );
  });

  it('with fields replaced by extreme numbers', () => {
    const extreme = fc.constantFrom(
      0n,
      1n,
      0x7fff_ffffn,
      0xffff_ffffn,
      0x10_0000n,
      (1n << 52n) - 1n,
      1n << 63n,
      (1n << 64n) - 1n,
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: (whole.length >> 3) - 1 }), extreme), { minLength: 1, maxLength: 4 }),
        (writes) => {
          const file = whole.slice();
          const view = new DataView(file.buffer);
          for (const [word, value] of writes) view.setBigUint64(8 * word, value, true);
          readsOrRefuses(file);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('with arbitrary bytes behind the magic', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (tail) => {
        readsOrRefuses(Uint8Array.from([...whole.subarray(0, 7), ...tail]));
      }),
      { numRuns: 1000 },
    );
  });
});

const compiler = ['gcc', 'clang'].find((name) => {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});

describe.skipIf(compiler === undefined)(
  `compiled C${compiler === undefined ? ' (skipped: neither gcc nor clang is installed)' : ''}`,
  () => {
    it('loads with its functions and objects', () => {
      const directory = mkdtempSync(join(tmpdir(), 'trapline-elf-'));
      try {
        const source = join(directory, 'guest.c');
        const output = join(directory, 'guest');
        writeFileSync(
          source,
          'int table[100] = {1};\nint zeros[5000];\nvoid _start(void) { zeros[1] = table[0]; for (;;) __asm__("hlt"); }\n',
        );
        const flags = [
          '-O1',
          '-static',
          '-nostdlib',
          '-no-pie',
          '-ffreestanding',
          '-mgeneral-regs-only',
          '-Wl,-Ttext=0x100000',
          '-Wl,--build-id=none',
        ];
        execFileSync(compiler ?? '', [...flags, '-o', output, source], { stdio: ['ignore', 'ignore', 'pipe'] });
        const image = loadElf64(new Uint8Array(readFileSync(output)));
        expect(image.symbols.format(image.entry)).toBe('_start');
        expect(image.symbols.find('table')).toMatchObject({ size: 400, kind: 'object', global: true });
        expect(image.symbols.find('zeros')).toMatchObject({ size: 20_000, kind: 'object', global: true });
        const code = image.segments.find(({ gpa }) => gpa === 0x10_0000);
        expect(code?.bytes.includes(0xf4)).toBe(true);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    });
  },
);
