// Turns probes into lines as tracing tools print them: each event with its payload, and the task, CPU and time that it
// happened in. Events are chosen by name and by vCPU.

import { ENVELOPES, IDLE_PID, type EventContext, type TraceFormat } from './envelopes.ts';
import type { ProbeEvents, ProbeName } from './probes.ts';
import { isTracepoint, payload, TRACEPOINTS, type Tracepoint } from './tracepoints.ts';
import { secondsAndMicros } from './virtualTime.ts';

/** A thread of the traced host. */
export interface TracedTask {
  readonly name: string;
}

/** What a line says of the host: a Host is one. */
export interface TracedHost {
  readonly tscKhz: number;
  readonly threads: readonly TracedTask[];
  /** The CPU whose code is running when a probe fires. */
  readonly thisCpu: {
    readonly id: number;
    /** null: idle. */
    readonly thread: TracedTask | null;
    readonly interruptsEnabled: boolean;
    readonly preemptCount: number;
    readonly hardirq: unknown;
  };
}

/** One event, rendered. */
export interface TracedEvent {
  readonly name: Tracepoint;
  readonly payload: string;
  readonly context: EventContext;
  /** The thread that was running; null: the CPU was idle. */
  readonly task: TracedTask | null;
}

/** The first thread's number; the others follow in the order in which they were started. */
const FIRST_PID = 1000;
/** TASK_COMM_LEN without its zero: what is longer is cut. */
const COMM_LENGTH = 15;

/** A probe sink that renders each tracepoint. */
export function renderEvents(host: TracedHost, emit: (event: TracedEvent) => void) {
  return <N extends ProbeName>(name: N, event: ProbeEvents[N], time: number): void => {
    if (!isTracepoint(name)) return;
    emit({
      name,
      payload: payload(name, event as ProbeEvents[typeof name], host.tscKhz),
      context: contextOf(host, time),
      task: host.thisCpu.thread,
    });
  };
}

function contextOf({ thisCpu, threads, tscKhz }: TracedHost, cycles: number): EventContext {
  const { thread } = thisCpu;
  return {
    comm: thread?.name.slice(0, COMM_LENGTH) ?? '<idle>',
    pid: thread === null ? IDLE_PID : FIRST_PID + threads.indexOf(thread),
    cpu: thisCpu.id,
    irqsOff: !thisCpu.interruptsEnabled,
    hardirq: thisCpu.hardirq !== null,
    preemptCount: thisCpu.preemptCount,
    time: secondsAndMicros(cycles, tscKhz),
  };
}

export interface EventLineOptions {
  readonly format: TraceFormat;
  /** Only these; default: all. */
  readonly names?: readonly Tracepoint[];
  /** Only what this thread does. */
  readonly task?: TracedTask;
}

/** A probe sink that emits a line for each event that is asked for. */
export function eventLines(host: TracedHost, options: EventLineOptions, emit: (line: string) => void) {
  const wanted = new Set<Tracepoint>(options.names ?? TRACEPOINTS);
  const nameWidth = Math.max(...[...wanted].map((name) => name.length));
  const line = ENVELOPES[options.format];
  const render = renderEvents(host, ({ name, payload: text, context }) => emit(line(name, text, context, nameWidth)));
  return <N extends ProbeName>(name: N, event: ProbeEvents[N], time: number): void => {
    if (!isTracepoint(name) || !wanted.has(name)) return;
    if (options.task !== undefined && host.thisCpu.thread !== options.task) return;
    render(name, event, time);
  };
}
