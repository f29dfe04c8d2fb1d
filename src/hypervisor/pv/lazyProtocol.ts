// What the versions of the lazy TSC deadline do differently, as data; lazyTscDeadline.ts says what they have in common.
//
// Theory. V2 and V3 of the series raise the interrupt when `armed` passes, and look at `pending` afterwards; so the
// interrupt of an extended deadline comes early. Of V3 that holds for the hrtimer only: its preemption timer looks first.
// From the hrtimer's callback both ask for the look by a request, which they make after they have kicked the vCPU: the vCPU
// may be back in its guest by then. Its handler finds an `armed` that lies in the past, takes it for a timer that will
// come, does not trap, and halts; the request waits for an entry that nothing brings about.
//
// `fixed` looks while it turns an expiry into an interrupt, in the vCPU's context, on every path. Without APIC
// virtualisation V2's early interrupt of the preemption timer is swallowed: the next timer's start forgets an expiry that
// was not injected yet.

import type { LazyVersion } from '../params.ts';

export interface LazyProtocol {
  /** Where the exit of the preemption timer looks at the page: before the expiry, behind it, or not at all. */
  readonly hvTimer: 'before' | 'behind' | 'never';
  /** apic_timer_fn() makes KVM_REQ_LAZY_TSCDEADLINE behind the expiry and the kick. */
  readonly timerFnRequests: boolean;
  /** An expiry is looked at when it becomes an interrupt. */
  readonly atInjection: boolean;
  /** What an expiry compares `pending` with: the page, which the guest can write too, or the host's own copy. */
  readonly compares: 'page' | 'copy';
  /** A `pending` that was there before a WRMSR of another value puts nothing off. */
  readonly sparesUnrelated: boolean;
  /** Enabling publishes a deadline that is armed already. */
  readonly publishesOnInit: boolean;
  /** RDMSR goes on answering an address that INIT, reset or the guest's own 0 has ended. */
  readonly keepsAddress: boolean;
}

const V3: LazyProtocol = {
  hvTimer: 'before',
  timerFnRequests: true,
  atInjection: false,
  compares: 'page',
  sparesUnrelated: false,
  publishesOnInit: false,
  keepsAddress: true,
};

export const LAZY_PROTOCOLS: Readonly<Record<LazyVersion, LazyProtocol>> = {
  v2: { ...V3, hvTimer: 'behind' },
  v3: V3,
  fixed: {
    hvTimer: 'never',
    timerFnRequests: false,
    atInjection: true,
    compares: 'copy',
    sparesUnrelated: true,
    publishesOnInit: true,
    keepsAddress: false,
  },
};
