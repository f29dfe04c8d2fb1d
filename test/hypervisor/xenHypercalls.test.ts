// Hypercalls of Xen guests: xen-evtchn-timer.md, section 5, as a table of what is answered here and what the VMM gets.

import { describe, expect, it } from 'vitest';
import { setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { EVTCHNSTAT, PRIO_2LEVEL, XEN_CONFIG } from '../../src/hypervisor/xen/names.ts';
import type { SendPortChange } from '../../src/hypervisor/xen/sendPorts.ts';
import { vcpuRun } from '../../src/hypervisor/run.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { noteRax, run, shutdown, u8 } from './pvRig.ts';
import { sti, wrmsr, type Step } from './scriptedCpu.ts';
import type { RigOptions, VmRig } from './vmRig.ts';
import { errnoOf, infoAt, isPending, mask, only, raise, takeAway, SHARED, UPCALL_VECTOR, XEN, xencall, xenRig } from './xenRig.ts'; // prettier-ignore

const NR = { SET_TIMER: 15, VERSION: 17, VCPU: 24, SCHED: 29, EVTCHN: 32 } as const;
const YIELD = 0;
const POLL = 3;
const SEND = 4;
const ARGUMENT = 0x3000;
const NOWHERE = 0x99_0000;
const FAULT = -14n;
const INVALID = -22n;
/** What the VMM got. */
const FOR_VMM = 'XEN';

/** Answers of one call in each guest: RAX, or that it was the VMM's. */
function answer(call: Step, prepare: (rig: VmRig) => void = () => undefined, longMode = true): bigint | string {
  const found: bigint[] = [];
  const rig = xenRig([[call, noteRax(found), shutdown]], {}, longMode);
  setXenVmAttr(rig.vm, { type: 'XEN_VERSION', version: 0x40012 });
  prepare(rig);
  run(rig);
  return found[0] ?? rig.userspace[0]!.exit.reason;
}
const u32s = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const put = (rig: VmRig, ...values: number[]): void => void rig.vm.memory.write(ARGUMENT, u32s(...values));
const bind = (rig: VmRig, change: SendPortChange): void => setXenVmAttr(rig.vm, { type: 'EVTCHN', change });
const port = (number: number, vcpu = 0) => ({ kind: 'port', port: number, vcpu, priority: PRIO_2LEVEL }) as const;
const assign = (sendPort: number, deliver: Extract<SendPortChange, { op: 'assign' }>['deliver'], channel: number = EVTCHNSTAT.INTERDOMAIN): SendPortChange => ({ op: 'assign', sendPort, channel, deliver }); // prettier-ignore

describe('a hypercall', () => {
  it.each([
    ['xen_version', xencall(NR.VERSION, 0), 0x40012n],
    ['xen_version of features', xencall(NR.VERSION, 6), FOR_VMM],
    ['memory_op', xencall(12, 7), FOR_VMM],
    ['sched_op yield', xencall(NR.SCHED, YIELD), 0n],
    ['sched_op block', xencall(NR.SCHED, 1), FOR_VMM],
    ['event_channel_op of another operation', xencall(NR.EVTCHN, 1, ARGUMENT), FOR_VMM],
    ['vcpu_op without a timer', xencall(NR.VCPU, 9, 0), FOR_VMM],
    ['set_timer_op without a timer', xencall(NR.SET_TIMER, 0), FOR_VMM],
    ['hvm_op', xencall(34, 0), FOR_VMM],
    ['an unknown one', xencall(999), FOR_VMM],
  ] as const)('%s is answered here, or goes to the VMM', (_, call, expected) => {
    expect(answer(call)).toBe(expected);
    expect(answer(call, undefined, false)).toBe(expected);
  });

  it('from CPL 3 goes to the VMM, whatever it is', () => {
    const user = (rig: VmRig) => void (rig.guests[0]!.state.cpl = 3);
    expect(answer(xencall(NR.SCHED, YIELD), user)).toBe(FOR_VMM);
  });

  it('is KVM’s own when they are not intercepted', () => {
    expect(answer(xencall(NR.SCHED, YIELD), ({ vm }) => vm.xen!.configure({ flags: 0, msr: XEN.msr }))).toBe(-1000n);
  });

  it('shows the VMM its number and arguments, from the registers of its mode', () => {
    const shown = (longMode: boolean) => {
      const rig = xenRig([[xencall(34, 1, 2, 3, 4, 5, 2n ** 32n - 1n)]], {}, longMode);
      run(rig);
      return rig.userspace[0]!.exit;
    };
    const params = [1n, 2n, 3n, 4n, 5n, 0xffff_ffffn];
    expect(shown(true)).toEqual({ reason: 'XEN', type: 'HCALL', longMode: true, cpl: 0, input: 34n, params });
    expect(shown(false)).toEqual({ reason: 'XEN', type: 'HCALL', longMode: false, cpl: 0, input: 34n, params });
  });

  it('is traced with its arguments', () => {
    const rig = xenRig([[xencall(NR.SCHED, YIELD, 0x77), shutdown]]);
    run(rig);
    const [event] = rig.events.filter(({ name }) => name === 'kvm_xen_hypercall');
    expect(event!.event).toEqual({ cpl: 0, nr: 29n, args: [0n, 0x77n, 0n, 0n, 0n, 0n] });
  });

  it('that is refused here is traced with the reason', () => {
    const rig = xenRig([[xencall(NR.SCHED, POLL, NOWHERE), xencall(NR.VCPU, 9, 7), shutdown]]);
    setXenVcpuAttr(only(rig), { type: 'TIMER', port: 13, priority: PRIO_2LEVEL, expiresNs: 0n });
    run(rig);
    const errors = rig.events.filter(({ name }) => name === 'xen_hypercall_error').map(({ event }) => event.why);
    expect(errors).toEqual([
      `there is no guest memory at 0x${NOWHERE.toString(16)} (EFAULT)`,
      'vCPU 0 cannot have the timer of vCPU 7 (EINVAL)',
    ]);
  });
});

describe('the VMM’s answer', () => {
  const answered = (between: (rig: VmRig) => void): VmRig => {
    const rig = xenRig([[xencall(34), { run: 10 }, shutdown]]);
    run(rig);
    between(rig);
    const vcpu = only(rig);
    vcpu.xen!.hypercallResult = -38n;
    rig.host.spawn('again', vcpu.cpu, vcpuRun(vcpu) as never);
    run(rig);
    return rig;
  };

  it('is in RAX, behind the call, when KVM_RUN is called again', () => {
    const rig = answered(() => undefined);
    expect(BigInt.asIntN(64, rig.guests[0]!.state.gpr(GPR.RAX))).toBe(-38n);
    expect(rig.guests[0]!.script).toEqual([]);
  });

  it('is dropped by a vCPU that was reset meanwhile', () => {
    const rig = answered(({ vm }) => vm.vcpus[0]!.reset(false));
    expect(rig.guests[0]!.state.gpr(GPR.RAX)).toBe(0n);
    expect(rig.guests[0]!.state.rip).toBe(0xfff0n);
  });

  it('is given once', () => {
    const rig = answered(() => undefined);
    expect(only(rig).xen!.hypercallRip).toBe(null);
  });
});

describe('EVTCHNOP_send', () => {
  const send = xencall(NR.EVTCHN, SEND, ARGUMENT);

  it('delivers what the VMM has bound, and goes to the VMM with what it has not', () => {
    const found: bigint[] = [];
    const rig = xenRig([[send, noteRax(found), shutdown]]);
    put(rig, 15);
    bind(rig, assign(15, port(66)));
    run(rig);
    expect(found).toEqual([0n]);
    expect(isPending(rig, 66)).toBe(true);
    expect(answer(send, (other) => put(other, 15))).toBe(FOR_VMM);
  });

  it('interrupts the vCPU that the port is bound to', () => {
    const rig = xenRig([
      [{ run: 5000 }, send, shutdown],
      [sti, { run: 100_000 }, shutdown],
    ]);
    put(rig, 15);
    bind(rig, assign(15, port(15, 1), EVTCHNSTAT.IPI));
    run(rig);
    expect(rig.guests[1]!.delivered.map(({ vector }) => vector)).toEqual([UPCALL_VECTOR]);
    expect(infoAt(rig, 1)).toEqual({ upcall: 1, sel: 1n });
  });

  it('signals an eventfd', () => {
    let signals = 0;
    const prepare = (rig: VmRig) => {
      put(rig, 15);
      bind(rig, assign(15, { kind: 'eventfd', eventfd: { signal: () => void signals++ } }));
    };
    expect([answer(send, prepare), signals]).toEqual([0n, 1]);
  });

  it('of a masked port is 0, as of one that is pending; of a vCPU that there is not, the VMM’s', () => {
    const prepare = (change: SendPortChange, more: (rig: VmRig) => void) => (rig: VmRig) => {
      put(rig, 15);
      bind(rig, change);
      more(rig);
    };
    expect(
      answer(
        send,
        prepare(assign(15, port(66)), (rig) => mask(rig, 66)),
      ),
    ).toBe(0n);
    expect(
      answer(
        send,
        prepare(assign(15, port(66)), (rig) => void raise(rig, 66)),
      ),
    ).toBe(0n);
    expect(
      answer(
        send,
        prepare(assign(15, port(66, 9)), () => undefined),
      ),
    ).toBe(FOR_VMM);
  });

  it('brings shared_info back where it was taken away', () => {
    const rig = xenRig([[send, shutdown]]);
    put(rig, 15);
    bind(rig, assign(15, port(66)));
    takeAway(rig, SHARED);
    run(rig);
    expect(isPending(rig, 66)).toBe(true);
  });

  it('with an argument that cannot be read is EFAULT', () => {
    expect(answer(xencall(NR.EVTCHN, SEND, NOWHERE))).toBe(FAULT);
  });
});

describe('binding a port to send on', () => {
  const change = (...changes: SendPortChange[]): string => {
    const rig = xenRig([[]]);
    return errnoOf(() => changes.forEach((each) => bind(rig, each)));
  };
  const eventfd = { kind: 'eventfd', eventfd: { signal: () => undefined } } as const;
  const update = (sendPort: number, deliver: ReturnType<typeof port>, channel: number = EVTCHNSTAT.INTERDOMAIN): SendPortChange => ({ op: 'update', sendPort, channel, deliver }); // prettier-ignore

  it.each([
    ['an IPI to its own port', [assign(5, port(5), EVTCHNSTAT.IPI)], 'no error'],
    ['an IPI to another port', [assign(5, port(6), EVTCHNSTAT.IPI)], 'EINVAL'],
    ['port 0', [assign(0, port(6))], 'EINVAL'],
    ['a port beyond the last', [assign(4096, port(6))], 'EINVAL'],
    ['to a port beyond the last', [assign(5, port(4096))], 'EINVAL'],
    ['a VIRQ', [assign(5, port(5), 4)], 'EINVAL'],
    ['a FIFO channel', [assign(5, { ...port(5), priority: 7 })], 'EINVAL'],
    ['a port that is bound', [assign(5, port(6)), assign(5, port(7))], 'EEXIST'],
    ['a port that was bound', [assign(5, port(6)), { op: 'deassign', sendPort: 5 }, assign(5, port(7))], 'no error'],
    ['after a reset', [assign(5, port(6)), { op: 'reset' }, assign(5, port(7))], 'no error'],
    ['nothing any more, of a port that is not bound', [{ op: 'deassign', sendPort: 5 }], 'ENOENT'],
    ['to another vCPU', [assign(5, port(6)), update(5, port(6, 1))], 'no error'],
    ['to another port', [assign(5, port(6)), update(5, port(7))], 'EINVAL'],
    ['as another kind', [assign(5, port(5)), update(5, port(5), EVTCHNSTAT.IPI)], 'EINVAL'],
    ['from an eventfd', [assign(5, eventfd), update(5, port(5))], 'EINVAL'],
    ['what is not bound to another vCPU', [update(5, port(5))], 'ENOENT'],
  ] as const satisfies readonly (readonly [string, readonly SendPortChange[], string])[])(
    '%s',
    (_, changes, expected) => expect(change(...changes)).toBe(expected),
  );
});

describe('SCHEDOP_poll', () => {
  const NS_PER_MS = 1_000_000;
  const poll = xencall(NR.SCHED, POLL, ARGUMENT);
  /** A poll of ports whose numbers stand behind its argument. */
  const polls = (rig: VmRig, ports: readonly number[], timeout = 0, longMode = true): void => {
    if (longMode) put(rig, ARGUMENT + 64, 0, ports.length, 0, timeout, 0);
    else put(rig, ARGUMENT + 64, ports.length, timeout, 0);
    rig.vm.memory.write(ARGUMENT + 64, u32s(...ports));
  };
  const polling = (script: Step[], other: (rig: () => VmRig) => Step[], options: RigOptions = {}): VmRig => {
    const rig: VmRig = xenRig([[{ run: 1000 }, poll, ...script, shutdown], other(() => rig)], options);
    return rig;
  };

  it.each([true, false])('ends at once for a port that is pending, masked or not (64-bit: %s)', (longMode) => {
    const found = (prepare: (rig: VmRig) => void) =>
      answer(poll, (rig) => { polls(rig, [66], 0, longMode); prepare(rig); }, longMode); // prettier-ignore
    expect(found((rig) => void raise(rig, 66))).toBe(0n);
    expect(found((rig) => { mask(rig, 66); raise(rig, 66); })).toBe(0n); // prettier-ignore
  });

  it('ends at once without shared_info: the guest looks itself', () => {
    expect(answer(poll, (rig) => { polls(rig, [66]); takeAway(rig, SHARED); })).toBe(0n); // prettier-ignore
  });

  it('waits for a masked port, with interrupts off, and nobody interrupts', () => {
    let wokenAt = 0;
    const rig = polling([{ then: () => void (wokenAt = rig.host.cpus[0]!.now) }], (get) => [
      { run: 300_000 },
      { then: () => void expect(raise(get(), 66)).toBe(-107) },
      shutdown,
    ]);
    mask(rig, 66);
    polls(rig, [66]);
    run(rig);
    expect(wokenAt).toBeGreaterThan(150_000);
    expect(rig.guests[0]!.delivered).toEqual([]);
  });

  it('of several ports is woken by each of them, and of one port by no other', () => {
    const woken = (ports: readonly number[]) => {
      let done = false;
      const rig = polling([{ then: () => void (done = true) }], (get) => [
        { run: 300_000 },
        { then: () => void raise(get(), 70) },
        shutdown,
      ]);
      mask(rig, 70);
      polls(rig, ports);
      run(rig);
      return done;
    };
    expect([woken([66, 70]), woken([70]), woken([66])]).toEqual([true, true, false]);
  });

  it('ends when its time is over, counted from now, with a tick of the host', () => {
    let wokenAt = 0;
    const rig = polling([{ then: () => void (wokenAt = rig.host.cpus[0]!.now) }], () => [shutdown]);
    polls(rig, [66], 5 * NS_PER_MS);
    run(rig);
    const ms = rig.vm.tscKhz;
    expect(wokenAt).toBeGreaterThan(4 * ms);
    expect(wokenAt).toBeLessThan(6 * ms);
    expect(rig.guests[0]!.script).toEqual([]);
  });

  it('ends for an unmasked port by its interrupt', () => {
    const rig = xenRig([[sti, { run: 1000 }, poll, { run: 10 }, shutdown], [{ run: 300_000 }, { then: () => void raise(rig, 66) }, shutdown]]); // prettier-ignore
    polls(rig, [66]);
    run(rig);
    expect(rig.guests[0]!.delivered.map(({ vector }) => vector)).toEqual([UPCALL_VECTOR]);
    expect(rig.guests[0]!.script).toEqual([]);
  });

  it('of too many ports, or of one that there is not, is EINVAL; unreadable arguments are EFAULT', () => {
    expect(
      answer(poll, (rig) =>
        polls(
          rig,
          Array.from({ length: 129 }, () => 5),
        ),
      ),
    ).toBe(INVALID);
    expect(answer(poll, (rig) => polls(rig, [5, 4096]))).toBe(INVALID);
    expect(answer(poll, (rig) => polls(rig, [1024], 0, false), false)).toBe(BigInt.asUintN(32, INVALID));
    expect(answer(xencall(NR.SCHED, POLL, NOWHERE))).toBe(FAULT);
    expect(answer(poll, (rig) => put(rig, NOWHERE, 0, 1, 0, 0, 0))).toBe(FAULT);
  });

  it('is a yield where the VMM has not asked for EVTCHN_SEND', () => {
    const prepare = ({ vm }: VmRig) => vm.xen!.configure({ flags: XEN_CONFIG.INTERCEPT_HCALL, msr: XEN.msr });
    expect(answer(xencall(NR.SCHED, POLL, NOWHERE), prepare)).toBe(0n);
  });
});

describe('SCHEDOP_yield', () => {
  it('lets a vCPU run that has lost its CPU', () => {
    const yields: Step[] = Array.from({ length: 20 }, () => [{ run: 500 }, xencall(NR.SCHED, YIELD)]).flat();
    let at = 0;
    const rig = xenRig([[...yields, shutdown], [{ run: 100 }, { then: () => void (at = rig.guests[0]!.script.length) }, shutdown]], { hostCpus: 1, slice: 1_000_000 }); // prettier-ignore
    run(rig);
    expect(at).toBeGreaterThan(1);
  });
});

describe('the hypercall page', () => {
  const PAGE = 0x2000;
  const ask = (
    value: number,
    prepare: (rig: VmRig) => void = () => undefined,
    longMode = true,
    options: RigOptions = {},
  ) => {
    // prettier-ignore
    const rig = xenRig([[wrmsr(XEN.msr, BigInt(value)), { run: 10 }, shutdown]], options, longMode);
    prepare(rig);
    run(rig);
    return rig;
  };
  const refused = (rig: VmRig): boolean => rig.events.some(({ name, event }) => name === 'kvm_msr' && event.fault === true); // prettier-ignore

  it('has for each call: mov $nr, %eax; vmcall; ret; and int3 everywhere else', () => {
    const page = ask(PAGE).vm.memory.read(PAGE, 4096)!;
    for (let nr = 0; nr < 128; nr++) {
      const entry = [...page.subarray(32 * nr, 32 * nr + 32)];
      expect(entry.slice(0, 9)).toEqual([0xb8, nr, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xc3]);
      expect(new Set(entry.slice(9))).toEqual(new Set([0xcc]));
    }
  });

  it('has VMMCALL on a processor of AMD', () => {
    const rig = ask(PAGE, undefined, true, { params: { module: 'kvm_amd' } });
    expect([5, 6, 7].map((at) => u8(rig, PAGE + at))).toEqual([0x0f, 0x01, 0xd9]);
  });

  it('is #GP with a page number, and without memory there', () => {
    expect([ask(PAGE), ask(PAGE + 1), ask(NOWHERE)].map(refused)).toEqual([false, true, true]);
  });

  it('is the VMM’s where hypercalls are not intercepted, one of as many as there are', () => {
    const blob64 = new Uint8Array(2 * 4096).fill(0x64);
    const blob32 = new Uint8Array(4096).fill(0x32);
    const prepare = ({ vm }: VmRig) => vm.xen!.configure({ flags: 0, msr: XEN.msr, blob64, blob32 });
    expect(u8(ask(PAGE + 1, prepare), PAGE)).toBe(0x64);
    expect(u8(ask(PAGE, prepare, false), PAGE)).toBe(0x32);
    expect(refused(ask(PAGE + 2, prepare))).toBe(true);
    expect(refused(ask(PAGE + 1, prepare, false))).toBe(true);
  });

  it('latches the mode of the guest that asks, and moves the wall clock there', () => {
    const rig = ask(PAGE, ({ vm }) => vm.xen!.setLongMode(false));
    expect(rig.vm.xen!.longMode).toBe(true);
    expect(u8(rig, SHARED + 0xc00)).toBe(4);
  });

  it('is an MSR like any unknown one while Xen is off', () => {
    expect(refused(ask(PAGE, ({ vm }) => vm.xen!.configure({ flags: 0, msr: 0 })))).toBe(true);
  });
});
