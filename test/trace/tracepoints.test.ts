// Payloads: the exact text of each tracepoint, and a property over all: what is printed has the form of KVM's template.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KVM_EXIT } from '../../src/hypervisor/names.ts';
import { APIC } from '../../src/hypervisor/lapic/registers.ts';
import { KVM_ISA, type ProbeEvents } from '../../src/trace/probes.ts';
import { APIC_REGISTERS, USERSPACE_EXITS } from '../../src/trace/symbols.ts';
import { isTracepoint, payload, TRACEPOINTS, type Tracepoint } from '../../src/trace/tracepoints.ts';
import { arbitraryEvents, TEMPLATES } from './templates.ts';

const KHZ = 2_500_000;

/** One example: an event and its text. */
const example = <N extends Tracepoint>(name: N, event: ProbeEvents[N], text: string) => ({
  name,
  text,
  rendered: payload(name, event, KHZ),
});

const ENTRY = { vcpu: 3, rip: 0xffff_ffff_8105_1234n, intrInfo: 0x8000_00ec, errorCode: 0 };
const EXIT = {
  vcpu: 0,
  isa: KVM_ISA.VMX,
  rip: 0x1000n,
  length: 2,
  info1: 0x181n,
  info2: 0n,
  intrInfo: 0,
  errorCode: 0,
  requests: 0,
};
const CPUID = { vcpu: 0, leaf: 0xd, subleaf: 1, rax: 0xf, rbx: 0x340, rcx: 0, rdx: 0, found: true };
const PIO = { vcpu: 0, write: true, port: 0x3f8, size: 1, count: 1, value: 0x48 };
const MMIO = { vcpu: 0, write: false, gpa: 0xfee0_0300n, length: 4, value: 0n, satisfied: false };
const ACCEPT = { apicId: 17, deliveryMode: 0, triggerLevel: false, vector: 236 };

describe('the payload of', () => {
  it.each([
    example('kvm_entry', { ...ENTRY, immediateExit: false }, 'vcpu 3, rip 0xffffffff81051234 intr_info 0x800000ec error_code 0x00000000'), // prettier-ignore
    example('kvm_entry', { ...ENTRY, immediateExit: true }, 'vcpu 3, rip 0xffffffff81051234 intr_info 0x800000ec error_code 0x00000000[immediate exit]'), // prettier-ignore
    example('kvm_exit', { ...EXIT, reason: 48 }, 'vcpu 0 reason EPT_VIOLATION rip 0x1000 info1 0x0000000000000181 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000 requests 0x0000000000000000'), // prettier-ignore
    example('kvm_exit', { ...EXIT, reason: 77, requests: 2 ** 41 + 4 }, 'vcpu 0 reason 0x4d rip 0x1000 info1 0x0000000000000181 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000 requests 0x0000020000000004'), // prettier-ignore
    example('kvm_exit', { ...EXIT, isa: KVM_ISA.SVM, reason: 32 }, 'vcpu 0 reason read_dr0 rip 0x1000 info1 0x0000000000000181 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000 requests 0x0000000000000000'), // prettier-ignore
    example('kvm_msr', { vcpu: 0, write: true, index: 0x6e0, value: 0x1a2bn, fault: false }, 'msr_write 6e0 = 0x1a2b'),
    example('kvm_msr', { vcpu: 0, write: false, index: 0xc000_0080, value: 0n, fault: true }, 'msr_read c0000080 = 0x0 (#GP)'), // prettier-ignore
    example('kvm_cpuid', CPUID, 'func d idx 1 rax f rbx 340 rcx 0 rdx 0, cpuid entry found'),
    example('kvm_cpuid', { ...CPUID, found: false }, 'func d idx 1 rax f rbx 340 rcx 0 rdx 0, cpuid entry not found'),
    example('kvm_pio', PIO, 'pio_write at 0x3f8 size 1 count 1 val 0x48 '),
    example('kvm_pio', { ...PIO, write: false, count: 2 }, 'pio_read at 0x3f8 size 1 count 2 val 0x48 (...)'),
    example('kvm_mmio', MMIO, 'mmio unsatisfied-read len 4 gpa 0xfee00300 val 0x0'),
    example('kvm_mmio', { ...MMIO, satisfied: true, value: 7n }, 'mmio read len 4 gpa 0xfee00300 val 0x7'),
    example('kvm_mmio', { ...MMIO, satisfied: true, write: true }, 'mmio write len 4 gpa 0xfee00300 val 0x0'),
    example('kvm_page_fault', { vcpu: 1, rip: 0x1000n, gpa: 0x2000n, errorCode: 0x182 }, 'vcpu 1 rip 0x1000 address 0x0000000000002000 error_code 0x182'), // prettier-ignore
    example('kvm_cr', { vcpu: 0, write: true, cr: 8, value: 0xfn }, 'cr_write 8 = 0xf'),
    example('kvm_apic', { vcpu: 0, write: true, register: 0x300, value: 0x1_0000_00fbn }, 'apic_write APIC_ICR = 0x1000000fb'), // prettier-ignore
    example('kvm_apic', { vcpu: 0, write: false, register: 0x2f0, value: 0x10000n }, 'apic_read 0x2f0 = 0x10000'),
    example('kvm_apic_ipi', { vcpu: 0, icrLow: 0xc46fb, dest: 0xff }, 'dst ff vec 251 (SIPI|physical|assert|edge|all-but-self)'), // prettier-ignore
    example('kvm_apic_ipi', { vcpu: 0, icrLow: 0x8d00, dest: 1 }, 'dst 1 vec 0 (INIT|logical|de-assert|level|dst)'),
    example('kvm_apic_accept_irq', ACCEPT, 'apicid 11 vec 236 (Fixed|edge)'),
    example('kvm_apicv_accept_irq', { ...ACCEPT, deliveryMode: 1, triggerLevel: true }, 'apicid 11 vec 236 (LowPrio|level)'), // prettier-ignore
    example('kvm_eoi', { apicId: 17, vector: 236 }, 'apicid 11 vector 236'),
    example('kvm_eoi', { apicId: 0, vector: -1 }, 'apicid 0 vector -1'),
    example('kvm_inj_virq', { vcpu: 0, vector: 0xec, soft: false, reinjected: false }, 'IRQ 0xec'),
    example('kvm_inj_virq', { vcpu: 0, vector: 0x80, soft: true, reinjected: true }, 'Soft/INTn 0x80 [reinjected]'),
    example('kvm_inj_exception', { vcpu: 0, vector: 6, errorCode: null, reinjected: false }, '#UD'),
    example('kvm_inj_exception', { vcpu: 0, vector: 14, errorCode: 2, reinjected: true }, '#PF (0x2) [reinjected]'),
    example('kvm_inj_exception', { vcpu: 0, vector: 19, errorCode: null, reinjected: false }, '0x13'),
    example('kvm_vcpu_wakeup', { vcpu: 0, cycles: 95_912, waited: true, valid: true }, 'wait time 38364 ns, polling valid'), // prettier-ignore
    example('kvm_vcpu_wakeup', { vcpu: 0, cycles: 5e12 + 1, waited: false, valid: false }, 'poll time 2000000000000 ns, polling invalid'), // prettier-ignore
    example('kvm_userspace_exit', { vcpu: 0, reason: 6 }, 'reason KVM_EXIT_MMIO (6)'),
    example('kvm_hv_timer_state', { vcpu: 31, hvTimer: true }, 'vcpu_id 1f hv_timer 1'),
    example('kvm_wait_lapic_expire', { vcpu: 0, delta: -120 }, 'vcpu 0: delta -120 (early)'),
    example('kvm_wait_lapic_expire', { vcpu: 0, delta: 0 }, 'vcpu 0: delta 0 (late)'),
    example('kvm_timer_update_irq', { vcpu: 1, irq: 27, level: true }, 'VCPU: 1, IRQ 27, level 1'),
    example('kvm_timer_save_state', { ctl: 1, cval: 0x1a2bn, index: 0 }, '   CTL: 0x000001 CVAL:           0x1a2b arch_timer_ctx_index: 0'), // prettier-ignore
    example('kvm_timer_restore_state', { ctl: 0, cval: 2n ** 64n - 1n, index: 0 }, '   CTL: 0x000000 CVAL: 0xffffffffffffffff arch_timer_ctx_index: 0'), // prettier-ignore
    example('kvm_timer_hrtimer_expire', { index: 0 }, 'arch_timer_ctx_index: 0'),
    example('kvm_hypercall', { vcpu: 0, nr: 5n, args: [0n, 0x1fn, 2n, 2n ** 64n - 1n] }, 'nr 0x5 a0 0x0 a1 0x1f a2 0x2 a3 0xffffffffffffffff'), // prettier-ignore
    example('kvm_xen_hypercall', { cpl: 0, nr: 29n, args: [3n, 0x1000n, 0n, 0n, 0n, 10n] }, 'cpl 0 nr 0x1d a0 0x3 a1 0x1000 a2 0x0 a3 0x0 a4 0x0 a5 a'), // prettier-ignore
    example('kvm_lazy_tsc', { vcpu: 0, op: 'rearm', armed: 0x1000n, pending: 0n }, 'vcpu 0 op rearm armed 0x1000 pending 0x0'), // prettier-ignore
  ])('$name: $text', ({ rendered, text }) => {
    expect(rendered).toBe(text);
  });
});

describe('tracepoints', () => {
  it.each(TRACEPOINTS)('%s prints nothing that its template does not have', (name) => {
    fc.assert(
      fc.property(arbitraryEvents[name], (event) => {
        const text = payload(name, event as ProbeEvents[typeof name], KHZ);
        expect(text).toMatch(TEMPLATES[name]);
        expect(text).not.toMatch(/undefined|NaN|null|object/);
      }),
      { numRuns: 300, seed: 4 },
    );
  });

  it('are all probes but the commentary on an exit', () => {
    expect(isTracepoint('exit_handled')).toBe(false);
    expect(Object.keys(TEMPLATES).sort()).toEqual([...TRACEPOINTS].sort());
  });

  it('know the registers and the exits to userspace that the hypervisor has, by its numbers', () => {
    const registers = Object.entries(APIC).filter(([name]) => name !== 'LVTCMCI');
    expect(registers.map(([, offset]) => APIC_REGISTERS.get(offset))).toEqual(
      registers.map(([name]) => `APIC_${name}`),
    );
    for (const [name, reason] of Object.entries(KVM_EXIT)) expect(USERSPACE_EXITS.get(reason)).toBe(`KVM_EXIT_${name}`);
  });
});
