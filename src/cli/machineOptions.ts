// The options by which commands make a machine: how many vCPUs, how much memory, which features.

import { COST_MODELS } from '../host/costs.ts';
import { isPvFeature, PV_FEATURES, type PvFeature } from '../hypervisor/cpuid.ts';
import type { Image } from '../vmm/image.ts';
import { Machine, type BootOptions } from '../vmm/machine.ts';
import { size, UsageError, wholeNumber, type Arguments, type Option } from './command.ts';

const COST_PRESETS = Object.keys(COST_MODELS);
const features = (): string => Object.keys(PV_FEATURES).join(', ');

export const MACHINE_OPTIONS: readonly Option[] = [
  { name: 'vcpus', value: 'N', help: 'virtual CPUs, 1 to 64 (default: what the file asks for, else 1)' },
  { name: 'memory', value: 'SIZE', help: 'guest memory, such as 64M (the default) or 1G' },
  {
    name: 'feature',
    value: 'NAME',
    multiple: true,
    help: `offer a paravirtual feature: ${features()}; may be repeated`,
  },
  { name: 'max-cycles', value: 'N', help: 'stop when the guest has used N cycles of virtual time' },
  { name: 'costs', value: 'NAME', help: `cost model of host code: ${COST_PRESETS.join(', ')}` },
  { name: 'quantum', value: 'N', help: 'cycles that a vCPU may run ahead of the others' },
  { name: 'seed', value: 'N', help: "seed of the machine's random source (runs of equal input are identical anyway)" },
  { name: 'no-hot', help: 'run each instruction form by its own function: slower, and profiles name every form' },
];

/** What a source file asks for in its directives (docs/guests.md). */
export interface Wishes {
  readonly vcpus?: number;
  readonly memory?: number;
  readonly features?: readonly PvFeature[];
  readonly maxCycles?: number;
}

const MOST_VCPUS = 64;
const MOST_CYCLES = Number.MAX_SAFE_INTEGER;

/** Boot options from the command line, else from the file's own wishes. Throws UsageError. */
export function bootOptions(args: Arguments, image: Image, wishes: Wishes): BootOptions {
  const text = args.text('vcpus');
  const vcpus = text === undefined ? wishes.vcpus : wholeNumber('vcpus', text, 1, MOST_VCPUS);
  const memoryText = args.text('memory');
  const memory = memoryText === undefined ? wishes.memory : size('memory', memoryText);
  const asked = args.given('feature') ? args.texts('feature') : wishes.features;
  const quantum = args.text('quantum');
  const costs = args.text('costs');
  if (costs !== undefined && !COST_PRESETS.includes(costs)) {
    throw new UsageError(`--costs knows ${COST_PRESETS.join(', ')}, not '${costs}'`);
  }
  return {
    image,
    ...(vcpus !== undefined && { vcpus }),
    ...(memory !== undefined && { memory }),
    ...(asked !== undefined && { features: asked.map(feature) }),
    ...(quantum !== undefined && { quantum: wholeNumber('quantum', quantum, 0, 1_000_000_000) }),
    ...(costs !== undefined && { costs }),
    ...(args.given('no-hot') && { noHot: true }),
  };
}

export function maxCycles(args: Arguments, wishes: Wishes): number {
  const text = args.text('max-cycles');
  if (text !== undefined) return wholeNumber('max-cycles', text, 1, MOST_CYCLES);
  return wishes.maxCycles ?? Infinity;
}

function feature(name: string): PvFeature {
  if (isPvFeature(name)) return name;
  throw new UsageError(`there is no feature '${name}'; --feature knows ${features()}`);
}

/** Boots a machine with these options. */
export const boot = (options: BootOptions): Machine => Machine.boot(options);
