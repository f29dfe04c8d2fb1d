// Guest exceptions and VM exits that leave an instruction half way. Both travel as one preallocated thrown value, which costs a
// tenth of an Error, and never through WebAssembly (Cpu.keep); they are constructed only here.

import { VECTOR } from '../x86/names/vectors.ts';

/** A guest exception on its way to delivery. One object, overwritten by each fault: read it before anything can raise again. */
export class GuestFault {
  vector = 0;
  /** null: this exception pushes no error code. */
  errorCode: number | null = null;
  /** #PF: the linear address for CR2. #DB: the bits to set in DR6. */
  address = 0n;
}

export const guestFault = new GuestFault();

/** Fills in the fault; whoever cannot throw leaves in another way. */
export function setFault(vector: number, errorCode: number | null, address = 0n): GuestFault {
  guestFault.vector = vector;
  guestFault.errorCode = errorCode;
  guestFault.address = address;
  return guestFault;
}

function fault(vector: number, errorCode: number | null, address = 0n): never {
  throw setFault(vector, errorCode, address);
}

/** #PF error-code bits (SDM vol. 3, 4.7). */
export const PF = { P: 1, W: 2, U: 4, RSVD: 8, I: 16, PK: 32 } as const;

/** One constructor for each exception that trapline raises. Error codes of selectors carry EXT in bit 0, IDT in bit 1, TI in bit 2. */
export const raise = {
  de: () => fault(VECTOR.DE, null),
  /** Debug exception; `causes` are bits of DR6. */
  db: (causes: bigint) => fault(VECTOR.DB, null, causes),
  br: () => fault(VECTOR.BR, null),
  ud: () => fault(VECTOR.UD, null),
  nm: () => fault(VECTOR.NM, null),
  df: () => fault(VECTOR.DF, 0),
  ts: (selector: number) => fault(VECTOR.TS, selector),
  np: (selector: number) => fault(VECTOR.NP, selector),
  ss: (selector: number) => fault(VECTOR.SS, selector),
  gp: (selector: number) => fault(VECTOR.GP, selector),
  mf: () => fault(VECTOR.MF, null),
  ac: () => fault(VECTOR.AC, 0),
  pf: (address: bigint, errorCode: number) => fault(VECTOR.PF, errorCode, address),
};

/** Thrown after the state block's exit fields were filled in: leaves the instruction undone and generated code with it. */
export class ExitSignal {}
export const exitSignal = new ExitSignal();

/** In place of the exit signal of an access whose exit was served in place: guest mode ends, or goes on by looking RIP up. */
export const servedSignal = new ExitSignal();
export const resumedSignal = new ExitSignal();

/** Thrown by an access that meets a data breakpoint: its instruction is left undone, and run by itself (breakpoints.ts). */
export class WatchSignal {}
export const watchSignal = new WatchSignal();

/** Thrown when the machine must stop by name: an instruction or mode that is not implemented, or a contract that was broken. */
export class StopSignal {
  /** What was met, for a person: "fld m32fp is not implemented". */
  what = '';
  /** What to try. */
  hint = '';
}
export const stopSignal = new StopSignal();

/** Stops the machine by name (exit reason STOPPED). Never disguised as a guest exception. */
export function stop(what: string, hint: string): never {
  stopSignal.what = what;
  stopSignal.hint = hint;
  throw stopSignal;
}
