// All microcode by name: what rows write in `microcode:`.

import * as controlRegister from './controlRegister.ts';
import * as debugRegister from './debugRegister.ts';
import * as descriptorTable from './descriptorTable.ts';
import * as farTransfer from './farTransfer.ts';
import * as flag from './flag.ts';
import * as frame from './frame.ts';
import * as fxState from './fxState.ts';
import { absentWithout, cpuid, ud, vmcall } from './hypervisorCall.ts';
import * as idle from './idle.ts';
import * as interrupt from './interrupt.ts';
import { iret } from './interruptReturn.ts';
import * as invalidate from './invalidate.ts';
import { PORT_IO } from './io.ts';
import type { Microcode } from './microcode.ts';
import * as msr from './msr.ts';
import * as random from './random.ts';
import * as segment from './segment.ts';
import * as systemCall from './systemCall.ts';
import * as time from './time.ts';
import * as verify from './verify.ts';
import * as wideMemory from './wideMemory.ts';
import * as x87Control from './x87Control.ts';

/** Instructions of features that no guest is offered. */
const absent = {
  vmx: absentWithout('VMX'),
  svm: absentWithout('SVM'),
  sgx: absentWithout('SGX'),
  pconfig: absentWithout('PCONFIG'),
  lkgs: absentWithout('LKGS'),
  wrmsrlist: absentWithout('MSRLIST'),
  rdmsrlist: absentWithout('MSRLIST'),
  erets: absentWithout('FRED'),
  eretu: absentWithout('FRED'),
  invlpgb: absentWithout('INVLPGB'),
  tlbsync: absentWithout('INVLPGB'),
} satisfies Record<string, Microcode>;

const table = {
  ...interrupt,
  ...farTransfer,
  ...systemCall,
  ...segment,
  ...descriptorTable,
  ...time,
  ...verify,
  ...controlRegister,
  ...debugRegister,
  ...invalidate,
  ...msr,
  ...PORT_IO,
  ...flag,
  ...idle,
  ...random,
  ...wideMemory,
  ...frame,
  ...fxState,
  ...x87Control,
  iret,
  cpuid,
  vmcall,
  // VMMCALL is AMD's; RSM is #UD outside of system management mode.
  vmmcall: ud,
  rsm: ud,
  ...absent,
} satisfies Record<string, Microcode>;

export type MicrocodeName = keyof typeof table;
export const MICROCODE: Readonly<Record<MicrocodeName, Microcode>> = table;
/** Names of microcode that does nothing but say so: its feature is not there. */
export const ABSENT: ReadonlySet<string> = new Set(Object.keys(absent));
