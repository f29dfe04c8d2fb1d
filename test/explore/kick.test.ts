// The kick protocol (kvm-timer-paths, section 8): a sender sets its request and then reads vcpu->mode, the vCPU sets its mode
// and then reads its requests, so that one of both sees the other. Each side is preempted at each of its accesses in turn
// while the other runs through; with either order turned round, an NMI is lost.

import { beforeAll, describe, expect, it } from 'vitest';
import { describeSite } from '../../src/explore/preemption.ts';
import { DELIVERY } from '../../src/hypervisor/lapic/icr.ts';
import { X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { loadPreemptible, transformHostCode, type Mutation } from '../../transform/load.ts';
import { hlt, type Step } from '../hypervisor/scriptedCpu.ts';
import type { VmRig } from '../hypervisor/vmRig.ts';
import type * as Scenarios from './scenarios.ts';

type Loaded = typeof Scenarios;
const NMI_TO_VCPU_0 = BigInt(DELIVERY.NMI << 8);
/** Far longer than a kick takes: the guest of this test leaves guest mode for nothing else. */
const STEPS = 5;

const load = (mutation?: Mutation) =>
  loadPreemptible<Loaded>('test/explore/scenarios.ts', transformHostCode(mutation === undefined ? {} : { mutation }));

let production: Loaded;
beforeAll(async () => {
  production = await load();
});

/** vCPU 0 on CPU 0, about to run a script and then spin; CPU 1 is the sender's, whose own vCPU never runs. */
function scene(code: Loaded, script: Step[]): VmRig {
  const rig = code.vmRig([[...script], []]);
  rig.host.kill(rig.vm.vcpus[1]!.thread!);
  return rig;
}

const sender = ({ vm }: VmRig) => vm.vcpus[1]!.lapic;

function isLost({ host, guests }: VmRig): boolean {
  for (let i = 0; i < STEPS; i++) host.step();
  return !guests[0]!.delivered.some(({ type }) => type === 'nmi');
}

interface Trial {
  points: number;
  /** The accesses before which a preemption loses the NMI. */
  lost: string[];
}

/** The vCPU is preempted at each access of its way into the guest, or to sleep; the sender sends all at once. */
function preemptVcpu(code: Loaded, script: Step[] = []): Trial {
  const sites = code.accessesOf(code.preemptible(scene(code, script).host, 'step'));
  const lost = sites.flatMap((site, point) => {
    const rig = scene(code, script);
    const { host } = rig;
    const send = () =>
      code.elsewhere(host, host.cpus[1]!, () => void sender(rig).writeMsr(X2APIC_MSR.ICR, NMI_TO_VCPU_0));
    code.preemptedAt(code.preemptible(host, 'step'), point, send);
    return isLost(rig) ? [describeSite(site)] : [];
  });
  return { points: sites.length, lost };
}

/** The sender is preempted at each of its accesses; the vCPU goes all the way into the guest, or to sleep. */
function preemptSender(code: Loaded, script: Step[] = []): Trial {
  const send = (rig: VmRig) => {
    rig.host.thisCpu = rig.host.cpus[1]!;
    return code.preemptible(sender(rig), 'writeMsr', X2APIC_MSR.ICR, NMI_TO_VCPU_0);
  };
  const sites = code.accessesOf(send(scene(code, script)));
  const lost = sites.flatMap((site, point) => {
    const rig = scene(code, script);
    const { host } = rig;
    code.preemptedAt(send(rig), point, () => code.elsewhere(host, host.cpus[0]!, () => host.step()));
    return isLost(rig) ? [describeSite(site)] : [];
  });
  return { points: sites.length, lost };
}

describe('an NMI for a vCPU on its way into the guest', () => {
  it('arrives, wherever the vCPU is preempted', () => {
    const { points, lost } = preemptVcpu(production);
    expect(points).toBeGreaterThan(8);
    expect(lost).toEqual([]);
  });

  it('arrives, wherever the sender is preempted', () => {
    const { points, lost } = preemptSender(production);
    expect(points).toBeGreaterThan(2);
    expect(lost).toEqual([]);
  });

  it('would be lost if the vCPU read its requests and then set its mode', async () => {
    const turned = await load({
      file: 'src/hypervisor/entry.ts',
      from: /(\n *vcpu\.mode = VCPU_MODE\.IN_GUEST;)([^]*?)\n {2}return (exitRequested\(vcpu\))/,
      to: '$2\n  const requested = $3;$1\n  return requested',
    });
    expect(preemptVcpu(turned).lost).toContainEqual(
      expect.stringMatching(/^write Vcpu\.mode in prepareEntry \(src\/hypervisor\/entry\.ts:/),
    );
  });

  it('would be lost if the sender read the mode and then made its request', async () => {
    const turned = await load({
      file: 'src/hypervisor/lapic/accept.ts',
      from: /(owner\.injectNmi\(\);)(\s*)(owner\.kick\(\);)/,
      to: '$3$2$1',
    });
    const { lost } = preemptSender(turned);
    expect(lost).toContainEqual(expect.stringMatching(/^atomic Requests\.make\(\) in injectNmi/));
  });
});

describe('an NMI for a vCPU on its way to sleep', () => {
  it('wakes it, wherever the vCPU is preempted', () => {
    const { points, lost } = preemptVcpu(production, [hlt]);
    expect(points).toBeGreaterThan(20);
    expect(lost).toEqual([]);
  });

  it('wakes it, wherever the sender is preempted', () => {
    expect(preemptSender(production, [hlt]).lost).toEqual([]);
  });

  it('would be lost if the vCPU looked and then said that it is about to block', async () => {
    const turned = await load({
      file: 'src/hypervisor/block.ts',
      from: /if \(thread\.aboutToBlock\) (yield\* block)/,
      to: '$1',
    });
    const { lost } = preemptVcpu(turned, [hlt]);
    expect(lost).toContainEqual(expect.stringMatching(/^atomic Requests\.check\(\) in shouldStopBlocking/));
  });
});
