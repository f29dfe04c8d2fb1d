// What stands around a payload on a line, in the formats of three tools: ftrace's trace_pipe (kernel/trace/trace_output.c),
// `trace-cmd report` (libtraceevent) and `perf script` (tools/perf/builtin-script.c). Widths are those of their printf.

import type { Tracepoint } from './tracepoints.ts';

/** Who did it, where and when. */
export interface EventContext {
  /** The task's name and number; an idle CPU has its own. */
  readonly comm: string;
  readonly pid: number;
  readonly cpu: number;
  /** Whether the CPU had interrupts off, was in a hard interrupt, and its preemption count. */
  readonly irqsOff: boolean;
  readonly hardirq: boolean;
  readonly preemptCount: number;
  /** `seconds.microseconds`. */
  readonly time: string;
}

export type Envelope = (name: Tracepoint, payload: string, context: EventContext, nameWidth: number) => string;

const COMM = 16;
const SECONDS = 5;
const NAME = 20;
const MICROS = '.000000'.length;
/** Number of the idle task, which two of the tools name differently. */
export const IDLE_PID = 0;

const cpuOf = ({ cpu }: EventContext): string => `[${String(cpu).padStart(3, '0')}]`;
const timeOf = ({ time }: EventContext): string => time.padStart(SECONDS + MICROS);
const task = ({ comm, pid }: EventContext, pidWidth: number): string =>
  `${comm.padStart(COMM)}-${String(pid).padEnd(pidWidth)}`;

/** irqs-off, need-resched, hardirq or softirq, preempt-depth, migrate-disable; nothing here is ever the second or last. */
const flags = ({ irqsOff, hardirq, preemptCount }: EventContext): string =>
  `${irqsOff ? 'd' : '.'}.${hardirq ? 'h' : '.'}${preemptCount === 0 ? '.' : (preemptCount & 0xf).toString(16)}.`;

const ftrace: Envelope = (name, payload, context) =>
  `${task(context, 7)} ${cpuOf(context)} ${flags(context)} ${timeOf(context)}: ${name}: ${payload}`;

const traceCmd: Envelope = (name, payload, context) =>
  `${task(context, 5)} ${cpuOf(context)} ${timeOf(context)}: ${`${name}: `.padEnd(NAME + 2)}${payload}`;

/** perf puts all names of a recording in one column, as wide as the longest: `nameWidth`, without the group. */
const perf: Envelope = (name, payload, context, nameWidth) => {
  const comm = context.pid === IDLE_PID ? 'swapper' : context.comm;
  const event = `kvm:${name}`.padStart('kvm:'.length + nameWidth);
  return `${comm.padStart(COMM)} ${String(context.pid).padStart(7)} ${cpuOf(context)} ${timeOf(context)}: ${event}: ${payload}`;
};

/** By the names users write. */
export const ENVELOPES = { ftrace, 'trace-cmd': traceCmd, perf } as const satisfies Readonly<Record<string, Envelope>>;
export type TraceFormat = keyof typeof ENVELOPES;
export const isTraceFormat = (name: string): name is TraceFormat => Object.hasOwn(ENVELOPES, name);
