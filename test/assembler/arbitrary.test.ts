// Sources that nobody wrote: whatever the text is, it assembles or is refused by an AssemblerError that names a line of it;
// and random instructions that GNU as accepts too have GNU's bytes.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AssemblerError } from '../../src/assembler/problem.ts';
import { image, WITHOUT_GNU } from './assembling.ts';

async function assemblesOrRefuses(source: string): Promise<void> {
  try {
    await image(source);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(AssemblerError);
    const { problems } = thrown as AssemblerError;
    expect(problems.length).toBeGreaterThan(0);
    const lines = source.split(/\r\n|\n|\r/).length;
    for (const { file, line, message } of problems) {
      expect(file).toBe('test.s');
      expect(line).toBeGreaterThan(0);
      expect(line).toBeLessThanOrEqual(lines);
      expect(message).not.toBe('');
    }
  }
}

// prettier-ignore
const WORDS = [
  '.macro', '.endm', '.rept', '.endr', '.if', '.else', '.endif', '.irp', '.org', '.align', '.fill', '.skip', '.byte', '.quad', '.ascii', '.set', '.equ',
  '.section', '.data', '.bss', '.text', '.include', '.exitm', '.code16', '.code32', '.code64', '.popsection', '.pushsection', '.globl', '.comm', 'm', 'a', 'b',
  'a:', '1:', '1b', '1f', 'mov', 'movl', 'jmp', 'call', 'push', 'lock', 'rep', 'nop', 'int', '%rax', '%eax', '%gs:', '%rip', '(%rax)', '(%rip)', '$', '*', ',', '(',
  ')', '+', '-', '~', '<<', '/', '%', '=', '0', '1', '255', '0x7fffffff', '0xfee000b0', '"', '"text"', "'", "'a'", '#', '/*', '*/', '//', ';', '\\', '\\a', '\\@', '.', '@',
];

describe('any text', () => {
  it('of words that mean something', async () => {
    const source = fc.array(fc.tuple(fc.constantFrom(...WORDS), fc.constantFrom(' ', ' ', '', '\n')), {
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(source, (words) => assemblesOrRefuses(words.map((pair) => pair.join('')).join(''))),
      { numRuns: 1500 },
    );
  });

  it('of any characters', async () => {
    await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 80 }), assemblesOrRefuses), {
      numRuns: 500,
    });
  });

  it('that looks like an instruction', async () => {
    const operand = fc.constantFrom(
      '%rax',
      '%cl',
      '%ds',
      '%xmm1',
      '%cr0',
      '%st',
      '$1',
      '$-129',
      '$x',
      '(%rbx)',
      '8(%rip)',
      'x',
      '*%rax',
      '%gs:0',
    );
    const statement = fc.tuple(fc.stringMatching(/^[a-z][a-z0-9]{0,7}$/), fc.array(operand, { maxLength: 3 }));
    await fc.assert(
      fc.asyncProperty(statement, ([mnemonic, operands]) =>
        assemblesOrRefuses(`x: ${mnemonic} ${operands.join(', ')}`),
      ),
      { numRuns: 1500 },
    );
  });
});

// prettier-ignore
const MNEMONICS = (
  'mov movb movw movl movq movabs movzbl movzwl movsbl movslq movzwq lea leal leaq add addb addw addl addq or orq adc sbb and andl sub subq xor cmp cmpb cmpw cmpl cmpq ' +
  'test testb testl testq inc incl dec not notq neg mul imul imulq div shl shlb shlq sar shr rol ror rcl shld shrd bt btsq btr bsf bsr tzcnt popcnt bswap xchg xadd ' +
  'cmpxchg cmpxchg8b push pushq pushw pop popq call jmp ret retq lretq iretq int in out outb movsb movsq stosl lodsb scasb cmpsb insb outsl lgdt lidt sgdt ltr str ' +
  'sldt lmsw smsw verr lar lsl invlpg invpcid rdmsr wrmsr cpuid hlt nop nopl sti swapgs syscall sysretq rdfsbase wrgsbase xsave fxsave clflush prefetchw rdrand rdpid movbe ' +
  'crc32 crc32l sete cmove cmovl cltq cqto cwtl enter leave pushfq ud2 int3 vmread vmptrld fldl fnstcw movaps movdqu movd movq paddd pshufd vmovdqu vpaddd andn bextr shlx ljmp lgs'
).split(' ');
// prettier-ignore
const VALUES = ['0', '1', '-1', '3', '127', '128', '-128', '-129', '255', '256', '0x7fff', '0xffff', '0x10000', '0x7fffffff', '0x80000000', '0xffffffff', '-0x80000000', 'x', 'x+4', 'five', 'later'];
// prettier-ignore
const REGISTERS = ['al', 'cl', 'ah', 'sil', 'r9b', 'ax', 'dx', 'r9w', 'eax', 'ecx', 'esp', 'r13d', 'rax', 'rcx', 'rsp', 'rbp', 'r12', 'r13', 'ds', 'fs', 'cr0', 'cr8', 'dr7', 'xmm1', 'ymm9'];
// prettier-ignore
const ADDRESSES = ['(%rax)', '(%rsp)', '(%rbp)', '(%r12)', '(%r13)', '(%rip)', '(%rax,%rcx,4)', '(%r13,%r12,1)', '(,%rcx,8)', '(%eax)', '(%ebp,%ecx,2)', ''];
const SEGMENT_PREFIXES = ['', '', '', '', '%gs:', '%fs:', '%ds:', '%ss:', '%es:'];

/** GNU as's bytes for each statement at its own place, or null where it refuses one. */
function gnuLines(head: string, statements: readonly string[], tail: string): (string | null)[] {
  const directory = mkdtempSync(join(tmpdir(), 'trapline-lines-'));
  try {
    const at = (name: string): string => join(directory, name);
    const kept: (string | null)[] = [...statements];
    for (;;) {
      // Every statement begins at a multiple of 32, so that one that is refused moves no other.
      const lines = kept.map((statement, i) => `.org ${32 * (i + 1)}; ${statement ?? ''}`);
      writeFileSync(at('a.s'), `${head}\n${lines.join('\n')}\n${tail}\n`);
      const { stderr } = spawnSync('as', ['-o', at('a.o'), at('a.s')], { encoding: 'utf8' });
      const refused = [...stderr.matchAll(/a\.s:(\d+): Error/g)].map(([, line]) => Number(line) - 2);
      if (refused.length === 0) break;
      for (const index of refused) kept[index] = null;
    }
    execFileSync(
      'ld',
      ['--noinhibit-exec', '--no-warnings', '-Ttext=0x100000', '-e', '0', '-o', at('a.elf'), at('a.o')],
      { stdio: 'ignore' },
    );
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', at('a.elf'), at('a.bin')]);
    const bytes = readFileSync(at('a.bin'));
    return kept.map((statement, i) =>
      statement === null ? null : bytes.toString('hex', 32 * (i + 1), 32 * (i + 2)).padEnd(64, '0'),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe.skipIf(WITHOUT_GNU !== null)(
  `random instructions${WITHOUT_GNU === null ? '' : ` (skipped: ${WITHOUT_GNU})`}`,
  () => {
    it('have the bytes that GNU as gives them', async () => {
      const value = fc.constantFrom(...VALUES);
      const memory = fc
        .tuple(fc.constantFrom(...SEGMENT_PREFIXES), value, fc.boolean(), fc.constantFrom(...ADDRESSES))
        .map(
          ([segment, displacement, hasIt, address]) =>
            `${segment}${hasIt || address === '' ? displacement : ''}${address}`,
        );
      const place = fc.oneof(
        fc.constantFrom(...REGISTERS).map((name) => `%${name}`),
        memory,
      );
      const first = fc.oneof(
        value.map((number) => `$${number}`),
        place,
      );
      const operands = fc.oneof(
        fc.constant([]),
        fc.tuple(first),
        fc.tuple(first, place),
        fc.tuple(first, place),
        fc.tuple(first, place, place),
      );
      const statement = fc.tuple(
        fc.constantFrom('', '', '', '', 'lock ', 'rep ', 'data16 '),
        fc.constantFrom(...MNEMONICS),
        operands,
      );
      // Jumps and calls here are indirect: direct ones depend on where they stand.
      const written = statement.map(
        ([prefix, mnemonic, list]) =>
          `${prefix}${mnemonic} ${/^(jmp|call|ljmp)/.test(mnemonic) ? '*' : ''}${list.join(', ')}`,
      );
      const statements = [...new Set(fc.sample(written, { numRuns: 6000, seed: 20_26 }))];

      const head = '.equ five, 5; x: .quad 0';
      const tail = '.equ later, 6';
      const theirs = gnuLines(head, statements, tail);
      const different: string[] = [];
      let compared = 0;
      for (const [index, source] of statements.entries()) {
        if (theirs[index] === null) continue;
        try {
          const { segments } = await image(`${head}\n.org ${32 * (index + 1)}; ${source}\n${tail}`);
          const ours = Buffer.from(segments[0].bytes.subarray(32 * (index + 1)))
            .toString('hex')
            .padEnd(64, '0');
          compared++;
          if (ours !== theirs[index]) different.push(`${source}: GNU as ${theirs[index]}, trapline ${ours}`);
        } catch (thrown) {
          // Refusing what GNU as guesses or cuts off is allowed; giving other bytes is not.
          expect(thrown).toBeInstanceOf(AssemblerError);
        }
      }
      expect(different).toEqual([]);
      expect(compared).toBeGreaterThan(150);
    });
  },
);
