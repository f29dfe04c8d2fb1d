// The exits that an access to memory causes where the second stage does not allow it: fills in the exit fields and leaves.

import { EPT_QUALIFICATION } from '../../x86/names/paging.ts';
import { ACCESS } from './access.ts';
import { EXIT } from '../exit.ts';
import type { CpuState } from '../state.ts';
import { EXIT_INFO, vmExit } from '../vmexit.ts';

/** Leaves guest mode in the middle of the instruction, which is undone. */
function leave(state: CpuState, gva: bigint, gpa: bigint, qualification: number, info: number): never {
  state.exitGva = gva;
  state.exitGpa = gpa;
  return vmExit(state, EXIT.EPT_VIOLATION, 0, qualification, 0n, info);
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
  return leave(state, 0n, gpa, EPT_QUALIFICATION.READ, exitInfo(bytes));
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
  return leave(state, gva, gpa, eptQualification(access, permitted, onWalk), exitInfo(access));
}
