// Which processor is underneath, and what it offers: what the oracle may be asked, and which exceptions apply to its answers.
import { featuresFromCpuid, type CpuidResult } from '../../src/cpu/features.ts';
import { CPUID_FEATURE, CPUID_LEAF, type CpuidFeature } from '../../src/x86/names/cpuid.ts';
import { askProcessor } from './native.ts';

export interface Host {
  /** 'Intel', 'AMD', or what CPUID says. */
  readonly vendor: string;
  readonly family: number;
  readonly model: number;
  readonly features: ReadonlySet<CpuidFeature>;
  readonly xcr0: bigint;
}

const VENDORS: Readonly<Record<string, string>> = { GenuineIntel: 'Intel', AuthenticAMD: 'AMD' };
const EXTENDED_FAMILY = 15;

const key = (leaf: number, subleaf: number): string => `${leaf.toString(16)}.${subleaf}`;

/** CPUID's answers with the features by name. */
export function hostFromCpuid(
  cpuid: (leaf: number, subleaf: number) => CpuidResult,
  xcr0: bigint,
  fsGsBaseEnabled: boolean,
): Host {
  const { ebx, ecx, edx } = cpuid(CPUID_LEAF.VENDOR, 0);
  const id = Buffer.from(Uint32Array.of(ebx, edx, ecx).buffer).toString('latin1');
  const { eax } = cpuid(CPUID_LEAF.FEATURES, 0);
  const family = (eax >>> 8) & 15;
  const offered = featuresFromCpuid(cpuid);
  const features = (Object.keys(CPUID_FEATURE) as CpuidFeature[]).filter(
    (name) => offered.has(name) && (name !== 'FSGSBASE' || fsGsBaseEnabled),
  );
  return {
    vendor: VENDORS[id] ?? id,
    family: family === EXTENDED_FAMILY ? family + ((eax >>> 20) & 0xff) : family,
    model: ((eax >>> 4) & 15) | ((eax >>> 12) & 0xf0),
    features: new Set(features),
    xcr0,
  };
}

/** The processor underneath. Only where `nativeAvailable()` is true. */
export function identifyHost(): Host {
  const leaves = new Set([
    key(CPUID_LEAF.VENDOR, 0),
    key(CPUID_LEAF.FEATURES, 0),
    ...Object.values(CPUID_FEATURE).map(({ leaf, subleaf }) => key(leaf, subleaf)),
  ]);
  const lines = askProcessor([...leaves]);
  const answers = new Map<string, CpuidResult>();
  [...leaves].forEach((leaf, i) => {
    const [eax, ebx, ecx, edx] = lines[i]!.split(' ').map((word) => parseInt(word, 16));
    answers.set(leaf, { eax: eax!, ebx: ebx!, ecx: ecx!, edx: edx! });
  });
  const [xcr0, fsGsBase] = lines.slice(leaves.size);
  return hostFromCpuid((leaf, subleaf) => answers.get(key(leaf, subleaf))!, BigInt(`0x${xcr0}`), fsGsBase === '1');
}

export const hostName = ({ vendor, family, model }: Pick<Host, 'vendor' | 'family' | 'model'>): string =>
  `${vendor} family 0x${family.toString(16)} model 0x${model.toString(16)}`;
