// The CPU, as what generated code calls sees it.

import type { ExitReason } from '../exit.ts';
import type { Mmu } from '../memory/mmu.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import type { Trip } from './knownExits.ts';

/** The CPU whose code calls. */
export interface Caller extends MicrocodeCpu {
  readonly mmu: Mmu;
  /** The record under execution, while a slow path or microcode runs. */
  record: number;
  /** Serves an exit in place: true when units were granted anew. */
  serveExit: ((reason: ExitReason) => boolean) | null;
  /** What serveExit says of the exit's round trip, if it may be made again; else null. */
  readonly trip: Trip | null;
  /** Units, by the last grant. */
  readonly granted: number;
  /** serveExit is to watch the exit, whose trip may be made again. */
  watched: boolean;
  /** How often an exit recurred in generated code since units were granted, as `leave` tells it. */
  readonly recurred: number;
  /** Makes a trip again from where so many units are left. */
  repeat(trip: Trip, left: number): boolean;
  /** An external interrupt could be delivered now. */
  interruptible(): boolean;
  /** Whether an instruction may observe time past the horizon without asking the hypervisor: settling.ts. */
  settleAgain(rest: number): boolean;
  /** Guest mode ends for an exit in place. */
  leave(reason: ExitReason): void;
}
