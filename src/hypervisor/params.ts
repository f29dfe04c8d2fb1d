// What an administrator or an experiment chooses about the hypervisor: module parameters of kvm and kvm_intel, and designs
// of one mechanism that are compared with each other. The defaults are those of Linux 6.16, but for APIC virtualisation, which
// is off until it is asked for.

import { TIMER_POLICIES, type TimerPolicy } from './vtimer/owner.ts';

/**
 * Where an IPI that the guest sends is handled (seed 004; ipiFastpath.ts):
 *   off          as any WRMSR, in the slow path
 *   v1           in vmx_vcpu_run, behind the exit, with vcpu->mode still IN_GUEST; a flag says that it is done (9 Nov 2019)
 *   fake-reason  at the same place; the exit's reason becomes "skip the instruction" (Paolo Bonzini, 14 Nov 2019)
 *   irqoff       in handle_exit_irqoff, with a completion value (merged in 5.6)
 *   all-icr      there, for every write of ICR; the slow path ignores ICR (Sean Christopherson, 14 Nov 2019)
 *   reenter      in vmx_vcpu_run again, and back into the guest without leaving the inner loop (5.8 and since)
 */
export const FASTPATH_DESIGNS = ['off', 'v1', 'fake-reason', 'irqoff', 'all-icr', 'reenter'] as const;
export type FastpathDesign = (typeof FASTPATH_DESIGNS)[number];

/** Which module of Linux drives the processor's virtualisation: VMX or SVM. */
export const KVM_MODULES = ['kvm_intel', 'kvm_amd'] as const;
export type KvmModule = (typeof KVM_MODULES)[number];

/**
 * Which version of the lazy TSC deadline the host speaks (seed 002; pv/lazyProtocol.ts): that of the RFC's second posting
 * (10 Jul 2023), of its third (17 Jul 2023), or the one without their races.
 */
export const LAZY_VERSIONS = ['v2', 'v3', 'fixed'] as const;
export type LazyVersion = (typeof LAZY_VERSIONS)[number];

/**
 * How an event reaches a vCPU of a Xen guest (seed 001; xen/evtchn.ts): always by the shadow in the hypervisor (28 Oct 2021), or
 * directly, and by the shadow where the page is not there (merged in 5.17).
 */
export const XEN_EVTCHN_DESIGNS = ['shadow', 'direct'] as const;
export type XenEvtchnDesign = (typeof XEN_EVTCHN_DESIGNS)[number];

/**
 * How Xen's singleshot timer delivers its event (seed 000; xen/timer.ts):
 *   slow        the vCPU does, in its run loop (merged in 5.19)
 *   draft-2022  the hrtimer's callback, and whether the timer is armed is what hrtimer_active() says (given up)
 *   v1          the callback, which clears the expiry; nobody waits for it (Sep 2023)
 *   v3          the callback, and whoever reads or changes the timer cancels it first (merged in 6.7)
 */
export const XEN_TIMER_DESIGNS = ['slow', 'draft-2022', 'v1', 'v3'] as const;
export type XenTimerDesign = (typeof XEN_TIMER_DESIGNS)[number];

/** How a preempted vCPU's runstate is written (seed 001; xen/runstate.ts): as memory of a process, which may sleep, or not at all then. */
export const XEN_RUNSTATE_DESIGNS = ['sleeping', 'atomic'] as const;
export type XenRunstateDesign = (typeof XEN_RUNSTATE_DESIGNS)[number];

export interface KvmParams {
  readonly module: KvmModule;
  /** kvm_intel.preemption_timer: the VMX preemption timer carries deadlines of a running vCPU; SVM has none. */
  readonly preemptionTimer: boolean;
  readonly fastpath: FastpathDesign;
  /** kvm.halt_poll_ns: how long a halted vCPU looks for events at most before its thread sleeps; 0: not at all. */
  readonly haltPollNs: number;
  /** kvm.lapic_timer_advance: the host's timer is set earlier than the guest's deadline, by as much as the way takes. */
  readonly lapicTimerAdvance: boolean;
  readonly lazyTscdeadline: LazyVersion;
  /** kvm_intel.enable_apicv: APIC virtualisation and posted interrupts, for guests in x2APIC mode. */
  readonly apicv: boolean;
  /** kvm.pi_inject_timer: an hrtimer on another CPU posts the timer's interrupt to a vCPU that runs. Wants apicv and hltInGuest. */
  readonly piInjectTimer: boolean;
  /** KVM_X86_DISABLE_EXITS_HLT: the guest halts its physical CPU by itself. */
  readonly hltInGuest: boolean;
  /** Who owns the second timer of a CPU (seed 003), which then carries TSC deadlines; 'off': there is none, as on real x86. */
  readonly timerOwnership: TimerPolicy | 'off';
  /** KVM_CAP_ENFORCE_PV_FEATURE_CPUID: paravirtual features that CPUID does not offer are refused; else they work all the same. */
  readonly enforcePvFeatureCpuid: boolean;
  /** With such a timer: the host runs at EL2, as ARM's Virtualization Host Extensions let it. */
  readonly vhe: boolean;
  readonly xenEvtchn: XenEvtchnDesign;
  readonly xenTimer: XenTimerDesign;
  readonly xenRunstate: XenRunstateDesign;
}

export const KVM_PARAMS: KvmParams = {
  module: 'kvm_intel',
  preemptionTimer: true,
  fastpath: 'reenter',
  haltPollNs: 200_000,
  lapicTimerAdvance: true,
  lazyTscdeadline: 'fixed',
  apicv: false,
  piInjectTimer: false,
  hltInGuest: false,
  timerOwnership: 'off',
  enforcePvFeatureCpuid: false,
  vhe: true,
  xenEvtchn: 'direct',
  xenTimer: 'v3',
  xenRunstate: 'atomic',
};

/** What each parameter that is a name may be. */
const CHOICES: Readonly<Partial<Record<keyof KvmParams, readonly string[]>>> = {
  module: KVM_MODULES,
  fastpath: FASTPATH_DESIGNS,
  lazyTscdeadline: LAZY_VERSIONS,
  timerOwnership: ['off', ...TIMER_POLICIES],
  xenEvtchn: XEN_EVTCHN_DESIGNS,
  xenTimer: XEN_TIMER_DESIGNS,
  xenRunstate: XEN_RUNSTATE_DESIGNS,
};

/** Why a machine cannot have these parameters, and what to try; null: it can. */
export function problemOf(params: Partial<KvmParams>): string | null {
  for (const [name, value] of Object.entries(params)) {
    const known = Object.keys(KVM_PARAMS);
    if (!known.includes(name)) return `there is no parameter '${name}', only ${known.join(', ')}`;
    const choices = CHOICES[name as keyof KvmParams];
    if (choices !== undefined && !choices.includes(String(value)))
      return `${name} knows ${choices.join(', ')}, not '${value}'`;
  }
  const { haltPollNs = 0, apicv, module, timerOwnership = 'off' } = params;
  if (!Number.isInteger(haltPollNs) || haltPollNs < 0) return `haltPollNs is whole nanoseconds, not ${haltPollNs}`;
  if (!apicv) return null;
  if (module === 'kvm_amd') return "apicv is VMX's: what kvm_amd has instead, AVIC, is not implemented; leave it out";
  if (timerOwnership === 'off') return null;
  return 'with timer ownership the hypervisor must see the guest take and end the interrupts of its timer: it needs apicv off';
}

/** Positions of the switch of seed 003: a policy, and a host at EL2 or (nVHE) below. Hypothetical on x86. */
export const OWNERSHIP_DESIGNS = {
  'entry-exit': { timerOwnership: 'entry-exit', vhe: true },
  'entry-exit-nvhe': { timerOwnership: 'entry-exit', vhe: false },
  'load-put': { timerOwnership: 'load-put', vhe: true },
  'load-put-nvhe': { timerOwnership: 'load-put', vhe: false },
} as const satisfies Record<string, Partial<KvmParams>>;
export type OwnershipDesign = keyof typeof OWNERSHIP_DESIGNS;
