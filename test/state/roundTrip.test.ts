// A guest that is stopped anywhere, taken out in KVM's groups and put back, does not notice.

import { describe, expect, it } from 'vitest';
import { COST_MODELS, type CostModel } from '../../src/host/costs.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { OWNERSHIP_DESIGNS } from '../../src/hypervisor/params.ts';
import { getRegs, setRegs } from '../../src/hypervisor/state/regs.ts';
import { corpus, MEMORY } from '../vmm/guest.ts';
import { restore, save, scramble, stateOf } from './migrate.ts';

/** Host code takes no time: saving and restoring neither. */
const FREE: CostModel = { ...COST_MODELS.unit, name: 'free', cycles: new Float64Array(COST_MODELS.unit.cycles.length) };

const GUESTS: [name: string, options: Partial<BootOptions>][] = [
  ['hello', {}],
  ['exceptions', {}],
  ['pagefault', {}],
  ['syscall', {}],
  ['smc', {}],
  ['tick', {}],
  ['priority', {}],
  ['warp', { vcpus: 4 }],
  ['ipi', { vcpus: 4 }],
  ['ipi', { vcpus: 4, hostCpus: 2 }],
  ['lazy', { vcpus: 2, features: ['lazy-tscdeadline'] }],
  // Without a preemption timer an hrtimer carries every deadline, and may expire while the machine is paused.
  ['lazy', { vcpus: 2, features: ['lazy-tscdeadline'], params: { module: 'kvm_amd' } }],
  ['tick', { params: { preemptionTimer: false } }],
  ['tick', { params: OWNERSHIP_DESIGNS['entry-exit'] }],
  ['ownership', { vcpus: 2, hostCpus: 1, params: OWNERSHIP_DESIGNS['load-put'] }],
];

/** What guests measure differs after a move: the new machine's pages are absent at first, and each costs an exit. */
const MEASURES = new Set(['tick', 'ipi', 'lazy']);
const withoutMeasures = (name: string, text: string): string =>
  MEASURES.has(name)
    ? text.replace(/\d+(?= (cycles|to|deadlines|MSR writes|timer interrupts|ticks,?|early)\b)/g, '#')
    : text;

/** How often a guest is stopped on its way. */
const STOPS = 10;

type Make = (more?: Partial<BootOptions>) => Machine;

async function maker(name: string, options: Partial<BootOptions>): Promise<Make> {
  const image = await corpus(name);
  return (more = {}) => Machine.boot({ image, memory: MEMORY, ...options, ...more });
}

/** Cycles after which the guest ends when nobody disturbs it. */
function lengthOf(machine: Machine): number {
  machine.run({ maxCycles: 2e9 });
  return Math.max(...machine.vm.vcpus.map(({ cpu }) => cpu.now));
}

/** Runs to `cycles` and stops there, wherever that is. */
function stopAt(machine: Machine, cycles: number): void {
  machine.run({ maxCycles: cycles });
  machine.pause();
}

describe.each(GUESTS)('%s', (name, options) => {
  it('put back into the same machine after everything was scrambled, it ends with the same digest', async () => {
    const make = await maker(name, { ...options, costs: FREE });
    const length = lengthOf(make());
    const [paused, moved] = [make(), make()];
    for (let stop = 0; stop < STOPS; stop++) {
      for (const machine of [paused, moved]) stopAt(machine, Math.floor((length * stop) / STOPS));
      // Arithmetic flags are kept lazily, in one of several forms, and the digest sees which: setting them makes it one.
      for (const vcpu of paused.vm.vcpus) setRegs(vcpu, getRegs(vcpu));
      const saved = save(moved);
      scramble(moved);
      restore(moved, saved);
      expect(stateOf(moved), `state at stop ${stop}`).toEqual(stateOf(paused));
      for (const machine of [paused, moved]) machine.resume();
    }
    for (const machine of [paused, moved]) machine.run();
    expect(moved.result).toEqual(paused.result);
    expect(moved.console.text).toBe(paused.console.text);
    expect(moved.digest()).toBe(paused.digest());
  });

  it('moved to a new machine, it goes on there and prints the rest', async () => {
    const make = await maker(name, options);
    const source = make();
    const length = lengthOf(make());
    const outcomes: string[] = [];
    for (let stop = 1; stop < 4; stop++) {
      stopAt(source, Math.floor((length * stop) / 4));
      const printed = source.console.text;
      // With a seed the new machine's CPUs stand at different positions.
      const target = make({ seed: stop });
      restore(target, save(source));
      source.resume();
      expect(target.run({ maxCycles: 2e9 })).toEqual({ kind: 'power-off', vcpu: 0 });
      outcomes.push(printed + target.console.text);
    }
    source.run({ maxCycles: 2e9 });
    const whole = withoutMeasures(name, source.console.text);
    for (const outcome of outcomes) expect(withoutMeasures(name, outcome)).toBe(whole);
  });
});
