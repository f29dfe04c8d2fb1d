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

/** `count` 32-bit numbers at a symbol of the guest, whose addresses are physical ones. */
export function samplesOf(machine: Machine, symbol: string, count: number): Uint32Array {
  return words(machine, symbol, addressOf(machine, symbol), count);
}

/** The same of a per-CPU variable, on one vCPU. */
export function samplesOfVcpu(machine: Machine, vcpu: number, symbol: string, count: number): Uint32Array {
  return words(machine, symbol, addressOf(machine, symbol) + vcpu * PERCPU_SIZE, count);
}

/** Tells a guest that has not started a number, in the 8 bytes at a symbol. */
export function tell(machine: Machine, symbol: string, value: number): void {
  if (!machine.vm.memory.writeU64(addressOf(machine, symbol), BigInt(value)))
    throw new Error(`the guest's ${symbol} is not in its memory`);
}

function addressOf({ image }: Machine, symbol: string): number {
  const found = image.symbols.find(symbol);
  if (found === null) throw new Error(`the guest has no symbol ${symbol}`);
  return Number(found.address);
}

function words({ vm }: Machine, symbol: string, address: number, count: number): Uint32Array {
  const bytes = vm.memory.read(address, BYTES * count);
  if (!bytes) throw new Error(`the guest has no array ${symbol} of ${count} samples in its memory`);
  return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
}
