// npm run bench [-- --quick --json | --vmexit FILE [SUB-TEST…]]: how fast trapline is, beside what it is compared with, measured in the same run. Medians over
// rounds. --quick: few rounds, and no other machines. bench/README.md keeps figures.

import { geomean, median, time, type Measured } from './clock.ts';
import { compareLoops, compareOperations, speedAgainst, type Times } from './comparison.ts';
import { decodeSpeed } from './decode.ts';
import { roundTrips, yardstick } from './exits.ts';
import { lazySpeed } from './lazy.ts';
import { LOOPS, loopSpeed, OTHER_LOOPS, type LoopName } from './loops.ts';
import { MODE_LOOPS, modeSpeeds, type ModeSpeeds } from './modes.ts';
import { missingPeers } from './peers.ts';
import { startUp } from './startup.ts';
import { vmexit } from './vmexit.ts';
import { eventDelivery, eventSends } from './xen.ts';
import { inlineMore } from '../src/cli/inlining.ts';

inlineMore();

if (process.argv.includes('--vmexit')) {
  const [image, ...subTests] = process.argv.slice(process.argv.indexOf('--vmexit') + 1);
  if (image === undefined) throw new Error('--vmexit wants the vmexit image of kvm-unit-tests');
  const refusal = await vmexit(image, subTests);
  if (refusal !== null) process.stderr.write(`${refusal}\n`);
  process.exit(refusal === null ? 0 : 1);
}

const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');
const ROUNDS = quick ? 3 : 9;
const PEER_ROUNDS = 5;

/** What is asked of the figures; a miss is said, and is no error: the machine may be busy. */
interface Bar {
  readonly what: string;
  /** Null: not measured. */
  readonly figure: number | null;
  readonly bar: number;
  readonly unit: string;
  /** Whether the figure must be at least the bar, or at most. */
  readonly sense: 'least' | 'most';
}

const loops = {} as Record<LoopName, Measured>;
for (const name of [...LOOPS, ...OTHER_LOOPS]) loops[name] = await loopSpeed(name, ROUNDS);
const mips = geomean(LOOPS.map((name) => loops[name].median));
const modes: Record<string, ModeSpeeds> = {};
for (const name of MODE_LOOPS) modes[name] = await modeSpeeds(name, ROUNDS);
const mode32 = geomean(Object.values(modes).map((speeds) => speeds[32].median / speeds[64].median));
const decode = await decodeSpeed(ROUNDS);
const stick = median(Array.from({ length: ROUNDS }, () => time(yardstick)));
const trips = await roundTrips(ROUNDS);
const delivery = await eventDelivery(ROUNDS);
const sends = await eventSends(ROUNDS);
const lazy = await lazySpeed(quick ? 2 : 5);
const start = await startUp(quick ? 3 : 5);
const compared = quick ? {} : await compareLoops(LOOPS, PEER_ROUNDS);
const others = quick ? {} : await compareLoops(OTHER_LOOPS, PEER_ROUNDS);
const operations = quick ? {} : await compareOperations(PEER_ROUNDS);

const least = (what: string, figure: number | null, bar: number, unit: string): Bar => ({
  what, figure, bar, unit, sense: 'least',
}); // prettier-ignore
const most = (what: string, figure: number | null, bar: number, unit: string): Bar => ({
  what, figure, bar, unit, sense: 'most',
}); // prettier-ignore
const bars: Bar[] = [
  least('interpreter, geometric mean', mips, 250, 'MIPS'),
  least('loops, times as fast as QEMU (TCG)', speedAgainst('QEMU', compared), 0.17, ''),
  least('loops, times as fast as bochs', speedAgainst('bochs', compared), 1.5, ''),
  least('32-bit code, times as fast as 64-bit code', mode32, 0.9, ''),
  least('decode and record', decode.median, 3, 'M instructions/s'),
  most('a counter beside its code, against apart', loops['counter-apart'].median / loops.counter.median, 3, 'x'),
  most('start to the first byte printed', start?.median ?? null, 400, 'ms'),
  most('exit round trip, WRMSR LVT error', trips['WRMSR LVT error']!.median / stick, 60, 'x the yardstick'),
  most('event channel, delivered on the fast path', delivery.median / stick, 200, 'x the yardstick'),
  most('exit round trip, WRMSR TSC_DEADLINE', trips['WRMSR TSC_DEADLINE']!.median / stick, 100, 'x the yardstick'),
];

if (json) {
  const { arch, version } = process;
  const figures = {
    loops,
    mips,
    modes,
    decode,
    yardstickNs: stick,
    roundTripsNs: trips,
    eventDeliveryNs: delivery,
    eventSendNs: sends,
    eventSendsPerSecond: 1e9 / sends.median,
    lazySpeed: lazy,
    startUpMs: start,
  };
  const text = JSON.stringify(
    { arch, node: version, rounds: ROUNDS, ...figures, compared, others, operations, bars },
    null,
    2,
  );
  process.stdout.write(`${text}\n`);
} else {
  for (const [name, speed] of Object.entries(loops)) row(`${name} (MIPS)`, show(speed));
  row('geometric mean (MIPS)', mips.toFixed(0));
  for (const [name, speeds] of Object.entries(modes)) {
    const ratio = `${(speeds[32].median / speeds[64].median).toFixed(2)} x`;
    row(`${name}, 32-bit beside 64-bit (MIPS)`, `${show(speeds[32])}   ${show(speeds[64])}   ${ratio}`);
  }
  row('decode and record (M instructions/s)', show(decode));
  row('yardstick round trip (ns)', stick.toFixed(2));
  for (const [what, trip] of Object.entries(trips)) {
    const rate = `${(1000 / trip.median).toFixed(2)} M/s`;
    row(`exit, ${what} (ns)`, `${show(trip)}   ${rate}   ${(trip.median / stick).toFixed(0)} x the yardstick`);
  }
  const multiple = (what: Measured): string => `${show(what)}   ${(what.median / stick).toFixed(0)} x the yardstick`;
  row('Xen event, delivered on the fast path (ns)', multiple(delivery));
  row('Xen event, EVTCHNOP_send to itself (ns)', multiple(sends));
  row('Xen event-channel sends (thousand/s)', show(perMillisecond(sends)));
  row(
    'lab lazy-tscdeadline (virtual s/s)',
    `${lazy.median.toFixed(4)} (${lazy.min.toFixed(4)} to ${lazy.max.toFixed(4)})`,
  );
  row('start to the first byte printed (ms)', start ? show(start) : 'not measured: npm run build first');
  line();
  if (quick) line('Other machines are not measured by --quick.');
  else {
    for (const [name, why] of Object.entries(missingPeers())) line(`${name} is not measured: ${why}.`);
    table('one call of a loop (ms)', compared, true);
    table('other loops (ms)', others, false);
    table('one operation (ns)', operations, false);
  }
  line();
  for (const b of bars) row(b.what, verdict(b));
}
process.exit(0); // a killed emulator's pipes may linger

function line(text = ''): void {
  process.stdout.write(`${text}\n`);
}
/** How often, of nanoseconds for each. */
function perMillisecond({ min, median: middle, max }: Measured): Measured {
  return { min: 1e6 / max, median: 1e6 / middle, max: 1e6 / min };
}
function row(what: string, value: string): void {
  line(`${what.padEnd(48)} ${value}`);
}
function show({ min, median: middle, max }: Measured): string {
  return `${middle.toFixed(1)} (${min.toFixed(1)} to ${max.toFixed(1)})`;
}
function verdict({ figure, bar, unit, sense }: Bar): string {
  const asked = `bar ${sense === 'least' ? '>=' : '<='} ${bar}`;
  if (figure === null) return `not measured, ${asked}`;
  const met = sense === 'least' ? figure >= bar : figure <= bar;
  return `${figure.toFixed(figure < 10 ? 2 : 1)} ${unit}`.trim() + `, ${asked}: ${met ? 'met' : 'MISSED'}`;
}

/** Medians of each machine, and how many times as fast trapline is: of each row, and on the mean where the rows are of a kind. */
function table(what: string, rows: Record<string, Times>, withMean: boolean): void {
  const machines = ['trapline', 'QEMU', 'bochs'] as const;
  line(`${what.padEnd(26)}${machines.map((name) => name.padStart(11)).join('')}     against QEMU    against bochs`);
  for (const [name, times] of Object.entries(rows)) {
    const cell = (machine: (typeof machines)[number]): string => times[machine]?.median.toFixed(1) ?? '-';
    const ratio = (machine: 'QEMU' | 'bochs'): string =>
      times[machine] ? `${(times[machine].median / times.trapline!.median).toFixed(2)} x` : '-';
    line(
      name.padEnd(26) + machines.map((m) => cell(m).padStart(11)).join('') +
        ratio('QEMU').padStart(17) + ratio('bochs').padStart(17),
    ); // prettier-ignore
  }
  if (withMean) {
    const mean = (machine: 'QEMU' | 'bochs'): string => {
      const speed = speedAgainst(machine, rows);
      return speed === null ? '-' : `${speed.toFixed(2)} x`;
    };
    line(`${'geometric mean'.padEnd(59)}${mean('QEMU').padStart(17)}${mean('bochs').padStart(17)}`);
  }
  line();
}
