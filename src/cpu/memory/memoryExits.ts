// The exits that an access to memory or to a port causes: fills in the exit fields of the state block and leaves.

import { EPT_QUALIFICATION } from '../../x86/names/paging.ts';
import { ACCESS } from './access.ts';
import { EXIT, type ExitReason } from '../exit.ts';
import { exitSignal } from '../fault.ts';
import type { CpuState } from '../state.ts';

/** `exitInfo` of EPT_VIOLATION, EPT_MISCONFIG and IO_INSTRUCTION: bytes and direction of the access. */
export const EXIT_INFO = { SIZE: 0xff, WRITE: 1 << 8, FETCH: 1 << 9 } as const;

export interface AccessExit {
  readonly gva: bigint;
  readonly gpa: bigint;
  readonly qualification: number;
  readonly info: number;
  readonly value: bigint;
}

/** Fills in the exit fields. */
export function fillExit(state: CpuState, reason: ExitReason, exit: AccessExit): void {
  state.exitReason = reason;
  if (reason !== EXIT.IO_INSTRUCTION) state.exitLength = 0; // the instruction runs again; microcode gave that of IN and OUT
  state.exitGva = exit.gva;
  state.exitGpa = exit.gpa;
  state.exitQualification = BigInt(exit.qualification);
  state.exitInfo = exit.info;
  state.exitValue = exit.value;
}

/** Leaves guest mode in the middle of the instruction, which is undone. */
function leave(state: CpuState, reason: ExitReason, exit: AccessExit): never {
  fillExit(state, reason, exit);
  throw exitSignal;
}

/** `exitInfo` of an access word. */
export const exitInfo = (access: number): number =>
  (access & ACCESS.SIZE) |
  ((access & ACCESS.WRITE) !== 0 ? EXIT_INFO.WRITE : 0) |
  ((access & ACCESS.FETCH) !== 0 ? EXIT_INFO.FETCH : 0);

/** Exit qualification of an EPT violation; `permitted` is what the second stage allows there, `onWalk` an access to a paging-structure entry. */
function eptQualification(access: number, permitted: number, onWalk: boolean): number {
  const kind =
    (access & ACCESS.FETCH) !== 0
      ? EPT_QUALIFICATION.FETCH
      : (access & ACCESS.WRITE) !== 0
        ? EPT_QUALIFICATION.WRITE
        : EPT_QUALIFICATION.READ;
  return kind | permitted | EPT_QUALIFICATION.GVA_VALID | (onWalk ? 0 : EPT_QUALIFICATION.TRANSLATED);
}

/** Leaves with EPT_VIOLATION of a load of the PDPTE registers: for no linear address. */
export function eptViolationOfPdptes(state: CpuState, gpa: bigint, bytes: number): never {
  const qualification = EPT_QUALIFICATION.READ;
  return leave(state, EXIT.EPT_VIOLATION, { gva: 0n, gpa, qualification, info: exitInfo(bytes), value: 0n });
}

/** Leaves with EPT_VIOLATION: the second stage has no page at `gpa`, or one that must not be written. */
export function eptViolation(
  state: CpuState,
  access: number,
  gva: bigint,
  gpa: bigint,
  present: boolean,
  onWalk: boolean,
): never {
  const permitted = present ? EPT_QUALIFICATION.READABLE | EPT_QUALIFICATION.EXECUTABLE : 0;
  const qualification = eptQualification(access, permitted, onWalk);
  return leave(state, EXIT.EPT_VIOLATION, { gva, gpa, qualification, info: exitInfo(access), value: 0n });
}
