// npm run bench [-- --quick --json]: interpreter speed, decode speed, exit round trips. Medians over rounds in one process;
// each figure that depends on the machine stands beside a yardstick measured in the same run. bench/README.md keeps figures.

import { median, time, type Measured } from './clock.ts';
import { decodeSpeed } from './decode.ts';
import { roundTrips, yardstick } from './exits.ts';
import { LOOPS, loopSpeed } from './loops.ts';

const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');
const ROUNDS = quick ? 3 : 9;

const geomean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

/** What `issues` and docs ask of the figures; a miss is said, and is no error: the machine may be busy. */
interface Bar {
  readonly what: string;
  readonly figure: number;
  readonly bar: number;
  readonly unit: string;
  /** Whether the figure must be at least the bar, or at most. */
  readonly sense: 'least' | 'most';
}

const loops: Record<string, Measured> = {};
for (const name of LOOPS) loops[name] = await loopSpeed(name, ROUNDS);
const mips = geomean(LOOPS.map((name) => loops[name]!.median));

const decode = await decodeSpeed(ROUNDS);
const stick = median(Array.from({ length: ROUNDS }, () => time(yardstick)));
const trips = await roundTrips(ROUNDS);

const bars: Bar[] = [
  { what: 'interpreter, geometric mean', figure: mips, bar: 250, unit: 'MIPS', sense: 'least' },
  { what: 'decode and record', figure: decode.median, bar: 3, unit: 'M instructions/s', sense: 'least' },
  ...Object.entries(trips)
    .filter(([what]) => what !== 'WRMSR TPR') // shown above; its work on priorities is no round trip
    .map(([what, trip]) => ({
      what: `exit round trip, ${what}`,
      figure: trip.median / stick,
      bar: what === 'WRMSR TSC_DEADLINE' ? 100 : 60,
      unit: 'x the yardstick',
      sense: 'most' as const,
    })),
];

if (json) {
  const { arch, version } = process;
  const figures = { loops, mips, decode, yardstickNs: stick, roundTripsNs: trips, bars };
  process.stdout.write(`${JSON.stringify({ arch, node: version, rounds: ROUNDS, ...figures }, null, 2)}\n`);
} else {
  const row = (what: string, value: string): void => void process.stdout.write(`${what.padEnd(40)} ${value}\n`);
  for (const name of LOOPS) row(`${name} (MIPS)`, show(loops[name]!));
  row('geometric mean (MIPS)', mips.toFixed(0));
  row('decode and record (M instructions/s)', show(decode));
  row('yardstick round trip (ns)', stick.toFixed(2));
  for (const [what, trip] of Object.entries(trips)) {
    row(`exit round trip, ${what} (ns)`, `${show(trip)}   ${(trip.median / stick).toFixed(0)} x the yardstick`);
  }
  process.stdout.write('\n');
  for (const b of bars) {
    const met = b.sense === 'least' ? b.figure >= b.bar : b.figure <= b.bar;
    row(
      b.what,
      `${b.figure.toFixed(1)} ${b.unit}, bar ${b.sense === 'least' ? '>=' : '<='} ${b.bar}: ${met ? 'met' : 'MISSED'}`,
    );
  }
}

function show({ min, median: middle, max }: Measured): string {
  return `${middle.toFixed(1)} (${min.toFixed(1)} to ${max.toFixed(1)})`;
}
