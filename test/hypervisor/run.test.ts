import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { COST, COST_MODELS } from '../../src/host/costs.ts';
import { processNmi } from '../../src/hypervisor/inject.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { VCPU_MODE } from '../../src/hypervisor/vcpu.ts';
import { MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { GPR, RFLAGS } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { cli, hlt, rdmsr, sti, wrmsr, type Step } from './scriptedCpu.ts';
import { vmRig, type VmRig } from './vmRig.ts';

const LVTT_DEADLINE = 0x400ec;
const VECTOR_TIMER = 0xec;
const SVR_ENABLED = 0x1ffn;
const enableApic: Step[] = [wrmsr(X2APIC_MSR.SIVR, SVR_ENABLED)];
const enableTimer: Step[] = [...enableApic, wrmsr(X2APIC_MSR.LVT_TIMER, BigInt(LVTT_DEADLINE))];
const shutdown: Step = { exit: EXIT.TRIPLE_FAULT };
const ipiTo = (apicId: number, vector: number): Step => wrmsr(X2APIC_MSR.ICR, (BigInt(apicId) << 32n) | BigInt(vector));

/** Runs until nothing more happens or `steps` steps are over. */
function go(rig: VmRig, steps = 200): string {
  for (let i = 0; i < steps; i++) {
    const outcome = rig.host.step();
    if (outcome !== 'progress') return outcome;
  }
  return 'progress';
}

/** Trace events behind the last exit of a reason, in short: `name` or `name(detail)`. */
function after(rig: VmRig, reason: number): string[] {
  const at = rig.events.map((e) => e.name === 'kvm_exit' && e.event.reason === reason).lastIndexOf(true);
  return rig.events.slice(at + 1).map(({ name, event }) => {
    if (name === 'kvm_exit') return `kvm_exit(${String(event.reason)})`;
    if (name === 'kvm_msr') return `kvm_msr(${(event.index as number).toString(16)}${event.fault ? ' #GP' : ''})`;
    if (name === 'kvm_inj_virq') return `kvm_inj_virq(${String(event.vector)}${event.reinjected ? ' reinjected' : ''})`;
    return name;
  });
}

describe('the order of KVM’s steps', () => {
  it('deadline write: exit, timer, MSR, entry', () => {
    const rig = vmRig([[...enableTimer, wrmsr(MSR.TSC_DEADLINE, 1_000_000n), shutdown]]);
    go(rig);
    const all = rig.names();
    const write = rig.events.findIndex((e) => e.name === 'kvm_msr' && e.event.index === MSR.TSC_DEADLINE);
    expect(all.slice(write - 2, write + 3)).toEqual([
      'kvm_exit',
      'kvm_hv_timer_state',
      'kvm_msr',
      'exit_handled',
      'kvm_entry',
    ]);
  });

  it('IPI: exit, IPI, acceptance, register, MSR, entry; the running target leaves for a host interrupt and takes it', () => {
    const rig = vmRig([
      [...enableApic, { run: 500 }, ipiTo(1, 0xfb), { run: 5000 }, shutdown],
      [...enableApic, sti, { run: 20_000 }, shutdown],
    ]);
    go(rig);
    const sender = rig.events.filter((e) => e.event.vcpu === 0 || e.name === 'kvm_apic_accept_irq').map((e) => e.name);
    const ipi = sender.indexOf('kvm_apic_ipi');
    expect(sender.slice(ipi - 1, ipi + 6)).toEqual([
      'kvm_exit',
      'kvm_apic_ipi',
      'kvm_apic_accept_irq',
      'kvm_apic',
      'kvm_msr',
      'exit_handled',
      'kvm_entry',
    ]);
    const target = rig.events.filter((e) => e.event.vcpu === 1);
    const exit = target.findIndex((e) => e.name === 'kvm_exit' && e.event.reason === EXIT.EXTERNAL_INTERRUPT);
    expect(target.slice(exit, exit + 4).map((e) => e.name)).toEqual([
      'kvm_exit',
      'exit_handled',
      'kvm_inj_virq',
      'kvm_entry',
    ]);
    expect(rig.guests[1]!.delivered).toEqual([{ type: 'external', vector: 0xfb, errorCode: null }]);
  });

  it('HLT with an armed timer: wake-up, acceptance, injection, entry', () => {
    const rig = vmRig([[...enableTimer, sti, wrmsr(MSR.TSC_DEADLINE, 50_000n), hlt, { run: 10 }, shutdown]]);
    go(rig);
    expect(after(rig, EXIT.HLT).slice(0, 6)).toEqual([
      'exit_handled',
      'kvm_hv_timer_state',
      'kvm_vcpu_wakeup',
      'kvm_apic_accept_irq',
      `kvm_inj_virq(${VECTOR_TIMER})`,
      'kvm_entry',
    ]);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
    expect(rig.vm.vcpus[0]!.stat).toMatchObject({ haltExits: 1, haltWakeup: 1, irqInjections: 1 });
  });

  it('an hrtimer that fires while the guest runs ends guest mode at the deadline, to the cycle', () => {
    const rig = vmRig([[...enableTimer, sti, wrmsr(MSR.TSC_DEADLINE, 10_000n), { run: 100_000 }, shutdown]], {
      params: { preemptionTimer: false },
    });
    go(rig);
    const exit = rig.events.find(
      (e) => e.name === 'exit_handled' && (e.event.exit as { reason: string }).reason === 'EXTERNAL_INTERRUPT',
    );
    expect(exit!.event.tsc).toBe(10_000n);
    expect(after(rig, EXIT.EXTERNAL_INTERRUPT).slice(0, 4)).toEqual([
      'exit_handled',
      'kvm_apic_accept_irq',
      `kvm_inj_virq(${VECTOR_TIMER})`,
      'kvm_entry',
    ]);
  });

  it('a deadline that has passed is delivered at the next entry', () => {
    const rig = vmRig([[...enableTimer, sti, wrmsr(MSR.TSC_DEADLINE, 1n), { run: 10 }, shutdown]]);
    go(rig);
    expect(rig.guests[0]!.delivered).toEqual([{ type: 'external', vector: VECTOR_TIMER, errorCode: null }]);
  });

  it('an interrupt that the guest does not take yet opens the window, and is injected once that opens', () => {
    const rig = vmRig([
      [
        ...enableTimer,
        cli,
        wrmsr(MSR.TSC_DEADLINE, 1n),
        { run: 100 },
        { then: ({ delivered }) => expect(delivered).toEqual([]) },
        sti,
        { run: 10 },
        shutdown,
      ],
    ]);
    go(rig);
    expect(rig.vm.vcpus[0]!.stat.irqWindowExits).toBe(1);
    expect(after(rig, EXIT.INTERRUPT_WINDOW).slice(0, 3)).toEqual([
      'exit_handled',
      `kvm_inj_virq(${VECTOR_TIMER})`,
      'kvm_entry',
    ]);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
  });

  it('a delivery that exits is injected again, before anything else', () => {
    const rig = vmRig([
      [
        ...enableTimer,
        sti,
        { then: (cpu) => (cpu.failDeliveries = 1) },
        wrmsr(MSR.TSC_DEADLINE, 1n),
        { run: 10 },
        shutdown,
      ],
    ]);
    rig.vm.memslots.set({ slot: 0, gpa: 0, size: 4096, address: rig.vm.memslots.arena.allocate(4096) });
    go(rig);
    const injections = after(rig, EXIT.MSR_WRITE).filter((e) => e.startsWith('kvm_inj'));
    expect(injections).toEqual([`kvm_inj_virq(${VECTOR_TIMER})`, `kvm_inj_virq(${VECTOR_TIMER} reinjected)`]);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
  });

  it('an exception comes before an interrupt that waits', () => {
    const unknownMsr = 0x1234;
    const rig = vmRig([
      [
        ...enableTimer,
        sti,
        wrmsr(MSR.TSC_DEADLINE, 2000n),
        { run: 1900 },
        rdmsr(unknownMsr),
        { run: 5000 },
        sti,
        { run: 10 },
        shutdown,
      ],
    ]);
    go(rig);
    expect(rig.guests[0]!.delivered.map((e) => e.vector)).toEqual([VECTOR.GP, VECTOR_TIMER]);
  });

  it('a request that arrives before the entry abandons it, and the event that was to be injected comes first again', () => {
    const rig = vmRig([[sti, ...enableTimer, { run: 10 }, shutdown]]);
    const vcpu = rig.vm.vcpus[0]!;
    // Somebody kicks whenever the vCPU says IN_GUEST, three times.
    let kicks = 3;
    const charge = vcpu.cpu.charge.bind(vcpu.cpu);
    vcpu.cpu.charge = (primitive) => {
      charge(primitive);
      if (primitive === COST.srcu && vcpu.mode === VCPU_MODE.IN_GUEST && kicks > 0 && vcpu.lapic.enabled) {
        kicks--;
        vcpu.lapic.deliverInterrupt(0x40 + kicks);
      }
    };
    go(rig);
    expect(rig.guests[0]!.delivered[0]!.vector).toBe(0x42);
    expect(vcpu.stat.irqInjections).toBeGreaterThan(1);
  });
});

describe('blocking', () => {
  it('a halted vCPU with nothing armed waits for ever, and says so', () => {
    const rig = vmRig([[...enableApic, sti, hlt]]);
    expect(go(rig)).toBe('idle');
    expect(rig.vm.vcpus[0]!.thread!.waitsFor).toBe('vCPU 0 is halted, no timer is armed');
  });

  it('a vCPU halted with interrupts disabled is not woken by an interrupt', () => {
    const rig = vmRig([
      [...enableApic, cli, hlt],
      [...enableApic, { run: 1000 }, ipiTo(0, 0x55), shutdown],
    ]);
    expect(go(rig)).toBe('idle');
    expect(rig.vm.vcpus[0]!.thread!.waitsFor).toBe('vCPU 0 is halted with interrupts disabled');
    expect(rig.guests[0]!.delivered).toEqual([]);
  });

  it('an IPI wakes a halted vCPU', () => {
    const rig = vmRig([
      [...enableApic, sti, hlt, shutdown],
      [...enableApic, { run: 1000 }, ipiTo(0, 0x55), shutdown],
    ]);
    go(rig);
    expect(rig.guests[0]!.delivered.map((e) => e.vector)).toEqual([0x55]);
    expect(rig.vm.vcpus[0]!.mpState).toBe('runnable');
  });

  it('an NMI wakes even with interrupts disabled, and is injected before interrupts', () => {
    const rig = vmRig([
      [...enableApic, cli, hlt, { run: 5 }, shutdown],
      [...enableApic, { run: 1000 }, ipiTo(0, 0x55), ipiTo(0, 0x400), shutdown],
    ]);
    go(rig);
    expect(rig.guests[0]!.delivered[0]).toMatchObject({ type: 'nmi', vector: VECTOR.NMI });
  });

  it('of many NMIs at once two are taken, one of them behind the other', () => {
    const rig = vmRig([
      [...enableApic, cli, hlt, { run: 5 }, { exit: EXIT.NMI_WINDOW }, { run: 5 }, { exit: EXIT.NMI_WINDOW }, hlt],
      [...enableApic, { run: 10_000 }, { then: () => [1, 2, 3].forEach(() => rig.vm.vcpus[0]!.injectNmi()) }, ipiTo(0, 0x400)],
    ]); // prettier-ignore
    go(rig);
    expect(rig.guests[0]!.delivered).toHaveLength(2);
  });

  it.each(['in service', 'on its way'])('while an NMI is %s, one more is kept and no further', (where) => {
    const rig = vmRig([[]]);
    const vcpu = rig.vm.vcpus[0]!;
    if (where === 'in service') vcpu.guest.state.nmiBlocked = 1;
    else vcpu.events.nmi.injected = true;
    for (let i = 0; i < 10; i++) vcpu.injectNmi();
    vcpu.requests.clear(KVM_REQ.NMI);
    processNmi(vcpu);
    vcpu.injectNmi();
    processNmi(vcpu);
    expect(vcpu.events.nmi.pending).toBe(1);
  });

  it('HLT with an interrupt waiting does not halt', () => {
    const rig = vmRig([
      [
        ...enableTimer,
        cli,
        wrmsr(MSR.TSC_DEADLINE, 1n),
        {
          then: ({ state }) => {
            state.rflags |= RFLAGS.IF;
            state.shadow = 1;
          },
        },
        hlt,
        { run: 5 },
        shutdown,
      ],
    ]);
    go(rig);
    expect(rig.names()).not.toContain('kvm_vcpu_wakeup');
    expect(rig.guests[0]!.delivered).toHaveLength(1);
  });
});

describe('time', () => {
  it('guest TSC is host cycles plus the offset, and a write moves only that vCPU', () => {
    const seen: bigint[] = [];
    const rig = vmRig([
      [
        wrmsr(MSR.TSC, 1_000_000n),
        { rdtsc: (tsc) => seen.push(tsc) },
        rdmsr(MSR.TSC_ADJUST),
        { then: ({ state }) => seen.push(state.gpr(GPR.RAX)) },
        shutdown,
      ],
    ]);
    go(rig);
    expect(seen[0]).toBeGreaterThanOrEqual(1_000_000n);
    expect(seen[0]).toBeLessThan(1_000_100n);
    expect(seen[1]! & 0xffff_ffffn).toBe(rig.vm.vcpus[0]!.tsc.offset);
  });

  it('never warps between vCPUs, whatever they do, with any quantum and any costs', () => {
    const action = fc.oneof(
      fc.integer({ min: 1, max: 3000 }).map((run) => ({ run })),
      fc.constant('rdtsc' as const),
      fc.constant('rdmsr' as const),
      fc.constant('exit' as const),
      fc.constant('ipi' as const),
    );
    const scripts = fc.array(fc.array(action, { maxLength: 30 }), { minLength: 2, maxLength: 4 });
    const costs = fc.constantFrom('skylake-2020' as const, 'unit' as const);
    fc.assert(
      fc.property(scripts, fc.integer({ min: 1, max: 5000 }), costs, (actions, quantum, costModel) => {
        const seen: bigint[] = [];
        const steps = actions.map((list): Step[] => [
          ...enableApic,
          sti,
          ...list.flatMap((a): Step[] => {
            if (a === 'rdtsc') return [{ rdtsc: (tsc) => seen.push(tsc) }];
            if (a === 'rdmsr') return [rdmsr(MSR.TSC)];
            if (a === 'ipi') return [ipiTo(0, 0x66), sti];
            if (a === 'exit') return [wrmsr(X2APIC_MSR.TPR, 0n)];
            return [a];
          }),
          shutdown,
        ]);
        const rig = vmRig(steps, { quantum, costs: COST_MODELS[costModel] });
        rig.vm.probes.subscribe((name, event) => {
          if (name === 'kvm_msr' && 'value' in event && 'index' in event && event.index === MSR.TSC)
            seen.push(event.value as bigint);
        });
        go(rig, 2000);
        expect(rig.userspace).toHaveLength(actions.length);
        expect(seen).toEqual([...seen].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
      }),
      // Once the time of RDMSR was spent before the clock was read: it showed a time that others still had before them.
      { numRuns: 60, examples: [[[['rdmsr'], [{ run: 687 }, 'rdtsc', 'rdtsc'], [], []], 1, 'skylake-2020']] },
    );
  });
});

describe('requests', () => {
  it('UNBLOCK is cleared by the outer loop and never keeps the guest out', () => {
    const rig = vmRig([
      [
        ...enableApic,
        { run: 10 },
        { then: () => rig.vm.vcpus[0]!.requests.make(KVM_REQ.UNBLOCK) },
        wrmsr(X2APIC_MSR.TPR, 0n),
        { run: 10 },
        shutdown,
      ],
    ]);
    go(rig);
    expect(rig.userspace).toEqual([{ vcpu: 0, exit: { reason: 'SHUTDOWN' } }]);
    expect(rig.vm.vcpus[0]!.requests.pending).toBe(false);
  });
});

describe('a kick', () => {
  it('reaches a vCPU that has moved, though one is still on its way to the CPU that it left', () => {
    const rig = vmRig([[{ run: 100 }]], { hostCpus: 3 });
    const [vcpu] = rig.vm.vcpus;
    const [sender, first, second] = rig.host.cpus;
    rig.host.thisCpu = sender!;
    for (const cpu of [first!, second!]) {
      vcpu!.cpu = cpu;
      vcpu!.mode = VCPU_MODE.IN_GUEST;
      vcpu!.kick();
    }
    expect([first!.events.size, second!.events.size]).toEqual([1, 1]);
  });

  it('sends one interrupt however often it is repeated', () => {
    const rig = vmRig([[{ run: 100 }]], { hostCpus: 2 });
    const [vcpu] = rig.vm.vcpus;
    vcpu!.cpu = rig.host.cpus[1]!;
    vcpu!.mode = VCPU_MODE.IN_GUEST;
    for (let i = 0; i < 3; i++) vcpu!.kick();
    expect(rig.host.cpus[0]!.charged[COST.ipiSend]).toBe(1);
  });
});
