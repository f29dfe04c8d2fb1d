// Prints exit statistics in the shape of `perf kvm stat report` (Linux tools/perf/builtin-kvm.c), and MSR writes as the lazy
// TSC deadline series does. Times are modelled: cycles of the host's nominal rate, shown in microseconds.

import type { ExitStatistics } from './exitStatistics.ts';
import { exitReasons, symbolic } from './symbols.ts';

export interface ReportOptions {
  /** Nominal TSC rate of the host. */
  readonly tscKhz: number;
}

const NAME_WIDTH = 20;

/** The exit report. `time` is that of all events, as perf takes its percentages. */
export function perfReport(statistics: ExitStatistics, { tscKhz }: ReportOptions): string {
  const micros = (cycles: number): number => (cycles * 1000) / tscKhz;
  const rows = [...statistics.byReason].sort(([, a], [, b]) => b.count - a.count);
  const samples = rows.reduce((sum, [, t]) => sum + t.count, 0);
  const total = rows.reduce((sum, [, t]) => sum + t.total, 0);
  const percent = (part: number, whole: number): string => `${(whole === 0 ? 0 : (100 * part) / whole).toFixed(2)}%`;
  const lines = rows.map(([reason, t]) =>
    [
      symbolic(exitReasons(statistics.isa), reason).padStart(NAME_WIDTH),
      String(t.count).padStart(10),
      percent(t.count, samples).padStart(9),
      percent(t.total, total).padStart(9),
      `${micros(t.min).toFixed(2)}us`.padStart(11),
      `${micros(t.max).toFixed(2)}us`.padStart(11),
      `${micros(t.mean).toFixed(2)}us ( +-${t.relativeError.toFixed(2).padStart(7)}% )`.padStart(26),
    ].join(' '),
  );
  const head = [
    'VM-EXIT'.padStart(NAME_WIDTH),
    'Samples'.padStart(10),
    'Samples%'.padStart(9),
    'Time%'.padStart(9),
    'Min Time'.padStart(11),
    'Max Time'.padStart(11),
    'Avg time'.padStart(16),
  ].join(' ');
  return [
    'Analyze events for all VMs, all VCPUs:',
    '',
    head,
    '',
    ...lines,
    '',
    `Total Samples:${samples}, Total events handled time:${micros(total).toFixed(2)}us (modelled).`,
    '',
  ].join('\n');
}

/** What the lazy TSC deadline series calls an MSR: `MSR_TSC_DEADLINE` is tsc-deadline, `X2APIC_ICR` is apic-icr. */
export const shortMsrName = (name: string): string =>
  name
    .replace(/^MSR_KVM_/, 'kvm-')
    .replace(/^MSR_/, '')
    .replace(/^X2APIC_/, 'apic-')
    .replaceAll('_', '-')
    .toLowerCase();

/** A share as the series prints it: rounded down to whole percents. */
export const wholePercent = (part: number, whole: number): string =>
  `${whole === 0 ? 0 : Math.floor((100 * part) / whole)}%`;

/** MSR writes that exited: a line for each MSR with its share, the sum first, as in the lazy TSC deadline series. */
export function msrReport(writes: ReadonlyMap<string, number>): string {
  const sum = [...writes.values()].reduce((a, b) => a + b, 0);
  if (sum === 0) return '';
  const rows = [...writes].sort(([, a], [, b]) => b - a);
  const line = (name: string, percent: string, count: number, own: string): string =>
    `${name.padStart(NAME_WIDTH)} ${percent.padStart(10)} ${String(count).padStart(9)}  ${own}`.trimEnd();
  return [
    `${'MSR-Write'.padStart(NAME_WIDTH)} ${'Share'.padStart(10)} ${'Exits'.padStart(9)}`,
    '',
    line('sum', '', sum, ''),
    ...rows.map(([name, count]) => line(shortMsrName(name), wholePercent(count, sum), count, name)),
    '',
  ].join('\n');
}
