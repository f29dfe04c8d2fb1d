// The tables of `trapline lab xen-timer`.

import { distributionOf } from '../lab/distribution.ts';
import type { XenTimerComparison, XenTimerRun, XenTimerSetting } from '../lab/xenTimer.ts';
import { latencyTable } from './latencyTable.ts';
import { wrapped } from './prose.ts';

const DESIGN = 12;
const CELL = 8;
const CYCLES_PER_US = 2500;

/** Latencies on a quiet host, a busy one and with posted interrupts; then what became of every tick. */
export function drawXenTimer(comparison: XenTimerComparison): string {
  const { guest, costModel, load, pageEvery, moveEvery, readAfter, runs, varied, differs } = comparison;
  const us = (cycles: number): string => (cycles / CYCLES_PER_US).toFixed(0);
  return wrapped([
    `Xen timer: ${guest} under each design of who raises the timer's event`,
    '',
    `Modelled nanoseconds from the time asked for to the handler (${costModel}), host alone`,
    ...drawLateness(runs, 'alone'),
    '',
    `The same with a host interrupt of ${us(load.takes)} us every ${us(load.every)} us on the guest's CPU`,
    ...drawLateness(runs, 'loaded'),
    '',
    'The same with interrupts posted to the vCPU, and its timer kept by another CPU of the host',
    ...drawLateness(runs, 'posted'),
    '',
    `The same while the host takes shared_info or vcpu_info away, every ${(pageEvery / 1000).toFixed(0)} us on average`,
    ...drawLateness(runs, 'away'),
    '',
    'Ticks by the count of the guest, and how their events were raised by the count of the hypervisor',
    countHead(),
    ...drawCounts(runs, 'alone', 'host alone'),
    ...drawCounts(runs, 'away', 'shared_info or vcpu_info taken away'),
    ...drawCounts(runs, 'moved', 'taken away, and the timer moved'),
    '',
    `slow: the vCPU raises the event, in its run loop (Linux 5.19). draft-2022: the timer's callback does, and whether the timer is armed is what hrtimer_active() says (not merged). v1: the callback does, and clears the expiry (patch of September 2023). v3: whoever reads or changes the timer cancels it first (Linux 6.7).`,
    'arming: from before VCPUOP_set_singleshot_timer to the next instruction. armed, taken, lost: what the guest armed, what came, and what its watchdog had to arm again. callback: raised by the callback of the timer. vCPU: left to the vCPU, in its run loop. shadow: of both, those that waited in the hypervisor for the vCPU to run, because vcpu_info was away.',
    `moves: every ${(moveEvery / 1000).toFixed(0)} us on average the VMM stops the vCPU, reads its timer up to ${(readAfter / 1000).toFixed(0)} us later and writes the same back, as another host would get it. A tick that waits for the vCPU then is raised again, and counts twice, but in v3, which raises it before it answers. Who loses a tick waits for the watchdog, and is moved meanwhile. held: moves at which an event waited in the shadow, which no attribute of KVM tells; here it stays with the vCPU.`,
    '',
    `Varied: ${varied}.`,
    `Differs from KVM: ${differs}.`,
  ]);
}

const drawLateness = (runs: readonly XenTimerRun[], setting: XenTimerSetting): string[] =>
  latencyTable(
    ['running guest', 'halted guest', 'arming'],
    runs.map(({ design, cases: { [setting]: found } }) => {
      const { running, halted, arming } = found;
      return [design, [distributionOf(running), distributionOf(halted), arming]];
    }),
  );

const line = (name: string, cells: readonly (string | number)[]): string =>
  `  ${name.padEnd(DESIGN)}${cells.map((cell) => String(cell).padStart(CELL + 1)).join('')}`;

const countHead = (): string =>
  line('', ['armed', 'taken', 'lost', 'callback', 'vCPU', 'shadow', 'moves', 'held', 'exits']);

const drawCounts = (runs: readonly XenTimerRun[], setting: XenTimerSetting, title: string): string[] => [
  `  ${title}`,
  ...runs.map(({ design, cases: { [setting]: found } }) => {
    const { ticks, paths, moves, exits } = found;
    const { armed, taken, lost } = ticks;
    const { fast, deferred, shadowed } = paths;
    const counts = [armed, taken, lost, fast, deferred, shadowed, moves.times, moves.held, exits];
    return line(`  ${design}`, counts);
  }),
];
