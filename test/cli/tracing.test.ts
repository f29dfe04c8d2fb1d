// `trapline trace --format`: the lines of tracing tools, chosen by event and vCPU; and what docs/tracing.md shows of them.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { namesOf, recordEvents, bootGuest } from '../../src/testing/index.ts';
import { ROOT, Trapline } from './trapline.ts';

const trapline = new Trapline();
afterAll(() => trapline.remove());

const linesOf = (text: string): string[] => text.trimEnd().split('\n');

describe('trace --format', () => {
  it('prints KVM’s events in the form of the tool, and the console to standard error', async () => {
    const { status, out, err } = await trapline.run('trace', 'guests/tick.s', '--format', 'ftrace');
    expect(status).toBe(0);
    expect(err).toContain('10 ticks of 100000 cycles');
    for (const line of linesOf(out)) {
      expect(line).toMatch(/^ +vCPU 0-1000 {4}\[000\] [d.]\.\.[1.]\. +\d+\.\d{6}: kvm_[a-z_]+: \S/);
    }
    expect(out).not.toContain('exit_handled');
  });

  it('keeps to the tracepoints of --event, with or without their group', async () => {
    const { out } = await trapline.run(
      ...['trace', 'guests/tick.s', '--format', 'perf', '--event', 'kvm_inj_virq', '--event', 'kvm:kvm_eoi'],
    );
    const names = linesOf(out).map((line) => /kvm:(\w+): /.exec(line)![1]!);
    expect([...new Set(names)].sort()).toEqual(['kvm_eoi', 'kvm_inj_virq']);
  });

  it('keeps to the thread of --vcpu, and stops at --limit', async () => {
    const { out, err } = await trapline.run(
      ...['trace', 'guests/ipi.s', '--format', 'trace-cmd', '--vcpu', '1', '--limit', '20'],
    );
    expect(linesOf(out)).toHaveLength(20);
    for (const line of linesOf(out)) expect(line).toMatch(/^ +vCPU 1-1001 {2}\[001\] /);
    expect(err).toMatch(/^trapline: \d+ more events$/m);
  });

  it('--vcpu chooses explained exits too', async () => {
    const { out } = await trapline.run('trace', 'guests/ipi.s', '--vcpu', '1');
    expect(
      linesOf(out)
        .slice(1)
        .every((line) => line.startsWith('   1  ')),
    ).toBe(true);
  });

  it('prints the same twice', async () => {
    const once = await trapline.run('trace', 'guests/ipi.s', '--format', 'ftrace');
    expect(await trapline.run('trace', 'guests/ipi.s', '--format', 'ftrace')).toEqual(once);
  });
});

describe('docs/tracing.md', () => {
  const text = readFileSync(join(ROOT, 'docs', 'tracing.md'), 'utf8');
  /** Times follow from the cost model: any may stand there. */
  const timeless = (line: string): string =>
    line.replace(/ +\d+\.\d{6}:/, ' TIME:').replace(/time \d+ ns/, 'time N ns').replace(/6e0 = 0x[\da-f]+/, '6e0 = TSC'); // prettier-ignore

  it.each([
    ['ftrace', 'kvm_vcpu_wakeup', []],
    ['trace-cmd', 'kvm_eoi:   ', ['kvm_msr', 'kvm_eoi', 'kvm_inj_virq']],
    ['perf', 'kvm:kvm_eoi:', ['kvm_msr', 'kvm_eoi', 'kvm_inj_virq']],
  ])('shows lines that --format %s prints, times aside', async (format, containing, events) => {
    const blocks = [...text.matchAll(/^```\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
    const shown = linesOf(blocks.find((block) => block.includes(containing))!).map(timeless);
    const chosen = events.flatMap((name) => ['--event', name]);
    const { out } = await trapline.run('trace', 'guests/tick.s', '--format', format, ...chosen);
    expect(linesOf(out).map(timeless).join('\n')).toContain(shown.join('\n'));
  });

  it('shows what lazy prints, numbers and states aside', async () => {
    const shape = (shown: string): string =>
      shown.replace(/\d+/g, 'N').replace(/armed$|extended$/gm, 'STATE').replace(/ +/g, ' '); // prettier-ignore
    const [, shown] = /^npx trapline lazy .*\n([\s\S]*?)^```$/m.exec(text)!;
    const { out } = await trapline.run(...'lazy guests/lazy.s --feature lazy-tscdeadline --at 21M'.split(' '));
    expect(shape(out)).toBe(shape(shown!));
  });

  it('has commands that run', async () => {
    for (const [, line] of text.matchAll(/^npx trapline (.*)$/gm)) {
      expect((await trapline.run(...line!.split(' '))).status, line).toBe(0);
    }
  });

  it('has a test that passes', async () => {
    const vm = await bootGuest('guests/tick.s');
    const events = recordEvents(vm);
    vm.run();
    expect(namesOf(events.exit('HLT'))).toContain('kvm_vcpu_wakeup');
  });
});
