// npm run bench -- --vmexit FILE [SUB-TEST…]: kvm-unit-tests' vmexit image, sub-test by sub-test, on trapline and on QEMU (TCG): time of the
// host for one iteration. The image is built beside the project; nothing of it belongs here.
//
// Theory: a sub-test doubles its number of iterations until a round of them has taken 2^30 cycles. On QEMU, whose TSC is the
// host's, the cycles that it prints are time of the host. trapline's are virtual, so its rounds are timed from outside: the
// image's variable `iterations` changes when one begins. The last whole round within the time given counts. Both sides take turns, and
// the median of their turns is told: timings are noisy. 2^30 virtual cycles may be over in 50 ms, in which V8 still compiles, while
// QEMU has had half a second of the host or more: so a turn of trapline's runs the sub-test until it has had as long.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { loadGuest } from '../src/cli/load.ts';
import { Machine } from '../src/vmm/machine.ts';
import { qemuAvailable } from '../test/peers/qemu.ts';

// prettier-ignore
/** Those that need no device which one of both lacks. */
const SUB_TESTS = [
  'cpuid', 'vmcall', 'wbinvd', 'invd', 'mov_from_cr8', 'mov_to_cr8', 'inl_from_pmtimer', 'inl_from_qemu', 'inl_from_kernel', 'outl_to_kernel',
  'mov_dr', 'tscdeadline_immed', 'tscdeadline', 'self_ipi_sti_nop', 'self_ipi_sti_hlt', 'self_ipi_tpr', 'self_ipi_tpr_sti_nop',
  'self_ipi_tpr_sti_hlt', 'x2apic_self_ipi_sti_nop', 'x2apic_self_ipi_sti_hlt', 'x2apic_self_ipi_tpr', 'x2apic_self_ipi_tpr_sti_nop',
  'x2apic_self_ipi_tpr_sti_hlt', 'ipi', 'ipi_halt', 'ple_round_robin', 'wr_kernel_gs_base', 'wr_tsc_adjust_msr', 'rd_tsc_adjust_msr',
  'toggle_cr0_wp', 'toggle_cr4_pge',
] as const;
const MS = 1e6;
/** For each sub-test on trapline. */
const PATIENCE = 6000 * MS;
const FIRST_ROUND = 64;
/** The image's variable. */
const ITERATIONS = 'iterations';
const MEMORY = 128 * 2 ** 20;
/** Of each side, and how long one of trapline's lasts at least. */
const TURNS = 5;
const TURN = 500 * MS;
const VCPUS: Readonly<Record<string, number>> = { ipi: 2, ipi_halt: 2 };

/** An iteration in it: nanoseconds of the host, modelled cycles. */
interface Round {
  readonly ns: number;
  readonly cycles: number;
}

/** A turn on trapline: its last round; null: no whole one. */
async function turnOnTrapline(file: string, name: string): Promise<Round | null> {
  const begin = process.hrtime.bigint();
  let last = await onTrapline(file, name);
  while (last !== null && Number(process.hrtime.bigint() - begin) < TURN) last = await onTrapline(file, name);
  return last;
}

/** On trapline; null: no whole round. */
async function onTrapline(file: string, name: string): Promise<Round | null> {
  const image = await loadGuest(file);
  const variable = image.symbols.find(ITERATIONS)!;
  const machine = Machine.boot({ image, memory: MEMORY, vcpus: VCPUS[name] ?? 1, commandLine: name });
  const begin = process.hrtime.bigint();
  let round = { iterations: 0, at: begin, cycles: 0 };
  let last: Round | null = null;
  while (Number(process.hrtime.bigint() - begin) < PATIENCE) {
    const result = machine.step();
    const bytes = machine.vm.memory.read(Number(variable.address), 4)!;
    const iterations = new DataView(bytes.buffer).getUint32(0, true);
    if (iterations === round.iterations && result === null) continue;
    const now = { iterations, at: process.hrtime.bigint(), cycles: machine.host.cpus[0]!.now };
    if (round.iterations >= FIRST_ROUND)
      last = {
        ns: Number(now.at - round.at) / round.iterations,
        cycles: (now.cycles - round.cycles) / round.iterations,
      };
    round = now;
    if (result !== null) break;
  }
  return last;
}

/** MHz of the host's TSC, by what Linux says of it. */
function tscMhz(): number {
  const [, bogomips] = /bogomips\s*:\s*([\d.]+)/i.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? [];
  if (bogomips === undefined) throw new Error('/proc/cpuinfo does not say how fast the TSC counts (bogomips)');
  return Number(bogomips) / 2;
}

/** The same on QEMU; null: it does not run the sub-test. */
function onQemu(file: string, name: string, mhz: number): number | null {
  // prettier-ignore
  const { stdout } = spawnSync('qemu-system-x86_64', [
    '-accel', 'tcg', '-cpu', 'max,vendor=GenuineIntel', '-smp', `${VCPUS[name] ?? 1}`, '-m', `${MEMORY >> 20}`, '-nodefaults', '-display', 'none',
    '-no-reboot', '-serial', 'stdio', '-device', 'isa-debug-exit,iobase=0xf4,iosize=0x4', '-device', 'pc-testdev', '-kernel', file, '-append', name,
  ], { encoding: 'utf8', timeout: 60_000 });
  const [, cycles] = new RegExp(`^${name} (\\d+)`, 'm').exec(stdout) ?? [];
  return cycles === undefined ? null : (Number(cycles) * 1000) / mhz;
}

/** Why this is not the image, or no sub-test of it; null: it may be. */
async function refusal(file: string, names: readonly string[]): Promise<string | null> {
  const strange = names.find((name) => !(SUB_TESTS as readonly string[]).includes(name));
  if (strange !== undefined) return `there is no sub-test '${strange}', only ${SUB_TESTS.join(', ')}`;
  try {
    if ((await loadGuest(file)).symbols.find(ITERATIONS) !== null) return null;
    return `${file} has no variable '${ITERATIONS}': is it kvm-unit-tests' vmexit?`;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Measures the sub-tests named, or all, and prints a table; or says why it cannot. */
export async function vmexit(file: string, names: readonly string[]): Promise<string | null> {
  const refused = await refusal(file, names);
  if (refused !== null) return refused;
  const peer = qemuAvailable();
  if (peer !== true) process.stdout.write(`QEMU is not measured: ${peer}.\n`);
  const mhz = peer === true ? tscMhz() : 0;
  process.stdout.write(
    `${'one iteration'.padEnd(30)}${'trapline ns'.padStart(12)}${'QEMU ns'.padStart(12)}   times as fast   modelled cycles\n`,
  );
  for (const name of names.length > 0 ? names : SUB_TESTS) {
    const own: (Round | null)[] = [];
    const other: (number | null)[] = [];
    for (let turn = 0; turn < TURNS; turn++) {
      own.push(await turnOnTrapline(file, name));
      if (peer === true) other.push(onQemu(file, name, mhz));
    }
    process.stdout.write(`${row(name, own, other)}\n`);
  }
  return null;
}

function row(name: string, own: readonly (Round | null)[], other: readonly (number | null)[]): string {
  const ns = median(own.map((round) => round?.ns ?? null));
  const cycles = own.at(-1)?.cycles.toFixed(0) ?? '-';
  const theirs = median(other);
  const ratio = ns === null || theirs === null ? '-' : `${(theirs / ns).toFixed(2)} x`;
  const cells = [ns, theirs].map((cell) => (cell?.toFixed(0) ?? '-').padStart(12)).join('');
  return `${name.padEnd(30)}${cells}${ratio.padStart(16)}${cycles.padStart(18)}`;
}

/** Null: one of them is. */
function median(values: readonly (number | null)[]): number | null {
  const sorted = values.flatMap((value) => value ?? []).sort((a, b) => a - b);
  return sorted.length === values.length && sorted.length > 0 ? sorted[sorted.length >> 1]! : null;
}
