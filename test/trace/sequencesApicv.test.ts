// The order of KVM's tracepoints with APIC virtualisation: no injection, and no exit where the processor delivers by itself.

import { beforeAll, describe, expect, it } from 'vitest';
import { join } from 'node:path';
import { packageFolder } from '../../src/cli/load.ts';
import { bootGuest, namesOf, recordEvents } from '../../src/testing/index.ts';
import { sequencesOf, XAPIC_GUEST, type Sequences } from './sequences.ts';

let guest: Sequences;
beforeAll(async () => void (guest = await sequencesOf({ apicv: true })));
const ACCEPTED = ['kvm_apic_accept_irq', 'kvm_apicv_accept_irq'];

describe('with APIC virtualisation', () => {
  it('expiry while the guest runs (case A): exit, acceptance twice over, timer state, entry', () => {
    expect(namesOf(guest.events.exit('PREEMPTION_TIMER'))).toEqual(['kvm_exit', ...ACCEPTED, 'kvm_entry']);
    expect(guest.events.exit('PREEMPTION_TIMER').at(-1)).toMatch(/intr_info 0x00000000 error_code 0x00000000$/);
  });

  it('a deadline that has passed (case D): exit, acceptance, timer state, MSR, entry', () => {
    expect(namesOf(guest.at('past_deadline'))).toEqual(['kvm_exit', ...ACCEPTED, 'kvm_hv_timer_state', 'kvm_msr', 'kvm_entry']);
    expect(guest.at('past_deadline')[3]).toBe('kvm_hv_timer_state: vcpu_id 0 hv_timer 0');
  }); // prettier-ignore

  it('HLT until the deadline: exit, hrtimer, wake-up, acceptance, entry', () => {
    expect(namesOf(guest.at('do_hlt'))).toEqual([
      'kvm_exit',
      'kvm_hv_timer_state',
      'kvm_vcpu_wakeup',
      ...ACCEPTED,
      'kvm_entry',
    ]);
  });

  it('ICR write to itself: exit, IPI, acceptance, register, MSR, entry', () => {
    expect(guest.at('write_icr').slice(1, -1)).toEqual([
      'kvm_apic_ipi: dst 0 vec 236 (Fixed|physical|assert|edge|dst)',
      'kvm_apic_accept_irq: apicid 0 vec 236 (Fixed|edge)',
      'kvm_apicv_accept_irq: apicid 0 vec 236 (Fixed|edge)',
      'kvm_apic: apic_write APIC_ICR = 0x40ec',
      'kvm_msr: msr_write 830 = 0x40ec',
    ]);
  });

  it('EOI: nothing', () => {
    expect(() => guest.at('write_eoi')).toThrow('no exit at write_eoi');
    expect(namesOf(guest.events.lines)).not.toContain('kvm_eoi');
    const injected = guest.events.lines.filter((line) => line.startsWith('kvm_inj_virq'));
    expect(injected).toEqual(['kvm_inj_virq: IRQ 0xec [reinjected]']);
  });

  it('an interrupt whose delivery exits is injected again: in service already, it is no new one', () => {
    const delivery = guest.events.between(/info2 0x00000000800000ec/, /^kvm_entry/);
    expect(namesOf(delivery)).toEqual(['kvm_exit', 'kvm_page_fault', 'kvm_inj_virq', 'kvm_entry']);
    expect(delivery[2]).toBe('kvm_inj_virq: IRQ 0xec [reinjected]');
  });
});

it('an IPI to a guest that runs: the receiver neither exits nor enters', async () => {
  const machine = await bootGuest(join(packageFolder(), 'guests', 'ipilatency.s'), { params: { apicv: true } });
  const sent = recordEvents(machine, { vcpu: 0 });
  const received = recordEvents(machine, { vcpu: 1 });
  machine.run({ maxCycles: 2_000_000 });
  const ipi = sent.lines.findLastIndex((line) => line.startsWith('kvm_apic_ipi'));
  expect(namesOf(sent.lines.slice(ipi - 1, ipi + 6))).toEqual([
    'kvm_exit',
    'kvm_apic_ipi',
    ...ACCEPTED,
    'kvm_apic',
    'kvm_msr',
    'kvm_entry',
  ]);
  // What it did since it was set up: nothing that anybody would notice.
  expect(sent.lines.filter((line) => line.startsWith('kvm_apicv_accept_irq')).length).toBeGreaterThan(100);
  expect(received.lines.length).toBeLessThan(100);
});

it('a guest in xAPIC mode has none of it', async () => {
  const machine = await bootGuest(XAPIC_GUEST, { params: { apicv: true } });
  const events = recordEvents(machine);
  machine.run();
  expect(machine).toEndWith('power-off');
  expect(namesOf(events.lines)).toContain('kvm_apic_accept_irq');
  expect(namesOf(events.lines)).not.toContain('kvm_apicv_accept_irq');
});
