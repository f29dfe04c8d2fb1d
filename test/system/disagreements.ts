// Where a machine is known not to do what the manual says, or does not have what a case is about (known/). A disagreement
// that no longer happens fails the test too: then it is to be taken out.

import { BOCHS } from './known/bochs.ts';
import { QEMU } from './known/qemu.ts';
import { TRAPLINE } from './known/trapline.ts';

export interface Disagreement {
  readonly because: string;
  /**
   * By guest and name of the case: what the machine prints in the place of what is promised; null if it is lost there, so
   * that its guest goes without the case.
   */
  readonly cases: Readonly<Record<string, Readonly<Record<string, string | null>>>>;
}

const KNOWN: Readonly<Record<string, readonly Disagreement[]>> = { trapline: TRAPLINE, QEMU, bochs: BOCHS };

/** What a machine is known to say instead about cases of a guest, by their names. */
export function known(machine: string, guest: string): ReadonlyMap<string, string | null> {
  return new Map((KNOWN[machine] ?? []).flatMap(({ cases }) => Object.entries(cases[guest] ?? {})));
}

/** Every guest that some disagreement is about. */
export const guestsDisagreedAbout: readonly string[] = Object.values(KNOWN)
  .flat()
  .flatMap(({ cases }) => Object.keys(cases));
