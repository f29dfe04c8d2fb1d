// Processor models as users write them, in the words of QEMU's -cpu: the name of a model, then what differs from it:
// `max,-x2apic,vendor=AuthenticAMD`.

import { CPUID_FEATURE, type CpuidFeature } from '../x86/names/cpuid.ts';
import { CPU_MODELS, isCpuModel, MAX_MODEL, type CpuModel } from './cpuModels.ts';

/** A model, and what was asked for and cannot be had, in the user's words with the reason. */
export interface CpuText {
  readonly model: CpuModel;
  readonly refused: readonly string[];
}

/** QEMU's names for features that the manuals call otherwise. */
const ALIASES: Readonly<Record<string, CpuidFeature>> = {
  PDPE1GB: 'PAGE1GB',
  INVTSC: 'INVARIANT_TSC',
  ABM: 'LZCNT',
  '3DNOWPREFETCH': 'PREFETCHW',
  '3DNOW': 'THREEDNOW',
  '3DNOWEXT': 'THREEDNOWEXT',
  HT: 'HTT',
};

const isFeature = (name: string): name is CpuidFeature => Object.hasOwn(CPUID_FEATURE, name);

/** `tsc-deadline`, `TSC_DEADLINE` and `sse4.1` are spellings of features; undefined: there is none of that name. */
function featureNamed(text: string): CpuidFeature | undefined {
  const name = text.toUpperCase().replaceAll(/[-.]/g, '_');
  if (Object.hasOwn(ALIASES, name)) return ALIASES[name];
  return isFeature(name) ? name : undefined;
}

const NUMBERS = ['family', 'model', 'stepping'] as const;
const isNumber = (key: string): key is (typeof NUMBERS)[number] => (NUMBERS as readonly string[]).includes(key);
const VENDOR_LENGTH = 12;
const ON: Readonly<Record<string, boolean>> = { on: true, off: false };

/**
 * Reads a model. `modelNamed` may know more names than trapline's own. Returns null when the name is none; every other
 * fault is among `refused`, and the model is without it.
 */
export function cpuFromText(
  text: string,
  modelNamed = (name: string): CpuModel | undefined => (isCpuModel(name) ? CPU_MODELS[name] : undefined),
): CpuText | null {
  const [name = '', ...changes] = text.split(',').map((part) => part.trim());
  const base = modelNamed(name);
  if (base === undefined) return null;
  const features = new Set<CpuidFeature>(base.features);
  const refused: string[] = [];
  let model = base;

  const setFeature = (word: string, wanted: boolean): void => {
    const feature = featureNamed(word);
    if (feature === undefined) refused.push(`${word}: there is no such feature`);
    else if (!wanted) features.delete(feature);
    else if (MAX_MODEL.features.includes(feature)) features.add(feature);
    else refused.push(`${word}: trapline does not execute it`);
  };
  for (const change of changes) {
    const [, sign, signed] = /^([+-])(.+)$/.exec(change) ?? [];
    const [, key = '', value = ''] = /^([^=]+)=(.*)$/.exec(change) ?? [];
    if (signed !== undefined) setFeature(signed, sign === '+');
    else if (key === 'vendor' && value.length === VENDOR_LENGTH) model = { ...model, vendor: value };
    else if (key === 'model-id' && value !== '') model = { ...model, brand: value };
    else if (key === 'kvm' && Object.hasOwn(ON, value)) model = withKvm(model, ON[value]!);
    else if (isNumber(key) && /^\d{1,3}$/.test(value)) model = { ...model, [key]: Number(value) };
    else if (Object.hasOwn(ON, value)) setFeature(key, ON[value]!);
    else refused.push(`${change}: write +FEATURE, -FEATURE, kvm=off, vendor=, model-id=, family=, model= or stepping=`);
  }
  return { model: { ...model, features: [...features] }, refused };
}

function withKvm({ kvm: _, ...model }: CpuModel, shown: boolean): CpuModel {
  return shown ? model : { ...model, kvm: false };
}
