// What comes out: segments, entry, symbols, listing, disassembly.

import { describe, expect, it } from 'vitest';
import { assemble } from '../../src/assembler/assemble.ts';
import { disassemble, formatDisassembly } from '../../src/assembler/disassemble.ts';
import { formatListing } from '../../src/assembler/listing.ts';
import { SymbolTable } from '../../src/vmm/symbols.ts';
import { files, flatten, hexOf, image, repository } from './assembling.ts';

describe('the image', () => {
  it('begins with .text at the origin and gives .rodata, .data and .bss pages of their own', async () => {
    const { segments, entry } = await image(
      '.data\n.long 1\n.bss\n.skip 100\n.text\nhlt\n.section .rodata.names\n.byte 2',
      0x7000,
    );
    expect(entry).toBe(0x7000n);
    expect(segments.map(({ gpa, bytes, memorySize }) => [gpa, [...bytes], memorySize])).toEqual([
      [0x7000, [0xf4], 1],
      [0x8000, [2], 1],
      [0x9000, [1, 0, 0, 0], 4],
      [0xa000, [], 100],
    ]);
  });

  it('starts at the origin even if that is on no page', async () => {
    const { segments } = await image('.quad .\n.align 16\nhlt', 0x7c08);
    expect(segments[0].gpa).toBe(0x7c08);
    expect(segments[0].bytes).toHaveLength(9);
    expect(segments[0].bytes[8]).toBe(0xf4);
  });

  it('reserves gigabytes of .bss without holding them', async () => {
    const { segments } = await image('hlt\n.bss\n.align 65536\n.skip 3 << 30');
    expect(segments[1]).toMatchObject({ gpa: 0x10_1000, bytes: new Uint8Array(0), memorySize: 0xf000 + 3 * 2 ** 30 });
  });

  it('enters at _start', async () => {
    expect((await image('nop\n_start: hlt')).entry).toBe(0x10_0001n);
  });

  it('keeps the pieces of one section together, in source order', async () => {
    expect(
      await hexOf(
        '.byte 1\n.data\n.text\n.byte 2\n.pushsection .data\n.popsection\n.byte 3\n.section .text.late\n.byte 4\n.previous\n.byte 5',
      ),
    ).toBe('0102030504');
  });

  it('is the same for the same source, whatever was assembled before', async () => {
    const source = '.macro m\n.byte \\@\n.endm\nm\nm\nx: jmp x\n.quad x';
    const first = await hexOf(source);
    await expect(hexOf('bogus')).rejects.toThrow();
    await expect(hexOf('movb (%r8),%ah')).rejects.toThrow();
    expect(await hexOf(source)).toBe(first);
    const [a, b] = await Promise.all([hexOf(source), hexOf(`nop\n${source}`)]);
    expect(a).toBe(first);
    expect(b.slice(2, 6)).toBe(first.slice(0, 4));
  });
});

describe('symbols', () => {
  it('are the labels and constants of the source, not numeric nor .L labels', async () => {
    const { symbols } = await image(
      '.globl _start\n.type _start, @function\n_start: hlt\n1: jmp 1b\n.Llocal: nop\nend:\n.equ SIZE, end - _start\nlast = end - 1\n.size _start, SIZE',
    );
    expect([...symbols].map(({ name }) => name).sort()).toEqual(['SIZE', '_start', 'end', 'last']);
    expect(symbols.find('_start')).toEqual({
      name: '_start',
      address: 0x10_0000n,
      size: 4,
      kind: 'function',
      global: true,
    });
    expect(symbols.find('SIZE')).toMatchObject({ address: 4n, kind: 'absolute' });
    expect(symbols.find('last')).toMatchObject({ address: 0x10_0003n, kind: 'label' });
    expect(symbols.format(0x10_0002n)).toBe('_start+0x2');
  });
});

describe('the listing', () => {
  const source = `# header
_start: movl $COUNT, %ecx   # how often
1:      loop 1b
        .include "tail.s"
        .data
text:
        .asciz "a long text that needs several rows"
numbers: .long 1, 2
        .skip 100
        .equ COUNT, 7
`;

  it('shows line, address, bytes and text of every statement, file by file', async () => {
    const listed = await assemble(source, {
      file: 'main.s',
      origin: 0x1000,
      read: files({ 'tail.s': 'stop: hlt\n jmp stop' }),
    });
    expect(formatListing(listed)).toBe(`main.s:
 2 00001000 b9 07 00 00 00           _start: movl $COUNT, %ecx   # how often
 3 00001005 e2 fe                    1:      loop 1b
tail.s:
 1 00001007 f4                       stop: hlt
 2 00001008 eb fd                    jmp stop
main.s:
 6 00002000                          text:
 7 00002000 61 20 6c 6f 6e 67 20 74  .asciz "a long text that needs several rows"
            65 78 74 20 74 68 61 74
            20 6e 65 65 64 73 20 73
            65 76 65 72 61 6c 20 72
            … 36 bytes
 8 00002024 01 00 00 00 02 00 00 00  numbers: .long 1, 2
 9 0000202c 00 00 00 00 00 00 00 00  .skip 100
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
            … 100 bytes

symbols
0000000000000007 l absolute COUNT
0000000000001000 l label    _start
0000000000001007 l label    stop
0000000000002000 l label    text
0000000000002024 l label    numbers
`);
  });

  it('accounts for every byte of the image', async () => {
    const guest = '.include "asm/start.s"\n.include "asm/console.s"\n_start: ret';
    const { segments, listing } = await assemble(guest, {
      file: 'guests/guest.s',
      origin: 0x10_0000,
      read: repository,
    });
    const listed = (listing ?? []).reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(listed).toBe(segments.reduce((sum, { bytes }) => sum + bytes.length, 0));
    for (const { address, bytes } of listing ?? []) {
      const segment = segments.find(({ gpa, memorySize }) => address >= gpa && address < gpa + memorySize);
      const at = Number(address) - (segment?.gpa ?? 0);
      expect(segment?.bytes.subarray(at, at + bytes.length)).toEqual(bytes);
    }
  });
});

describe('disassembly', () => {
  function shown(bytes: Uint8Array, address: bigint, symbols: SymbolTable): string[] {
    const lines: string[] = [];
    for (const line of disassemble(bytes, address, symbols)) lines.push(formatDisassembly(line));
    return lines;
  }

  it('names labels, targets of branches and RIP-relative data', async () => {
    const assembled = await image(
      '_start: call tick\n jmp _start\ntick: movq count(%rip), %rax\n ret\n.data\n.long 0\ncount: .quad 0',
      0x1000,
    );
    expect(shown(assembled.segments[0].bytes, 0x1000n, assembled.symbols)).toEqual([
      '0000000000001000 <_start>:\n    1000:  e8 02 00 00 00                  call 0x1007 <tick>',
      '    1005:  eb f9                           jmp 0x1000 <_start>',
      '0000000000001007 <tick>:\n    1007:  48 8b 05 f6 0f 00 00            mov 0xff6(%rip),%rax # 0x2004 <count>',
      '    100e:  c3                              ret',
    ]);
  });

  it('shows as .byte what is no instruction, and goes on behind it', async () => {
    expect(shown(Uint8Array.of(0x06, 0xf4, 0x0f), 0n, SymbolTable.empty)).toEqual([
      '       0:  06                              .byte 0x06',
      '       1:  f4                              hlt',
      '       2:  0f                              .byte 0x0f',
    ]);
  });

  it('shows high addresses', async () => {
    const [line] = shown(Uint8Array.of(0xeb, 0xfe), 0xffff_ffff_8000_0000n, SymbolTable.empty);
    expect(line).toBe('ffffffff80000000:  eb fe                           jmp 0xffffffff80000000');
  });

  it('gives back what was assembled', async () => {
    const source = 'movl %eax, 8(%rbx,%rcx,4)\nlock xaddq %rax, (%rdi)\nwrmsr\nrep stosq\niretq\npushq $0x1234';
    const assembled = await image(source);
    const lines: string[] = [];
    for (const { text } of disassemble(flatten(assembled), 0n, SymbolTable.empty))
      lines.push(text.replace('%rax, %es:(%rdi)', '').trim());
    expect(await hexOf(lines.join('\n'))).toBe(Buffer.from(flatten(assembled)).toString('hex'));
  });
});
