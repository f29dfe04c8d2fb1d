// Where a machine is known not to do what the manual says, or does not have what a case is about (known/). A disagreement
// that no longer happens fails the test too: then it is to be taken out.

import type { Peer } from '../peers/peer.ts';
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

interface Known {
  /** The version that it is known of. */
  readonly version: string | null;
  readonly disagreements: readonly Disagreement[];
}

const KNOWN: Readonly<Record<string, Known>> = {
  trapline: { version: null, disagreements: TRAPLINE },
  QEMU: { version: '7.2', disagreements: QEMU },
  bochs: { version: '2.7', disagreements: BOCHS },
};

/** True, or why a machine is not held against the manual here: it is not there, or not the one whose errors are known. */
export function isComparable({ name, available, version }: Peer): true | string {
  const there = available();
  if (there !== true) return there;
  const [found, known] = [version(), KNOWN[name]!.version];
  return found === known ? true : `its errors are known of version ${known}, and this is ${found ?? 'another one'}`;
}

/** What a machine is known to say instead about cases of a guest, by their names. */
export function known(machine: string, guest: string): ReadonlyMap<string, string | null> {
  return new Map(KNOWN[machine]!.disagreements.flatMap(({ cases }) => Object.entries(cases[guest] ?? {})));
}

/** Every guest that some disagreement is about. */
export const guestsDisagreedAbout: readonly string[] = Object.values(KNOWN)
  .flatMap(({ disagreements }) => disagreements)
  .flatMap(({ cases }) => Object.keys(cases));
