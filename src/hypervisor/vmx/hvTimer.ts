// The VMX preemption timer as the carrier of a LAPIC deadline: vmx_set_hv_timer, vmx_cancel_hv_timer and vmx_update_hv_timer
// (Linux arch/x86/kvm/vmx/vmx.c; SDM vol. 3, 25.5.1).
//
// Theory: the processor counts down in guest mode, one tick each time bit 5 of its TSC changes, and leaves with
// PREEMPTION_TIMER at 0. Outside of guest mode it does not count: hence a blocking vCPU moves its deadline to an hrtimer,
// and the value is computed anew at each entry. Ticks are rounded down, so the exit comes up to one tick early; the guest
// then waits for the rest, or takes its interrupt that much before the deadline (KVM does the latter).

import type { SavedFields } from '../../cpu/savedFields.ts';

/** IA32_VMX_MISC[4:0] of common Intel processors: a tick is 32 cycles of the TSC. */
export const HV_TIMER_GRAIN = 32;
const LARGEST = 0xffff_ffff;

/** Who counts: where the vCPU's physical CPU stands, and how far the guest's TSC is from a deadline there. */
export interface HvTimerClock {
  /** Position of the physical CPU, in host cycles. */
  now(): number;
  /** Cycles until the guest's TSC reaches a deadline; below 0: since then. */
  cyclesUntil(deadline: bigint): number;
}

export class VmxHvTimer {
  readonly #clock: HvTimerClock;
  /** hv_deadline_tsc: host position; Infinity: none (-1 in KVM). */
  #deadline = Infinity;

  constructor(clock: HvTimerClock) {
    this.#clock = clock;
  }

  /**
   * vmx_set_hv_timer(): takes over a deadline in guest TSC, `advance` cycles early. Tells whether it has passed already; null
   * (-ERANGE): too far away for the 32 bits of the timer.
   */
  set(guestDeadline: bigint, advance: number): { readonly expired: boolean } | null {
    const cycles = Math.max(this.#clock.cyclesUntil(guestDeadline) - advance, 0);
    if (Math.floor(cycles / HV_TIMER_GRAIN) > LARGEST) return null;
    this.#deadline = this.#clock.now() + cycles;
    return { expired: cycles === 0 };
  }

  transfer(fields: SavedFields): void {
    this.#deadline = fields.value('deadline', this.#deadline);
  }

  /** vmx_cancel_hv_timer(). */
  cancel(): void {
    this.#deadline = Infinity;
  }

  get armed(): boolean {
    return this.#deadline !== Infinity;
  }

  /** The earliest that `update` can say: a tick before the deadline's, by when the entry falls between two ticks. */
  get earliest(): number {
    return this.armed ? (Math.floor(this.#deadline / HV_TIMER_GRAIN) - 1) * HV_TIMER_GRAIN : Infinity;
  }

  /** vmx_update_hv_timer(), at each entry from host position `now`: the position at which guest mode ends; Infinity: never. */
  update(now: number): number {
    if (!this.armed) return Infinity;
    const ticks = Math.floor(Math.max(this.#deadline - now, 0) / HV_TIMER_GRAIN);
    return ticks === 0 ? now : (Math.floor(now / HV_TIMER_GRAIN) + ticks) * HV_TIMER_GRAIN;
  }
}
