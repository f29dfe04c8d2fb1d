// What exit handlers share: their type, and how an exit is read and answered.

import type { Exit, ExitName } from '../../cpu/exit.ts';
import { DEPENDS, type Depends } from '../roundTrip.ts';
import type { Vcpu } from '../vcpu.ts';

/** vcpu_enter_guest()'s result: go on with the guest, or return to userspace with `vcpu.userspace` set. */
export const CONTINUE = 1;
export const TO_USERSPACE = 0;
export type Disposition = typeof CONTINUE | typeof TO_USERSPACE;

/** Handles one exit in the vCPU's thread with interrupts on. */
export type ExitHandler = (vcpu: Vcpu) => Disposition;

/** The last exit, known to have this reason. */
export function exitAs<R extends Exit['reason']>(vcpu: Vcpu, reason: R): Extract<Exit, { reason: R }> {
  const exit = vcpu.guest.exit();
  if (exit.reason !== reason) throw new Error(`the handler of ${reason} was called for ${exit.reason}`);
  return exit as Extract<Exit, { reason: R }>;
}

/** kvm_skip_emulated_instruction(): the instruction is done. */
export function skipInstruction(vcpu: Vcpu): Disposition {
  vcpu.guest.skip();
  // The skipped instruction is a unit of time like any other.
  vcpu.cpu.now += 1;
  return CONTINUE;
}

/** The same; and if the guest asks the same again, nothing else would come of it but what this depends on (recurrence.ts). */
export function skipRecurring(vcpu: Vcpu, depends: Depends = DEPENDS.ON_MORE): Disposition {
  vcpu.recurrence.allow(depends);
  return skipInstruction(vcpu);
}

/** For a person, while somebody listens: what was done about the exit. */
export function say(vcpu: Vcpu, action: string): void {
  vcpu.action = action;
}

export type VmxExitName = Exclude<ExitName, 'BUDGET' | 'AHEAD' | 'STOPPED' | 'SERVED'>;
