// How an exit leaves guest mode, and how it is read back. Microcode fills the exit fields of the state block and throws;
// RIP stays on the instruction. What each exit keeps in the fields is said at its reader here, and nowhere else.
//
// exitQualification has VMX's layout (SDM vol. 3, 27.2.1). exitInfo: VM-exit interruption information for EXCEPTION_NMI,
// size and direction (EXIT_INFO) of memory accesses. exitValue: the value written by CR_ACCESS, OUT and MMIO writes, and
// the error code of EXCEPTION_NMI. TRIPLE_FAULT has its first event in exitInfo and exitValue, its last in exitQualification,
// word before error code. MSR_READ, MSR_WRITE and CPUID leave their operands in the registers.

import { EXIT, type Exit, type ExitName, type ExitReason, type FailedEvent, type MemoryAccess } from './exit.ts';
import { exitSignal } from './fault.ts';
import { IO_PORT_SHIFT, IO_QUALIFICATION } from '../x86/names/paging.ts';
import { GPR } from '../x86/names/registers.ts';
import { errorCodeOf, vectorOf } from './events/interruption.ts';
import { is64BitMode } from './segments/codeMode.ts';
import { OFFSET, type CpuState } from './state.ts';
import { addUnits } from './units.ts';

/**
 * Fills the exit fields for `reason`; `length` is that of the instruction that exits, 0 when none does. A qualification of 32
 * bits is better a number. Microcode returns what this returns: the way of exits that are frequent, because throwing costs a
 * microsecond.
 */
export function leaveGuest(
  state: CpuState,
  reason: ExitReason,
  length: number,
  qualification: number | bigint = 0,
  value = 0n,
  info = 0,
): 'exit' {
  state.exitReason = reason;
  state.exitLength = length;
  if (typeof qualification === 'number') state.setLow(OFFSET.exitQualification, qualification);
  else state.exitQualification = qualification;
  state.exitValue = value;
  state.exitInfo = info;
  return 'exit';
}

/** The same from the depth of an access or a delivery: throws. */
export function vmExit(
  state: CpuState,
  reason: ExitReason,
  length: number,
  qualification?: number | bigint,
  value?: bigint,
  info?: number,
): never {
  leaveGuest(state, reason, length, qualification, value, info);
  throw exitSignal;
}

/** RIP goes behind the instruction that exited, whose interrupt shadow ends. */
export function stepOver(state: CpuState): void {
  addUnits(state, OFFSET.rip, OFFSET.rip, state.exitLength);
  if (!is64BitMode(state)) state.setLow(OFFSET.rip, state.low(OFFSET.rip));
  state.shadow = 0;
}

/** `exitInfo` of EPT_VIOLATION, EPT_MISCONFIG and IO_INSTRUCTION: bytes and direction of the access. */
export const EXIT_INFO = { SIZE: 0xff, WRITE: 1 << 8, FETCH: 1 << 9 } as const;

/** Exit qualification of control-register accesses (SDM vol. 3, table 27-3). */
export const CR_QUALIFICATION = { WRITE: 0, READ: 1, CLTS: 2, LMSW: 3, TYPE_SHIFT: 4, GPR_SHIFT: 8 } as const;
const CR_ACCESS_TYPES = ['write', 'read', 'clts', 'lmsw'] as const;

/** Exit qualification of debug-register accesses (SDM vol. 3, table 27-4). */
export const DR_QUALIFICATION = { READ: 1 << 4, GPR_SHIFT: 8 } as const;

const NAME_OF = new Map<number, ExitName>((Object.keys(EXIT) as ExitName[]).map((name) => [EXIT[name], name]));

/** The name of an exit reason, as VMX and KVM have it. */
export function exitName(reason: number): ExitName {
  const name = NAME_OF.get(reason);
  if (name === undefined) throw new RangeError(`${reason} is no exit reason`);
  return name;
}

/** Builds the union from the exit fields. Not for BUDGET, AHEAD, STOPPED and SERVED, which are no VM exits. */
export function readExit(state: CpuState): Exit {
  const reason = exitName(state.exitReason);
  const place = { rip: state.rip, length: state.exitLength };
  switch (reason) {
    case 'EXCEPTION_NMI':
      return {
        ...place,
        reason,
        vector: vectorOf(state.exitInfo),
        errorCode: errorCodeOf(state.exitInfo, state.exitValue),
      };
    case 'TRIPLE_FAULT': {
      const last = { low: Number(state.exitQualification & 0xffff_ffffn), high: state.exitQualification >> 32n };
      return {
        ...place,
        reason,
        first: failedEvent(state.exitInfo, state.exitValue),
        last: failedEvent(last.low, last.high),
        cr2: state.cr2,
      };
    }
    case 'CPUID':
      return { ...place, reason, leaf: state.gpr32(GPR.RAX), subleaf: state.gpr32(GPR.RCX) };
    case 'INVLPG':
      return { ...place, reason, gva: state.exitQualification };
    case 'CR_ACCESS':
      return { ...place, reason, ...crAccess(state), value: state.exitValue };
    case 'DR_ACCESS': {
      const qualification = Number(state.exitQualification);
      const access = qualification & DR_QUALIFICATION.READ ? 'read' : 'write';
      return {
        ...place,
        reason,
        dr: qualification & 7,
        access,
        gpr: (qualification >> DR_QUALIFICATION.GPR_SHIFT) & 0xf,
      };
    }
    case 'IO_INSTRUCTION':
      return { ...place, reason, ...ioAccess(state) };
    case 'EOI_INDUCED':
      return { ...place, reason, vector: Number(state.exitQualification) };
    case 'APIC_WRITE':
      return { ...place, reason, offset: Number(state.exitQualification) };
    case 'MSR_READ':
      return { ...place, reason, index: state.gpr32(GPR.RCX) };
    case 'MSR_WRITE': {
      const value = (BigInt(state.gpr32(GPR.RDX)) << 32n) | BigInt(state.gpr32(GPR.RAX));
      return { ...place, reason, index: state.gpr32(GPR.RCX), value };
    }
    case 'EPT_VIOLATION':
      return eptViolation(state);
    case 'EPT_MISCONFIG':
      return eptMisconfig(state);
    case 'BUDGET':
    case 'AHEAD':
    case 'STOPPED':
    case 'SERVED':
      throw new RangeError(`${reason} is no VM exit: it has a reason and nothing more`);
    case 'EXTERNAL_INTERRUPT':
    case 'INTERRUPT_WINDOW':
    case 'NMI_WINDOW':
    case 'PREEMPTION_TIMER':
    case 'TPR_BELOW_THRESHOLD':
    case 'HLT':
    case 'INVD':
    case 'RDPMC':
    case 'RDTSC':
    case 'RDTSCP':
    case 'VMCALL':
    case 'PAUSE_INSTRUCTION':
    case 'WBINVD':
    case 'MWAIT_INSTRUCTION':
    case 'MONITOR_INSTRUCTION':
    case 'XSETBV':
      return { ...place, reason };
  }
}

const failedEvent = (info: number, errorCode: bigint): FailedEvent => ({
  vector: vectorOf(info),
  errorCode: errorCodeOf(info, errorCode),
});

// Handlers of frequent exits read what they need by itself: no bigint, and no union.

/** What a CR_ACCESS exit is about. */
export function crAccess(state: CpuState): Pick<CrAccess, 'cr' | 'access' | 'gpr'> {
  const qualification = state.low(OFFSET.exitQualification);
  return {
    cr: qualification & 0xf,
    access: CR_ACCESS_TYPES[(qualification >> CR_QUALIFICATION.TYPE_SHIFT) & 3]!,
    gpr: (qualification >> CR_QUALIFICATION.GPR_SHIFT) & 0xf,
  };
}
type CrAccess = Extract<Exit, { reason: 'CR_ACCESS' }>;

/** What an IO_INSTRUCTION exit is about. */
export function ioAccess(state: CpuState): Pick<IoAccess, 'port' | 'size' | 'direction' | 'value'> {
  const qualification = state.low(OFFSET.exitQualification);
  return {
    port: qualification >>> IO_PORT_SHIFT,
    size: ((qualification & IO_QUALIFICATION.SIZE_MINUS_ONE) + 1) as 1 | 2 | 4,
    direction: qualification & IO_QUALIFICATION.IN ? 'in' : 'out',
    value: state.low(OFFSET.exitValue),
  };
}
type IoAccess = Extract<Exit, { reason: 'IO_INSTRUCTION' }>;

function eptViolation(state: CpuState): Exit {
  return {
    rip: state.rip,
    length: state.exitLength,
    reason: 'EPT_VIOLATION',
    gva: state.exitGva,
    gpa: state.exitGpa,
    access: accessOf(state.exitInfo),
  };
}

function eptMisconfig(state: CpuState): Exit {
  return {
    rip: state.rip,
    length: state.exitLength,
    reason: 'EPT_MISCONFIG',
    gva: state.exitGva,
    gpa: state.exitGpa,
    access: accessOf(state.exitInfo),
    size: state.exitInfo & EXIT_INFO.SIZE,
    value: state.exitValue,
  };
}

function accessOf(exitInfo: number): MemoryAccess['access'] {
  if ((exitInfo & EXIT_INFO.FETCH) !== 0) return 'fetch';
  return (exitInfo & EXIT_INFO.WRITE) !== 0 ? 'write' : 'read';
}
