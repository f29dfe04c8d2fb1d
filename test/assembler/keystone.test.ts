// Every known fault of the encoder: what keystone 0.9.2 does when it is asked directly, and what trapline gives instead. The
// first column is a check too: when keystone changes, the entry has outlived its reason.

import { Const, Keystone, loadKeystone } from 'keystone-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { Encoder } from '../../src/assembler/encoder.ts';
import { hexOf, image, problemOf } from './assembling.ts';

let engine: Keystone;
beforeAll(async () => {
  // The first to load it decides where it prints: that is the assembler.
  await Encoder.load();
  await loadKeystone();
  engine = new Keystone(Const.KS_ARCH_X86, Const.KS_MODE_64);
  engine.setOption(Const.KS_OPT_SYNTAX, Const.KS_OPT_SYNTAX_ATT);
});

/** What keystone answers by itself: bytes, '' for silence, or null for an error. */
function alone(source: string): string | null {
  try {
    return Buffer.from(engine.asm(source, { address: 0x1000 })).toString('hex');
  } catch {
    return null;
  }
}

describe('numbers mean what they say', () => {
  // prettier-ignore
  it.each([
    ['push $10',           '6a10',               '6a0a'],
    ['.long 10',           '10000000',           '0a000000'],
    ['.byte 255',          null,                 'ff'],
    ['.fill 20',           '00'.repeat(32),      '00'.repeat(20)],
    ['.rept 10\nnop\n.endr', '90'.repeat(16),    '90'.repeat(10)],
    ['nop\n.align 16',     '90' + '90'.repeat(21), '9066662e0f1f8400000000000f1f4000'],
  ])('%j', async (source, keystone, ours) => {
    if (!source.includes('.align')) expect(alone(source)).toBe(keystone);
    else expect(alone(source)).not.toBe(ours);
    expect(await hexOf(source)).toBe(ours);
  });
});

describe('nothing is dropped in silence', () => {
  it.each([
    ['nop\naddq $0x123456789,%rax\nnop', '', '2: the immediate 0x123456789 does not fit in 32 bits, sign-extended'],
    ['testq $0x80000000,%rax', '', '1: the immediate 0x80000000 does not fit in 32 bits, sign-extended'],
    ['cmp $,1\nhlt\nhlt', 'f4f4', '1: expected a value, found ","'],
    ['aaa', '', '1: the operands do not fit "aaa"'],
    ['arpl %ax,%bx', '', '1: the operands do not fit "arpl"'],
    ['pushl %eax', '', '1: the operands do not fit "pushl"'],
  ])('%j', async (source, keystone, problem) => {
    expect(alone(source)).toBe(keystone);
    expect(await problemOf(source)).toBe(problem);
  });

  it('selects a section that keystone answers with silence', async () => {
    expect(alone('.section .text\nnop')).toBe('');
    expect(await hexOf('.section .text\nnop')).toBe('90');
  });
});

describe('addresses are absolute where the source says so', () => {
  // prettier-ignore
  it.each([
    ['movq %gs:0x60,%rax',   '65488b0560000000', '65488b042560000000'],
    ['movl %gs:4,%eax',      '658b05fcefffff',   '658b042504000000'],
    ['movl 0x1000,%eax',     '8b05faffffff',     '8b042500100000'],
    ['jmp *0x2000',          'ff25fa0f0000',     'ff242500200000'],
    ['addq $1,%gs:0x10',     '654883050700000001', '654883042510000000' + '01'],
  ])('%j', async (source, keystone, ours) => {
    expect(alone(source)).not.toBe(ours);
    if (keystone !== null) expect(alone(source)).toMatch(/^(65)?(48)?(8b05|8305|83|ff25)/);
    expect(await hexOf(source)).toBe(ours);
  });

  it('refuses a 32-bit address that would be sign-extended, and says what to write', async () => {
    expect(alone('movl $0,0xfee000b0')).toBe('c70425b000e0fe00000000');
    expect(await problemOf('movl $0,0xfee000b0')).toBe(
      '1: the address 0xfee000b0 does not fit in a signed 32-bit displacement',
    );
    await expect(hexOf('movl $0,0xfee000b0')).rejects.toThrow(/sign-extended.*movl/);
  });

  it('takes a far address through the accumulator, as GNU as does', async () => {
    expect(await hexOf('movl %eax,0xfee000b0')).toBe('a3b000e0fe00000000');
  });

  it('refuses a displacement that would be cut off', async () => {
    expect(await problemOf('movq 0x12345678aabbccdd(%rax,%rbx,8),%rcx')).toBe(
      '1: the address 0x12345678aabbccdd does not fit in a signed 32-bit displacement',
    );
  });

  it('refuses a jump beyond ±2 GiB', async () => {
    expect(await problemOf('jmp 0x700000000')).toMatch(/^1: the target of jmp is \d+ bytes away, out of its reach$/);
  });
});

describe('nonsense is refused', () => {
  it.each([
    ['pop %rip', '1: %rip is no operand by itself'],
    ['jmp *%rip', '1: %rip is no operand by itself'],
    ['mov %rip,%rax', '1: %rip is no operand by itself'],
    ['into', '1: "into" does not exist with these operands or prefixes in 64-bit mode'],
    ['movb $0x1ff,%al', '1: the immediate 0x1ff does not fit in 8 bits'],
    ['movw $0x1ffff,%ax', '1: the immediate 0x1ffff does not fit in 16 bits'],
    ['push $0xffffffff', '1: the immediate 0xffffffff does not fit in 32 bits, sign-extended'],
    ['movb (%r8),%ah', '1: Cannot encode high byte register in REX-prefixed instruction'],
    ['ljmpq *(%rax)', '1: GNU as has no ljmpq'],
    ['vmovups 0x40(%rsi),%zmm1', '1: %zmm1 belongs to AVX-512, which is not supported'],
  ])('%j', async (source, problem) => {
    expect(await problemOf(source)).toBe(problem);
  });

  it('survives the exit(1) inside keystone', async () => {
    await expect(hexOf('movb (%r8),%ah')).rejects.toThrow('high byte register');
    expect(await hexOf('movb (%rax),%ah')).toBe('8a20');
  });
});

describe('what keystone encodes otherwise is encoded as GNU as does', () => {
  // prettier-ignore
  it.each([
    ['nopl (%rax)',                '0f1820',       '0f1f00'],
    ['nopw 0x0(%rax,%rax,1)',      '660f182400',   '660f1f0400'],
    ['int $3',                     'cd03',         'cc'],
    ['xchg %rax,%rax',             '4890',         '90'],
    ['mov $1,%rax',                '48b80100000000000000', '48c7c001000000'],
    ['movw %ax,%ds',               '668ed8',       '8ed8'],
    ['str %rax',                   '480f00c8',     '0f00c8'],
  ])('%j', async (source, keystone, ours) => {
    expect(alone(source)).toBe(keystone);
    expect(await hexOf(source)).toBe(ours);
  });

  it.each([
    ['lretq', '48cb'],
    ['iretq', '48cf'],
    ['ljmp *(%rax)', 'ff28'],
    ['rex.w ljmp *(%rax)', '48ff28'],
    ['mov $0xffffffff,%rax', '48b8ffffffff00000000'],
    ['mov $-1,%rax', '48c7c0ffffffff'],
  ])('%j', async (source, ours) => expect(await hexOf(source)).toBe(ours));
});

describe('what keystone lacks is there', () => {
  // prettier-ignore
  it.each([
    ['1: jmp 1b',              'ebfe'],
    ['jmp 1f\nnop\n1:',        'eb0190'],
    ['.org 4\nnop',            '0000000090'],
    ['endbr64',                'f30f1efa'],
    ['umwait %ecx',            'f20faef1'],
    ['umonitor %rax',          'f30faef0'],
    ['umonitor %r9d',          '67f3410faef1'],
    ['tpause %edx',            '660faef2'],
    ['rdpid %rax',             'f30fc7f8'],
    ['serialize',              '0f01e8'],
    ['wbnoinvd',               'f30f09'],
    ['lar %ax,%eax',           '0f02c0'],
    ['lar %ax,%rax',           '480f02c0'],
    ['ud1 %eax,%ebx',          '0fb9d8'],
    ['movsxd %eax,%rbx',       '4863d8'],
    ['vmrun',                  '0f01d8'],
    ['vmload',                 '0f01da'],
    ['vmsave',                 '0f01db'],
    ['invlpga',                '0f01df'],
    ['notrack jmp *%rax',      '3effe0'],
    ['addr32 movl (%eax),%eax # address size is there already', ''],
  ])('%j', async (source, ours) => {
    expect(alone(source.replace(/ #.*/, ''))).not.toBe(ours);
    if (ours === '') expect(await problemOf(source)).toMatch(/two prefixes/);
    else expect(await hexOf(source)).toBe(ours);
  });
});

describe('size', () => {
  it('assembles a source far above the 64 KiB that keystone survives, with every line in the listing', async () => {
    const lines = Array.from({ length: 6_000 }, (_, i) => `movl $${i % 500}, ${(i % 50) * 4}(%rdi)   # line ${i}`);
    const source = lines.join('\n');
    expect(source.length).toBeGreaterThan((3 * 65_536) / 2);
    const { listing } = await image(source);
    expect(listing).toHaveLength(6_000);
    expect(Buffer.from(listing?.[256].bytes ?? []).toString('hex')).toBe('c747180001' + '0000');
  });

  it('takes a long instruction that keystone would die of, and says where the limit of an expression is', async () => {
    expect(await hexOf(`movl $(${'1+'.repeat(900)}1), %eax`)).toBe('b885030000');
    expect(await hexOf(`movl ${' '.repeat(100_000)} $1, %eax`)).toBe('b801000000');
    expect(await problemOf(`movl $(${'1+'.repeat(40_000)}1), %eax`)).toBe(
      '1: an expression of more than 1000 operators',
    );
    expect(await problemOf(`movl $${'('.repeat(40_000)}1, %eax`)).toBe('1: an expression of more than 1000 operators');
  });
});
