// The options of a machine as a snapshot keeps them: what decides how its guest and its host behave. What only decides how
// it is watched or how fast it is executed is chosen anew when it is restored.

import type { BootOptions } from '../bootOptions.ts';
import { SnapshotError } from './snapshotError.ts';

/** What becomes of each option; `image` and `costs` are kept by name and content. */
const KEPT = {
  image: 'apart',
  modules: 'in memory already',
  costs: 'by name',
  probes: 'anew',
  noHot: 'anew',
  noInPlace: 'anew',
  engine: 'anew',
  host: 'never',
  swap: 'never',
  commandLine: 'kept',
  vcpus: 'kept',
  memory: 'kept',
  features: 'kept',
  model: 'kept',
  quirks: 'kept',
  params: 'kept',
  apicBusCycleNs: 'kept',
  hostCpus: 'kept',
  quantum: 'kept',
  slice: 'kept',
  housekeeping: 'kept',
  pin: 'kept',
  tscKhz: 'kept',
  seed: 'kept',
  startTime: 'kept',
  xen: 'kept',
  xenRoute: 'kept',
  devices: 'kept',
} as const satisfies Record<keyof Required<BootOptions>, string>;

type Kept = { [K in keyof typeof KEPT]: (typeof KEPT)[K] extends 'kept' ? K : never }[keyof typeof KEPT];

export type SavedOptions = Pick<BootOptions, Kept> & { readonly costs?: string };

/** How a restored machine is watched and executed. */
export type RestoreOptions = Pick<BootOptions, 'probes' | 'noHot' | 'noInPlace' | 'engine'>;

export function saveOptions(options: BootOptions, presets: ReadonlySet<string>): SavedOptions {
  const kept = Object.entries(options).filter(
    ([name, value]) => KEPT[name as keyof BootOptions] === 'kept' && value !== undefined,
  );
  const { costs } = options;
  const preset = typeof costs === 'string' ? costs : costs?.name;
  if (preset !== undefined && !presets.has(preset))
    throw new SnapshotError(
      `the cost model '${preset}' is one of your own, and snapshots keep the names of presets`,
      `boot the machine with one of ${[...presets].join(', ')}`,
    );
  return { ...Object.fromEntries(kept), ...(preset !== undefined && { costs: preset }) };
}
