// Exits that end the run: a triple fault, and exits that no control was set for.

import type { Vcpu } from '../vcpu.ts';
import { say, TO_USERSPACE, type Disposition } from './handler.ts';

/** handle_triple_fault(). */
export function handleTripleFault(vcpu: Vcpu): Disposition {
  vcpu.userspace = { reason: 'SHUTDOWN' };
  if (vcpu.probes.active) say(vcpu, 'shut down');
  return TO_USERSPACE;
}

/** An exit that the hypervisor never asked for: its control is off by default, so whoever switched it on must handle it. */
export function notConfigured(vcpu: Vcpu, what: string): Disposition {
  vcpu.userspace = {
    reason: 'INTERNAL_ERROR',
    what: `an exit for ${what}, which the hypervisor does not handle`,
    hint: 'leave this VM-execution control at its default',
  };
  return TO_USERSPACE;
}

/** A handler for an exit whose control nobody sets. */
export const unexpected =
  (what: string) =>
  (vcpu: Vcpu): Disposition =>
    notConfigured(vcpu, what);
