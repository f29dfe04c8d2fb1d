// Model-specific registers, performance counters and extended control registers.

import { MSR } from '../../x86/names/msrs.ts';
import { CR4, GPR } from '../../x86/names/registers.ts';
import { setXcr0 } from '../controlRegisters.ts';
import { EXIT } from '../exit.ts';
import { raise, stop } from '../fault.ts';
import { readMsr, writeMsr } from '../msrs.ts';
import type { CpuState } from '../state.ts';
import { readVirtualMsr, writeVirtualMsr } from '../virtualApic.ts';
import { leaveGuest } from '../vmexit.ts';
import { readEdxEax, requireRing0, writeEdxEax } from './checks.ts';
import type { Microcode } from './microcode.ts';

export const rdmsr: Microcode = (cpu, insn) => {
  const { state, controls } = cpu;
  requireRing0(state);
  const index = state.gpr32(GPR.RCX);
  if (controls.msrReadExits(index)) return leaveGuest(state, EXIT.MSR_READ, insn.length);
  const virtual = controls.virtualApic === null ? null : readVirtualMsr(controls.virtualApic, index);
  writeEdxEax(state, virtual ?? readMsr(cpu, index) ?? cpu.physicalMsrs?.read(index) ?? raise.gp(0));
  return 'next';
};

export const wrmsr: Microcode = (cpu, insn) => {
  const { state, controls } = cpu;
  requireRing0(state);
  const index = state.gpr32(GPR.RCX);
  if (controls.msrWriteExits(index)) return leaveGuest(state, EXIT.MSR_WRITE, insn.length);
  const virtual = controls.virtualApic === null ? null : writeVirtualMsr(state, controls.virtualApic, index);
  if (virtual !== null) return virtual;
  if (index === MSR.TSC) stop('a write to MSR_TSC without an exit is not implemented', 'let writes to MSR_TSC exit');
  const value = readEdxEax(state);
  const physical = cpu.physicalMsrs?.write(index, value) ?? null;
  if (!(physical ?? writeMsr(cpu, index, value))) raise.gp(0);
  if (physical === null) return index === MSR.EFER ? 'end' : 'next';
  // The host may have to interrupt the guest sooner than it knew: it looks again.
  state.exitReason = EXIT.BUDGET;
  return 'trap';
};

/** There are no counters: whatever ECX names does not exist. */
export const rdpmc: Microcode = ({ state, controls }, insn) => {
  if (state.cpl !== 0 && (state.cr4 & CR4.PCE) === 0n) raise.gp(0);
  if (controls.rdpmcExiting) return leaveGuest(state, EXIT.RDPMC, insn.length);
  return raise.gp(0);
};

const requireXsave = (state: CpuState): void => {
  if ((state.cr4 & CR4.OSXSAVE) === 0n) raise.ud();
};

const XCR0_INDEX = 0;

export const xgetbv: Microcode = ({ state }) => {
  requireXsave(state);
  if (state.gpr32(GPR.RCX) !== XCR0_INDEX) raise.gp(0);
  writeEdxEax(state, state.xcr0);
  return 'next';
};

export const xsetbv: Microcode = (cpu, insn) => {
  const { state, controls } = cpu;
  requireXsave(state);
  requireRing0(state);
  if (controls.hypervisor) return leaveGuest(state, EXIT.XSETBV, insn.length);
  if (state.gpr32(GPR.RCX) !== XCR0_INDEX || !setXcr0(cpu, readEdxEax(state))) raise.gp(0);
  return 'end';
};
