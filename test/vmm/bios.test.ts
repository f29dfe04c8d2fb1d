// The minimal BIOS: boot sectors of a few instructions call it, and what they find in registers, flags, memory and on the screen is
// what Ralf Brown's interrupt list says. guests/boot/bootsector.s is compared with SeaBIOS.

import { describe, expect, it } from 'vitest';
import { assembleGuest } from '../../src/cli/load.ts';
import { describeDiagnostics } from '../../src/cli/outcome.ts';
import { loadBootSector } from '../../src/vmm/loaders/bootSector.ts';
import { Machine } from '../../src/vmm/machine.ts';

const MIB = 2 ** 20;
const PATIENCE = 1_000_000_000;
const POWER_OFF = 'movw $0x604, %dx; movw $0x2000, %ax; outw %ax, %dx';
/** Where programs leave what they found. */
const FOUND = 0x600;

/** A boot sector of some instructions that powers off behind them; the disk holds `disk` behind it. */
async function run(
  code: string,
  { memory = 16 * MIB, disk = new Uint8Array(0) as Uint8Array, keys = '', typedAt = 0 } = {},
): Promise<Machine> {
  const lines = code.replaceAll(';', '\n');
  const source = `.code16\n_start:\n${lines}\n${POWER_OFF.replaceAll(';', '\n')}\n.org 510\n.word 0xaa55\n`;
  const assembled = await assembleGuest(source, 'boot.s', 'boot-sector');
  const file = new Uint8Array(512 + disk.length);
  file.set(assembled.segments[0]!.bytes);
  file.set(disk, 512);
  const machine = Machine.boot({ image: { ...loadBootSector(file), name: 'boot' }, memory });
  if (typedAt > 0) machine.run({ maxCycles: typedAt });
  if (keys !== '') machine.type(keys, 'keyboard');
  machine.run({ maxCycles: PATIENCE });
  return machine;
}

/** Runs code that stores words from FOUND on, and returns so many of them. */
async function words(count: number, code: string, options: Parameters<typeof run>[1] = {}): Promise<number[]> {
  const machine = await run(code, options);
  expect(machine.result?.kind).toBe('power-off');
  const bytes = machine.vm.memory.read(FOUND, 2 * count)!;
  return Array.from({ length: count }, (_, i) => bytes[2 * i]! | (bytes[2 * i + 1]! << 8));
}
/** Stores AX, BX, CX, DX and whether carry was set. */
const STORE =
  'movw %ax, 0x600; movw %bx, 0x602; movw %cx, 0x604; movw %dx, 0x606; pushfw; popw %ax; andw $1, %ax; movw %ax, 0x608';

/** Sectors of a disk behind the first, each filled with its number. */
const sectors = (count: number) => Uint8Array.from({ length: count * 512 }, (_, i) => 1 + (i >> 9));

describe('a boot sector is entered', () => {
  it('with its drive in DL, interrupts on, and all segments at 0', async () => {
    const code =
      'movw %dx, 0x600; movw %cs, 0x602; movw %ss, 0x604; movw %sp, 0x606; pushfw; popw %ax; movw %ax, 0x608';
    expect(await words(5, code)).toEqual([0x80, 0, 0, 0x7c00, 0x202]);
  });

  it('from drive 0 when the file has exactly the size of a floppy', async () => {
    expect(await words(1, 'movw %dx, 0x600', { disk: new Uint8Array(1_474_560 - 512) })).toEqual([0]);
  });

  it('with the BIOS data area filled', async () => {
    const code =
      'movw 0x400, %ax; movw %ax, 0x600; movw 0x413, %ax; movw %ax, 0x602; movw 0x44a, %ax; movw %ax, 0x604; movw 0x40e, %ax; movw %ax, 0x606';
    expect(await words(4, code)).toEqual([0x3f8, 639, 80, 0x9fc0]);
  });
});

describe('INT 10h', () => {
  const screen = async (code: string): Promise<readonly string[]> => (await run(code)).screen!.lines;

  it('prints as a teletype on the screen and on the console', async () => {
    const machine = await run(
      `movw $text, %si; movb $0x0e, %ah; 1: lodsb; testb %al, %al; jz 2f; int $0x10; jmp 1b; text: .asciz "Hi\\r\\nyou\\b!"; 2: ${STORE}`,
    );
    expect(machine.console.text).toBe('Hi\r\nyou\b!');
    expect(machine.screen!.lines.slice(0, 2)).toEqual(['Hi', 'yo!']);
    expect(machine.screen!.cursor).toEqual({ row: 1, column: 3 });
  });

  it('scrolls when the last line is full', async () => {
    const lines = await screen(
      'movw $26, %cx; movw $0x0e41, %ax; 1: int $0x10; pushw %ax; movb $10, %al; int $0x10; movb $13, %al; int $0x10; popw %ax; incw %ax; loop 1b',
    );
    expect(lines[0]).toBe('C');
    expect(lines[23]).toBe('Z');
    expect(lines[24]).toBe('');
  });

  it('writes strings with their colours where it is told', async () => {
    const machine = await run(
      'movw $0x1301, %ax; movw $0x001e, %bx; movw $2, %cx; movw $0x0305, %dx; movw $text, %bp; int $0x10; jmp 1f; text: .ascii "ok"; 1:',
    );
    expect(machine.screen!.lines[3]).toBe('     ok');
    expect(machine.screen!.cursor).toEqual({ row: 3, column: 7 });
    expect(machine.vm.memory.read(0xb8000 + 3 * 160 + 10, 4)).toEqual(Uint8Array.of(0x6f, 0x1e, 0x6b, 0x1e));
  });

  it('repeats a character without moving, scrolls a window, and clears the screen with a new mode', async () => {
    const write = 'movw $0x0958, %ax; movw $0x0007, %bx; movw $3, %cx; int $0x10';
    expect((await screen(write))[0]).toBe('XXX');
    const window = 'movw $0x0701, %ax; movb $7, %bh; movw $0, %cx; movw $0x0201, %dx; int $0x10';
    expect((await screen(`${write}; ${window}`)).slice(0, 2)).toEqual(['  X', 'XX']);
    expect((await screen(`${write}; movw $3, %ax; int $0x10`))[0]).toBe('');
  });

  it('knows no graphics mode', async () => {
    const machine = await run('movw $0x13, %ax; int $0x10');
    expect(describeDiagnostics(machine)).toEqual([
      expect.stringContaining(
        "INT 10h with AH = 00h was called, which trapline's BIOS does not have (once, first by vCPU 0 at",
      ),
    ]);
  });
});

describe('INT 13h', () => {
  it('reads by cylinder, head and sector, across heads', async () => {
    const disk = sectors(70);
    const read = 'movw $0x0202, %ax; movw $0x003f, %cx; movw $0x0080, %dx; movw $0x1000, %bx; int $0x13';
    const keep = 'movw 0x1000, %cx; movw 0x1200, %dx';
    expect(await words(5, `${read}; pushfw; ${keep}; popfw; ${STORE}`, { disk })).toEqual([
      2, 0x1000, 0x3e3e, 0x3f3f, 0,
    ]);
  });

  it.each([
    ['sector 0', 'movw $0x0201, %ax; movw $0, %cx; movw $0x0080, %dx', 0x0100],
    ['what is behind the end', 'movw $0x0201, %ax; movw $0x0005, %cx; movw $0x0080, %dx', 0x0400],
    ['no sectors', 'movw $0x0200, %ax; movw $0x0001, %cx; movw $0x0080, %dx', 0x0100],
    ['a drive that is not there', 'movw $0x0201, %ax; movw $0x0001, %cx; movw $0x0081, %dx', 0x0101],
    ['in order to write', 'movw $0x0301, %ax; movw $0x0001, %cx; movw $0x0080, %dx', 0x0301],
  ])('refuses to read %s', async (_what, code, ax) => {
    const [found, , , , carry] = await words(5, `${code}; movw $0x1000, %bx; int $0x13; ${STORE}`, {
      disk: sectors(2),
    });
    expect([found, carry]).toEqual([ax, 1]);
  });

  it('says its geometry and its size', async () => {
    const disk = new Uint8Array(20 * 16 * 63 * 512 - 512);
    expect(await words(4, `movb $8, %ah; movb $0x80, %dl; int $0x13; ${STORE}`, { disk })).toEqual([
      0, 0, 0x133f, 0x0f01,
    ]);
    const [ax, , cx, dx, carry] = await words(5, `movb $0x15, %ah; movb $0x80, %dl; int $0x13; ${STORE}`, { disk });
    expect([ax! >> 8, cx! * 65536 + dx!, carry]).toEqual([3, 20 * 16 * 63, 0]);
  });

  it('has the extensions, and refuses a packet beyond the disk', async () => {
    expect(await words(5, `movb $0x41, %ah; movw $0x55aa, %bx; movb $0x80, %dl; int $0x13; ${STORE}`)).toEqual([
      0x3000, 0xaa55, 5, 0x80, 0,
    ]);
    const packet = 'jmp 1f; .balign 4; packet: .byte 16, 0; .word 1, 0x1000, 0; .quad 9; 1:';
    const read = `movw $packet, %si; movb $0x42, %ah; movb $0x80, %dl; int $0x13; ${STORE}; movw packet + 2, %ax; movw %ax, 0x602`;
    const [ax, count, , , carry] = await words(5, `${packet}; ${read}`, { disk: sectors(4) });
    expect([ax! >> 8, count, carry]).toEqual([4, 0, 1]);
  });
});

describe('INT 15h', () => {
  it('says how much memory there is, above 16 MiB too', async () => {
    expect(await words(5, `movw $0xe801, %ax; int $0x15; ${STORE}`, { memory: 64 * MIB })).toEqual([
      0x3c00, 768, 0x3c00, 768, 0,
    ]);
    expect((await words(1, `movb $0x88, %ah; int $0x15; ${STORE}`, { memory: 32 * MIB }))[0]).toBe(31 * 1024);
  });

  it('moves memory to above 1 MiB', async () => {
    const table =
      'jmp 1f; .balign 4; table: .fill 16; .word 0xffff, 0x7c00; .byte 0, 0x93, 0, 0; .word 0xffff, 0; .byte 0x20, 0x93, 0, 0; .fill 16; 1:';
    const machine = await run(`${table}; movw $table, %si; movw $8, %cx; movb $0x87, %ah; int $0x15`);
    expect(machine.vm.memory.read(0x20_0000, 16)).toEqual(machine.vm.memory.read(0x7c00, 16));
    expect(machine.vm.memory.read(0x20_0000, 1)).not.toEqual(Uint8Array.of(0));
  });

  it('has A20 on, and cannot turn it off', async () => {
    expect(
      (await words(5, `movw $0x2402, %ax; int $0x15; ${STORE}`)).map((w, i) => (i === 0 || i === 4 ? w : 0)),
    ).toEqual([1, 0, 0, 0, 0]);
    const [, , , , carry] = await words(5, `movw $0x2400, %ax; int $0x15; ${STORE}`);
    expect(carry).toBe(1);
  });
});

describe('INT 16h', () => {
  const READ = 'movb $0, %ah; int $0x16; movw %ax, 0x600; movb $0, %ah; int $0x16; movw %ax, 0x602';

  it('waits for keys, and gives their scan codes and characters', async () => {
    expect(await words(2, READ, { keys: 'a!' })).toEqual([0x1e61, 0x0221]);
  });

  it('tells whether a key waits, and leaves it there', async () => {
    const peek = 'movb $1, %ah; int $0x16';
    const code = `${peek}; setz 0x600; 1: hlt; ${peek}; jz 1b; setz 0x601; movb $0, %ah; int $0x16; movw %ax, 0x602`;
    expect(await words(2, code, { keys: 'q', typedAt: 1_000_000 })).toEqual([0x0001, 0x1071]);
  });
});

describe('what the BIOS does not have', () => {
  it('is named once, with its caller, and answered with carry', async () => {
    const machine = await run(`movb $9, %ah; int $0x21; int $0x21; ${STORE}`);
    expect(machine.vm.memory.read(FOUND + 8, 1)).toEqual(Uint8Array.of(1));
    expect(describeDiagnostics(machine)).toEqual([
      "trapline: INT 21h with AH = 09h was called, which trapline's BIOS does not have (2 times, first by vCPU 0 at 0x7c02): answered with carry set",
    ]);
  });

  it.each([
    ['INT 18h', 'int $0x18', 'not-implemented'],
    ['INT 19h', 'int $0x19', 'reset'],
    ['a jump to the reset vector', 'ljmp $0xffff, $0', 'reset'],
    ['a division by zero', 'movb $0, %cl; divb %cl', 'not-implemented'],
  ])('ends the run: %s', async (_what, code, kind) => {
    expect((await run(code)).result?.kind).toBe(kind);
  });

  it('stays what it is when a program hooks a vector', async () => {
    const hook = 'movw $handler, 0x84; movw $0, 0x86; int $0x21; jmp 1f; handler: movw $0x1234, 0x600; iret; 1:';
    expect(await words(1, hook)).toEqual([0x1234]);
  });

  it('calls the handler of ticks that a program has put at vector 1Ch', async () => {
    const hook =
      'movw $0, 0x600; movw $handler, 0x70; movw $0, 0x72; 1: hlt; cmpw $3, 0x600; jb 1b; jmp 2f; handler: incw 0x600; iret; 2:';
    expect(await words(1, hook)).toEqual([3]);
  });
});
