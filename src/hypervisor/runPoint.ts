// The named points at which a vCPU's thread gives up its CPU, and from which its generator can be made anew: the safe points of
// a snapshot.
//
// Theory: a generator cannot be saved, but it need not be when all that it knows while it waits stands in fields. So whoever
// yields in a vCPU's thread says first where, and keeps what its locals hold (`RunPlace`); a thread that is made anew enters
// at that point, and charges and does from there on exactly what the other one would have. The order is that of the run loop.

import type { SavedFields } from '../cpu/savedFields.ts';
import type { SleepRequest } from '../host/sleep.ts';
import { CONTINUE, type Disposition } from './exits/handler.ts';

export const RUN_POINT = {
  /** Not begun: userspace is about to call KVM_RUN. */
  START: 0,
  /** In the run loop, before the vCPU is entered or blocks. */
  LOOP: 1,
  /** Halted, and polling. */
  POLLING: 2,
  /** Halted: the thread sleeps. */
  BLOCKED: 3,
  /** In guest mode, between two pieces of guest code. */
  GUEST: 4,
  /** Behind an exit that nothing was done about yet. */
  EXITED: 5,
  /** Before the exit's handler. */
  HANDLING: 6,
  /** Back in userspace, before the exit is served there. */
  USERSPACE: 7,
  /** Out of KVM_RUN by a signal, until the machine goes on. */
  PAUSED: 8,
  /** Out of KVM_RUN until the VMM lets it go on: a vCPU of a Xen domain that is down. */
  DOWN: 9,
} as const;
export type RunPoint = (typeof RUN_POINT)[keyof typeof RUN_POINT];

const NAMES = Object.keys(RUN_POINT) as (keyof typeof RUN_POINT)[];
export const nameOfRunPoint = (point: RunPoint): string => NAMES[point]!.toLowerCase();

/** Where a vCPU's thread stands while it has given up its CPU, with what it goes on with. */
export class RunPlace {
  point: RunPoint = RUN_POINT.START;
  /** GUEST: the host position at which the preemption timer ends guest mode. */
  timerEnd = Infinity;
  /** EXITED and HANDLING: the exit's reason, and what a fast path has made of it. */
  reason = 0;
  fastpath = 0;
  /** At the end of an exit's handler: what came of it. */
  disposition: Disposition = CONTINUE;
  /** What the thread waits for at its point, after an exit that was served in place; null: nothing. */
  pause: SleepRequest | null = null;
  /** POLLING and BLOCKED: position at which the vCPU halted, */
  haltedAt = 0;
  /** ... until when it polls, */
  pollUntil = 0;
  /** ... and whether the preemption timer carried its deadline before. */
  hvTimer = false;

  transfer(fields: SavedFields): void {
    const name = fields.value('point', nameOfRunPoint(this.point));
    if (fields.restoring) this.point = NAMES.findIndex((each) => each.toLowerCase() === name) as RunPoint;
    fields.own<RunPlace>(this, 'timerEnd', 'reason', 'fastpath', 'haltedAt', 'pollUntil', 'hvTimer');
  }
}
