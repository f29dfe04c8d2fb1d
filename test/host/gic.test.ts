// The second timer of a physical CPU and its interrupt controller, by their registers.

import { describe, expect, it } from 'vitest';
import { CNTV_CTL } from '../../src/host/genericTimer.ts';
import { SPURIOUS_INTID, VTIMER_PPI } from '../../src/host/gic.ts';
import { unitHost } from './scripts.ts';

const { ENABLE, IMASK, ISTATUS } = CNTV_CTL;
const VIRTUAL = 40;

/** One CPU at position 1000; `taken` are the positions at which somebody's handler ran. */
function rig() {
  const [cpu] = unitHost(1).cpus;
  cpu!.now = 1000;
  const taken: number[] = [];
  cpu!.gic.device = { onPercpuIrq: () => void taken.push(cpu!.now) };
  const { vtimer, gic } = cpu!;
  /** Time passes in the host, with interrupts on. */
  const pass = (cycles: number): void => {
    cpu!.now += cycles;
    if (cpu!.interruptPending) cpu!.takeInterrupts();
  };
  return { cpu: cpu!, vtimer, gic, taken, pass };
}

describe('the timer of a CPU', () => {
  it('has an output that is ENABLE and ISTATUS and not IMASK', () => {
    const { vtimer } = rig();
    vtimer.cval = 1000n;
    for (const ctl of [0, IMASK]) {
      vtimer.ctl = ctl;
      expect([vtimer.ctl, vtimer.output]).toEqual([ctl, false]);
    }
    vtimer.ctl = ENABLE | IMASK;
    expect([vtimer.ctl, vtimer.output]).toEqual([ENABLE | IMASK | ISTATUS, false]);
    vtimer.ctl = ENABLE;
    expect([vtimer.ctl, vtimer.output]).toEqual([ENABLE | ISTATUS, true]);
  });

  it('computes ISTATUS: writing it changes nothing, and it falls when the value moves ahead', () => {
    const { vtimer } = rig();
    vtimer.cval = 2000n;
    vtimer.ctl = ENABLE | ISTATUS;
    expect(vtimer.ctl).toBe(ENABLE);
    vtimer.cval = 999n;
    expect(vtimer.ctl).toBe(ENABLE | ISTATUS);
    vtimer.cval = 1001n;
    expect(vtimer.ctl).toBe(ENABLE);
  });

  it('counts from the offset, modulo 2^64, and compares unsigned', () => {
    const { cpu, vtimer } = rig();
    vtimer.cntvoff = 400n;
    expect(vtimer.count).toBe(600n);
    vtimer.cntvoff = 1100n;
    expect(vtimer.count).toBe(2n ** 64n - 100n);
    vtimer.ctl = ENABLE;
    vtimer.cval = 2n ** 64n - 1n;
    expect(vtimer.risesAt).toBe(1099);
    cpu.now = 1099;
    expect(vtimer.output).toBe(true);
    cpu.now = 1100; // the count is 0 again
    expect(vtimer.output).toBe(false);
  });

  it('never fires at a value that no position reaches', () => {
    const { cpu, vtimer } = rig();
    vtimer.cval = 2n ** 63n;
    vtimer.ctl = ENABLE;
    expect([vtimer.risesAt, cpu.events.next]).toEqual([Infinity, Infinity]);
  });
});

describe('its interrupt', () => {
  it('comes when the output rises, and is left active with the priority dropped', () => {
    const { vtimer, gic, taken, pass } = rig();
    vtimer.cval = 1100n;
    vtimer.ctl = ENABLE;
    pass(99);
    expect(taken).toEqual([]);
    pass(1);
    expect(taken).toHaveLength(1);
    expect(gic.active).toBe(true);
  });

  it('does not come again while it is active, however high the line; deactivated, it does', () => {
    const { vtimer, gic, taken, pass } = rig();
    vtimer.ctl = ENABLE;
    pass(1);
    pass(1000);
    expect(taken).toHaveLength(1);
    gic.deactivate();
    pass(1);
    expect(taken).toHaveLength(2);
  });

  it('does not come when the line has fallen before it was taken', () => {
    const { cpu, vtimer, taken, pass } = rig();
    cpu.disableInterrupts();
    vtimer.ctl = ENABLE;
    vtimer.ctl = 0;
    vtimer.synchronise();
    cpu.enableInterrupts();
    pass(1);
    expect(taken).toEqual([]);
  });

  it('still comes when the write that lowered the line was not synchronised', () => {
    const { cpu, vtimer, gic, taken } = rig();
    cpu.disableInterrupts();
    vtimer.ctl = ENABLE;
    vtimer.ctl = 0;
    cpu.enableInterrupts();
    expect([taken.length, gic.active]).toEqual([1, true]);
  });

  it('may come for a while after that, where the controller is slow to retire it, and is gone later', () => {
    for (const [after, come, retired] of [
      [50, 1, 0],
      [150, 0, 1],
    ] as const) {
      // prettier-ignore
      const { cpu, vtimer, gic, taken } = rig();
      vtimer.retireDelay = 100;
      cpu.disableInterrupts();
      vtimer.ctl = ENABLE;
      vtimer.ctl = 0;
      vtimer.synchronise();
      cpu.now += after;
      cpu.enableInterrupts();
      expect([taken.length, gic.retired]).toEqual([come, retired]);
    }
  });

  it('that is retired before it is taken leaves the next deadline armed', () => {
    const { cpu, vtimer, taken, pass } = rig();
    vtimer.retireDelay = 10;
    cpu.disableInterrupts();
    vtimer.ctl = ENABLE;
    vtimer.cval = 5000n;
    vtimer.synchronise();
    cpu.now += 20;
    cpu.enableInterrupts();
    pass(5000 - cpu.now);
    expect(taken).toHaveLength(1);
  });

  it('is counted as stale where nobody expects it', () => {
    const { vtimer, gic, taken, pass } = rig();
    gic.device = null;
    vtimer.ctl = ENABLE;
    pass(1);
    expect([gic.stale, taken.length, gic.active]).toEqual([1, 0, true]);
  });

  it('is held back while it is disabled', () => {
    const { vtimer, gic, taken, pass } = rig();
    gic.setEnabled(false);
    vtimer.ctl = ENABLE;
    pass(10);
    expect(taken).toEqual([]);
    gic.setEnabled(true);
    pass(1);
    expect(taken).toHaveLength(1);
  });

  it('is acknowledged, dropped and deactivated in three steps; only the last lets it come again', () => {
    const { vtimer, gic } = rig();
    vtimer.ctl = ENABLE;
    expect(gic.acknowledge()).toBe(VTIMER_PPI);
    expect(gic.acknowledge()).toBe(SPURIOUS_INTID);
    gic.dropPriority();
    expect(gic.acknowledge()).toBe(SPURIOUS_INTID);
    gic.deactivate();
    expect(gic.acknowledge()).toBe(VTIMER_PPI);
  });
});

describe('a list register', () => {
  it('with a hardware link deactivates the physical interrupt when the guest deactivates the virtual one', () => {
    const { vtimer, gic, taken, pass } = rig();
    vtimer.ctl = ENABLE;
    pass(1);
    gic.listRegisters[0]!.set('pending', VIRTUAL, VTIMER_PPI);
    gic.acknowledgeVirtual(VIRTUAL);
    expect([gic.listRegisters[0]!.state, gic.active]).toEqual(['active', true]);
    gic.deactivateVirtual(VIRTUAL);
    expect([gic.listRegisters[0]!.state, gic.active]).toEqual(['invalid', false]);
    pass(1);
    expect(taken).toHaveLength(2);
  });

  it('without one deactivates nothing, nor does a virtual interrupt that was not acknowledged', () => {
    const { vtimer, gic, pass } = rig();
    vtimer.ctl = ENABLE;
    pass(1);
    gic.listRegisters[0]!.set('active', VIRTUAL, null);
    gic.deactivateVirtual(VIRTUAL);
    expect(gic.active).toBe(true);
    gic.listRegisters[0]!.set('pending', VIRTUAL, VTIMER_PPI);
    gic.deactivateVirtual(VIRTUAL);
    expect([gic.listRegisters[0]!.state, gic.active]).toEqual(['pending', true]);
  });
});
