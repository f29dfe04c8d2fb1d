// From what the command line names to cases: a kvm-unit-tests configuration gives one for each section, an assembler source
// one for each case of its directives, an image one.

import { basename, dirname, join } from 'node:path';
import { guestCases } from '../../testing/guestCases.ts';
import { ImageError } from '../../vmm/image.ts';
import { readFile } from '../load.ts';
import { parseQemuParams } from './qemuParams.ts';
import { shellWords } from './shellWords.ts';
import type { TestCase } from './testCase.ts';
import { isUnittestsCfg, parseUnittestsCfg, type CfgSection } from './unittestsCfg.ts';

/** What holds for every case. */
export interface CaseOptions {
  /** Which sections of a configuration are taken: of that architecture, ... */
  readonly arch: string;
  /** ... in one of these groups (empty: all but `nodefault`), ... */
  readonly groups: readonly string[];
  /** ... with one of these names (empty: all). */
  readonly names: readonly string[];
  /** The processor model of cases that name none. */
  readonly cpu: string | undefined;
  /** Bytes that the host keeps of each guest's memory; undefined: all. */
  readonly swap: number | undefined;
  /** Seconds since 1970 at which guests start. */
  readonly now: number;
  readonly success: number;
}

/** kvm-unit-tests' exit status of success: debug exit with 0. */
export const DEFAULT_SUCCESS = 1;
/** QEMU's memory, for sections without -m: bytes. */
const DEFAULT_MEMORY = 128 * 2 ** 20;
/** kvm-unit-tests' own limit, for sections without one: seconds. */
const DEFAULT_TIMEOUT = 90;
/** What files of a Linux host say that sections may ask for, for the hypervisor that trapline is. */
const HOST_FILES: Readonly<Record<string, string>> = {
  '/sys/module/kvm/parameters/enable_pmu': 'N',
  '/sys/module/kvm/parameters/enable_vmware_backdoor': 'N',
  '/sys/module/kvm/parameters/ignore_msrs': 'N',
  '/sys/module/kvm_intel/parameters/allow_smaller_maxphyaddr': 'N',
  '/proc/sys/kernel/nmi_watchdog': '0',
  '/sys/devices/system/clocksource/clocksource0/current_clocksource': 'tsc',
};

/** The cases of all files, in order. Throws ImageError. */
export function casesOf(files: readonly string[], options: CaseOptions): TestCase[] {
  const cases = files.flatMap((file) => casesOfFile(file, options));
  return options.names.length === 0 ? cases : cases.filter(({ name }) => options.names.includes(name));
}

function casesOfFile(file: string, options: CaseOptions): TestCase[] {
  const bytes = readFile(file);
  if (/\.cfg$/.test(file)) {
    const text = new TextDecoder().decode(bytes);
    if (!isUnittestsCfg(text))
      throw new ImageError(
        `${file} is no configuration of tests`,
        'give a unittests.cfg: [name] sections with file = image',
      );
    return parseUnittestsCfg(text, file).map((section) => caseOfSection(section, file, options));
  }
  const common = { file, success: options.success, skip: null, notes: [], virtualSeconds: null, ...swapOf(options) };
  const cpu = options.cpu === undefined ? {} : { cpu: options.cpu };
  if (/\.(s|S|asm)$/.test(file)) {
    const cases = guestCases(new TextDecoder().decode(bytes), file);
    return cases.map(({ name }) => ({ ...common, ...cpu, name, directiveCase: name }));
  }
  return [{ ...common, ...cpu, name: basename(file), directiveCase: null }];
}

function caseOfSection({ name, line, values }: CfgSection, cfg: string, options: CaseOptions): TestCase {
  const value = (key: string): string | undefined => values.get(key);
  const words = (key: string): string[] => shellWords(value(key) ?? '', options.now);
  const image = value('file');
  if (image === undefined) throw new ImageError(`${cfg}:${line}: [${name}] names no image`, 'add file = image.flat');
  const file = join(dirname(cfg), image);
  const { notes, ...qemu } = parseQemuParams([...words('qemu_params'), ...words('extra_params')]);
  const smp = value('smp');
  if (smp !== undefined && !/^\d+$/.test(smp))
    throw new ImageError(`${cfg}:${line}: [${name}] has smp = ${smp}`, 'write a number of vCPUs');
  const cpu = qemu.cpu ?? options.cpu;
  const args = words('test_args');
  const timeout = value('timeout');
  return {
    name,
    file,
    directiveCase: null,
    memory: DEFAULT_MEMORY,
    ...qemu,
    ...(smp !== undefined && { vcpus: Number(smp) }),
    ...(cpu !== undefined && { cpu }),
    ...(args.length > 0 && { commandLine: args.join(' ') }),
    ...swapOf(options),
    virtualSeconds: timeout === undefined ? DEFAULT_TIMEOUT : Number(timeout),
    success: options.success,
    skip: reasonToSkip(values, options),
    notes: notes.map((what) => `no meaning here: ${what}`),
  };
}

const swapOf = ({ swap }: CaseOptions): Pick<TestCase, 'swap'> => (swap === undefined ? {} : { swap });

/** Why a section is not run, in the order in which kvm-unit-tests' own script asks; null: it is. */
function reasonToSkip(values: CfgSection['values'], { arch, groups, names }: CaseOptions): string | null {
  const own = (values.get('groups') ?? '').split(/\s+/).filter((group) => group !== '');
  if (groups.length > 0 && !own.some((group) => groups.includes(group))) return `not in group ${groups.join(', ')}`;
  if (groups.length === 0 && names.length === 0 && own.includes('nodefault'))
    return 'not run unless it is named (nodefault)';
  const wanted = values.get('arch');
  if (wanted !== undefined && wanted !== arch) return `${wanted} only`;
  const accel = values.get('accel');
  if (accel !== undefined && accel !== 'kvm') return `${accel} only`;
  for (const check of (values.get('check') ?? '').split(/\s+/).filter((each) => each !== '')) {
    const [path = '', expected = ''] = check.split('=');
    if (HOST_FILES[path] !== expected) return `${path} is not ${expected}`;
  }
  return null;
}
