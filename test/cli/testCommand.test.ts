// `trapline test`: what passes, what fails, what is skipped, and with which exit status.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Trapline } from './trapline.ts';

const trapline = new Trapline();
afterAll(() => trapline.remove());

const OK =
  '# expect: hi\n.include "asm/start.s"\n.include "asm/console.s"\n.globl _start\n_start: leaq t(%rip), %rdi\ncall console_puts\nmovl $0x604, %edx\nmovl $0x2000, %eax\noutw %ax, %dx\nt: .asciz "hi\\n"\n';
/** Flat binaries, so that no directives judge them: `report TEXT, then debug exit`. */
function reporting(text: string, value: number): Uint8Array {
  const code: number[] = [0xba, 0xf8, 0x03, 0, 0]; // movl $0x3f8, %edx
  for (const char of text) code.push(0xb0, char.charCodeAt(0), 0xee); // movb $char, %al; outb %al, %dx
  code.push(0xb8, value, 0, 0, 0, 0xe7, 0xf4); // movl $value, %eax; outl %eax, $0xf4
  return Uint8Array.from(code);
}
const SPIN = Uint8Array.of(0xeb, 0xfe);

const tap = async (...args: string[]) => {
  const { status, out, err } = await trapline.run('test', '--jobs', '1', ...args);
  return { status, err, lines: out.split('\n').filter((line) => /^(not )?ok |^1\.\.|^# \d/.test(line)), out };
};

describe('trapline test', () => {
  it('judges a source by its directives, a case for each', async () => {
    const good = trapline.file('good.s', OK);
    const bad = trapline.file('bad.s', OK.replace('expect: hi', 'expect: ho'));
    const { status, lines, out } = await tap(good, bad, 'guests/lazy.s');
    expect(status).toBe(1);
    expect(lines).toEqual([
      '1..4',
      'ok 1 - good',
      'not ok 2 - bad',
      'ok 3 - lazy/on',
      'ok 4 - lazy/off',
      '# 3 ok, 1 not ok, 0 skipped; 0 checks',
    ]);
    expect(out).toContain(`    - "line 1 of the console: expected 'ho', found 'hi'"`);
  });

  it('--swap is what the host keeps of a guest', async () => {
    const good = trapline.file('good.s', OK);
    expect((await tap(good, '--swap', '64k')).lines).toContain('ok 1 - good');
    const { lines, out } = await tap(good, '--swap', '1k');
    expect(lines).toContain('not ok 1 - good');
    expect(out).toContain('at least one page');
    expect(await tap(good, '--swap', 'some')).toMatchObject({ status: 2 });
  });

  it('judges an image by its exit status and by the checks that it printed', async () => {
    const files = [
      trapline.file('pass.bin', reporting('PASS: a\nPASS: b\n', 0)),
      trapline.file('fail.bin', reporting('PASS: a\nFAIL: b\n', 1)),
      trapline.file('lies.bin', reporting('FAIL: b\n', 0)),
      trapline.file('skip.bin', reporting('SKIP: no VMX\n', 38)),
      trapline.file('abort.bin', reporting('PASS: a\n', 63)),
    ];
    const { status, lines, out } = await tap(...files);
    expect(status).toBe(1);
    expect(lines.slice(1)).toEqual([
      'ok 1 - pass.bin (2 checks)',
      'not ok 2 - fail.bin (1 of 2 checks failed)',
      'not ok 3 - lies.bin (1 of 1 check failed)',
      'ok 4 - skip.bin (1 check) # SKIP no VMX',
      'not ok 5 - abort.bin (1 check)',
      '# 1 ok, 3 not ok, 1 skipped; 7 checks',
    ]);
    expect(out).toContain('    - "ended with exit status 127, not 1"');
  });

  it('takes another status as success', async () => {
    const file = trapline.file('os.bin', reporting('', 0x10));
    expect((await tap(file)).status).toBe(1);
    expect((await tap(file, '--success', '33')).status).toBe(0);
  });

  it('fails a guest that crashes, hangs, or cannot be loaded, with the reason, and runs the others', async () => {
    const crash = trapline.file('crash.bin', Uint8Array.of(0x0f, 0x0b));
    const spin = trapline.file('spin.bin', SPIN);
    const broken = trapline.file('broken.bin', 'not a guest, but text {{{');
    const good = trapline.file('good2.bin', reporting('', 0));
    const { status, lines, out } = await tap(crash, spin, broken, good, '--timeout', '1');
    expect(status).toBe(1);
    expect(lines.slice(1, 5).map((line) => line.split(' - ')[0])).toEqual(['not ok 1', 'not ok 2', 'not ok 3', 'ok 4']);
    expect(out).toContain('triple fault on vCPU 0');
    expect(out).toContain('still running after 1 s of host time');
  });

  it.each([
    [[], 'trapline test wants a unittests.cfg, images or sources'],
    [['guests/hello.s', '--format', 'xml'], "--format knows tap and junit, not 'xml'"],
    [['guests/hello.s', '--only', 'hallo'], 'there is no case hallo in guests/hello.s'],
    [['guests/hello.s', '--cpu', 'pentium'], "there is no processor model 'pentium'"],
    [['guests/hello.s', '--jobs', '0'], '--jobs takes a whole number from 1 to 256'],
  ])('%j is a mistake', async (args, message) => {
    const { status, err } = await trapline.run('test', ...args);
    expect(err).toContain(message);
    expect(status).toBe(2);
  });

  it('refuses a configuration that it cannot read, with the line', async () => {
    const cfg = trapline.file('broken.cfg', '[a]\nfile = a.flat\nsmpp = 2\n');
    const { status, err } = await trapline.run('test', cfg);
    expect(err).toContain("broken.cfg:3: there is no key 'smpp'");
    expect(status).toBe(4);
  });
});

describe('a configuration', () => {
  const folder = join(trapline.folder, 'x86');
  const cfg = join('x86', 'unittests.cfg');
  beforeAll(() => {
    mkdirSync(folder);
    trapline.file('x86/pass.flat', reporting('PASS: a\n', 0));
    trapline.file(
      cfg,
      `[one]\nfile = pass.flat\ngroups = quick\n
[two]\nfile = pass.flat\nsmp = 1\nqemu_params = -cpu max,+vmx -m 32 -device edu\n
[never]\nfile = pass.flat\ngroups = nodefault slow\n
[old]\nfile = pass.flat\narch = i386\n
[pmu]\nfile = pass.flat\ncheck = /sys/module/kvm/parameters/enable_pmu=Y\n
[gone]\nfile = gone.flat\n`,
    );
  });
  const path = join(trapline.folder, cfg);

  it('is a case for each section; what is not for this machine is skipped, an image that is missing fails', async () => {
    const { status, lines, out } = await tap(path);
    expect(status).toBe(1);
    expect(lines).toEqual([
      '1..6',
      'ok 1 - one (1 check)',
      'ok 2 - two (1 check)',
      'ok 3 - never # SKIP not run unless it is named (nodefault)',
      'ok 4 - old # SKIP i386 only',
      'ok 5 - pmu # SKIP /sys/module/kvm/parameters/enable_pmu is not Y',
      'not ok 6 - gone',
      '# 2 ok, 1 not ok, 3 skipped; 2 checks',
    ]);
    expect(out).toContain('# two: no meaning here: -device edu');
    expect(out).toContain('# two: -cpu max,+vmx: vmx: trapline does not execute it');
    expect(out).toContain('there is no such file');
  });

  it('is narrowed by names and by groups, which bring back what is not run by default', async () => {
    expect((await tap(path, '--only', 'one,never')).lines.slice(1, 3)).toEqual(['ok 1 - one (1 check)', 'ok 2 - never (1 check)']); // prettier-ignore
    const { lines } = await tap(path, '--group', 'slow');
    expect(lines.filter((line) => !line.includes('# SKIP'))).toEqual(['1..6', 'ok 3 - never (1 check)', '# 1 ok, 0 not ok, 5 skipped; 1 checks']); // prettier-ignore
  });

  it('runs on threads as it does on one, in the order of the file', async () => {
    await trapline.build();
    const threads = trapline.shell(`trapline test ${path} --jobs 3`);
    const one = trapline.shell(`trapline test ${path} --jobs 1`);
    expect(threads.status).toBe(1);
    expect(threads.out).toBe(one.out);
    expect(threads.err).toBe('');
  });

  it('is JUnit for a CI system', async () => {
    const { status, out } = await trapline.run('test', path, '--jobs', '1', '--only', 'one,old', '--format', 'junit');
    expect(status).toBe(0);
    expect(out).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n<testsuites name="trapline">\n/);
    expect(out).toContain('<testsuite name="one" tests="1" failures="0" errors="0" skipped="0"');
    expect(out).toContain('<skipped message="i386 only"/>');
  });
});
