// Records what happens to a machine as KVM's tracepoints, for tests of event sequences: names, and payloads as they print.

import { renderEvents } from '../trace/eventLines.ts';
import type { Tracepoint } from '../trace/tracepoints.ts';
import type { Machine } from '../vmm/machine.ts';

export interface RecordOptions {
  /** Only these tracepoints; default: all. */
  readonly names?: readonly Tracepoint[];
  /** Only what the thread of this vCPU does; default: all. */
  readonly vcpu?: number;
}

export class RecordedEvents {
  /** `kvm_msr: msr_write 6e0 = 0x1000`, in order. */
  readonly lines: string[] = [];
  /** Ends the recording. */
  readonly stop: () => void;

  constructor(machine: Machine, { names, vcpu }: RecordOptions) {
    const task = vcpu === undefined ? undefined : machine.vm.vcpus[vcpu]?.thread;
    const render = renderEvents(machine.host, (event) => {
      if (task !== undefined && event.task !== task) return;
      if (names === undefined || names.includes(event.name)) this.lines.push(`${event.name}: ${event.payload}`);
    });
    this.stop = machine.probes.subscribe(render);
  }

  /**
   * The events from the first line that matches `from` to the next that matches `to`, both included. Throws when there are
   * none, with what was recorded instead.
   */
  between(from: string | RegExp, to: string | RegExp): string[] {
    const first = this.lines.findIndex((line) => matches(line, from));
    const length = first < 0 ? -1 : this.lines.slice(first + 1).findIndex((line) => matches(line, to));
    if (length < 0) {
      const missing = first < 0 ? from : to;
      throw new Error(`no event matches ${String(missing)}; recorded were:\n${this.lines.join('\n')}`);
    }
    return this.lines.slice(first, first + 2 + length);
  }

  /** One exit: from the kvm_exit that matches to the next entry. */
  exit(reason: string | RegExp): string[] {
    return this.between(
      typeof reason === 'string' ? new RegExp(`^kvm_exit: .* reason ${reason} `) : reason,
      /^kvm_entry:/,
    );
  }
}

const matches = (line: string, wanted: string | RegExp): boolean =>
  typeof wanted === 'string' ? line.includes(wanted) : wanted.test(line);

/** The names of recorded lines. */
export const namesOf = (lines: readonly string[]): string[] => lines.map((line) => line.slice(0, line.indexOf(':')));

/** Records the events of a machine from now on. */
export const recordEvents = (machine: Machine, options: RecordOptions = {}): RecordedEvents =>
  new RecordedEvents(machine, options);
