// The races of seed 000 (xen-evtchn-timer.md, section 7), forced at every access: the callback of E1 on its CPU against
// whatever the vCPU's thread or its VMM does to the timer. `expires` must tell whether an event is still to come.

import { beforeAll, describe, expect, it } from 'vitest';
import { describeSite } from '../../src/explore/preemption.ts';
import type { XenTimerDesign } from '../../src/hypervisor/params.ts';
import { PRIO_2LEVEL } from '../../src/hypervisor/xen/names.ts';
import type { XenTimer } from '../../src/hypervisor/xen/timer.ts';
import { loadPreemptible, transformHostCode, type Mutation } from '../../transform/load.ts';
import type * as Scenarios from './xenScenarios.ts';

type Loaded = typeof Scenarios;
type Scene = Scenarios.TimerScene;

const load = (mutation?: Mutation) =>
  loadPreemptible<Loaded>(
    'test/explore/xenScenarios.ts',
    transformHostCode(mutation === undefined ? {} : { mutation }),
  );
let production: Loaded;
beforeAll(async () => {
  production = await load();
});

/** What a VMM would take along, as it reads the timer: nothing is armed and nothing pending, or not. */
function broken(code: Loaded, { rig, timer, hrtimer }: Scene): string | null {
  const carried = hrtimer.queued || timer.hasPendingTimer();
  if (carried && timer.expires === 0n) return 'an event is to come, and the timer says that none is armed';
  if (!carried && timer.expires !== 0n) return 'the timer says that it is armed, and nobody carries it';
  return !carried && !code.isPending(rig, code.VIRQ) ? 'the event is lost' : null;
}

/** What the vCPU's thread does, or a VMM that has its mutex, and what must hold afterwards. */
const actions: { name: string; act: (timer: XenTimer, code: Loaded) => void; wrong?: typeof broken }[] = [
  { name: 'sets the timer anew', act: (timer, { E2 }) => timer.set(E2) },
  {
    name: 'reads it',
    act: (timer) => void timer.getState(),
  },
  {
    name: 'writes it',
    act: (timer, { E2, VIRQ }) => timer.setState({ port: VIRQ, priority: PRIO_2LEVEL, expiresNs: E2 }),
  },
  {
    name: 'stops it',
    act: (timer) => timer.stop(),
    wrong: (_, { timer, hrtimer }) =>
      hrtimer.queued || timer.hasPendingTimer() || timer.expires !== 0n ? 'a stopped timer is armed' : null,
  },
];

/**
 * Preempts the callback of E1 at each of its accesses, and lets the thread act there. A cancel waits for the callback, so the
 * thread goes on behind it: v3 cancels when `expires` is not 0, a stop always. Before its first access the callback does not
 * run yet: the host's lock has it begin in one piece with leaving the queue.
 */
function duringCallback(
  code: Loaded,
  design: XenTimerDesign,
  away: boolean,
  action: (typeof actions)[number],
  careful = design === 'v3',
): string[] {
  // prettier-ignore
  const make = (): { scene: Scene; body: ReturnType<typeof code.preemptible> } => {
    const scene = code.timerScene(design);
    const { host } = scene.rig;
    if (away) code.takeAway(scene.rig, code.SHARED);
    const cpu = host.cpus[1]!;
    const expires = scene.hrtimer.expires;
    scene.hrtimer.cancel();
    scene.hrtimer.expires = expires;
    cpu.now = expires;
    host.thisCpu = cpu;
    return { scene, body: code.preemptible(scene.hrtimer, 'onEvent') };
  };
  const points = code.accessesOf(make().body as never).length;
  const found: string[] = [];
  for (let point = 1; point < points; point++) {
    const { scene, body } = make();
    const { timer, hrtimer, rig } = scene;
    const act = (): void => code.elsewhere(rig.host, rig.host.cpus[0]!, () => action.act(timer, code));
    let waits = false;
    const { sites, before } = code.preemptedAt(body as never, point, () => {
      const cancels = action.name === 'stops it' || action.name === 'writes it' || (careful && timer.expires !== 0n);
      waits = cancels && hrtimer.running;
      if (!waits) act();
    });
    if (waits) act();
    const verdict = (action.wrong ?? broken)(code, scene);
    if (verdict !== null) found.push(`${verdict}: preempted before ${describeSite(sites[before]!)}`);
  }
  return found;
}

/** Preempts the thread's action at each of its accesses, and lets E1 expire there. */
function duringAction(
  code: Loaded,
  design: XenTimerDesign,
  away: boolean,
  name: keyof XenTimer,
  args: unknown[],
  wrong = broken,
): string[] {
  // prettier-ignore
  const make = () => {
    const scene = code.timerScene(design);
    if (away) code.takeAway(scene.rig, code.SHARED);
    return { scene, body: code.preemptible(scene.timer, name as 'set', ...(args as [bigint])) };
  };
  const points = code.accessesOf(make().body).length;
  const found: string[] = [];
  for (let point = 0; point < points; point++) {
    const { scene, body } = make();
    const { host } = scene.rig;
    const cpu = host.cpus[1]!;
    const { sites, before } = code.preemptedAt(body, point, () =>
      code.elsewhere(host, cpu, () => {
        cpu.now = Math.max(cpu.now, 250_000);
        cpu.takeInterrupts();
      }),
    );
    const verdict = wrong(code, scene);
    if (verdict !== null) found.push(`${verdict}: preempted before ${describeSite(sites[before]!)}`);
  }
  expect(points).toBeGreaterThan(3);
  return found;
}

describe.each([
  { page: 'with shared_info in its place', away: false },
  { page: 'with shared_info away', away: true },
])('v3, $page', ({ away }) => {
  it.each(actions)('tells the truth when the thread $name while the callback runs', (action) => {
    expect(duringCallback(production, 'v3', away, action)).toEqual([]);
  });

  it('tells the truth when E1 expires while the thread does something', () => {
    const { E2, VIRQ } = production;
    const state = { port: VIRQ, priority: PRIO_2LEVEL, expiresNs: E2 };
    expect(duringAction(production, 'v3', away, 'set', [E2])).toEqual([]);
    expect(duringAction(production, 'v3', away, 'getState', [])).toEqual([]);
    expect(duringAction(production, 'v3', away, 'setState', [state])).toEqual([]);
  });
});

describe('v1', () => {
  it('has R1: set anew behind the event and before the last write, it says that nothing is armed', () => {
    expect(duringCallback(production, 'v1', false, actions[0]!)).toContainEqual(
      expect.stringMatching(
        /^an event is to come, and the timer says that none is armed: preempted before write XenTimer.#expires/,
      ),
    );
  });

  it('has R2: with shared_info away, the new expiry inherits what is pending, and the vCPU forgets that it is armed', () => {
    const { rig, timer, hrtimer } = production.timerScene('v1');
    production.takeAway(rig, production.SHARED);
    const { host } = rig;
    hrtimer.cancel();
    host.thisCpu = host.cpus[1]!;
    production.preemptedAt(
      production.preemptible(hrtimer, 'onEvent') as never,
      { cell: 'XenTimer.#pending', access: 'write' },
      () => production.elsewhere(host, host.cpus[0]!, () => timer.set(production.E2)),
    );
    host.thisCpu = host.cpus[0]!;
    expect([timer.hasPendingTimer(), hrtimer.queued, timer.expires]).toEqual([true, true, production.E2]);
    timer.injectTimerIrqs();
    expect([production.isPending(rig, production.VIRQ), hrtimer.queued, timer.expires]).toEqual([true, true, 0n]);
  });
});

describe('v3 without the cancel', () => {
  it('is v1: the shortcut is sound only because it cancels otherwise', async () => {
    const careless = await load({
      file: 'src/hypervisor/xen/timer.ts',
      from: /if \(this\.#vcpu\.vm\.params\.xenTimer === 'v3' && this\.#expires !== 0n\) this\.#hrtimer\.cancel\(\);/,
      to: '',
    });
    expect(duringCallback(careless, 'v3', false, actions[0]!, false)).toContainEqual(
      expect.stringMatching(
        /^an event is to come, and the timer says that none is armed: preempted before write XenTimer/,
      ),
    );
  });
});
