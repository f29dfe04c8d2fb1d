// Halt polling: a vCPU that halts looks for events for a while before its thread sleeps (kvm_vcpu_halt, grow_halt_poll_ns and
// shrink_halt_poll_ns of Linux 6.16 virt/kvm/kvm_main.c).
//
// Theory: going to sleep and being woken costs more than many halts last. So the vCPU spins first, for a window that follows
// its guest: a halt that ended soon after the window makes it grow, one that lasted longer than the largest window makes it
// shrink. Another thread that wants the CPU ends the spinning at once. A window of 0 sleeps at once, as the first halt does.

import { spinUntil } from '../host/compute.ts';
import type { Sleep } from '../host/sleep.ts';
import { RUN_POINT, type RunPoint } from './runPoint.ts';
import type { Vcpu } from './vcpu.ts';

/** Module parameters of kvm that nobody changes: the first window after 0, in ns, and the factors. */
const GROW_START_NS = 10_000;
const GROW = 2;
const SHRINK = 2;

const NS_PER_MS = 1_000_000;
const toNs = (cycles: number, { vm: { tscKhz } }: Vcpu): number => (cycles * NS_PER_MS) / tscKhz;
const toCycles = (ns: number, { vm: { tscKhz } }: Vcpu): number => Math.floor((ns * tscKhz) / NS_PER_MS);

/** Spins for at most the vCPU's window; true when `found` ended it. `from`: POLLING, if it goes on to do so. */
export function* pollWhileHalted(vcpu: Vcpu, found: () => boolean, from: RunPoint): Sleep<boolean> {
  const { host } = vcpu.vm;
  const { place } = vcpu;
  if (from !== RUN_POINT.POLLING) {
    vcpu.haltPollNs = Math.min(vcpu.haltPollNs, vcpu.vm.params.haltPollNs);
    if (vcpu.haltPollNs === 0 || !vcpu.pv.mayPoll) return false;
    vcpu.stat.haltAttemptedPoll++;
    const window = vcpu.cpu.now + toCycles(vcpu.haltPollNs, vcpu);
    place.pollUntil = vcpu.directTimer === null ? window : Math.min(window, vcpu.directTimer.timer.pendsAt);
  }
  place.point = RUN_POINT.POLLING;
  let success = false;
  // kvm_vcpu_can_poll(): only while nobody else wants this CPU.
  const done = (): boolean =>
    (success = found()) || vcpu.cpu.needResched || !host.scheduler.singleTaskRunning(vcpu.cpu);
  yield* spinUntil(host, place.pollUntil, done);
  if (success) vcpu.stat.haltSuccessfulPoll++;
  return success;
}

/** A halt has ended after `cycles`: how long to poll at the next one. */
export function adjustHaltPoll(vcpu: Vcpu, cycles: number): void {
  // The guest polls by itself (MSR_KVM_POLL_CONTROL).
  if (!vcpu.pv.mayPoll) return;
  const limit = vcpu.vm.params.haltPollNs;
  const halted = toNs(cycles, vcpu);
  if (halted <= vcpu.haltPollNs) return;
  if (vcpu.haltPollNs > 0 && halted > limit) shrink(vcpu);
  else if (vcpu.haltPollNs < limit && halted < limit) grow(vcpu, limit);
}

function grow(vcpu: Vcpu, limit: number): void {
  vcpu.haltPollNs = Math.min(Math.max(vcpu.haltPollNs * GROW, GROW_START_NS), limit);
}

function shrink(vcpu: Vcpu): void {
  const shrunk = Math.floor(vcpu.haltPollNs / SHRINK);
  vcpu.haltPollNs = shrunk < GROW_START_NS ? 0 : shrunk;
}
