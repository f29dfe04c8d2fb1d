// A guest of an experiment: what it is told before it starts, its run to the end, and what it leaves in its memory.

import type { Machine } from '../vmm/machine.ts';
import { exitStatus, type RunResult } from '../vmm/result.ts';
import type { VcpuReport } from '../vmm/vcpuReport.ts';

const BYTES = 4;
/** No experiment's guest runs for so long, in cycles: half a minute of the guest's time. */
const PATIENCE = 75_000_000_000;
/** PERCPU_SIZE of asm/percpu.s. */
const PERCPU_SIZE = 256;

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

/** `count` 32-bit numbers at a symbol of the guest, whose addresses are physical ones; of a per-CPU variable, on vCPU `vcpu`. */
export function samplesOf(machine: Machine, symbol: string, count: number, vcpu = 0): Uint32Array {
  const address = addressOf(machine, symbol);
  const bytes = address === null ? null : machine.vm.memory.read(address + vcpu * PERCPU_SIZE, BYTES * count);
  if (bytes === null) throw new Error(`the guest has no array ${symbol} of ${count} samples in its memory`);
  return new Uint32Array(bytes.buffer);
}

/** The number in the 8 bytes at a symbol. */
export const told = (machine: Machine, symbol: string): number => watched(machine, symbol)();

/** What reads the number in the 8 bytes at a symbol, again and again. */
export function watched(machine: Machine, symbol: string): () => number {
  const address = addressOf(machine, symbol);
  return () => {
    const value = address === null ? null : machine.vm.memory.readU64(address);
    if (value === null) throw new Error(`the guest has no number ${symbol} in its memory`);
    return Number(value);
  };
}

/** Tells a guest that has not started a number, in the 8 bytes at a symbol. */
export function tell(machine: Machine, symbol: string, value: number): void {
  const address = addressOf(machine, symbol);
  if (address === null || !machine.vm.memory.writeU64(address, BigInt(value)))
    throw new Error(`the guest has no number ${symbol} in its memory`);
}

function addressOf({ image }: Machine, symbol: string): number | null {
  const found = image.symbols.find(symbol);
  return found === null ? null : Number(found.address);
}
