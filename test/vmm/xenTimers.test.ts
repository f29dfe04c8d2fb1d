// The timers of a Xen domain that the VMM keeps: before VIRQ_TIMER is bound, behind its closing, by userspace for good, and
// periodic ones.

import { describe, expect, it } from 'vitest';
import { getXenVcpuAttr } from '../../src/hypervisor/xen/attributes.ts';
import { XEN_HYPERCALL as CALL } from '../../src/hypervisor/xen/names.ts';
import { ERRNO, EVTCHNOP, VCPUOP, VIRQ } from '../../src/vmm/xen/abi.ts';
import type { XenRoute } from '../../src/vmm/xen/routing.ts';
import { ARGUMENT, bindIpi, domainRig, mapped, NOWHERE, takes, type Rig } from './xenDomainRig.ts';

const MS = 1_000_000;
const FUTURE = 1;
const FAR_PERIOD = 1n << 62n;

const guest = (route: XenRoute = 'hypervisor', vcpus = 1): Rig => mapped(domainRig(vcpus, true, { timer: route }));
const bind = (rig: Rig, vcpu = 0): number =>
  rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_VIRQ, [VIRQ.TIMER, vcpu, 0]).words[2]!;
const close = (rig: Rig, port: number): number => rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.CLOSE, [port]).answer;
const now = ({ vm }: Rig): bigint => vm.clock.nanoseconds();
const vcpuOp = (rig: Rig, op: number, words: readonly bigint[], vcpu = 0): number => {
  rig.vm.memory.write(ARGUMENT, new Uint8Array(BigUint64Array.from(words).buffer));
  return rig.raw(CALL.VCPU_OP, op, vcpu, ARGUMENT);
};
const set = (rig: Rig, ns: bigint, flags = 0): number => vcpuOp(rig, VCPUOP.SET_SINGLESHOT_TIMER, [ns, BigInt(flags)]);
const setPeriodic = (rig: Rig, ns: bigint): number => vcpuOp(rig, VCPUOP.SET_PERIODIC_TIMER, [ns]);
/** Lets so much time pass. */
const wait = (rig: Rig, ns: number): void => {
  const cycles = (ns * rig.host.tscKhz) / MS;
  const [cpu] = rig.host.cpus;
  const until = cpu!.now + cycles;
  rig.host.stopAt = until;
  while (rig.host.step() === 'progress');
  cpu!.now = Math.max(cpu!.now, until);
};

describe('a singleshot timer', () => {
  it.each(['hypervisor', 'eventfd', 'workqueue', 'userspace'] as const)(
    'that was armed before VIRQ_TIMER was bound makes its event at its time, by %s',
    (route) => {
      const rig = guest(route);
      expect(set(rig, now(rig) + 3_000_000n)).toBe(0);
      wait(rig, MS);
      const port = bind(rig);
      wait(rig, 1.9 * MS);
      expect(takes(rig, port)).toBe(false);
      wait(rig, 0.2 * MS);
      expect([takes(rig, port), takes(rig, port)]).toEqual([true, false]);
    },
  );

  it('that expires while nothing is bound is lost', () => {
    const rig = guest();
    set(rig, now(rig) + 1_000_000n);
    wait(rig, 2 * MS);
    const port = bind(rig);
    wait(rig, 2 * MS);
    expect(takes(rig, port)).toBe(false);
  });

  it.each(['hypervisor', 'eventfd', 'userspace'] as const)(
    'stays armed when its port is closed, and is heard by the next one, by %s',
    (route) => {
      const rig = guest(route);
      set(rig, now(rig) + 3_000_000n);
      const first = bind(rig);
      wait(rig, MS);
      expect(close(rig, first)).toBe(0);
      expect(getXenVcpuAttr(rig.vm.vcpus[0]!, 'TIMER')).toMatchObject({ port: 0, expiresNs: 0n });
      wait(rig, MS);
      const port = bind(rig);
      wait(rig, 1.2 * MS);
      expect(takes(rig, port)).toBe(true);
    },
  );

  it("is KVM's while it is bound, unless it comes by userspace", () => {
    const expires = (route: XenRoute): boolean => {
      const rig = guest(route);
      set(rig, now(rig) + 3_000_000n);
      bind(rig);
      return rig.vm.vcpus[0]!.xen!.timer.enabled && rig.vm.vcpus[0]!.xen!.timer.expires !== 0n;
    };
    expect([expires('hypervisor'), expires('eventfd'), expires('userspace')]).toEqual([true, true, false]);
  });

  it('that is set to the past is an event at once, is stopped, and replaces an earlier one', () => {
    const rig = guest('userspace');
    const port = bind(rig);
    expect([set(rig, now(rig)), takes(rig, port)]).toEqual([0, true]);
    set(rig, now(rig) + 1_000_000n);
    set(rig, now(rig) + 5_000_000n);
    wait(rig, 2 * MS);
    expect(takes(rig, port)).toBe(false);
    expect(vcpuOp(rig, VCPUOP.STOP_SINGLESHOT_TIMER, [0n])).toBe(0);
    wait(rig, 5 * MS);
    expect(takes(rig, port)).toBe(false);
  });

  it('of set_timer_op is the same: 0 stops it, and a time that can only be an overflow is 100 ms', () => {
    const rig = guest('userspace');
    const port = bind(rig);
    expect(rig.raw(CALL.SET_TIMER_OP, now(rig) + 1_000_000n)).toBe(0);
    wait(rig, 1.1 * MS);
    expect(takes(rig, port)).toBe(true);
    rig.raw(CALL.SET_TIMER_OP, now(rig) + 1_000_000n);
    rig.raw(CALL.SET_TIMER_OP, 0);
    wait(rig, 2 * MS);
    expect(takes(rig, port)).toBe(false);
    rig.raw(CALL.SET_TIMER_OP, 1n << 63n);
    wait(rig, 99 * MS);
    expect(takes(rig, port)).toBe(false);
    wait(rig, 2 * MS);
    expect(takes(rig, port)).toBe(true);
  });

  it.each([
    ['of another vCPU', (rig: Rig) => vcpuOp(rig, VCPUOP.SET_SINGLESHOT_TIMER, [0n, 0n], 1), 'EINVAL'],
    ['of another vCPU, stopped', (rig: Rig) => vcpuOp(rig, VCPUOP.STOP_SINGLESHOT_TIMER, [0n], 1), 'EINVAL'],
    ['of no vCPU', (rig: Rig) => vcpuOp(rig, VCPUOP.SET_SINGLESHOT_TIMER, [0n, 0n], 9), 'ENOENT'],
    ['that lies nowhere', (rig: Rig) => rig.raw(CALL.VCPU_OP, VCPUOP.SET_SINGLESHOT_TIMER, 0, NOWHERE), 'EFAULT'],
    ['that is to be in the future and is not', (rig: Rig) => set(rig, 0n, FUTURE), 'ETIME'],
  ] as const)('%s is refused', (_what, call, errno) => {
    expect(call(guest('userspace', 2))).toBe(-ERRNO[errno]);
  });
});

it('a port that a 32-bit guest cannot have gets no event, and nobody fails', () => {
  const rig = guest('userspace');
  for (let i = 0; i < 1030; i++) bindIpi(rig, 0);
  const port = bind(rig);
  set(rig, now(rig) + 1_000_000n);
  rig.vm.xen!.setLongMode(false);
  wait(rig, 2 * MS);
  expect([port > 1024, takes(rig, port)]).toEqual([true, false]);
});

describe('a periodic timer', () => {
  it('makes an event each period, beside a singleshot one, until it is stopped', () => {
    const rig = guest();
    const port = bind(rig);
    expect(setPeriodic(rig, 2_000_000n)).toBe(0);
    const events = Array.from({ length: 5 }, () => {
      wait(rig, 1.01 * MS);
      return takes(rig, port);
    });
    expect(events).toEqual([false, true, false, true, false]);
    expect(vcpuOp(rig, VCPUOP.STOP_PERIODIC_TIMER, [])).toBe(0);
    wait(rig, 5 * MS);
    expect(takes(rig, port)).toBe(false);
  });

  it.each([0n, 999_999n, FAR_PERIOD])('of %s ns is EINVAL', (ns) => {
    expect(setPeriodic(guest(), ns)).toBe(-ERRNO.EINVAL);
  });
});
