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
  /** Who answers in the processor's place, such as 'bochs 2.7'. */
  readonly standIn?: string;
}

const VENDORS: Readonly<Record<string, string>> = { GenuineIntel: 'Intel', AuthenticAMD: 'AMD' };
const EXTENDED_FAMILY = 15;

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

interface Leaf {
  readonly leaf: number;
  readonly subleaf: number;
}

/** The CPUID leaves that tell what a processor is and offers. */
export const hostLeaves = (): Leaf[] =>
  [
    { leaf: CPUID_LEAF.VENDOR, subleaf: 0 },
    { leaf: CPUID_LEAF.FEATURES, subleaf: 0 },
    ...Object.values(CPUID_FEATURE).map(({ leaf, subleaf }) => ({ leaf, subleaf })),
  ].filter(({ leaf, subleaf }, i, all) => all.findIndex((l) => l.leaf === leaf && l.subleaf === subleaf) === i);

/** A host, of what CPUID has answered to `hostLeaves`. */
export function hostFromAnswers(answers: readonly CpuidResult[], xcr0: bigint, fsGsBaseEnabled: boolean): Host {
  const leaves = hostLeaves();
  const cpuid = (leaf: number, subleaf: number): CpuidResult =>
    answers[leaves.findIndex((l) => l.leaf === leaf && l.subleaf === subleaf)]!;
  return hostFromCpuid(cpuid, xcr0, fsGsBaseEnabled);
}

/** The processor underneath. Only where `nativeAvailable()` is true. */
export function identifyHost(): Host {
  const leaves = hostLeaves().map(({ leaf, subleaf }) => `${leaf.toString(16)}.${subleaf}`);
  const lines = askProcessor(leaves);
  const answers = lines.slice(0, leaves.length).map((line) => {
    const [eax, ebx, ecx, edx] = line.split(' ').map((word) => parseInt(word, 16));
    return { eax: eax!, ebx: ebx!, ecx: ecx!, edx: edx! };
  });
  const [xcr0, fsGsBase] = lines.slice(leaves.length);
  return hostFromAnswers(answers, BigInt(`0x${xcr0}`), fsGsBase === '1');
}

export const hostName = ({
  vendor,
  family,
  model,
  standIn,
}: Pick<Host, 'vendor' | 'family' | 'model' | 'standIn'>): string =>
  standIn ?? `${vendor} family 0x${family.toString(16)} model 0x${model.toString(16)}`;

/** Whose exceptions to make. */
export const whoseWays = ({ vendor, standIn }: Host): string => (standIn === undefined ? vendor : 'bochs');
