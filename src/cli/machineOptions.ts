// The options by which commands make a machine: how many vCPUs, how much memory, which features.

import { basename } from 'node:path';
import { COST_MODELS } from '../host/costs.ts';
import { CPU_MODELS, type CpuModel } from '../hypervisor/cpuModels.ts';
import { cpuFromText } from '../hypervisor/cpuText.ts';
import {
  FASTPATH_DESIGNS,
  OWNERSHIP_DESIGNS,
  KVM_MODULES,
  LAZY_VERSIONS,
  type FastpathDesign,
  type KvmModule,
  type KvmParams,
  type LazyVersion,
} from '../hypervisor/params.ts';
import { isPvFeatureWish, wishNames, type PvFeatureWish } from '../hypervisor/pv/features.ts';
import type { Probes } from '../trace/probes.ts';
import type { BootModule } from '../vmm/boot/start.ts';
import { parseDate } from '../vmm/devices/calendar.ts';
import type { Image, ProtocolName } from '../vmm/image.ts';
import { isProtocolName, PROTOCOL_NAMES } from '../vmm/loaders/protocols.ts';
import type { BootOptions } from '../vmm/bootOptions.ts';
import { Machine } from '../vmm/machine.ts';
import { DEVICE_NAMES, type DeviceName } from '../vmm/pc.ts';
import { routingFromText, XEN_ROUTES, XEN_SOURCES, type XenRouting } from '../vmm/xen/routing.ts';
import { readFile } from './load.ts';
import { size, UsageError, type Arguments, type Option } from './command.ts';

const COST_PRESETS = Object.keys(COST_MODELS);
const CPU_NAMES = Object.keys(CPU_MODELS).join(', ');

/** What is a parameter of the kvm module on Linux, under its name there. */
const PARAMETERS: Readonly<Record<string, (value: string) => Partial<KvmParams> | null>> = {
  halt_poll_ns: (value) => (/^\d{1,9}$/.test(value) ? { haltPollNs: Number(value) } : null),
  lapic_timer_advance: (value) => (/^[YN01]$/i.test(value) ? { lapicTimerAdvance: /[Y1]/i.test(value) } : null),
  pi_inject_timer: (value) => (/^[YN01]$/i.test(value) ? { piInjectTimer: /[Y1]/i.test(value) } : null),
};
const PARAMETER_NAMES = 'halt_poll_ns (200000), lapic_timer_advance (Y), pi_inject_timer (N)';

export const MACHINE_OPTIONS: readonly Option[] = [
  { name: 'vcpus', value: 'N', help: 'virtual CPUs, 1 to 64 (default: what the file asks for, else 1)' },
  { name: 'memory', value: 'SIZE', help: 'guest memory, such as 64M (the default) or 1G' },
  {
    name: 'boot',
    value: 'NAME',
    help: `the boot protocol, if not the first that the file has: ${PROTOCOL_NAMES.join(', ')}`,
  },
  { name: 'append', value: 'TEXT', help: "the kernel's command line, by boot protocols that have one" },
  {
    name: 'initrd',
    value: 'FILE',
    multiple: true,
    help: 'a file for the kernel, by boot protocols that hand on files; may be repeated where they take several modules',
  },
  {
    name: 'cpu',
    value: 'MODEL',
    help: `processor model: ${CPU_NAMES} (default: max, all that trapline executes), with changes as QEMU writes them: max,-x2apic,vendor=AuthenticAMD`,
  },
  {
    name: 'feature',
    value: 'NAME',
    multiple: true,
    help: `a paravirtual feature to offer: ${wishNames()}; all but lazy-tscdeadline are offered anyway; may be repeated`,
  },
  { name: 'xen', help: "the guest is Xen's: an HVM domain, with hypercalls, event channels and a console ring" },
  {
    name: 'xen-route',
    value: 'LIST',
    help:
      `how the events of such a guest come to it: ${XEN_SOURCES.join(', ')} by ${XEN_ROUTES.join(', ')} ` +
      '(default: ipi=hypervisor,timer=hypervisor,pirq=eventfd)',
  },
  {
    name: 'device',
    value: 'NAME',
    multiple: true,
    help: `a device that a PC does not have anyway: ${DEVICE_NAMES.join(', ')}, a PCI function that interrupts by MSI-X when it is told to`,
  },
  {
    name: 'module',
    value: 'NAME',
    help: `what drives virtualisation: ${KVM_MODULES.join(', ')} (default: kvm_intel)`,
  },
  {
    name: 'fastpath',
    value: 'NAME',
    help: `where IPIs are handled: ${FASTPATH_DESIGNS.join(', ')} (default: reenter)`,
  },
  {
    name: 'timer',
    value: 'NAME',
    help:
      'what carries deadlines of a running vCPU: hv, the preemption timer (default), or sw, an hrtimer; hypothetical on x86, a ' +
      "timer of the guest's own, moved by load-put or entry-exit, with -nvhe for a host below EL2",
  },
  {
    name: 'lazy',
    value: 'NAME',
    help: `version of lazy-tscdeadline: ${LAZY_VERSIONS.join(', ')} (default: fixed, without the races of the others)`,
  },
  {
    name: 'param',
    value: 'NAME=V',
    multiple: true,
    help: `a parameter of the kvm module: ${PARAMETER_NAMES}; may be repeated`,
  },
  { name: 'host-cpus', value: 'N', help: 'physical CPUs of the host (default: one for each vCPU)' },
  {
    name: 'pin',
    value: 'LIST',
    help: 'the host CPU of each vCPU, in order: 0,0,1; a range such as 0-3 lets one move',
  },
  {
    name: 'slice',
    value: 'N',
    help: 'cycles for which a vCPU keeps a host CPU that others wait for (default: 2.8 ms)',
  },
  {
    name: 'housekeeping',
    value: 'N',
    help: 'the host CPU that keeps the timers of all others (default: each keeps its own)',
  },
  {
    name: 'apicv',
    value: 'on|off',
    help: 'APIC virtualisation and posted interrupts, for guests in x2APIC mode (default: off)',
  },
  {
    name: 'hlt-exits',
    value: 'on|off',
    help: 'off: the guest halts its CPU by itself, without an exit (default: on)',
  },
  {
    name: 'rtc',
    value: 'DATE',
    help: 'the date at the start: seconds since 1970, or as 2025-01-31T12:00:00 (UTC); default: 2020-01-01',
  },
  {
    name: 'swap',
    value: 'SIZE',
    help: 'guest memory that the host keeps in memory, such as 512M: it pages out what the guest touched first (default: all)',
  },
  {
    name: 'max-cycles',
    value: 'N',
    help: 'stop after N cycles of virtual time, k, M and G for thousands, millions, billions; default: no limit',
  },
  { name: 'costs', value: 'NAME', help: `cost model of host code: ${COST_PRESETS.join(', ')}` },
  { name: 'quantum', value: 'N', help: 'cycles that a vCPU may run ahead of the others' },
  {
    name: 'seed',
    value: 'N',
    help: 'other than 0: vCPUs start at chance distances, so that each seed tries another interleaving',
  },
  { name: 'no-hot', help: 'run each instruction form by its own function: slower, and profiles name every form' },
  { name: 'no-in-place', help: 'leave generated code at every exit: slower, and nothing else may differ' },
];

/** What a source file asks for in its directives (docs/guests.md). */
export interface Wishes {
  readonly vcpus?: number;
  readonly memory?: number;
  readonly features?: readonly PvFeatureWish[];
  readonly xen?: 'domain';
  readonly xenRoute?: Partial<XenRouting>;
  readonly devices?: readonly DeviceName[];
  readonly maxCycles?: number;
}

function routing(text: string): Partial<XenRouting> {
  try {
    return routingFromText(text);
  } catch (error) {
    throw new UsageError(`--xen-route: ${(error as RangeError).message}`);
  }
}

function device(name: string): DeviceName {
  const found = DEVICE_NAMES.find((each) => each === name);
  if (found !== undefined) return found;
  throw new UsageError(`there is no device '${name}'; --device knows ${DEVICE_NAMES.join(', ')}`);
}

const bootModule = (file: string): BootModule => ({ name: basename(file), bytes: readFile(file) });

const MOST_VCPUS = 64;
const MOST_HOST_CPUS = 256;
const MOST_SEED = 0xffff_ffff;

/** The boot protocol that the command line asks for. Throws UsageError. */
export function askedProtocol(args: Arguments): ProtocolName | undefined {
  const name = args.text('boot');
  if (name === undefined || isProtocolName(name)) return name;
  throw new UsageError(`there is no boot protocol '${name}'; --boot knows ${PROTOCOL_NAMES.join(', ')}`);
}

/** Boots a machine as the command line says, else as the file's own wishes do. Throws UsageError or BootError. */
export function bootMachine(args: Arguments, image: Image, wishes: Wishes, probes: Probes): Machine {
  const options = bootOptions(args, wishes);
  try {
    return Machine.boot({ image, probes, ...options });
  } catch (error) {
    // More memory than one machine can have.
    if (error instanceof RangeError && options.memory !== undefined) throw new UsageError(`--memory: ${error.message}`);
    throw error;
  }
}

function bootOptions(args: Arguments, wishes: Wishes): Omit<BootOptions, 'image' | 'probes'> {
  const vcpus = args.number('vcpus', 1, MOST_VCPUS) ?? wishes.vcpus;
  const memoryText = args.text('memory');
  const memory = memoryText === undefined ? wishes.memory : size('memory', memoryText);
  const asked = args.given('feature') ? args.texts('feature').map(feature) : wishes.features;
  const routes = args.text('xen-route');
  const xenRoute = routes === undefined ? wishes.xenRoute : routing(routes);
  const devices = args.given('device') ? args.texts('device').map(device) : wishes.devices;
  const quantum = args.number('quantum', 1, 1_000_000_000);
  const hostCpus = args.number('host-cpus', 1, MOST_HOST_CPUS);
  const slice = args.number('slice', 1, Number.MAX_SAFE_INTEGER);
  const housekeeping = args.number('housekeeping', 0, MOST_HOST_CPUS - 1);
  const pin = args.text('pin');
  const costs = args.text('costs');
  const rtc = args.text('rtc');
  const swap = args.text('swap');
  const seed = args.number('seed', 0, MOST_SEED);
  if (costs !== undefined && !COST_PRESETS.includes(costs)) {
    throw new UsageError(`--costs knows ${COST_PRESETS.join(', ')}, not '${costs}'`);
  }
  const cpu = args.text('cpu');
  const append = args.text('append');
  const params = kvmParams(args);
  return {
    ...(cpu !== undefined && { model: cpuModel(cpu) }),
    ...(Object.keys(params).length > 0 && { params }),
    ...(append !== undefined && { commandLine: append }),
    ...(args.given('initrd') && { modules: args.texts('initrd').map(bootModule) }),
    ...(vcpus !== undefined && { vcpus }),
    ...(memory !== undefined && { memory }),
    ...(asked !== undefined && { features: asked }),
    ...((args.given('xen') || wishes.xen !== undefined) && { xen: 'domain' as const }),
    ...(xenRoute !== undefined && { xenRoute }),
    ...(devices !== undefined && { devices }),
    ...(quantum !== undefined && { quantum }),
    ...(hostCpus !== undefined && { hostCpus }),
    ...(slice !== undefined && { slice }),
    ...(housekeeping !== undefined && { housekeeping }),
    ...(pin !== undefined && { pin: pinning(pin) }),
    ...(costs !== undefined && { costs }),
    ...(seed !== undefined && { seed }),
    ...(rtc !== undefined && { startTime: date(rtc) }),
    ...(swap !== undefined && { swap: { limit: size('swap', swap) } }),
    ...(args.given('no-hot') && { noHot: true }),
    ...(args.given('no-in-place') && { noInPlace: true }),
  };
}

/** Cycles after which the run ends; Infinity: no limit. */
export const maxCycles = (args: Arguments, wishes: Wishes): number =>
  args.number('max-cycles', 1, Number.MAX_SAFE_INTEGER) ?? wishes.maxCycles ?? Infinity;

const TIMERS: Readonly<Record<string, Partial<KvmParams>>> = {
  hv: { preemptionTimer: true },
  sw: { preemptionTimer: false },
  ...OWNERSHIP_DESIGNS,
};
const isModule = (name: string): name is KvmModule => (KVM_MODULES as readonly string[]).includes(name);
const isVersion = (name: string): name is LazyVersion => (LAZY_VERSIONS as readonly string[]).includes(name);
const isDesign = (name: string): name is FastpathDesign => (FASTPATH_DESIGNS as readonly string[]).includes(name);

function kvmParams(args: Arguments): Partial<KvmParams> {
  const fastpath = args.text('fastpath');
  const timer = args.text('timer');
  const module = args.text('module');
  const apicv = onOff(args, 'apicv');
  const hltExits = onOff(args, 'hlt-exits');
  if (module !== undefined && !isModule(module))
    throw new UsageError(`--module knows ${KVM_MODULES.join(' and ')}, not '${module}'`);
  if (module === 'kvm_amd' && timer === 'hv')
    throw new UsageError(
      '--timer hv is the preemption timer of VMX: kvm_amd has none, so leave it out or take --timer sw',
    );
  if (fastpath !== undefined && !isDesign(fastpath))
    throw new UsageError(`--fastpath knows ${FASTPATH_DESIGNS.join(', ')}, not '${fastpath}'`);
  if (timer !== undefined && !Object.hasOwn(TIMERS, timer))
    throw new UsageError(`--timer knows ${Object.keys(TIMERS).join(', ')}, not '${timer}'`);
  const lazy = args.text('lazy');
  if (lazy !== undefined && !isVersion(lazy))
    throw new UsageError(`--lazy knows ${LAZY_VERSIONS.join(', ')}, not '${lazy}'`);
  return {
    ...Object.assign({}, ...args.texts('param').map(parameter)),
    ...(module !== undefined && { module }),
    ...(fastpath !== undefined && { fastpath }),
    ...(timer !== undefined && TIMERS[timer]!),
    ...(lazy !== undefined && { lazyTscdeadline: lazy }),
    ...(apicv !== undefined && { apicv }),
    ...(hltExits !== undefined && { hltInGuest: !hltExits }),
  };
}

/** An option that is `on` or `off`; undefined when it is not given. */
function onOff(args: Arguments, name: string): boolean | undefined {
  const text = args.text(name);
  if (text === undefined) return undefined;
  if (text === 'on' || text === 'off') return text === 'on';
  throw new UsageError(`--${name} knows on and off, not '${text}'`);
}

/** `halt_poll_ns=0`. */
function parameter(text: string): Partial<KvmParams> {
  const [, name = '', value = ''] = /^([^=]*)=(.*)$/.exec(text) ?? [];
  const read = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
  const params = read?.(value) ?? null;
  if (params !== null) return params;
  throw new UsageError(`--param takes NAME=VALUE, as halt_poll_ns=0 or lapic_timer_advance=N, not '${text}'`);
}

/** `0,2,0-3`: for each vCPU one host CPU, or a range of them. */
function pinning(text: string): number[][] {
  return text.split(',').map((item) => {
    const [, first, last = first] = /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(item.trim()) ?? [];
    const count = Number(last) - Number(first) + 1;
    if (!(count >= 1))
      throw new UsageError(`--pin takes a host CPU or a range for each vCPU, such as 0,0,1-3, not '${text}'`);
    return Array.from({ length: count }, (_, i) => Number(first) + i);
  });
}

/** The model that `--cpu` describes. Throws UsageError. */
export function cpuModel(text: string): CpuModel {
  const found = cpuFromText(text);
  if (found === null)
    throw new UsageError(`there is no processor model '${text.split(',')[0]}'; --cpu knows ${CPU_NAMES}`);
  if (found.refused.length > 0) throw new UsageError(`--cpu ${text}: ${found.refused.join('; ')}`);
  return found.model;
}

function feature(name: string): PvFeatureWish {
  if (isPvFeatureWish(name)) return name;
  throw new UsageError(`there is no feature '${name}'; --feature knows ${wishNames()}`);
}

/** Seconds since 1970. */
function date(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const seconds = parseDate(text);
  if (seconds !== null && seconds >= 0) return seconds;
  throw new UsageError(`--rtc takes seconds since 1970 or a date such as 2025-01-31T12:00:00 in UTC, not '${text}'`);
}
