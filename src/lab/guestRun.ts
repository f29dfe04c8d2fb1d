// A guest of an experiment: run to its end, and the samples that it leaves in its memory.

import type { Machine } from '../vmm/machine.ts';
import { exitStatus, type RunResult } from '../vmm/result.ts';
import type { VcpuReport } from '../vmm/vcpuReport.ts';

const BYTES = 4;
/** No experiment's guest runs for so long, in cycles: half a minute of the guest's time. */
const PATIENCE = 75_000_000_000;

/** A guest did not end by switching its machine off, so that there is nothing to compare. Says where each thread stands. */
export class GuestStopped extends Error {
  readonly status: number;

  constructor(guest: string, machine: Machine, result: RunResult) {
    super(
      [
        `the experiment's guest ${guest} did not come to its end: ${reasonOf(result)}`,
        ...threadLines(machine, result),
        ...(machine.console.text === '' ? [] : [`It had printed:\n${machine.console.text.trimEnd()}`]),
      ].join('\n'),
    );
    this.name = 'GuestStopped';
    this.status = exitStatus(result);
  }
}

/** Runs the guest; throws GuestStopped when it does not end by switching the machine off. */
export function runToPowerOff(machine: Machine, guest: string): void {
  const result = machine.run({ maxCycles: PATIENCE });
  if (result.kind !== 'power-off') throw new GuestStopped(guest, machine, result);
}

function reasonOf(result: RunResult): string {
  switch (result.kind) {
    case 'deadlock':
      return 'every thread waits, and nothing will ever wake one';
    case 'budget':
      return `it still runs after ${result.cycles} cycles`;
    case 'not-implemented':
      return `${result.what} (${result.hint})`;
    default:
      return result.kind;
  }
}

/** Where each vCPU stands, and what each other thread of the host waits for. */
function threadLines({ vm, host, image }: Machine, result: RunResult): string[] {
  const vcpus =
    'vcpus' in result ? result.vcpus : 'vcpu' in result && typeof result.vcpu === 'object' ? [result.vcpu] : [];
  const line = ({ vcpu, waitsFor, state, rip, tsc, interruptsEnabled }: VcpuReport): string =>
    `  ${waitsFor ?? `vCPU ${vcpu} is ${state}`}, interrupts ${interruptsEnabled ? 'on' : 'off'}, ` +
    `on CPU ${vm.vcpus[vcpu]!.cpu.id}, TSC ${tsc}, at ${image.symbols.format(rip)}`;
  const others = host.threads.filter(({ state, kernel }) => kernel && state !== 'finished');
  return [
    ...vcpus.map(line),
    ...others.map(
      ({ name, state, waitsFor, cpu }) =>
        `  ${name} on CPU ${cpu.id}: ${waitsFor === '' ? state : `waits for ${waitsFor}`}`,
    ),
  ];
}

/** `count` 32-bit numbers at a symbol of the guest, whose addresses are physical ones. */
export function samplesOf({ image, vm }: Machine, symbol: string, count: number): Uint32Array {
  const found = image.symbols.find(symbol);
  const bytes = found && vm.memory.read(Number(found.address), BYTES * count);
  if (!bytes) throw new Error(`the guest has no array ${symbol} of ${count} samples in its memory`);
  return new Uint32Array(bytes.buffer);
}
