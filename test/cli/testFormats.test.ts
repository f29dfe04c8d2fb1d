// What `trapline test` reads and writes: kvm-unit-tests' configuration, QEMU's options, TAP and JUnit.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { junit } from '../../src/cli/test/junit.ts';
import { qemuCpu } from '../../src/cli/test/qemuCpu.ts';
import { parseQemuParams } from '../../src/cli/test/qemuParams.ts';
import { shellWords } from '../../src/cli/test/shellWords.ts';
import { tapLines } from '../../src/cli/test/tap.ts';
import { checksOf, type TestResult } from '../../src/cli/test/testCase.ts';
import { parseUnittestsCfg } from '../../src/cli/test/unittestsCfg.ts';
import { ImageError } from '../../src/vmm/image.ts';

const CFG = `
# a comment
[x2apic]
file = apic.flat
smp = 2
qemu_params = -cpu qemu64,+x2apic,+tsc-deadline
timeout = 30

[svm]
file = svm.flat
test_args = "-pause_filter_test -other"
qemu_params = """-cpu max \\
  -m 4g
"""
`;

describe('a configuration of kvm-unit-tests', () => {
  it('is sections with values, in order, values of several lines joined', () => {
    const sections = parseUnittestsCfg(CFG, 'unittests.cfg');
    expect(sections.map(({ name, line }) => [name, line])).toEqual([['x2apic', 3], ['svm', 9]]); // prettier-ignore
    expect(sections[0]!.values.get('qemu_params')).toBe('-cpu qemu64,+x2apic,+tsc-deadline');
    expect(sections[1]!.values.get('qemu_params')!.split(/\s+/)).toEqual(['-cpu', 'max', '-m', '4g']);
  });

  it.each([
    ['file = a.flat', "unittests.cfg:1: 'file' stands before the first section"],
    ['[a]\nfile a.flat', "unittests.cfg:2: 'file a.flat' is neither [name] nor key = value"],
    ['[a]\nfiel = a.flat', "unittests.cfg:2: there is no key 'fiel'"],
    ['[a]\n[b]\n[a]', 'unittests.cfg:3: there is a section [a] already'],
    ['[a]\nqemu_params = """\n-m 1', "unittests.cfg:2: the value of 'qemu_params' has no end"],
  ])('is refused with its line: %j', (text, message) => {
    expect(() => parseUnittestsCfg(text, 'unittests.cfg')).toThrow(new RegExp(message.replace(/[[\]()]/g, '\\$&')));
  });

  it('is read to its end or refused, whatever it is', () => {
    const pieces = fc.constantFrom(
      '[a]',
      '[b',
      'file = x',
      'smp=',
      '"""',
      'test_args = """',
      '\\',
      '=',
      '\n',
      '#',
      ' ',
    );
    fc.assert(
      fc.property(fc.array(pieces), (parts) => {
        try {
          parseUnittestsCfg(parts.join(''), 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(ImageError);
        }
      }),
    );
  });
});

describe('words of a shell', () => {
  it.each([
    [`'cpuid'`, ['cpuid']],
    ['tscdeadline', ['tscdeadline']],
    ['"10000000 `date +%s`"', ['10000000 1234']],
    ['a$(date +%s) "b \\" c" d\\ e', ['a1234', 'b " c', 'd e']],
    [`'a b'c ""`, ['a bc', '']],
    ['', []],
  ])('%j', (line, words) => {
    expect(shellWords(line, 1234)).toEqual(words);
  });
});

describe('QEMU’s options', () => {
  it('are taken as far as they mean something here, and the others are named', () => {
    const words = '-cpu max,+vmx -m 2048 -overcommit cpu-pm=on -enable-kvm -machine pit=off -device edu --smp 3'.split(
      ' ',
    );
    expect(parseQemuParams(words)).toEqual({
      cpu: 'max,+vmx',
      memory: 2 ** 31,
      hltInGuest: true,
      vcpus: 3,
      notes: ['-machine pit=off', '-device edu'],
    });
  });

  it.each([
    ['-m 4g', { memory: 2 ** 32, notes: [] }],
    ['-m much', { notes: ['-m much'] }],
    ['-m', { notes: ['-m'] }],
    ['-smp 2,cores=2', { notes: ['-smp 2,cores=2'] }],
  ])('%s', (text, asked) => {
    expect(parseQemuParams(text.split(' '))).toEqual(asked);
  });

  it('name processor models, of which some stand for others', () => {
    expect(qemuCpu('host,migratable=no,hv_passthrough').refused).toEqual([]);
    expect(qemuCpu('max,+vmx').refused).toEqual(['vmx: trapline does not execute it']);
    expect(qemuCpu('Penryn,-x2apic').refused).toEqual(['Penryn: no such model here, max in its place']);
    expect(qemuCpu('Penryn,-x2apic').model.features).not.toContain('X2APIC');
  });
});

const RESULT: TestResult = {
  name: 'apic #1',
  file: 'x86/apic.flat',
  verdict: 'not ok',
  reasons: ['FAIL: nmi & <more>', 'ended with exit status 3, not 1'],
  checks: checksOf('PASS: apic: one\r\nnoise\nFAIL: nmi & <more>\nSKIP: none\nXFAIL: known\n PASS: not at the start\n'),
  notes: ['no meaning here: -device edu'],
  console: 'PASS: apic: one\r\nlast\x07 line\n',
  virtualSeconds: 0.25,
  seconds: 1.5,
};

describe('TAP', () => {
  it('has a point for each case, with what failed in a YAML block', () => {
    expect(tapLines(3, RESULT, { subtests: false })).toEqual([
      '# apic #1: no meaning here: -device edu',
      'not ok 3 - apic \\#1 (1 of 4 checks failed)',
      '  ---',
      '  file: "x86/apic.flat"',
      '  virtual-seconds: 0.250000',
      '  reasons:',
      '    - "FAIL: nmi & <more>"',
      '    - "ended with exit status 3, not 1"',
      '  console: |',
      '    PASS: apic: one',
      '    last\x07 line',
      '  ...',
    ]);
  });

  it('has the checks as a subtest where they are wanted', () => {
    expect(tapLines(3, RESULT, { subtests: true }).slice(1, 7)).toEqual([
      '# Subtest: apic #1',
      '    ok 1 - apic: one',
      '    not ok 2 - nmi & <more>',
      '    ok 3 - none # SKIP',
      '    not ok 4 - known # TODO XFAIL',
      '    1..4',
    ]);
  });

  it('says why a case was skipped', () => {
    const skipped: TestResult = {
      ...RESULT,
      name: 'vmx',
      verdict: 'skip',
      reasons: ['VMX is #2'],
      checks: [],
      notes: [],
    };
    expect(tapLines(1, skipped, { subtests: false })).toEqual(['ok 1 - vmx # SKIP VMX is \\#2']);
  });
});

describe('JUnit', () => {
  it('has a suite for each case and a testcase for each check, and one for what else failed', () => {
    const text = junit([RESULT]);
    expect(text).toContain('<testsuite name="apic #1" tests="5" failures="2" errors="0" skipped="1" time="1.500">');
    expect(text).toContain('<testcase classname="apic #1" name="apic: one"/>');
    expect(text).toContain('name="nmi &amp; &lt;more&gt;"><failure message="FAIL">FAIL</failure>');
    expect(text).toContain('<failure message="ended with exit status 3, not 1">');
    expect(text).toContain('<system-out>PASS: apic: one');
    // eslint-disable-next-line no-control-regex -- XML cannot hold it
    expect(text).not.toMatch(/\x07/);
  });

  it('has one testcase where the guest reported none', () => {
    const quiet = { ...RESULT, checks: [], reasons: [], verdict: 'ok' as const, console: '' };
    expect(junit([quiet])).toContain('tests="1" failures="0" errors="0" skipped="0"');
    expect(junit([{ ...quiet, verdict: 'not ok', reasons: ['hung'] }])).toContain(
      '<failure message="hung">hung</failure>',
    );
    expect(junit([{ ...quiet, verdict: 'skip', reasons: ['VMX'] }])).toContain('<skipped message="VMX"/>');
  });
});
