import { describe, expect, it } from 'vitest';
import { brokenPromises, guestCases, type GuestCase } from '../../src/testing/guestCases.ts';
import { matchesLine, parseDirectives } from '../../src/testing/directives.ts';
import { runGuest } from '../../src/testing/index.ts';

describe('directives', () => {
  it('are read from the comments before the first statement; the rest is prose', () => {
    const source = [
      '# A guest. Note: this is prose, and so is "expect".',
      '#',
      '# vcpus: 2',
      '# memory: 1G',
      '# features: lazy-tscdeadline',
      '# max-cycles: 20M',
      '# expect: one: two',
      '# expect: three',
      '# expect-exit: triple-fault',
      '',
      '        nop',
      '# vcpus: 3',
    ];
    expect(parseDirectives(source.join('\n'))).toEqual({
      vcpus: 2,
      memory: 2 ** 30,
      features: ['lazy-tscdeadline'],
      maxCycles: 20_000_000,
      expect: ['one: two', 'three'],
      expectExit: 'triple-fault',
      cases: [],
    });
  });

  it('expect a power-off unless they say otherwise, and take exit statuses', () => {
    expect(parseDirectives('nop').expectExit).toBe('power-off');
    expect(parseDirectives('# expect-exit: 33').expectExit).toBe(33);
  });

  it('are C comments in C', () => {
    expect(parseDirectives('// vcpus: 4\nint main;').vcpus).toBe(4);
  });

  it('of a case replace those of the head, and add to what is expected', () => {
    const source =
      '# vcpus: 2\n# expect: a\n# case: on\n# features: lazy-tscdeadline\n# expect: b\n# case: off\n# vcpus: 1\n';
    expect(guestCases(source, 'guests/x.s')).toMatchObject([
      { name: 'x/on', directives: { vcpus: 2, features: ['lazy-tscdeadline'], expect: ['a', 'b'] } },
      { name: 'x/off', directives: { vcpus: 1, expect: ['a'] } },
    ]);
  });

  it.each([
    ['# vcpu: 2', "x.s:1: there is no directive 'vcpu' (boot, vcpus, memory,"],
    ['\n# memory: lots', "x.s:2: 'lots' is no quantity: write a number, with K, M, G behind it if need be"],
    ['# max-cycles: 0', "x.s:1: '0' is no quantity"],
    ['# vcpus: 2k', "x.s:1: '2k' is no quantity"],
    ['# features: warp', "x.s:1: there is no feature 'warp', only kvmclock, kvmclock-stable-bit"],
    ['# device: frob', "x.s:1: there is no device 'frob' to add, only msix-test"],
    [
      '# xen-route: pirq=pigeon',
      "x.s:1: events of 'pirq' come by hypervisor, eventfd, workqueue, userspace, not by 'pigeon'",
    ],
    [
      '# xen-route: disk=eventfd',
      "x.s:1: events of Xen come from ipi, timer, pirq, not from 'disk': write SOURCE=ROUTE",
    ],
    ['# expect-exit: happy', "x.s:1: 'happy' is no way to end"],
    ['# expect-exit: 256', "x.s:1: '256' is no way to end"],
    ['# case:', 'x.s:1: a case needs a name'],
  ])('%j is refused by line, with what would be right', (source, message) => {
    expect(() => parseDirectives(source, 'x.s')).toThrow(message);
  });

  it('match lines by their stars only', () => {
    expect(matchesLine('* cycles (+1)', '123 cycles (+1)')).toBe(true);
    expect(matchesLine('* cycles (+1)', '123 cycles (11)')).toBe(false);
    expect(matchesLine('a*c*', 'abc')).toBe(true);
    expect(matchesLine('abc', 'abcd')).toBe(false);
  });
});

describe('a broken promise', () => {
  const promise = (directives: Partial<GuestCase['directives']>): GuestCase => ({
    name: 'guest',
    directives: { expect: [], expectExit: 'power-off', ...directives },
  });
  const source = 'movb $0x48, %al\n outb %al, $0xe9\n movl $1, %eax\n outl %eax, $0xf4\n';

  it('is told by line and by end', async () => {
    const machine = await runGuest(source);
    const result = machine.result!;
    expect(brokenPromises(machine, result, promise({ expectExit: 3, expect: ['H'] }))).toEqual([]);
    expect(brokenPromises(machine, result, promise({ expect: ['I', 'J'] }))).toEqual([
      'expected the machine to end with power-off, and it ended with debug-exit, exit status 3',
      "line 1 of the console: expected 'I', found 'H'",
      "line 2 of the console: expected 'J', and nothing was printed",
    ]);
  });
});
