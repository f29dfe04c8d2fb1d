// The probes: every event that trapline records, with its fields, in KVM's names (Linux include/trace/events/kvm.h,
// arch/x86/kvm/trace.h). Floors declare nothing else about tracing; sinks and reports know these types and nothing else.

import type { CodePlace, Exit } from '../cpu/exit.ts';

/** KVM_ISA_VMX and KVM_ISA_SVM. */
export const KVM_ISA = { VMX: 1, SVM: 2 } as const;

export interface ProbeEvents {
  kvm_entry: { vcpu: number; rip: bigint; intrInfo: number; errorCode: number; immediateExit: boolean };
  kvm_exit: {
    vcpu: number;
    /** Of a KVM_ISA: whose numbers these are. */
    isa: number;
    /** VMX basic exit reason; SVM exit code. */
    reason: number;
    rip: bigint;
    length: number;
    /** Exit qualification; EXITINFO1. */
    info1: bigint;
    /** IDT-vectoring information: the event whose delivery the exit interrupted; EXITINFO2. */
    info2: bigint;
    /** VM-exit interruption information: the host's vector where an external interrupt ended guest mode; EXITINTINFO. */
    intrInfo: number;
    errorCode: number;
    requests: number;
  };
  /** trapline's own: the hypervisor has dealt with an exit. `tsc`: the guest's at the exit; `action`: what was done, for a person. */
  exit_handled: { vcpu: number; tsc: bigint; exit: Exit; code: CodePlace; action: string };
  kvm_msr: { vcpu: number; write: boolean; index: number; value: bigint; fault: boolean };
  kvm_cpuid: {
    vcpu: number;
    leaf: number;
    subleaf: number;
    rax: number;
    rbx: number;
    rcx: number;
    rdx: number;
    found: boolean;
  };
  kvm_pio: { vcpu: number; write: boolean; port: number; size: number; count: number; value: number };
  kvm_mmio: { vcpu: number; write: boolean; gpa: bigint; length: number; value: bigint; satisfied: boolean };
  kvm_page_fault: { vcpu: number; rip: bigint; gpa: bigint; errorCode: number };
  kvm_cr: { vcpu: number; write: boolean; cr: number; value: bigint };
  kvm_apic: { vcpu: number; write: boolean; register: number; value: bigint };
  kvm_apic_ipi: { vcpu: number; icrLow: number; dest: number };
  /** `apicId` is the receiver's; the event happens on the CPU of whoever delivers. */
  kvm_apic_accept_irq: { apicId: number; deliveryMode: number; triggerLevel: boolean; vector: number };
  /** Beside kvm_apic_accept_irq: the vector went the way of posted interrupts. */
  kvm_apicv_accept_irq: { apicId: number; deliveryMode: number; triggerLevel: boolean; vector: number };
  kvm_eoi: { apicId: number; vector: number };
  kvm_inj_virq: { vcpu: number; vector: number; soft: boolean; reinjected: boolean };
  kvm_inj_exception: { vcpu: number; vector: number; errorCode: number | null; reinjected: boolean };
  kvm_vcpu_wakeup: { vcpu: number; cycles: number; waited: boolean; valid: boolean };
  kvm_userspace_exit: { vcpu: number; reason: number };
  kvm_hv_timer_state: { vcpu: number; hvTimer: boolean };
  /** What a vCPU that was woken early for its deadline waited for: guest cycles past it (below 0: before it). */
  kvm_wait_lapic_expire: { vcpu: number; delta: number };
  /** The virtual timer of seed 003 (Linux arch/arm64/kvm/trace_arm.h). `irq`: the INTID; `index`: arch_timer_ctx_index. */
  kvm_timer_update_irq: { vcpu: number; irq: number; level: boolean };
  kvm_timer_save_state: { ctl: number; cval: bigint; index: number };
  kvm_timer_restore_state: { ctl: number; cval: bigint; index: number };
  kvm_timer_hrtimer_expire: { index: number };
  /** A line of the board: `source` is that of who drives it. */
  kvm_set_irq: { gsi: number; level: boolean; source: number };
  kvm_pic_set_irq: { chip: number; pin: number; elcr: number; imr: number; coalesced: boolean };
  /** `entry`: the redirection entry. */
  kvm_ioapic_set_irq: { entry: bigint; pin: number; coalesced: boolean };
  kvm_ioapic_delayed_eoi_inj: { entry: bigint };
  kvm_msi_set_irq: { address: bigint; data: number };
  /** The guest has ended an interrupt; `chip` is a KVM_IRQCHIP. */
  kvm_ack_irq: { chip: number; pin: number };
  /** A paravirtual EOI: the guest has ended an interrupt without an exit. */
  kvm_pv_eoi: { apicId: number; vector: number };
  kvm_pvclock_update: {
    vcpu: number;
    version: number;
    tscTimestamp: bigint;
    systemTime: bigint;
    multiplier: number;
    shift: number;
    flags: number;
  };
  kvm_pv_tlb_flush: { vcpu: number; needFlush: boolean };
  /** Async page faults. `gfn`: guest physical page; `page`: the same, once it is there. */
  kvm_try_async_get_page: { gva: bigint; gfn: number };
  kvm_async_pf_not_present: { token: number; gva: bigint };
  kvm_async_pf_ready: { token: number; gva: bigint };
  kvm_async_pf_completed: { gva: bigint; page: number };
  kvm_hypercall: { vcpu: number; nr: bigint; args: readonly bigint[] };
  kvm_xen_hypercall: { cpl: number; nr: bigint; args: readonly bigint[] };
  /** Trapline's own: an event of a Xen guest. `result`: 1 delivered, 0 coalesced, else a negative errno. */
  kvm_xen_evtchn: { vcpu: number; port: number; result: number };
  /** Trapline's own: what Xen's singleshot timer did. `expires`: nanoseconds of the guest's system time. */
  kvm_xen_timer: { vcpu: number; op: 'start' | 'stop' | 'fire' | 'defer' | 'inject'; expires: bigint };
  /** Trapline's own: a vCPU's runstate. `written`: the guest's copy is up to date. */
  kvm_xen_runstate: { vcpu: number; state: number; written: boolean };
  /** Trapline's own: the VMM refuses a Xen guest's hypercall. `why` ends with Xen's name of the error. */
  xen_hypercall_error: { vcpu: number; nr: number; why: string };
  /** Trapline's own: an interrupt of a PIRQ. `what`: by which way its event comes, or why there is none. */
  xen_pirq: { pirq: number; what: string };
  /** Lazy TSC deadline, trapline's own: what the hypervisor did to the shared page. */
  kvm_lazy_tsc: {
    vcpu: number;
    op: 'init' | 'exit' | 'update' | 'kick' | 'rearm' | 'clear' | 'refresh';
    armed: bigint;
    pending: bigint;
  };
}

export type ProbeName = keyof ProbeEvents;
/** `time` is the position, in cycles, of the physical CPU on which the event happened. */
export type ProbeSink = <N extends ProbeName>(name: N, event: ProbeEvents[N], time: number) => void;

/**
 * Where the floors fire their probes. `active` is false while nobody listens: guard with it, so that an untraced run
 * builds no event object.
 */
export class Probes {
  active = false;
  #sinks: ProbeSink[] = [];

  fire<N extends ProbeName>(name: N, event: ProbeEvents[N], time: number): void {
    for (const sink of this.#sinks) sink(name, event, time);
  }

  /** Adds a sink; returns the function that takes it away again. */
  subscribe(sink: ProbeSink): () => void {
    this.#sinks = [...this.#sinks, sink];
    this.active = true;
    return () => {
      this.#sinks = this.#sinks.filter((s) => s !== sink);
      this.active = this.#sinks.length > 0;
    };
  }
}
