// The payload of every tracepoint, as the TP_printk of Linux 6.16 prints it: which fields are hexadecimal, which have a
// width, where a space is odd. What stands in front of a payload on a line is in envelopes.ts.

import type { ProbeEvents, ProbeName } from './probes.ts';
import {
  APIC_REGISTERS,
  DELIVERY_MODES,
  EXCEPTIONS,
  exitReasons,
  IRQCHIPS,
  SHORTHANDS,
  symbolic,
  USERSPACE_EXITS,
} from './symbols.ts';
import { cyclesToNanoseconds } from './virtualTime.ts';

/** The probes that are tracepoints: all but trapline's own commentary on an exit. */
export type Tracepoint = Exclude<ProbeName, 'exit_handled'>;

/** What KVM prints for an event. Times are in cycles of `tscKhz`. */
export function payload<N extends Tracepoint>(name: N, event: ProbeEvents[N], tscKhz: number): string {
  return PAYLOADS[name](event, tscKhz);
}

/** %x of 32 bits, of 64 bits. */
const x = (value: number | bigint): string =>
  (typeof value === 'bigint' ? BigInt.asUintN(64, value) : value >>> 0).toString(16);
const x8 = (value: number): string => x(value).padStart(8, '0');
const x16 = (value: bigint): string => x(value).padStart(16, '0');

/** %#llx: no prefix in front of 0. */
const hash = (value: bigint): string => (value === 0n ? '0' : `0x${x(value)}`);

const direction = (write: boolean): string => (write ? 'write' : 'read');
const trigger = (level: boolean): string => (level ? 'level' : 'edge');

/** Fields of the ICR's low word that kvm_apic_ipi takes apart (SDM vol. 3, 11.6.1). */
const ICR = { VECTOR: 0xff, MODE_SHIFT: 8, LOGICAL: 1 << 11, ASSERT: 1 << 14, LEVEL: 1 << 15, SHORTHAND_SHIFT: 18 };

const acceptance = (e: ProbeEvents['kvm_apic_accept_irq']): string =>
  `apicid ${x(e.apicId)} vec ${e.vector} (${symbolic(DELIVERY_MODES, e.deliveryMode)}|${trigger(e.triggerLevel)})`;

/** %#08lx and %#16llx, whose widths count the prefix. */
const timerState = (e: ProbeEvents['kvm_timer_save_state']): string =>
  `   CTL: 0x${x(e.ctl).padStart(6, '0')} CVAL: ${`0x${x(e.cval)}`.padStart(16)} arch_timer_ctx_index: ${e.index}`;

const isSet = (bits: number, bit: number): boolean => ((bits >> bit) & 1) !== 0;
const coalesced = (e: { readonly coalesced: boolean }): string => (e.coalesced ? ' (coalesced)' : '');

/** A redirection entry, whose low word has the fields of an ICR at the same places, and a mask. */
function redirection(entry: bigint): string {
  const low = Number(BigInt.asUintN(32, entry));
  const mode = symbolic(DELIVERY_MODES, (low >> ICR.MODE_SHIFT) & 7);
  const addressing = (low & ICR.LOGICAL) !== 0 ? 'logical' : 'physical';
  const masked = isSet(low, REDIRECTION_MASK_BIT) ? '|masked' : '';
  return `dst ${x(entry >> 56n)} vec ${low & ICR.VECTOR} (${mode}|${addressing}|${trigger((low & ICR.LEVEL) !== 0)}${masked})`;
}
const REDIRECTION_MASK_BIT = 16;

type Payloads = { readonly [N in Tracepoint]: (event: ProbeEvents[N], tscKhz: number) => string };

const PAYLOADS: Payloads = {
  kvm_entry: (e) =>
    `vcpu ${e.vcpu}, rip 0x${x(e.rip)} intr_info 0x${x8(e.intrInfo)} error_code 0x${x8(e.errorCode)}` +
    (e.immediateExit ? '[immediate exit]' : ''),
  kvm_exit: (e) =>
    `vcpu ${e.vcpu} reason ${symbolic(exitReasons(e.isa), e.reason)} rip 0x${x(e.rip)} info1 0x${x16(e.info1)} info2 0x${x16(e.info2)} ` +
    `intr_info 0x${x8(e.intrInfo)} error_code 0x${x8(e.errorCode)} requests 0x${x16(BigInt(e.requests))}`,
  kvm_msr: (e) => `msr_${direction(e.write)} ${x(e.index)} = 0x${x(e.value)}${e.fault ? ' (#GP)' : ''}`,
  kvm_cpuid: (e) =>
    `func ${x(e.leaf)} idx ${x(e.subleaf)} rax ${x(e.rax)} rbx ${x(e.rbx)} rcx ${x(e.rcx)} rdx ${x(e.rdx)}, ` +
    `cpuid entry ${e.found ? 'found' : 'not found'}`,
  kvm_pio: (e) =>
    `pio_${direction(e.write)} at 0x${x(e.port)} size ${e.size} count ${e.count} val 0x${x(e.value)} ${e.count > 1 ? '(...)' : ''}`,
  kvm_mmio: (e) =>
    `mmio ${e.satisfied ? direction(e.write) : 'unsatisfied-read'} len ${e.length} gpa 0x${x(e.gpa)} val 0x${x(e.value)}`,
  kvm_page_fault: (e) => `vcpu ${e.vcpu} rip 0x${x(e.rip)} address 0x${x16(e.gpa)} error_code 0x${x(e.errorCode)}`,
  kvm_cr: (e) => `cr_${direction(e.write)} ${x(e.cr)} = 0x${x(e.value)}`,
  kvm_apic: (e) => `apic_${direction(e.write)} ${symbolic(APIC_REGISTERS, e.register)} = 0x${x(e.value)}`,
  kvm_apic_ipi: ({ icrLow, dest }) => {
    const mode = symbolic(DELIVERY_MODES, (icrLow >> ICR.MODE_SHIFT) & 7);
    const addressing = (icrLow & ICR.LOGICAL) !== 0 ? 'logical' : 'physical';
    const level = (icrLow & ICR.ASSERT) !== 0 ? 'assert' : 'de-assert';
    const shorthand = symbolic(SHORTHANDS, (icrLow >> ICR.SHORTHAND_SHIFT) & 3);
    const how = [mode, addressing, level, trigger((icrLow & ICR.LEVEL) !== 0), shorthand].join('|');
    return `dst ${x(dest)} vec ${icrLow & ICR.VECTOR} (${how})`;
  },
  kvm_apic_accept_irq: acceptance,
  kvm_apicv_accept_irq: acceptance,
  kvm_pv_eoi: (e) => `apicid ${x(e.apicId)} vector ${e.vector}`,
  kvm_pvclock_update: (e) =>
    `vcpu_id ${e.vcpu}, pvclock { version ${e.version}, tsc_timestamp 0x${x(e.tscTimestamp)}, system_time 0x${x(e.systemTime)}, ` +
    `tsc_to_system_mul 0x${x(e.multiplier)}, tsc_shift ${e.shift}, flags 0x${x(e.flags)} }`,
  kvm_pv_tlb_flush: (e) => `vcpu ${e.vcpu} need_flush_tlb ${e.needFlush ? 'true' : 'false'}`,
  kvm_try_async_get_page: (e) => `gva = ${hash(e.gva)}, gfn = ${hash(BigInt(e.gfn))}`,
  kvm_async_pf_not_present: (e) => `token ${hash(BigInt(e.token))} gva ${hash(e.gva)}`,
  kvm_async_pf_ready: (e) => `token ${hash(BigInt(e.token))} gva ${hash(e.gva)}`,
  kvm_async_pf_completed: (e) => `gva ${hash(e.gva)} address ${hash(BigInt(e.page) << 12n)}`,
  kvm_eoi: (e) => `apicid ${x(e.apicId)} vector ${e.vector}`,
  kvm_inj_virq: (e) => `${e.soft ? 'Soft/INTn' : 'IRQ'} 0x${x(e.vector)}${e.reinjected ? ' [reinjected]' : ''}`,
  kvm_inj_exception: (e) =>
    symbolic(EXCEPTIONS, e.vector) +
    (e.errorCode === null ? '' : ` (0x${x(e.errorCode)})`) +
    (e.reinjected ? ' [reinjected]' : ''),
  kvm_vcpu_wakeup: (e, tscKhz) =>
    `${e.waited ? 'wait' : 'poll'} time ${cyclesToNanoseconds(e.cycles, tscKhz)} ns, polling ${e.valid ? 'valid' : 'invalid'}`,
  kvm_userspace_exit: (e) => `reason ${symbolic(USERSPACE_EXITS, e.reason)} (${e.reason})`,
  kvm_hv_timer_state: (e) => `vcpu_id ${x(e.vcpu)} hv_timer ${e.hvTimer ? 1 : 0}`,
  kvm_wait_lapic_expire: (e) => `vcpu ${e.vcpu}: delta ${e.delta} (${e.delta < 0 ? 'early' : 'late'})`,
  kvm_timer_update_irq: (e) => `VCPU: ${e.vcpu}, IRQ ${e.irq}, level ${e.level ? 1 : 0}`,
  kvm_timer_save_state: timerState,
  kvm_timer_restore_state: timerState,
  kvm_timer_hrtimer_expire: (e) => `arch_timer_ctx_index: ${e.index}`,
  kvm_set_irq: (e) => `gsi ${e.gsi} level ${e.level ? 1 : 0} source ${e.source}`,
  kvm_pic_set_irq: (e) =>
    `chip ${e.chip} pin ${e.pin} (${trigger(isSet(e.elcr, e.pin))}${isSet(e.imr, e.pin) ? '|masked' : ''})${coalesced(e)}`,
  kvm_ioapic_set_irq: (e) => `pin ${e.pin} ${redirection(e.entry)}${coalesced(e)}`,
  kvm_ioapic_delayed_eoi_inj: (e) => redirection(e.entry),
  kvm_msi_set_irq: ({ address, data }) => {
    const dest = ((address >> 12n) & 0xffn) | ((address >> 32n) & 0xffffff00n);
    const mode = symbolic(DELIVERY_MODES, (data >> ICR.MODE_SHIFT) & 7);
    const addressing = (address & 4n) !== 0n ? 'logical' : 'physical';
    const hint = (address & 8n) !== 0n ? '|rh' : '';
    return `dst ${x(dest)} vec ${data & ICR.VECTOR} (${mode}|${addressing}|${trigger((data & ICR.LEVEL) !== 0)}${hint})`;
  },
  kvm_ack_irq: (e) => `irqchip ${symbolic(IRQCHIPS, e.chip)} pin ${e.pin}`,
  kvm_hypercall: (e) => `nr 0x${x(e.nr)} ${e.args.map((value, i) => `a${i} 0x${x(value)}`).join(' ')}`,
  kvm_xen_hypercall: (e) =>
    `cpl ${e.cpl} nr 0x${x(e.nr)} ${e.args.map((value, i) => `a${i} ${i < 5 ? '0x' : ''}${x(value)}`).join(' ')}`,
  // Not upstream, these six: KVM traces nothing else of Xen guests, and has no lazy TSC deadline.
  kvm_xen_evtchn: (e) => `vcpu ${e.vcpu} port ${e.port} result ${e.result}`,
  kvm_xen_timer: (e) => `vcpu ${e.vcpu} op ${e.op} expires ${e.expires}`,
  kvm_xen_runstate: (e) => `vcpu ${e.vcpu} state ${e.state} written ${e.written ? 1 : 0}`,
  xen_hypercall_error: (e) => `vcpu ${e.vcpu} nr ${e.nr} ${e.why}`,
  xen_pirq: (e) => `pirq ${e.pirq} ${e.what}`,
  kvm_lazy_tsc: (e) => `vcpu ${e.vcpu} op ${e.op} armed 0x${x(e.armed)} pending 0x${x(e.pending)}`,
};

/** Every tracepoint, by name. */
export const TRACEPOINTS = Object.keys(PAYLOADS) as readonly Tracepoint[];

export const isTracepoint = (name: string): name is Tracepoint => Object.hasOwn(PAYLOADS, name);
