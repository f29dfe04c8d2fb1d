// The matchers, and the five lines by which somebody tests a clock of their own.

import { describe, expect, it } from 'vitest';
import { bootGuest, runGuest } from '../../src/testing/index.ts';

const POWER_OFF = 'movw $0x604, %dx\n movw $0x2000, %ax\n outw %ax, %dx\n';

describe('the example of docs/testing.md', () => {
  it('a lazy clock writes the deadline MSR for few of its deadlines', async () => {
    const vm = await runGuest('guests/lazy.s', { features: ['lazy-tscdeadline'] });
    expect(vm).toEndWith('power-off');
    expect(vm).toPrint('lazy tscdeadline on: 2000 requests, * cycles each');
    expect(vm).toWriteMsr('tsc-deadline', { most: 100 });
  });
});

describe('matchers', () => {
  it('say what a guest printed, by text, line pattern and expression', async () => {
    const vm = await runGuest(`movb $0x48, %al\n outb %al, $0xe9\n movb $0x69, %al\n outb %al, $0xe9\n ${POWER_OFF}`);
    expect(vm).toPrint('Hi');
    expect(vm).toPrint('H*');
    expect(vm).toPrint(/^Hi$/);
    expect(vm).not.toPrint('Ho');
    expect(() => expect(vm).toPrint('Ho')).toThrow('expected the guest to print Ho; it printed:\nHi');
  });

  it('say how a guest ended, by kind and by status', async () => {
    const vm = await runGuest('movl $3, %eax\n outl %eax, $0xf4\n');
    expect(vm).toEndWith('debug-exit');
    expect(vm).toEndWith(7);
    expect(() => expect(vm).toEndWith('power-off')).toThrow('it ended with debug-exit, status 7');
  });

  it('tell an endless guest from one that ended', async () => {
    const vm = await runGuest('1: jmp 1b\n', { maxCycles: 10_000 });
    expect(vm).toEndWith('budget');
    expect(() => expect(vm).toEndWith('power-off')).toThrow('it has not ended: it was stopped, or never run');
  });

  it('count exits and writes of MSRs', async () => {
    const vm = await runGuest(
      `movl $0x6e0, %ecx\n xorl %eax, %eax\n xorl %edx, %edx\n wrmsr\n wrmsr\n xorl %eax, %eax\n cpuid\n ${POWER_OFF}`,
    );
    expect(vm).toExit('CPUID', 1);
    expect(vm).toExit('MSR_WRITE');
    expect(vm).not.toExit('HLT');
    expect(vm).toExit('HLT', 0);
    expect(vm).toWriteMsr('MSR_TSC_DEADLINE', 2);
    expect(vm).toWriteMsr('tsc-deadline', { least: 2, most: 2 });
    expect(vm).toWriteMsr('apic-icr', { most: 0 });
    expect(() => expect(vm).toExit('CPUID', 2)).toThrow(/expected the guest to exit with CPUID 2 times; it was 1/);
  });

  it('refuse what is no machine and no exit reason', async () => {
    const vm = await bootGuest('nop\n hlt\n');
    expect(() => expect('vm').toPrint('x')).toThrow('toPrint is asked of a Machine');
    expect(() => expect(vm).toExit('NONSENSE' as 'HLT')).toThrow('there is no exit reason NONSENSE');
  });
});

describe('bootGuest', () => {
  it('takes a source with its directives, which options replace', async () => {
    const source = '# vcpus: 3\n# memory: 8M\n 1: jmp 1b\n';
    expect((await bootGuest(source)).vm.vcpus).toHaveLength(3);
    expect((await bootGuest(source)).memory).toBe(8 * 2 ** 20);
    expect((await bootGuest(source, { vcpus: 1 })).vm.vcpus).toHaveLength(1);
  });

  it('finds the files that guests include', async () => {
    const vm = await runGuest('.include "asm/start.s"\n .text\n .globl _start\n_start: jmp power_off\n');
    expect(vm).toEndWith('power-off');
  });
});
