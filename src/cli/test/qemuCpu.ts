// QEMU's processor models by the names of its -cpu: what stands for each here. Features that trapline does not execute are
// left out, as QEMU leaves out what its host has not, and are named.

import { CPU_MODELS, isCpuModel, type CpuModel } from '../../hypervisor/cpuModels.ts';
import { cpuFromText, type CpuText } from '../../hypervisor/cpuText.ts';

const STANDS_FOR: Readonly<Record<string, keyof typeof CPU_MODELS>> = {
  host: 'max',
  base: 'minimal',
  kvm64: 'qemu64',
  Opteron_G1: 'qemu64',
  IvyBridge: 'skylake',
  'Skylake-Server': 'skylake',
  'Skylake-Client': 'skylake',
};

/** Properties of the virtual machine, not of the model: they say what is so, or what no guest here can see. */
const IGNORED = /^(migratable|host-phys-bits|enforce|check|hv[-_].*)(=.*)?$/;

function modelNamed(name: string): CpuModel | undefined {
  if (isCpuModel(name)) return CPU_MODELS[name];
  return Object.hasOwn(STANDS_FOR, name) ? CPU_MODELS[STANDS_FOR[name]!] : undefined;
}

/** Reads the value of -cpu; an unknown model is `max`, and said to be. */
export function qemuCpu(text: string): CpuText {
  const [name, ...changes] = text.split(',').filter((part) => !IGNORED.test(part));
  const found = cpuFromText([name, ...changes].join(','), modelNamed);
  if (found !== null) return found;
  const instead = cpuFromText(['max', ...changes].join(','), modelNamed)!;
  return { ...instead, refused: [`${name}: no such model here, max in its place`, ...instead.refused] };
}
