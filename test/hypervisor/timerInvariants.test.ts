// Seed 003: what holds after every step, whatever the steps are. Two vCPUs on two CPUs are loaded, put, blocked, entered and
// moved at random; their guests arm, take back, acknowledge and deactivate.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CNTV_CTL } from '../../src/host/genericTimer.ts';
import { EntryExitTimer } from '../../src/hypervisor/vtimer/entryExit.ts';
import { LoadPutTimer } from '../../src/hypervisor/vtimer/loadPut.ts';
import { pass, vtimerRig, type Guest, type RigVcpu, type VtimerRig } from './vtimerRig.ts';

/** Longer than any deadline that is armed here. */
const LONG = 20_000;

type Step =
  | { readonly do: 'load' | 'put' | 'block' | 'unblock'; readonly vcpu: number; readonly cpu: number }
  | { readonly do: 'arm' | 'run' | 'pass'; readonly vcpu: number; readonly cpu: number; readonly cycles: number }
  | { readonly do: 'disable' | 'acknowledge' | 'deactivate'; readonly vcpu: number; readonly cpu: number };

const which = { vcpu: fc.nat({ max: 1 }), cpu: fc.nat({ max: 1 }) };
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom('load', 'put', 'block', 'unblock'), ...which }),
  fc.record({ do: fc.constantFrom('arm', 'run', 'pass'), ...which, cycles: fc.nat({ max: 3000 }) }),
  fc.record({ do: fc.constantFrom('disable', 'acknowledge', 'deactivate'), ...which }),
);

/** What the guest has programmed last, as the guest would remember it. */
interface Programmed {
  ctl: number;
  cval: bigint;
}

/** I4, as both policies have it: the guest is entered with the physical interrupt active exactly if it has the virtual one. */
function inGuest(vcpu: RigVcpu, act: (guest: Guest) => void): void {
  vcpu.enter((guest) => {
    expect(vcpu.cpu.gic.active).toBe(vcpu.timer.irq.mapIsActive);
    act(guest);
  });
}

/** Does a step if it can be done: a vCPU is entered only while it is loaded and does not block, and a CPU has one vCPU. */
function take(rig: VtimerRig<LoadPutTimer | EntryExitTimer>, programmed: Programmed[], step: Step): void {
  const { host, vcpus } = rig;
  const vcpu = vcpus[step.vcpu]!;
  const target = host.cpus[step.cpu]!;
  const runs = vcpu.isLoaded && !vcpu.blocked;
  switch (step.do) {
    case 'load':
      if (vcpu.isLoaded || vcpus.some((other) => other.isLoaded && other.cpu === target)) return;
      target.now = Math.max(target.now, vcpu.cpu.now); // a thread does not go back in time
      vcpu.load(target);
      return;
    case 'put':
      if (vcpu.isLoaded) vcpu.put();
      return;
    case 'block':
      if (runs) vcpu.schedule();
      return;
    case 'unblock':
      if (vcpu.isLoaded && vcpu.blocked) vcpu.unschedule();
      return;
    case 'pass':
      pass(host, target, step.cycles);
      return;
    case 'run':
      if (runs) vcpu.run(step.cycles);
      return;
    case 'arm':
      if (runs)
        inGuest(vcpu, (guest) => {
          guest.arm(step.cycles);
          programmed[step.vcpu] = { ctl: CNTV_CTL.ENABLE, cval: vcpu.cpu.vtimer.cval };
        });
      return;
    case 'disable':
      if (runs)
        inGuest(vcpu, (guest) => {
          guest.disable();
          programmed[step.vcpu] = { ctl: 0, cval: vcpu.cpu.vtimer.cval };
        });
      return;
    default:
      if (runs) inGuest(vcpu, (guest) => guest[step.do as 'acknowledge' | 'deactivate']());
  }
}

const ctlOf = (ctl: number): number => ctl & ~CNTV_CTL.ISTATUS;

/** I1: the registers, or memory, hold what the guest has programmed. I3: registers that nobody has loaded are off. */
function checkAuthority({ timer, cpu }: RigVcpu, { ctl, cval }: Programmed): void {
  if (timer.loaded) expect({ ctl: ctlOf(cpu.vtimer.ctl), cval: cpu.vtimer.cval }).toEqual({ ctl, cval });
  else expect({ ctl: timer.cntCtl, cval: timer.cntCval }).toEqual({ ctl, cval });
}

function check(rig: VtimerRig<LoadPutTimer | EntryExitTimer>, programmed: Programmed[]): void {
  for (const vcpu of rig.vcpus) {
    rig.host.thisCpu = vcpu.cpu;
    const { timer } = vcpu;
    checkAuthority(vcpu, programmed[vcpu.id]!);
    // I2: a vCPU that sleeps will be woken, or need not be, or is told not to sleep.
    if (vcpu.blocked && !timer.loaded) {
      const canFire = timer.cntCtl === CNTV_CTL.ENABLE;
      expect(timer.backgroundArmed || !canFire || timer.shouldFire()).toBe(true);
    }
    // I4: the physical interrupt is active exactly as long as the guest has the virtual one.
    if (timer instanceof LoadPutTimer && vcpu.isLoaded && timer.loaded)
      expect(vcpu.cpu.gic.active).toBe(timer.irq.mapIsActive);
  }
  for (const cpu of rig.host.cpus) {
    const owner = rig.vcpus.find(({ timer, cpu: own }) => timer.loaded && own === cpu);
    if (owner === undefined) expect(cpu.vtimer.ctl & CNTV_CTL.ENABLE).toBe(0);
  }
}

/** Whatever has happened: a guest that arms its timer once more gets its interrupt. */
function checkAlive(rig: VtimerRig<LoadPutTimer | EntryExitTimer>): void {
  for (const vcpu of rig.vcpus) if (vcpu.isLoaded) vcpu.put();
  for (const vcpu of rig.vcpus) {
    vcpu.load(rig.host.cpus[vcpu.id]);
    if (vcpu.blocked) vcpu.unschedule();
    vcpu.run(10);
    vcpu.enter((guest) => (guest.acknowledge(), guest.disable(), guest.deactivate()));
    vcpu.run(10);
    const { raised } = vcpu;
    vcpu.enter((guest) => guest.arm(100));
    vcpu.run(200);
    expect(vcpu.raised).toBe(raised + 1);
  }
}

describe.each([
  ['load and put', LoadPutTimer],
  ['entry and exit', EntryExitTimer],
] as const)('with ownership by %s', (_, policy) => {
  it.each([true, false])('every sequence keeps the invariants, and loses no deadline (vhe = %s)', (vhe) => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
        const rig: VtimerRig<LoadPutTimer | EntryExitTimer> = vtimerRig<LoadPutTimer | EntryExitTimer>(policy, {
          vhe,
          vcpus: 2,
        });
        const programmed = rig.vcpus.map((): Programmed => ({ ctl: 0, cval: 0n }));
        for (const step of steps) {
          take(rig, programmed, step);
          check(rig, programmed);
        }
        checkAlive(rig);
      }),
      { numRuns: 500, seed: 3 },
    );
  });

  it('a deadline fires, and not before its time, however often its vCPU blocks, moves and is entered', () => {
    fc.assert(
      fc.property(fc.nat({ max: 3000 }), fc.array(anyStep, { maxLength: 30 }), (cycles, steps) => {
        const { host, vcpus } = vtimerRig<LoadPutTimer | EntryExitTimer>(policy);
        const [vcpu] = vcpus;
        vcpu!.load();
        vcpu!.enter((guest) => guest.arm(cycles));
        const due = vcpu!.cpu.now + cycles;
        for (const step of steps) {
          if (step.vcpu === 0 && !['arm', 'disable', 'acknowledge', 'deactivate'].includes(step.do))
            take({ host, vcpus }, [], step);
          if (vcpu!.raised > 0) expect(vcpu!.cpu.now).toBeGreaterThan(due - 20);
        }
        if (!vcpu!.isLoaded) vcpu!.load();
        if (vcpu!.blocked) vcpu!.unschedule();
        vcpu!.run(LONG);
        expect(vcpu!.raised).toBe(1);
      }),
      { numRuns: 500, seed: 3 },
    );
  });
});
