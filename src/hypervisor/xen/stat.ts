// How often events took which path, for reports.

import type { SavedFields } from '../../cpu/savedFields.ts';
import { EVTCHN } from './evtchn.ts';

export class XenStat {
  /** What became of each attempt on the fast path. */
  delivered = 0;
  coalesced = 0;
  masked = 0;
  wouldBlock = 0;
  noTarget = 0;
  /** Of those delivered: by the shadow of pending_sel, because vcpu_info was away or the design says so. */
  shadowed = 0;
  /** Looked up shared_info, where that may sleep, and tried again. */
  slow = 0;
  /** Left to a worker thread. */
  deferred = 0;
  /** Expiries of timers that raised their event in the callback, and those that the vCPU had to. */
  timersFast = 0;
  timersDeferred = 0;
  /** Polls that had to wait. */
  polls = 0;
  /** Hypercalls answered here, and by the VMM. */
  hypercalls = 0;
  hypercallExits = 0;

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
