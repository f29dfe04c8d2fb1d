// How often events took which path, for reports. What each count is called there, in cli/xenPaths.ts.

import type { SavedFields } from '../../cpu/savedFields.ts';
import { EVTCHN } from './evtchn.ts';

/** The counts, by name. */
export type XenCounts = Readonly<Omit<XenStat, 'count' | 'transfer'>>;

export class XenStat {
  /** What became of each attempt on the fast path. */
  delivered = 0;
  coalesced = 0;
  masked = 0;
  wouldBlock = 0;
  noTarget = 0;
  /** Of those delivered: by the shadow of pending_sel, because vcpu_info was away or the design says so. */
  shadowed = 0;
  /** Times that a vCPU moved its shadow to the guest. */
  synced = 0;
  /** Of those delivered: into a word that was selected, so that the vCPU looks there anyway and is not asked again. */
  selected = 0;
  /** Upcalls by a vector of the vCPU's own, through its LAPIC. */
  ownVector = 0;
  /** Looked up shared_info, where that may sleep, and tried again; and found it nowhere. */
  slow = 0;
  dropped = 0;
  /** Left to a worker thread. */
  deferred = 0;
  /** Sends that lead to an eventfd. */
  eventfds = 0;
  /** Timers that were armed: of them for a time that had passed, and in place of one that had not come; and that were stopped. */
  timersArmed = 0;
  timersPast = 0;
  timersReplaced = 0;
  timersStopped = 0;
  /** Expiries that raised their event in the callback, and those that the vCPU had to. */
  timersFast = 0;
  timersDeferred = 0;
  /** Those that signalled an eventfd. */
  timersSignalled = 0;
  /** Polls that had to wait; that a masked port woke, and that the time was over for. */
  polls = 0;
  pollWakeUps = 0;
  pollTimeouts = 0;
  /** Hypercalls answered here, and by the VMM; and those of both whose answer was an error. */
  hypercalls = 0;
  hypercallExits = 0;
  hypercallErrors = 0;

  /** One attempt on the fast path, by its result. */
  count(result: number): void {
    if (result === EVTCHN.DELIVERED) this.delivered++;
    else if (result === EVTCHN.COALESCED) this.coalesced++;
    else if (result === EVTCHN.MASKED) this.masked++;
    else if (result === EVTCHN.WOULD_BLOCK) this.wouldBlock++;
    else this.noTarget++;
  }

  transfer(fields: SavedFields): void {
    fields.numbers('counts', this);
  }
}
