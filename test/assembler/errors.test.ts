// What a person reads when a source is wrong: file, line, the line's text, what is wrong, what to try; all of it at once.

import { describe, expect, it } from 'vitest';
import { assemble } from '../../src/assembler/assemble.ts';
import { AssemblerError } from '../../src/assembler/problem.ts';
import { files, hexOf, image, problemOf, problemsOf } from './assembling.ts';

describe('an assembler error', () => {
  it('names file, line, text, reason and hint of every problem, in one message', async () => {
    const source = '  nop\n  mvo %eax, %ebx   # typo\n  jmp lopo\nloop: movb $300, %al\n';
    await expect(image(source)).rejects.toThrow(AssemblerError);
    await expect(image(source)).rejects.toThrow(
      [
        'test.s:2: unknown instruction "mvo", or one that does not take these operands',
        '    mvo %eax, %ebx   # typo',
        '  hint: AT&T order is source, destination; check the operand sizes against the suffix',
        'test.s:4: the immediate 0x12c does not fit in 8 bits',
        '    loop: movb $300, %al',
        '  hint: check the operand size in the mnemonic',
      ].join('\n'),
    );
  });

  it('finds all undefined symbols at once, and suggests what may have been meant', async () => {
    const problems = await problemsOf(
      'tick_handler: jmp tick_handlr\nmovl $count, %eax\n.quad nowhere\nlea 1f(%rip), %rax',
    );
    expect(problems.map(({ line, message, hint }) => `${line}: ${message} (${hint})`)).toEqual([
      '1: undefined symbol tick_handlr (did you mean tick_handler?)',
      '2: undefined symbol count (define it as a label, with .equ, or .include the file that does)',
      '3: undefined symbol nowhere (define it as a label, with .equ, or .include the file that does)',
      '4: there is no label 1: behind this line (1b looks backward)',
    ]);
  });

  it('shows the way through includes and macros to the statement', async () => {
    const read = files({
      'asm/io.s': '.macro put byte\n  movb \\byte, %al\n  outb %al, $PORT_0\n.endm\nput $1\n',
      'main.s': '',
    });
    const error = await assemble('nop\n.include "asm/io.s"\nput $999', { file: 'main.s', origin: 0, read }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(AssemblerError);
    expect((error as AssemblerError).message).toContain(
      'asm/io.s:2: the immediate 0x3e7 does not fit in 8 bits\n    movb $999, %al\n  from main.s:3: put $999\n  hint: ',
    );
  });

  it('calls an included file what its reader calls it, and looks for what that includes from there', async () => {
    const asked: string[] = [];
    const read = (path: string, from: string): { file: string; source: string } => {
      asked.push(`${path} from ${from}`);
      return { file: `lib/${path}`, source: path === 'a.s' ? '.include "b.s"' : 'nop\nbogus' };
    };
    const error = await assemble('.include "a.s"', { file: 'main.s', origin: 0, read }).catch(
      (thrown: unknown) => thrown,
    );
    expect(asked).toEqual(['a.s from main.s', 'b.s from lib/a.s']);
    expect((error as AssemblerError).problems[0]).toMatchObject({
      file: 'lib/b.s',
      line: 2,
      within: { file: 'lib/a.s', within: { file: 'main.s' } },
    });
  });

  it('limits how much it shows, not how much it knows', async () => {
    const error = await image('bogus\n'.repeat(50)).catch((thrown: unknown) => thrown);
    expect((error as AssemblerError).problems).toHaveLength(50);
    expect((error as AssemblerError).message).toMatch(/… and 30 more$/);
  });
});

describe('a wrong statement is refused by name', () => {
  // prettier-ignore
  it.each([
    ['',                                 '1: nothing to assemble'],
    ['  # only a comment\n',             '1: nothing to assemble'],
    ['label:',                           '1: nothing to assemble'],
    ['.frobnicate 1',                    '1: unknown directive .frobnicate'],
    ['mov eax, ebx',                     '1: eax is a symbol here'],
    ['mov rax, 1',                       '1: rax is a symbol here'],
    ['movl %eax',                        '1: invalid operands for "movl"'],
    ['movl %eax %ebx',                   '1: unexpected %ebx'],
    ['movl $1, %exa',                    '1: there is no register %exa'],
    ['movl (%rax, %ebx), %ecx',          '1: invalid operands for "movl"'],
    ['movl (%al), %ecx',                 '1: %al cannot be the base of an address'],
    ['movl (%rax,%rsp), %ecx',           '1: %rsp cannot be an index'],
    ['movl (%rax,%rcx,3), %ecx',         '1: the scale must be 1, 2, 4 or 8'],
    ['movl 8(%rip,%rcx), %ecx',          '1: a RIP-relative address has no index'],
    ['mov $1, (%rax)',                   '1: invalid operands for "mov"'],
    ['jmp %rax',                         '1: jmp through a register or memory needs an asterisk'],
    ['data16 jmp x\nx: nop',             '1: data16 before a direct jmp'],
    ['lock call x\nx: nop',              '1: lock before a direct call'],
    ['jmp (%rax)',                       '1: jmp through a register or memory needs an asterisk'],
    ['lock nop',                         '1: "nop" does not exist with these operands or prefixes in 64-bit mode'],
    ['lock movl %eax, (%rbx)',           '1: "movl" does not exist with these operands or prefixes in 64-bit mode'],
    ['rep rep movsb',                    '1: two prefixes of the same kind on one instruction'],
    ['lock $1, %eax',                    '1: "$1," is neither a label, a directive nor an instruction'],
    ['constructor',                      '1: unknown instruction "constructor", or one that does not take these operands'],
    ['rep addl $1, %eax',                '1: rep means nothing before addl'],
    ['notrack nop',                      '1: notrack means nothing before nop'],
    ['str %r8, %ss',                     '1: unknown instruction "str", or one that does not take these operands'],
    ['movl $1, %rax',                    '1: the operands do not fit "movl"'],
    ['movb %ds, %eax',                   '1: movb does not fit its operands'],
    ['mov %xmm1, (%rax)',                '1: mov does not move vector registers'],
    ['.code32\ndivq (%eax)',             '2: the encoder turned this into "divl (%eax)"'],
    ['.code32\nmovsq',                   '2: the encoder turned this into "movsl %ds:(%esi),%es:(%edi)"'],
    ['stos',                             '1: the size of stos is not said'],
    ['rep movs %ds:(%rsi), %es:(%rdi)',  '1: the size of movs is not said'],
    ['lodsb 8(%rax)',                    '1: lodsb addresses memory through %rsi and %rdi only'],
    ['x: nop\nx: nop',                   '2: x is already defined'],
    ['x = 1\nx: nop',                    '2: x is already defined'],
    ['.equiv x, 1\n.equ x, 2\nnop',      '2: x is already defined'],
    ['nop\n.set x, x+1',                 '2: x is defined by itself'],
    ['jmp 1b',                           '1: there is no label 1: before this line'],
    ['.byte 256',                        '1: the value 0x100 does not fit in 8-bit field'],
    ['.byte -129',                       '1: the value -0x81 does not fit in 8-bit field'],
    ['.word 65536',                      '1: the value 0x10000 does not fit in 16-bit field'],
    ['.long 0x100000000',                '1: the value 0x100000000 does not fit in 32-bit field'],
    ['.quad 0x10000000000000000',        '1: 0x10000000000000000 needs more than 64 bits'],
    ['.byte 1 +',                        '1: expected a value, found the end of the statement'],
    ['.byte (1',                         '1: expected ")", found the end of the statement'],
    ['.byte 1/0',                        '1: division by zero'],
    ['.byte 09',                         '1: 09 is not an octal number'],
    ['.byte 12ab',                       '1: 12ab is not a number'],
    ['.ascii "open',                     '1: this string has no end'],
    ['nop\n/* open\nnop',                '2: this comment has no end'],
    ['.ascii "\\q"',                     '1: unknown escape \\q'],
    ['.asciz hello',                     '1: expected a string'],
    ['.align 3\nnop',                    '1: an alignment of 3 is not a power of two'],
    ['nop\nnop\n.org 1\nnop',            '3: .org moves back by 1 bytes'],
    ['nop\n.fill 0-1',                   '2: the repeat count is -1'],
    ['.skip 1 << 40',                    '1: section .text would exceed 64 MiB'],
    ['.bss\n.skip 5 << 30',              '2: section .bss would exceed 4096 MiB'],
    ['.bss\n.fill 3, 1, 5',              '2: .bss cannot hold contents'],
    ['.section .weird\nnop',             '1: section .weird has no place in the image'],
    ['.bss\n.long 1',                    '2: .bss cannot hold contents'],
    ['.popsection\nnop',                 '1: .popsection without .pushsection'],
    ['.include "missing.s"',             '1: cannot read missing.s'],
    ['.include missing.s',               '1: expected a file name'],
    ['.rept 2\nnop',                     '1: .rept has no .endr'],
    ['.macro m\nnop',                    '1: .macro has no .endm'],
    ['.if 1\nnop',                       '1: .if has no .endif'],
    ['nop\n.endif',                      '2: .endif without its beginning'],
    ['a: .skip (b - a) & 1\nnop\nb: nop', '1: the addresses never settle'],
    ['.rept later\nnop\n.endr\nlater = 2', '1: the count of .rept must be known here, and later has no value yet'],
    ['.macro m a\nnop\n.endm\nm 1, 2',   '4: macro m takes 1 arguments, and this is number 2'],
    ['.macro m a:req\nnop\n.endm\nm',    '4: macro m needs its argument a'],
    ['.macro m\nm\n.endm\nm',            '2: nested more than 100 deep'],
    ['.macro m\n.endm\n.macro m\n.endm\nnop', '3: macro m is already defined'],
    ['.rept 1 << 30\nnop\n.endr',        '1: the count of .rept is 1073741824'],
    ['.intel_syntax noprefix\nnop',      '1: only AT&T syntax is supported'],
    ['.error "not on this machine"',     '1: not on this machine'],
    ['movq sym@GOTPCREL(%rip), %rax\nsym: nop', '1: sym@GOTPCREL needs a dynamic linker'],
    ['loop far\n.skip 200\nfar: nop',    '1: the target of loop is 200 bytes away, out of its reach'],
    ['movl \\value, %eax',               '1: unexpected character "\\\\"'],
    ['ljmp $8, $0x1000',                 '1: ljmp $selector, $offset does not exist in 64-bit mode'],
    ['.code32\nmovl (%rip), %eax',       '2: RIP-relative addresses exist in 64-bit mode only'],
    ['.code16\njrcxz .',                 '2: jrcxz does not exist in 16-bit mode'],
  ])('%j', async (source, problem) => {
    expect(await problemOf(source)).toBe(problem);
  });

  it('refuses a 32-bit field for an address that does not fit, at its own line', async () => {
    const error = await image('nop\nmovl $x, (%rax)\npushq $x\nx: hlt', 0x1_8000_0000).catch(
      (thrown: unknown) => thrown,
    );
    expect((error as AssemblerError).problems.map(({ line, message }) => `${line}: ${message}`)).toEqual([
      '2: the value 0x18000000c does not fit in 32-bit field',
      '3: the value 0x18000000c does not fit in a signed 32-bit field',
    ]);
  });

  it('refuses an origin that is no physical address', async () => {
    await expect(hexOf('nop', 2 ** 52)).rejects.toThrow(RangeError);
    await expect(hexOf('nop', -1)).rejects.toThrow(RangeError);
  });
});

describe('what looks wrong and is not', () => {
  // prettier-ignore
  it.each([
    ['movb $\'#\', %al # comment',           'b023'],
    ['movb $\';\', %al; nop',                'b03b90'],
    ['.ascii "# // /* ; \\" x"; nop',        '23202f2f202f2a203b2022207890'],
    ['nop // comment ; hlt',                 '90'],
    ['nop /* one */ ; /* two\n three */ hlt', '90f4'],
    ['a: b: 1: nop',                         '90'],
    ['.byte 0x10, 010, 10, 0b10',            '10080a02'],
    ['.byte -1, ~0, 0xff, -128',             'ffffff80'],
    ['.ascii "é\\x41\\101"',                 'c3a94141'],
    ['NOP; MOVL $1, %EAX',                   '90b801000000'],
    ['lock; incl (%rax)',                    'f0ff00'],
    ['x = 5\n.byte x\nx = 6\n.byte x',       '0506'],
    ['.quad .\n.long . - 0x100000',          '0000100000000000' + '08000000'],
    ['.byte 1f - .\n1: .byte 1b - 0x100000', '0101'],
    ['movl $0xfee000b0, %eax',               'b8b000e0fe'],
    ['movl 0xfee000b0, %eax',                'a1b000e0fe00000000'],
    ['addl $0xffffffff, %eax',               '83c0ff'],
    ['andl $~(1 << 31), %eax',               '25ffffff7f'],
  ])('%j', async (source, bytes) => {
    expect(await hexOf(source)).toBe(bytes);
  });
});
