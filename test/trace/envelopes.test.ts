// Lines as ftrace, trace-cmd and perf script print them: who, on which CPU, in which context, when.

import { describe, expect, it } from 'vitest';
import { ENVELOPES, type TraceFormat } from '../../src/trace/envelopes.ts';
import { eventLines, type EventLineOptions, type TracedHost, type TracedTask } from '../../src/trace/eventLines.ts';
import { Probes } from '../../src/trace/probes.ts';
import { cyclesToNanoseconds, secondsAndMicros } from '../../src/trace/virtualTime.ts';

const TASKS: TracedTask[] = [{ name: 'vCPU 0' }, { name: 'a-thread-with-a-long-name' }];
const idle: TracedHost['thisCpu'] = {
  id: 0,
  thread: null,
  interruptsEnabled: true,
  preemptCount: 0,
  hardirq: null,
};

/** The lines that a host in this state prints for one EOI of vCPU 0 and one IPI. */
function printed(thisCpu: Partial<TracedHost['thisCpu']>, options: EventLineOptions, cycles = 0): string[] {
  const probes = new Probes();
  const lines: string[] = [];
  const host: TracedHost = { tscKhz: 2_500_000, threads: TASKS, thisCpu: { ...idle, ...thisCpu } };
  probes.subscribe(eventLines(host, options, (line) => lines.push(line)));
  probes.fire('kvm_eoi', { apicId: 0, vector: 236 }, cycles);
  probes.fire('kvm_apic_accept_irq', { apicId: 0, deliveryMode: 0, triggerLevel: false, vector: 236 }, cycles);
  return lines;
}

const eoi = (format: TraceFormat, thisCpu: Partial<TracedHost['thisCpu']>, cycles = 0): string =>
  printed(thisCpu, { format, names: ['kvm_eoi'] }, cycles)[0]!;

const RUNNING = { id: 5, thread: TASKS[0]! };
/** 22018.775584 seconds. */
const LATE = 22_018_775_584 * 2500;

describe('a line', () => {
  it.each<[TraceFormat, string]>([
    ['ftrace', '          vCPU 0-1000    [005] ..... 22018.775584: kvm_eoi: apicid 0 vector 236'],
    ['trace-cmd', '          vCPU 0-1000  [005] 22018.775584: kvm_eoi:              apicid 0 vector 236'],
    ['perf', '          vCPU 0    1000 [005] 22018.775584: kvm:kvm_eoi: apicid 0 vector 236'],
  ])('of %s', (format, line) => {
    expect(eoi(format, RUNNING, LATE)).toBe(line);
  });

  it('says when the CPU was idle, as each tool does', () => {
    expect(eoi('ftrace', {})).toMatch(/^ +<idle>-0 +\[000\] \.{5} +0\.000000: kvm_eoi: /);
    expect(eoi('trace-cmd', {})).toMatch(/^ +<idle>-0 +\[000\] +0\.000000: kvm_eoi: /);
    expect(eoi('perf', {})).toMatch(/^ +swapper +0 \[000\] +0\.000000: kvm:kvm_eoi: /);
  });

  it('has the flags of the context: interrupts off, hard interrupt, preemption count', () => {
    const flags = (thisCpu: Partial<TracedHost['thisCpu']>): string => /\] (\S+)/.exec(eoi('ftrace', thisCpu))![1]!;
    expect(flags({ interruptsEnabled: false })).toBe('d....');
    expect(flags({ interruptsEnabled: false, hardirq: {} })).toBe('d.h..');
    expect(flags({ preemptCount: 2 })).toBe('...2.');
  });

  it('numbers threads in the order in which they were started, and cuts their names as Linux does', () => {
    expect(eoi('ftrace', { thread: TASKS[1]! })).toMatch(/^ a-thread-with-a-1001 /);
  });
});

describe('lines', () => {
  it.each(Object.keys(ENVELOPES) as TraceFormat[])('of %s have their payloads in the order of events', (format) => {
    const [first, second] = printed(RUNNING, { format });
    expect(first).toMatch(/apicid 0 vector 236$/);
    expect(second).toMatch(/apicid 0 vec 236 \(Fixed\|edge\)$/);
  });

  it('of perf have one column for the names, as wide as the longest that was chosen', () => {
    const [first, second] = printed(RUNNING, { format: 'perf', names: ['kvm_eoi', 'kvm_apic_accept_irq'] });
    expect(first!.indexOf(': apicid')).toBe(second!.indexOf(': apicid'));
    expect(second).toContain('0.000000: kvm:kvm_apic_accept_irq: ');
  });

  it('are those of the thread that was chosen', () => {
    const [vcpu, other] = TASKS;
    expect(printed({ thread: vcpu! }, { format: 'perf', task: vcpu! })).toHaveLength(2);
    expect(printed({ thread: other! }, { format: 'perf', task: vcpu! })).toEqual([]);
    expect(printed({}, { format: 'perf', task: vcpu! })).toEqual([]);
  });
});

describe('virtual time', () => {
  it('is exact for years of it, and never shows a time that is still to come', () => {
    expect(secondsAndMicros(2499, 2_500_000)).toBe('0.000000');
    expect(secondsAndMicros(2500, 2_500_000)).toBe('0.000001');
    expect(secondsAndMicros(2_500_000_000 - 1, 2_500_000)).toBe('0.999999');
    expect(secondsAndMicros(Number.MAX_SAFE_INTEGER, 1_000_000)).toBe('9007199.254740');
    expect(cyclesToNanoseconds(7, 3_000_000)).toBe(2);
    expect(cyclesToNanoseconds(1e15 + 1, 2_000_000)).toBe(5e14);
  });
});
