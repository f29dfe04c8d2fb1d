// Any event of each tracepoint, and the form of its payload: KVM's template as an expression. Numbers of a field are as wide
// as the field.

import fc from 'fast-check';
import { EXIT } from '../../src/cpu/exit.ts';
import { KVM_ISA, type ProbeEvents } from '../../src/trace/probes.ts';
import type { Tracepoint } from '../../src/trace/tracepoints.ts';

const bool = fc.boolean();
const vcpu = fc.nat({ max: 1023 });
const byte = fc.nat({ max: 0xff });
const u16 = fc.nat({ max: 0xffff });
const u32 = fc.nat({ max: 0xffff_ffff });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const mode = fc.nat({ max: 7 });
const reason = fc.constantFrom(...Object.values(EXIT).filter((r) => r >= 0));
const timerState = fc.record({ ctl: fc.nat({ max: 7 }), cval: u64, index: fc.nat({ max: 3 }) });
const acceptance = fc.record({ apicId: u32, deliveryMode: mode, triggerLevel: bool, vector: byte });

export const arbitraryEvents: { readonly [N in Tracepoint]: fc.Arbitrary<ProbeEvents[N]> } = {
  kvm_entry: fc.record({ vcpu, rip: u64, intrInfo: u32, errorCode: u32, immediateExit: bool }),
  kvm_exit: fc.record({
    vcpu,
    isa: fc.constant(KVM_ISA.VMX),
    reason,
    rip: u64,
    length: fc.nat({ max: 15 }),
    info1: u64,
    info2: u64,
    intrInfo: u32,
    errorCode: u32,
    requests: fc.nat({ max: 2 ** 42 }),
  }),
  kvm_msr: fc.record({ vcpu, write: bool, index: u32, value: u64, fault: bool }),
  kvm_cpuid: fc.record({ vcpu, leaf: u32, subleaf: u32, rax: u32, rbx: u32, rcx: u32, rdx: u32, found: bool }),
  kvm_pio: fc.record({
    vcpu,
    write: bool,
    port: u16,
    size: fc.constantFrom(1, 2, 4),
    count: fc.integer({ min: 1, max: 4096 }),
    value: u32,
  }),
  kvm_mmio: fc.record({
    vcpu,
    write: bool,
    gpa: u64,
    length: fc.integer({ min: 1, max: 8 }),
    value: u64,
    satisfied: bool,
  }),
  kvm_page_fault: fc.record({ vcpu, rip: u64, gpa: u64, errorCode: u32 }),
  kvm_cr: fc.record({ vcpu, write: bool, cr: fc.nat({ max: 15 }), value: u64 }),
  kvm_apic: fc.record({ vcpu, write: bool, register: fc.nat({ max: 0xff }).map((i) => i << 4), value: u64 }),
  kvm_apic_ipi: fc.record({ vcpu, icrLow: u32, dest: u32 }),
  kvm_apic_accept_irq: acceptance,
  kvm_apicv_accept_irq: acceptance,
  kvm_pv_eoi: fc.record({ apicId: u32, vector: fc.integer({ min: -1, max: 255 }) }),
  kvm_pvclock_update: fc.record({
    ...{ vcpu, version: u32, tscTimestamp: u64, systemTime: u64, multiplier: u32 },
    ...{ shift: fc.integer({ min: -128, max: 127 }), flags: byte },
  }),
  kvm_pv_tlb_flush: fc.record({ vcpu, needFlush: bool }),
  kvm_try_async_get_page: fc.record({ gva: u64, gfn: u32 }),
  kvm_async_pf_not_present: fc.record({ token: u32, gva: u64 }),
  kvm_async_pf_ready: fc.record({ token: u32, gva: u64 }),
  kvm_async_pf_completed: fc.record({ gva: u64, page: u32 }),
  kvm_eoi: fc.record({ apicId: u32, vector: fc.integer({ min: -1, max: 255 }) }),
  kvm_inj_virq: fc.record({ vcpu, vector: byte, soft: bool, reinjected: bool }),
  kvm_inj_exception: fc.record({ vcpu, vector: fc.nat({ max: 31 }), errorCode: fc.option(u32), reinjected: bool }),
  kvm_vcpu_wakeup: fc.record({ vcpu, cycles: fc.nat({ max: 2 ** 45 }), waited: bool, valid: bool }),
  kvm_userspace_exit: fc.record({ vcpu, reason: fc.nat({ max: 40 }) }),
  kvm_hv_timer_state: fc.record({ vcpu, hvTimer: bool }),
  kvm_wait_lapic_expire: fc.record({ vcpu, delta: fc.integer() }),
  kvm_timer_update_irq: fc.record({ vcpu, irq: fc.integer({ min: 16, max: 31 }), level: bool }),
  kvm_timer_save_state: timerState,
  kvm_timer_restore_state: timerState,
  kvm_timer_hrtimer_expire: fc.record({ index: fc.nat({ max: 3 }) }),
  kvm_set_irq: fc.record({ gsi: fc.nat({ max: 23 }), level: bool, source: fc.nat({ max: 2 }) }),
  kvm_pic_set_irq: fc.record({
    chip: fc.nat({ max: 1 }),
    pin: fc.nat({ max: 7 }),
    elcr: byte,
    imr: byte,
    coalesced: bool,
  }),
  kvm_ioapic_set_irq: fc.record({ entry: u64, pin: fc.nat({ max: 23 }), coalesced: bool }),
  kvm_ioapic_delayed_eoi_inj: fc.record({ entry: u64 }),
  kvm_msi_set_irq: fc.record({ address: u64, data: u32 }),
  kvm_ack_irq: fc.record({ chip: fc.nat({ max: 2 }), pin: fc.nat({ max: 23 }) }),
  kvm_hypercall: fc.record({ vcpu, nr: u64, args: fc.array(u64, { minLength: 4, maxLength: 4 }) }),
  kvm_xen_hypercall: fc.record({
    cpl: fc.constantFrom(0, 3),
    nr: u64,
    args: fc.array(u64, { minLength: 6, maxLength: 6 }),
  }),
  kvm_xen_evtchn: fc.record({ vcpu, port: fc.nat({ max: 4095 }), result: fc.constantFrom(1, 0, -11, -22, -107) }),
  kvm_xen_timer: fc.record({
    vcpu,
    op: fc.constantFrom('start', 'stop', 'fire', 'defer', 'inject'),
    expires: u64,
  }),
  kvm_xen_runstate: fc.record({ vcpu, state: fc.nat({ max: 3 }), written: bool }),
  xen_pirq: fc.record({ pirq: fc.nat({ max: 255 }), what: fc.constantFrom('userspace', 'it is bound to no port') }),
  xen_hypercall_error: fc.record({
    vcpu,
    nr: fc.nat({ max: 127 }),
    why: fc.constantFrom('port 77 is closed (EINVAL)', 'there is no guest memory at 0x7000 (EFAULT)'),
  }),
  kvm_lazy_tsc: fc.record({
    vcpu,
    op: fc.constantFrom('init', 'exit', 'update', 'kick', 'rearm', 'clear', 'refresh'),
    armed: u64,
    pending: u64,
  }),
};

/** %x of 32 and of 64 bits, and with a width. */
const X = '(0|[1-9a-f][\\da-f]{0,7})';
const LX = '(0|[1-9a-f][\\da-f]{0,15})';
const X8 = '[\\da-f]{8}';
const X16 = '[\\da-f]{16}';
const MODE = '(Fixed|LowPrio|SMI|Res3|NMI|INIT|SIPI|ExtINT)';
const acceptanceForm = `apicid ${X} vec \\d{1,3} \\(${MODE}\\|(edge|level)\\)`;
const redirectionForm = `dst [\\da-f]{1,2} vec \\d{1,3} \\(${MODE}\\|(physical|logical)\\|(edge|level)(\\|masked)?\\)`;
const timerStateForm = ` {3}CTL: 0x[\\da-f]{6} CVAL: (?=.{16,18} ) *0x${LX} arch_timer_ctx_index: \\d`;
const whole = (form: string): RegExp => new RegExp(`^${form}$`);

export const TEMPLATES: { readonly [N in Tracepoint]: RegExp } = {
  kvm_entry: whole(`vcpu \\d+, rip 0x${LX} intr_info 0x${X8} error_code 0x${X8}(\\[immediate exit\\])?`),
  kvm_exit: whole(
    `vcpu \\d+ reason [A-Z_]+ rip 0x${LX} info1 0x${X16} info2 0x${X16} intr_info 0x${X8} error_code 0x${X8} requests 0x${X16}`,
  ),
  kvm_msr: whole(`msr_(write|read) ${X} = 0x${LX}( \\(#GP\\))?`),
  kvm_cpuid: whole(`func ${X} idx ${X} rax ${X} rbx ${X} rcx ${X} rdx ${X}, cpuid entry (found|not found)`),
  kvm_pio: whole(`pio_(write|read) at 0x${X} size [124] count \\d+ val 0x${X} (\\(\\.\\.\\.\\))?`),
  kvm_mmio: whole(`mmio (unsatisfied-read|read|write) len [1-8] gpa 0x${LX} val 0x${LX}`),
  kvm_page_fault: whole(`vcpu \\d+ rip 0x${LX} address 0x${X16} error_code 0x${X}`),
  kvm_cr: whole(`cr_(write|read) [\\da-f] = 0x${LX}`),
  kvm_apic: whole(`apic_(write|read) (APIC_[A-Z\\d_]+|0x${X}) = 0x${LX}`),
  kvm_apic_ipi: whole(
    `dst ${X} vec \\d{1,3} \\(${MODE}\\|(physical|logical)\\|(assert|de-assert)\\|(edge|level)\\|(dst|self|all|all-but-self)\\)`,
  ),
  kvm_apic_accept_irq: whole(acceptanceForm),
  kvm_apicv_accept_irq: whole(acceptanceForm),
  kvm_pv_eoi: whole(`apicid ${X} vector -?\\d+`),
  kvm_pvclock_update: whole(
    `vcpu_id \\d+, pvclock \\{ version \\d+, tsc_timestamp 0x${LX}, system_time 0x${LX}, tsc_to_system_mul 0x${X}, tsc_shift -?\\d+, flags 0x${X} \\}`,
  ),
  kvm_pv_tlb_flush: whole('vcpu \\d+ need_flush_tlb (true|false)'),
  kvm_try_async_get_page: whole(`gva = (0|0x${LX}), gfn = (0|0x${LX})`),
  kvm_async_pf_not_present: whole(`token (0|0x${LX}) gva (0|0x${LX})`),
  kvm_async_pf_ready: whole(`token (0|0x${LX}) gva (0|0x${LX})`),
  kvm_async_pf_completed: whole(`gva (0|0x${LX}) address (0|0x${LX})`),
  kvm_eoi: whole(`apicid ${X} vector -?\\d+`),
  kvm_inj_virq: whole(`(IRQ|Soft/INTn) 0x${X}( \\[reinjected\\])?`),
  kvm_inj_exception: whole(`(#[A-Z]{2}|0x${X})( \\(0x${X}\\))?( \\[reinjected\\])?`),
  kvm_vcpu_wakeup: whole('(wait|poll) time \\d+ ns, polling (valid|invalid)'),
  kvm_userspace_exit: whole(`reason (KVM_EXIT_[A-Z\\d_]+|0x${X}) \\(\\d+\\)`),
  kvm_hv_timer_state: whole(`vcpu_id ${X} hv_timer [01]`),
  kvm_wait_lapic_expire: whole('vcpu \\d+: delta (-\\d+ \\(early|\\d+ \\(late)\\)'),
  kvm_timer_update_irq: whole('VCPU: \\d+, IRQ \\d+, level [01]'),
  kvm_timer_save_state: whole(timerStateForm),
  kvm_timer_restore_state: whole(timerStateForm),
  kvm_timer_hrtimer_expire: whole('arch_timer_ctx_index: \\d'),
  kvm_set_irq: whole('gsi \\d+ level [01] source \\d+'),
  kvm_pic_set_irq: whole('chip [01] pin [0-7] \\((edge|level)(\\|masked)?\\)( \\(coalesced\\))?'),
  kvm_ioapic_set_irq: whole(`pin \\d+ ${redirectionForm}( \\(coalesced\\))?`),
  kvm_ioapic_delayed_eoi_inj: whole(redirectionForm),
  kvm_msi_set_irq: whole(`dst ${X} vec \\d{1,3} \\(${MODE}\\|(physical|logical)\\|(edge|level)(\\|rh)?\\)`),
  kvm_ack_irq: whole('irqchip (PIC master|PIC slave|IOAPIC) pin \\d+'),
  kvm_hypercall: whole(`nr 0x${LX} a0 0x${LX} a1 0x${LX} a2 0x${LX} a3 0x${LX}`),
  kvm_xen_hypercall: whole(`cpl \\d+ nr 0x${LX} a0 0x${LX} a1 0x${LX} a2 0x${LX} a3 0x${LX} a4 0x${LX} a5 ${LX}`),
  kvm_xen_evtchn: whole('vcpu \\d+ port \\d+ result -?\\d+'),
  kvm_xen_timer: whole('vcpu \\d+ op [a-z]+ expires \\d+'),
  kvm_xen_runstate: whole('vcpu \\d+ state [0-3] written [01]'),
  xen_pirq: whole('pirq \\d+ .+'),
  xen_hypercall_error: whole('vcpu \\d+ nr \\d+ .* \\(E[A-Z]+\\)'),
  kvm_lazy_tsc: whole(`vcpu \\d+ op [a-z]+ armed 0x${LX} pending 0x${LX}`),
};
