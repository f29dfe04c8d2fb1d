// A Xen guest and its VMM through the stages of KVM's Xen selftest, and the paths that events take in each.

import { beforeAll, describe, expect, it } from 'vitest';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import type { Image } from '../../src/vmm/image.ts';
import {
  SHARED_INFO,
  STAGES,
  StagesVmm,
  stagesGuest,
  TIME_INFO,
  VCPU_INFO,
  type Paths,
  type Stage,
} from './xenStagesVmm.ts';

let image: Image;
beforeAll(async () => {
  image = await stagesGuest();
});
const run = (options: Partial<BootOptions> = {}): StagesVmm => new StagesVmm(image, options).run();

const DELIVERED = { delivered: 1 };
const BY_TIMER = { delivered: 1, timersFast: 1 };
const CALLED = { hypercalls: 1 };
const BESIDE_SHARED_INFO = { wouldBlock: 1, slow: 1 };
/** What each stage takes where nothing is random; the others take nothing. */
const PATHS: Partial<Record<Stage, Paths>> = {
  EVENT_MASKED: { masked: 1 },
  EVENT_UNMASKED: DELIVERED,
  // Tried on the spot, and by the worker, which looks the page up.
  EVENT_SLOW_PATH: { ...DELIVERED, wouldBlock: 2, slow: 1, deferred: 1 },
  EVENT_SEND_IOCTL: DELIVERED,
  HYPERCALL: { ...DELIVERED, ...CALLED },
  HYPERCALL_SLOW_PATH: { ...DELIVERED, ...CALLED, ...BESIDE_SHARED_INFO },
  HYPERCALL_EVENTFD: { ...DELIVERED, ...CALLED, eventfds: 1 },
  TIMER_SETUP: { ...CALLED, timersArmed: 1 },
  TIMER_WAIT: BY_TIMER,
  TIMER_RESTORE: { ...BY_TIMER, timersArmed: 1 },
  POLL_READY: CALLED,
  POLL_TIMEOUT: { ...CALLED, polls: 1, pollTimeouts: 1 },
  POLL_MASKED: { ...CALLED, polls: 1, masked: 1, timersFast: 1, timersArmed: 1, pollWakeUps: 1 },
  POLL_WAKE: { ...CALLED, polls: 1, ...BY_TIMER, timersArmed: 1 },
  TIMER_PAST: { ...BY_TIMER, timersArmed: 1, timersPast: 1 },
};
const RACES: readonly Stage[] = ['RACE_SEND', 'RACE_POLL', 'RACE_POLL_TIMEOUT'];

describe("the stages of KVM's Xen selftest", () => {
  it('pass one after the other', () => {
    const { seen } = run();
    const ran = (stage: Stage): boolean => stage !== 'SAW_EVENT' && stage !== 'RACE_POLL_TIMEOUT';
    expect(seen.filter(ran)).toEqual(STAGES.filter(ran));
  });

  it('take the paths that they are meant to', () => {
    const { paths } = run();
    const exact = [...paths].filter(([stage, taken]) => !RACES.includes(stage) && Object.keys(taken).length > 0);
    expect(Object.fromEntries(exact)).toEqual(PATHS);
  });

  it('race with shared_info: events meet it where it is and where it is not', () => {
    const taken = run().paths.get('RACE_SEND')!;
    expect(taken.wouldBlock).toBeGreaterThan(100);
    expect(taken.coalesced).toBeGreaterThan(100);
  });

  it('leave the clocks and the date in the pages, none half written', () => {
    const { machine } = run();
    const version = (gpa: number): number => Number(machine.vm.memory.readU64(gpa)! & 0xffff_ffffn);
    for (const gpa of [SHARED_INFO + 0xc00, VCPU_INFO + 0x20, TIME_INFO]) {
      expect(version(gpa)).toBeGreaterThan(0);
      expect(version(gpa) % 2).toBe(0);
    }
  });

  it.each([
    { params: { xenEvtchn: 'shadow' } },
    { params: { xenTimer: 'slow' } },
    { params: { xenTimer: 'v1' } },
    { params: { apicv: true } },
    { params: { module: 'kvm_amd' } },
    { noInPlace: true },
    { costs: 'unit' },
  ] as Partial<BootOptions>[])('pass with %o', (options) => {
    expect(run(options).seen.at(-1)).toBe('DONE');
  });
});
