// Which paths the events and hypercalls of a Xen guest took, as a part of the exit report.

import type { XenCounts } from '../hypervisor/xen/stat.ts';

/** What each count is called, in the order of the report; what belongs to the line before is indented. */
const LINES: readonly (readonly [count: keyof XenCounts, words: string])[] = [
  ['delivered', 'events delivered'],
  ['ownVector', '  upcalls by a vector of the vCPU, through its LAPIC'],
  ['shadowed', '  by the shadow of evtchn_pending_sel'],
  ['synced', '  shadow moved to vcpu_info by the vCPU'],
  ['selected', '  into a word that the vCPU looks at anyway'],
  ['coalesced', 'events whose port was pending already'],
  ['masked', 'events on a masked port'],
  ['noTarget', 'events for a port or a vCPU that does not exist'],
  ['wouldBlock', 'tries of the fast path without shared_info (EWOULDBLOCK)'],
  ['slow', '  tried again after looking it up, where that may sleep'],
  ['deferred', '  left to a worker thread'],
  ['dropped', '  given up, as no memory slot has it'],
  ['eventfds', 'sends that signalled an eventfd'],
  ['timersArmed', 'timers armed'],
  ['timersPast', '  for a time that had passed'],
  ['timersReplaced', '  in place of one that had not come'],
  ['timersStopped', '  stopped before they came'],
  ['timersFast', '  expiries whose event the callback raised'],
  ['timersDeferred', '  expiries deferred to the vCPU'],
  ['timersSignalled', '  expiries that signalled an eventfd'],
  ['polls', 'polls that waited'],
  ['pollWakeUps', '  ended by the event of a masked port'],
  ['pollTimeouts', '  ended by their timeout'],
  ['hypercalls', 'hypercalls answered in the kernel'],
  ['hypercallExits', 'hypercalls that left for the VMM'],
  ['hypercallErrors', 'hypercalls of both kinds with an error as the answer'],
];

const NAME = 60;
const COUNT = 10;

/** A line for each count that is not 0; empty without any. */
export function xenReport(counts: XenCounts): string {
  const lines = LINES.filter(([count]) => counts[count] > 0).map(
    ([count, words]) => `  ${words.padEnd(NAME)}${String(counts[count]).padStart(COUNT)}`,
  );
  if (lines.length === 0) return '';
  return [`${'Xen events and hypercalls, by path'.padEnd(NAME + 2)}${'Times'.padStart(COUNT)}`, '', ...lines, ''].join(
    '\n',
  );
}
