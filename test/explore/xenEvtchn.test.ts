// Races of event delivery (xen-evtchn-timer.md, sections 3 and 5), forced at every access: an event on another CPU against the vCPU
// that moves its shadow, or is about to wait for the port.

import { beforeAll, describe, expect, it } from 'vitest';
import { describeSite } from '../../src/explore/preemption.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { loadPreemptible, transformHostCode, type Mutation } from '../../transform/load.ts';
import type * as Scenarios from './xenScenarios.ts';
import type { VmRig } from '../hypervisor/vmRig.ts';

type Loaded = typeof Scenarios;
const PORT = 66;
const OTHER = 5;

const load = (mutation?: Mutation) =>
  loadPreemptible<Loaded>(
    'test/explore/xenScenarios.ts',
    transformHostCode(mutation === undefined ? {} : { mutation }),
  );
let production: Loaded;
beforeAll(async () => {
  production = await load();
});

interface Race {
  /** Before: on both sides. */
  readonly prepare?: (code: Loaded, rig: VmRig) => void;
  /** What is preempted, on CPU 0. */
  readonly body: (code: Loaded, rig: VmRig) => Generator<unknown, unknown, void>;
  /** What CPU 1 does meanwhile. */
  readonly other: (code: Loaded, rig: VmRig) => void;
  /** What is wrong afterwards. */
  readonly wrong: (code: Loaded, rig: VmRig) => string | null;
}

function tryAll(code: Loaded, { prepare, body, other, wrong }: Race): { points: number; failures: string[] } {
  const make = (): VmRig => {
    const rig = code.xenRig([[], []]);
    prepare?.(code, rig);
    return rig;
  };
  const points = code.accessesOf(body(code, make())).length;
  const failures: string[] = [];
  for (let point = 0; point < points; point++) {
    const rig = make();
    const { host } = rig;
    // Without a page cache's lock the preempted code would be met where nobody can be: those points are no points.
    let forbidden = false;
    const { sites, before } = code.preemptedAt(body(code, rig), point, () => {
      try {
        code.elsewhere(host, host.cpus[1]!, () => other(code, rig));
      } catch (error) {
        if (!(error as Error).message.includes('while somebody holds it')) throw error;
        host.thisCpu = host.cpus[0]!;
        forbidden = true;
      }
    });
    const verdict = forbidden ? null : wrong(code, rig);
    if (verdict !== null) failures.push(`${verdict}: preempted before ${describeSite(sites[before]!)}`);
  }
  return { points, failures };
}

const onEvtchn = (code: Loaded, name: 'injectPendingEvents' | 'xenHasInterrupt', rig: VmRig) =>
  code.preemptible(code.evtchnFunctions, name, code.only(rig));
const raises = (code: Loaded, rig: VmRig, port: number) =>
  code.preemptible(code.evtchnFunctions, 'setEvtchnFast', rig.vm, { port, vcpu: 0, priority: 0xffff_ffff });

/** Each word with a pending port is selected, in the guest or in the shadow. */
function unselected(code: Loaded, rig: VmRig): string | null {
  const selected = code.infoAt(rig, 0).sel | code.only(rig).xen!.shadow.words;
  for (const port of [PORT, OTHER]) {
    if (code.isPending(rig, port) && ((selected >> BigInt(port >> 6)) & 1n) === 0n)
      return `port ${port} is pending in a word that nobody looks at`;
  }
  return null;
}
/** ... and upcall_pending is set for what the guest can see. */
const noUpcall = (code: Loaded, rig: VmRig): string | null => {
  const { sel, upcall } = code.infoAt(rig, 0);
  return (
    unselected(code, rig) ??
    (sel !== 0n && upcall === 0 ? 'words are selected, and nothing makes the guest look' : null)
  );
};

/** vcpu_info goes away, an event comes, and the page is back. */
const inShadow = (code: Loaded, rig: VmRig): void => {
  code.takeAway(rig, code.SHARED);
  rig.vm.xen!.sharedInfo.page.refresh();
  code.raise(rig, OTHER);
  expect(code.only(rig).xen!.shadow.pending).toBe(true);
};

describe('an event that comes while the vCPU moves its shadow', () => {
  it('is in the guest’s word or in the shadow, whenever it comes', () => {
    const { points, failures } = tryAll(production, {
      prepare: inShadow,
      body: (code, rig) => onEvtchn(code, 'injectPendingEvents', rig),
      other: (code, rig) => void code.raise(rig, PORT),
      wrong: noUpcall,
    });
    expect(points).toBeGreaterThan(5);
    expect(failures).toEqual([]);
  });

  it('would be lost for a moment if the shadow were cleared first', async () => {
    const careless = await load({
      file: 'src/hypervisor/xen/evtchn.ts',
      from: /orPendingSel\(vcpu, words\);\s*shadow\.clear\(words\);/,
      to: 'shadow.clear(words);\n  orPendingSel(vcpu, words);',
    });
    const seen: (string | null)[] = [];
    const inBetween = (code: Loaded) =>
      tryAll(code, {
        prepare: inShadow,
        body: (_, rig) => onEvtchn(code, 'injectPendingEvents', rig),
        other: (_, rig) => void seen.push(unselected(code, rig)),
        wrong: () => null,
      });
    inBetween(careless);
    expect(seen).toContain(`port ${OTHER} is pending in a word that nobody looks at`);
    seen.length = 0;
    inBetween(production);
    expect(seen.filter((each) => each !== null)).toEqual([]);
  });
});

describe('a guest that takes its events while one is raised', () => {
  it('has seen it, or is interrupted once more', () => {
    const taken: number[] = [];
    const { points, failures } = tryAll(production, {
      prepare: (code, rig) => {
        code.raise(rig, OTHER);
        taken.length = 0;
      },
      body: (code, rig) => raises(code, rig, PORT),
      other: (code, rig) => void taken.push(...code.takeEvents(rig, 0)),
      wrong: (code, rig) => {
        if (taken.includes(PORT)) return null;
        if (code.isPending(rig, PORT) && code.infoAt(rig, 0).upcall === 1) return unselected(code, rig);
        return 'the event is lost';
      },
    });
    expect(points).toBeGreaterThan(5);
    expect(failures).toEqual([]);
  });
});

describe('a page that is taken away while an event is raised', () => {
  it.each(['shared_info', 'vcpu_info'])('leaves the event raised, or not raised at all (%s)', (which) => {
    const { failures } = tryAll(production, {
      body: (code, rig) => raises(code, rig, PORT),
      other: (code, rig) => {
        const { xen, memslots } = rig.vm;
        const { vcpuInfo } = code.only(rig).xen!;
        // Both lie in one page here; the other is looked up again.
        memslots.invalidate(code.SHARED >> 12, 1);
        (which === 'shared_info' ? vcpuInfo : xen!.sharedInfo.page).refresh();
      },
      wrong: (code, rig) => {
        rig.vm.xen!.sharedInfo.page.refresh();
        return code.isPending(rig, PORT) ? unselected(code, rig) : null;
      },
    });
    expect(failures).toEqual([]);
  });
});

describe('a vCPU that is about to wait for a port', () => {
  const race: Race = {
    prepare: (code, rig) => code.mask(rig, PORT),
    body: (code, rig) => code.preemptible(code.only(rig).xen!.poll, 'begin', [PORT], 0n),
    other: (code, rig) => void code.raise(rig, PORT),
    wrong: (code, rig) => {
      const { poll } = code.only(rig).xen!;
      // The run loop clears this request before it blocks.
      code.only(rig).requests.clear(KVM_REQ.UNBLOCK);
      return poll.waiting && !poll.over ? 'it waits for a port that is pending' : null;
    },
  };

  it('does not wait when it has become pending meanwhile', () => {
    const { points, failures } = tryAll(production, race);
    expect(points).toBeGreaterThan(5);
    expect(failures).toEqual([]);
  });

  it('would wait if it looked first and said then that it polls', async () => {
    const careless = await load({
      file: 'src/hypervisor/xen/poll.ts',
      from: /this\.#polling = true;\s*if \(this\.#anyPending\(ports\)\) \{/,
      to: 'const any = this.#anyPending(ports); this.#polling = true;\n    if (any) {',
    });
    expect(tryAll(careless, race).failures).toContainEqual(
      expect.stringContaining('it waits for a port that is pending'),
    );
  });
});
