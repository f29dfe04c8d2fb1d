// What `trapline trace` takes to choose between its own lines and those of tracing tools, and which events and vCPUs.

import type { EventLineOptions } from '../trace/eventLines.ts';
import { ENVELOPES, isTraceFormat } from '../trace/envelopes.ts';
import { isTracepoint, TRACEPOINTS, type Tracepoint } from '../trace/tracepoints.ts';
import type { Machine } from '../vmm/machine.ts';
import { UsageError, type Arguments, type Option } from './command.ts';

const FORMATS = Object.keys(ENVELOPES).join(', ');

export const EVENT_OPTIONS: readonly Option[] = [
  {
    name: 'format',
    value: 'NAME',
    help: `KVM's tracepoints instead of explained exits, as a tool prints them: ${FORMATS}`,
  },
  { name: 'event', value: 'NAME', multiple: true, help: 'only this tracepoint, with --format; may be repeated' },
  { name: 'vcpu', value: 'N', help: "only what vCPU N's thread does" },
];

const MOST_VCPU = 63;

/** The vCPU that --vcpu asks for; undefined: all. Throws UsageError. */
export function chosenVcpu(args: Arguments, machine: Machine): number | undefined {
  const vcpu = args.number('vcpu', 0, MOST_VCPU);
  const { length } = machine.vm.vcpus;
  if (vcpu !== undefined && vcpu >= length)
    throw new UsageError(`there is no vCPU ${vcpu}: the machine has ${length}, counted from 0`);
  return vcpu;
}

/** How events are to be printed; null: exits are explained instead. Throws UsageError. */
export function eventOptions(args: Arguments): Pick<EventLineOptions, 'format' | 'names'> | null {
  const format = args.text('format');
  const names = args.texts('event').map(tracepoint);
  if (format === undefined) {
    if (names.length > 0) throw new UsageError(`--event chooses tracepoints: give --format too (${FORMATS})`);
    return null;
  }
  if (!isTraceFormat(format)) throw new UsageError(`--format knows ${FORMATS}, not '${format}'`);
  if (args.given('json')) throw new UsageError('--json prints explained exits: leave out --format');
  return names.length === 0 ? { format } : { format, names };
}

function tracepoint(name: string): Tracepoint {
  // perf writes the group in front.
  const bare = name.replace(/^kvm:/, '');
  if (isTracepoint(bare)) return bare;
  throw new UsageError(`there is no tracepoint '${name}'; --event knows ${TRACEPOINTS.join(', ')}`);
}
