// Seed 003: who owns a vCPU's timer when. Both call flows of the commit, its fixups, and the counts that it argues with.

import { describe, expect, it } from 'vitest';
import { CNTV_CTL } from '../../src/host/genericTimer.ts';
import { ENTRY_EXIT_ROUND_TRIP } from './vtimerFacts.ts';
import { EntryExitTimer } from '../../src/hypervisor/vtimer/entryExit.ts';
import { LoadPutTimer } from '../../src/hypervisor/vtimer/loadPut.ts';
import { pass, vtimerRig, type RigVcpu } from './vtimerRig.ts';

/** A loaded vCPU whose guest has armed its timer `cycles` ahead. */
function armed(cycles: number, options: Parameters<typeof vtimerRig>[1] = {}) {
  const rig = vtimerRig(LoadPutTimer, options);
  const [vcpu] = rig.vcpus;
  vcpu!.load();
  vcpu!.enter((guest) => guest.arm(cycles));
  return { ...rig, vcpu: vcpu!, cpu: vcpu!.cpu };
}
const stateOf = ({ timer, cpu }: RigVcpu) => ({
  loaded: timer.loaded,
  hardware: (cpu.vtimer.ctl & CNTV_CTL.ENABLE) !== 0,
  background: timer.backgroundArmed,
});
const IN_HARDWARE = { loaded: true, hardware: true, background: false };
const IN_MEMORY = { loaded: false, hardware: false, background: false };
const IN_BACKGROUND = { loaded: false, hardware: false, background: true };

describe('a vCPU that blocks and loses its CPU (flow 1 of the commit)', () => {
  it('is saved once, at schedule, and restored once, at load, whatever is called in between', () => {
    const { host, vcpu, cpu } = armed(10_000);
    expect(stateOf(vcpu)).toEqual(IN_HARDWARE);
    vcpu.schedule();
    expect(stateOf(vcpu)).toEqual(IN_BACKGROUND);
    vcpu.put();
    expect(stateOf(vcpu)).toEqual(IN_BACKGROUND);
    expect(vcpu.accesses('put')).toEqual({});
    pass(host, cpu, 10_000);
    expect(vcpu.wakeUps).toBe(1);
    vcpu.load();
    expect(vcpu.timer.loaded).toBe(true);
    vcpu.unschedule();
    expect(stateOf(vcpu)).toEqual(IN_HARDWARE);
    expect(vcpu.accesses('unschedule')).toEqual({});
    expect(vcpu.raised).toBe(1);
  });

  it('is woken early by somebody else: the background timer is cancelled, the deadline is in the hardware', () => {
    const { host, vcpu, cpu } = armed(10_000);
    vcpu.schedule();
    vcpu.put();
    pass(host, cpu, 100);
    vcpu.load();
    vcpu.unschedule();
    expect(stateOf(vcpu)).toEqual(IN_HARDWARE);
    vcpu.run(20_000);
    expect([vcpu.wakeUps, vcpu.raised]).toEqual([0, 1]);
  });

  it('may be woken once more between load and unschedule, when both timers tick: it does no harm', () => {
    const { host, vcpu, cpu } = armed(10_000);
    vcpu.schedule();
    vcpu.put();
    pass(host, cpu, 100);
    vcpu.load();
    expect([vcpu.timer.loaded, vcpu.timer.backgroundArmed]).toEqual([true, true]);
    pass(host, cpu, 20_000);
    expect([vcpu.wakeUps, vcpu.raised]).toEqual([1, 1]);
    vcpu.unschedule();
    vcpu.run(1000);
    expect(vcpu.raised).toBe(1);
    vcpu.enter((guest) => (guest.acknowledge(), guest.disable(), guest.deactivate()));
    vcpu.run(1000);
    expect([vcpu.raised, vcpu.endedByHardware, cpu.gic.active]).toEqual([1, 1, false]);
  });
});

describe('a vCPU that blocks and keeps its CPU (flow 2 of the commit)', () => {
  it('is saved at schedule and restored at unschedule', () => {
    const { vcpu } = armed(10_000);
    vcpu.schedule();
    expect(stateOf(vcpu)).toEqual(IN_BACKGROUND);
    vcpu.unschedule();
    expect(stateOf(vcpu)).toEqual(IN_HARDWARE);
    expect(vcpu.accesses('schedule')).toEqual({ reads: 2, writes: 1, isbs: 1 });
    expect(vcpu.accesses('unschedule')).toEqual({ writes: 2, isbs: 1 });
  });

  it('does not sleep when its deadline has passed already', () => {
    const { host, vcpu, cpu } = armed(100);
    cpu.disableInterrupts();
    pass(host, cpu, 0);
    cpu.now += 500; // the interrupt has not been taken yet
    vcpu.schedule();
    expect([stateOf(vcpu), vcpu.timer.hasPendingTimer()]).toEqual([IN_MEMORY, true]);
    vcpu.unschedule();
    cpu.enableInterrupts();
    expect(vcpu.raised).toBe(1);
  });

  it('needs no background timer when it has no deadline', () => {
    const { vcpu } = armed(100);
    vcpu.enter((guest) => guest.disable());
    vcpu.schedule();
    expect([stateOf(vcpu), vcpu.timer.hasPendingTimer()]).toEqual([IN_MEMORY, false]);
  });
});

describe('save and restore', () => {
  const calls = ['load', 'put', 'schedule', 'unschedule'] as const;

  it.each(calls.flatMap((a) => calls.flatMap((b) => calls.map((c) => [a, b, c] as const))))(
    'end where the last call says after %s, %s, %s',
    (...order) => {
      const { vcpu } = armed(10_000);
      for (const call of order) vcpu[call]();
      const last = order.at(-1)!;
      expect(vcpu.timer.loaded).toBe(last === 'load' || last === 'unschedule');
      expect(vcpu.timer.deadline).toBe(vcpu.timer.loaded ? vcpu.cpu.vtimer.cval : vcpu.timer.cntCval);
    },
  );
});

describe('an expiry while the guest runs', () => {
  it('interrupts the host, whose handler reads one register and leaves the interrupt active', () => {
    const { vcpu, cpu } = armed(1000);
    vcpu.run(1100);
    expect(vcpu.accesses('interrupt')).toEqual({ reads: 1 });
    expect([vcpu.raised, vcpu.timer.level, cpu.gic.active]).toEqual([1, true, true]);
  });

  it('comes again only when the guest has deactivated the first one and the line is still high', () => {
    const { vcpu, cpu } = armed(1000);
    vcpu.run(3000);
    expect(vcpu.raised).toBe(1);
    vcpu.enter((guest) => guest.acknowledge());
    vcpu.run(3000);
    expect(vcpu.raised).toBe(1);
    vcpu.enter((guest) => guest.deactivate());
    expect([vcpu.endedByHardware, vcpu.raised, cpu.gic.active]).toEqual([1, 2, true]);
  });

  it('of a deadline that the guest set in its handler is a new interrupt', () => {
    const { vcpu } = armed(1000);
    vcpu.run(1100);
    vcpu.enter((guest) => (guest.acknowledge(), guest.arm(2000), guest.deactivate()));
    vcpu.run(1000);
    expect(vcpu.raised).toBe(1);
    vcpu.run(1500);
    expect(vcpu.raised).toBe(2);
  });

  it('that the guest takes back without an exit lowers the line, which the next exit finds out', () => {
    const { vcpu, cpu } = armed(1000);
    vcpu.run(1100);
    vcpu.enter();
    const looked = vcpu.accesses('exit');
    expect([looked, vcpu.withdrawn]).toEqual([{ reads: looked.reads }, 0]);
    vcpu.enter((guest) => guest.disable());
    expect(vcpu.accesses('exit')).toEqual({ reads: looked.reads! + 1, distributorWrites: 1 });
    expect([vcpu.withdrawn, vcpu.timer.level, cpu.gic.active]).toEqual([1, false, false]);
    vcpu.enter((guest) => guest.arm(500));
    vcpu.run(600);
    expect(vcpu.raised).toBe(2);
  });

  it('is lost when the guest has the interrupt masked, and the next one is not', () => {
    const { vcpu, cpu } = armed(1000);
    vcpu.masked = true;
    vcpu.run(1100);
    expect([vcpu.raised, vcpu.timer.deadline, cpu.gic.active]).toEqual([0, 0n, false]);
    vcpu.masked = false;
    vcpu.enter((guest) => guest.arm(500));
    vcpu.run(600);
    expect(vcpu.raised).toBe(1);
  });

  it('whose interrupt the guest ends by way of the host lets the host deactivate', () => {
    const { vcpu, cpu } = armed(1000);
    vcpu.run(1100);
    vcpu.timer.acknowledge(40);
    vcpu.timer.endOfInterrupt(40);
    expect(vcpu.accesses('emulation')).toEqual({ deactivations: 1 });
    expect([cpu.gic.active, vcpu.timer.irq.mapIsActive, vcpu.timer.deadline]).toEqual([false, false, 0n]);
  });
});

describe('an interrupt that finds nothing to do', () => {
  it('is stale when the vCPU was put before the controller had retired it', () => {
    const { host, vcpu, cpu } = armed(1000);
    cpu.vtimer.retireDelay = 100;
    cpu.disableInterrupts();
    cpu.now += 1500;
    vcpu.put();
    cpu.enableInterrupts();
    expect([cpu.gic.stale, vcpu.raised, vcpu.timer.spurious]).toEqual([1, 0, 0]);
    vcpu.load();
    pass(host, cpu, 1);
    expect([vcpu.raised, cpu.gic.active]).toEqual([1, true]);
  });

  it('is spurious when the handler finds the timer not firing: the saved control is not touched', () => {
    const { vcpu, cpu } = armed(1000);
    cpu.vtimer.retireDelay = 100;
    cpu.disableInterrupts();
    cpu.now += 1500;
    cpu.vtimer.cval += 10_000n; // the guest has moved on just before the exit
    cpu.vtimer.synchronise();
    cpu.enableInterrupts();
    expect([vcpu.timer.spurious, vcpu.raised, vcpu.timer.level]).toEqual([1, 0, false]);
    vcpu.run(12_000);
    expect(vcpu.raised).toBe(1);
  });

  it('after a save in schedule is judged by what was saved, which still has the timer enabled', () => {
    const { vcpu, cpu } = armed(1000);
    cpu.vtimer.retireDelay = 100;
    cpu.disableInterrupts();
    cpu.now += 1500;
    vcpu.schedule();
    cpu.enableInterrupts();
    expect([vcpu.raised, vcpu.timer.cntCtl]).toEqual([1, CNTV_CTL.ENABLE]);
    vcpu.unschedule();
    expect(vcpu.raised).toBe(1);
  });
});

describe('a vCPU that moves to another CPU', () => {
  it('takes the active state of its interrupt along', () => {
    const { host, vcpu } = armed(1000);
    const [first, second] = host.cpus;
    vcpu.run(1100);
    second!.now = first!.now;
    vcpu.put();
    vcpu.load(second);
    expect([second!.gic.active, vcpu.raised]).toEqual([true, 1]);
    vcpu.run(2000);
    expect(vcpu.raised).toBe(1);
    vcpu.enter((guest) => (guest.acknowledge(), guest.arm(1000), guest.deactivate()));
    expect(second!.gic.active).toBe(false);
    vcpu.run(1500);
    expect(vcpu.raised).toBe(2);
  });

  it('clears what another vCPU has left active there', () => {
    const { host, vcpus } = vtimerRig(LoadPutTimer, { vcpus: 2 });
    const [one, other] = vcpus;
    one!.load();
    one!.enter((guest) => guest.arm(100));
    one!.run(200);
    one!.put();
    expect(host.cpus[0]!.gic.active).toBe(true);
    other!.load();
    expect(host.cpus[0]!.gic.active).toBe(false);
    other!.enter((guest) => guest.arm(100));
    other!.run(200);
    expect(other!.raised).toBe(1);
  });

  it('finds a deadline expired that passed while it was off the CPU', () => {
    const { host, vcpu } = armed(1000);
    vcpu.put();
    pass(host, host.cpus[0]!, 5000);
    expect([vcpu.raised, vcpu.timer.shouldFire()]).toEqual([0, true]);
    host.cpus[1]!.now = host.cpus[0]!.now;
    vcpu.load(host.cpus[1]);
    expect(vcpu.raised).toBe(1);
  });
});

describe('userspace', () => {
  it('that sets the deadline of a loaded vCPU has it saved, changed and restored', () => {
    const { vcpu, cpu } = armed(1000);
    vcpu.timer.setDeadline(vcpu.guestTsc() + 700n);
    expect(stateOf(vcpu)).toEqual(IN_HARDWARE);
    expect(cpu.vtimer.cval).toBe(vcpu.timer.deadline);
    vcpu.timer.setDeadline(0n);
    vcpu.run(5000);
    expect([vcpu.raised, vcpu.timer.deadline]).toEqual([0, 0n]);
  });

  it('that moves the counter of the guest moves its deadline in host time', () => {
    const { vcpu } = armed(10_000);
    vcpu.offset += 9000n;
    vcpu.timer.counterMoved();
    vcpu.run(1500);
    expect(vcpu.raised).toBe(1);
  });
});

describe('an interrupt controller in userspace', () => {
  it('is told the level by a return of KVM_RUN, and again when the guest has lowered it', () => {
    const { vcpu, cpu } = armed(1000, { irqchip: 'userspace' });
    expect(vcpu.timer.shouldNotifyUser()).toBe(false);
    vcpu.run(1100);
    expect([vcpu.timer.shouldNotifyUser(), vcpu.timer.updateRun(), vcpu.timer.shouldNotifyUser()]).toEqual([true, true, false]); // prettier-ignore
    expect([vcpu.raised, cpu.gic.active]).toEqual([0, true]);
    vcpu.enter((guest) => guest.disable());
    expect([vcpu.timer.shouldNotifyUser(), vcpu.timer.updateRun(), cpu.gic.active]).toEqual([true, false, false]);
  });

  it('costs nothing on an exit while the level is low', () => {
    const { vcpu } = armed(100_000, { irqchip: 'userspace' });
    vcpu.run(1000);
    expect([vcpu.accesses('entry'), vcpu.accesses('exit')]).toEqual([{}, {}]);
  });

  it('brings its level along, not an active state of the guest', () => {
    const { host, vcpu } = armed(1000, { irqchip: 'userspace' });
    vcpu.run(1100);
    host.cpus[1]!.now = host.cpus[0]!.now;
    vcpu.put();
    vcpu.load(host.cpus[1]);
    expect(host.cpus[1]!.gic.active).toBe(true);
  });

  it('on a host without active states masks the interrupt instead, while the level is high', () => {
    const { vcpu, cpu } = armed(1000, { irqchip: 'userspace' });
    cpu.gic.hasActiveState = false;
    vcpu.run(3000);
    expect([vcpu.timer.level, cpu.gic.enabled, vcpu.accesses('interrupt').reads]).toEqual([true, false, 1]);
    vcpu.enter((guest) => guest.disable());
    expect([vcpu.timer.level, cpu.gic.enabled]).toEqual([false, true]);
  });
});

describe.each([true, false])('the registers that are touched with vhe = %s', (vhe) => {
  it('by load and put: none at entries and exits', () => {
    const { vcpu } = armed(1_000_000, { vhe });
    vcpu.put();
    vcpu.run(0);
    const hypCalls = vhe ? {} : { hypCalls: 1 };
    expect(vcpu.accesses('load')).toEqual({ writes: 3, isbs: 1, distributorWrites: 1, ...hypCalls });
    expect(vcpu.accesses('put')).toEqual({ reads: 2, writes: vhe ? 1 : 2, isbs: 1, ...hypCalls });
    expect([vcpu.accesses('entry'), vcpu.accesses('exit')]).toEqual([{}, {}]);
  });

  it('by the older policy: all of them at each entry and exit, and none at load and put', () => {
    const [vcpu] = vtimerRig(EntryExitTimer, { vhe }).vcpus;
    vcpu!.load();
    vcpu!.enter();
    vcpu!.put();
    const total = (name: string) => (vcpu!.accesses('entry')[name] ?? 0) + (vcpu!.accesses('exit')[name] ?? 0);
    expect({ reads: total('reads'), writes: total('writes') }).toEqual(ENTRY_EXIT_ROUND_TRIP[vhe ? 'vhe' : 'nvhe']);
    expect([vcpu!.accesses('load'), vcpu!.accesses('put')]).toEqual([{}, {}]);
  });
});

describe('the older policy', () => {
  function olderArmed(cycles: number) {
    const rig = vtimerRig(EntryExitTimer, { vcpus: 2 });
    const [vcpu] = rig.vcpus;
    vcpu!.load();
    vcpu!.enter((guest) => guest.arm(cycles));
    return { ...rig, vcpu: vcpu!, cpu: vcpu!.cpu };
  }

  it('has the timer off whenever the host runs, so that its handler sees nothing', () => {
    const { host, vcpu, cpu } = olderArmed(1000);
    expect(stateOf(vcpu)).toEqual(IN_MEMORY);
    pass(host, cpu, 5000);
    expect([vcpu.timer.unexpected, vcpu.raised]).toEqual([0, 0]);
    vcpu.enter();
    expect([vcpu.timer.unexpected, vcpu.raised]).toEqual([0, 1]);
  });

  it('finds an expiry by looking, and enters with the interrupt active, so that it does not exit at once', () => {
    const { vcpu, cpu } = olderArmed(1000);
    vcpu.run(1200);
    expect([vcpu.raised, vcpu.timer.level]).toEqual([1, true]);
    const { now } = cpu;
    vcpu.enter(() => expect(cpu.gic.active).toBe(true), 500);
    expect(cpu.now).toBeGreaterThanOrEqual(now + 500);
  });

  it('writes the distributor before each entry, but for one that was clear and stays clear', () => {
    const { vcpu } = olderArmed(1000);
    const writes = () => vcpu.accesses('entry').distributorWrites;
    expect(writes()).toBe(1);
    vcpu.run(900);
    expect(writes()).toBe(1);
    vcpu.run(300);
    for (let i = 0; i < 3; i++) vcpu.enter();
    const set = writes()!;
    expect(set).toBeGreaterThanOrEqual(4);
    vcpu.enter((guest) => (guest.acknowledge(), guest.disable(), guest.deactivate()));
    for (let i = 0; i < 3; i++) vcpu.enter();
    expect(writes()).toBe(set + 2); // set once more, then cleared once
  });

  it('forgets what it knows of the distributor when it is put', () => {
    const { vcpu } = olderArmed(100_000);
    vcpu.enter();
    expect(vcpu.accesses('entry').distributorWrites).toBe(1);
    vcpu.put();
    vcpu.load();
    vcpu.enter();
    expect(vcpu.accesses('entry').distributorWrites).toBe(2);
  });

  it('raises an interrupt again whose line rose while the guest was at it', () => {
    const { vcpu } = olderArmed(1000);
    vcpu.run(1200);
    vcpu.enter((guest) => (guest.acknowledge(), guest.disable()));
    vcpu.enter((guest) => guest.arm(100), 50);
    vcpu.run(500);
    expect(vcpu.raised).toBe(1);
    vcpu.enter((guest) => guest.deactivate());
    expect(vcpu.raised).toBe(2);
  });

  it('wakes a vCPU that blocks by the same background timer', () => {
    const { host, vcpu, cpu } = olderArmed(10_000);
    vcpu.schedule();
    vcpu.put();
    pass(host, cpu, 10_000);
    expect(vcpu.wakeUps).toBe(1);
    vcpu.load();
    vcpu.unschedule();
    expect(vcpu.raised).toBe(0);
    vcpu.timer.flushHwstate();
    expect(vcpu.raised).toBe(1);
  });
});

describe('what is traced', () => {
  it('are the events of the kernel, at save, restore, update and the background timer', () => {
    const { host, vcpu, cpu } = armed(1000);
    const names: string[] = [];
    vcpu.probes.subscribe((name) => names.push(name));
    vcpu.schedule();
    vcpu.put();
    pass(host, cpu, 1000);
    vcpu.load();
    vcpu.unschedule();
    expect(names).toEqual([
      'kvm_timer_save_state',
      'kvm_timer_hrtimer_expire',
      'kvm_timer_restore_state',
      'kvm_timer_update_irq',
    ]);
  });
});
