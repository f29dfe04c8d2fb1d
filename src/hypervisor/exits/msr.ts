// MSR_READ and MSR_WRITE: kvm_emulate_rdmsr and kvm_emulate_wrmsr. What each MSR does is in msrs.ts.

import { joinWords } from '../../cpu/words.ts';
import { COST } from '../../host/costs.ts';
import { X2APIC_MSR } from '../../x86/names/msrs.ts';
import { GPR } from '../../x86/names/registers.ts';
import { injectGp } from '../inject.ts';
import { isFixedToSelf } from '../lapic/icr.ts';
import { highestVector, NONE } from '../lapic/priority.ts';
import { APIC } from '../lapic/registers.ts';
import { msrRecord, nameOfMsr, readMsr, writeMsr } from '../msrs.ts';
import { DEPENDS, type Depends } from '../roundTrip.ts';
import type { Vcpu } from '../vcpu.ts';
import { describeMsrWrite } from './msrAction.ts';
import { CONTINUE, say, skipInstruction, type Disposition } from './handler.ts';

export function handleMsrRead(vcpu: Vcpu): Disposition {
  const { state } = vcpu.guest;
  const index = state.gpr32(GPR.RCX);
  // Read before its time is spent: this CPU has settled, and must not show a clock that others still have before them.
  const value = readMsr(vcpu, index);
  vcpu.cpu.charge(COST.msrDispatch);
  trace(vcpu, false, index, value ?? 0n, value === null);
  if (value === null) return refuse(vcpu, 'RDMSR', index);
  if (vcpu.recurrence.watched && msrRecord(index)?.steady === true) vcpu.recurrence.allow();
  state.setGpr32(GPR.RAX, Number(value & 0xffff_ffffn));
  state.setGpr32(GPR.RDX, Number(value >> 32n));
  return skipInstruction(vcpu);
}

export function handleMsrWrite(vcpu: Vcpu): Disposition {
  const { state } = vcpu.guest;
  const index = state.gpr32(GPR.RCX);
  const low = state.gpr32(GPR.RAX);
  const high = state.gpr32(GPR.RDX);
  vcpu.stat.msrWrites.add(index);
  const listened = vcpu.probes.active;
  const inService = listened ? highestVector(vcpu.lapic.regs, APIC.ISR) : NONE;
  vcpu.cpu.charge(COST.msrDispatch);
  if (vcpu.recurrence.watched) allowAgain(vcpu, index, low, high);
  const accepted = writeMsr(vcpu, index, low, high);
  if (listened) explainWrite(vcpu, index, joinWords(low, high), accepted, inService);
  return accepted ? skipInstruction(vcpu) : refuse(vcpu, 'WRMSR', index);
}

/** What the write depends on if it may be made again without being handled; null: it may not. */
function dependence({ lapic, ioapicVectors }: Vcpu, index: number, low: number): Depends | null {
  switch (index) {
    case X2APIC_MSR.EOI:
      return lapic.lastTaken === NONE || ioapicVectors.has(lapic.lastTaken) ? null : DEPENDS.ON_STANDING;
    case X2APIC_MSR.TPR:
    case X2APIC_MSR.SELF_IPI:
      return DEPENDS.ON_STANDING;
    case X2APIC_MSR.ICR:
      return isFixedToSelf(low) ? DEPENDS.ON_STANDING : null;
    default:
      return null;
  }
}

/** The LAPIC's affairs are its own; and an MSR may be told what it holds already. */
function allowAgain(vcpu: Vcpu, index: number, low: number, high: number): void {
  const record = msrRecord(index);
  const isHeld = record?.steady === true && record.read(vcpu) === joinWords(low, high);
  const depends = isHeld ? DEPENDS.ON_MORE : dependence(vcpu, index, low);
  if (depends !== null) vcpu.recurrence.allow(depends, ({ stat }, times) => stat.msrWrites.add(index, times));
}

function explainWrite(vcpu: Vcpu, index: number, value: bigint, accepted: boolean, inService: number): void {
  trace(vcpu, true, index, value, !accepted);
  if (accepted) say(vcpu, describeMsrWrite(vcpu, index, value, inService));
}

function refuse(vcpu: Vcpu, instruction: string, index: number): Disposition {
  injectGp(vcpu);
  vcpu.recurrence.disturbed();
  if (vcpu.probes.active) say(vcpu, `${instruction} of ${nameOfMsr(index)} refused: #GP(0)`);
  return CONTINUE;
}

function trace(vcpu: Vcpu, write: boolean, index: number, value: bigint, fault: boolean): void {
  if (!vcpu.probes.active) return;
  vcpu.probes.fire('kvm_msr', { vcpu: vcpu.id, write, index, value, fault }, vcpu.cpu.now);
  if (!fault && !write) say(vcpu, `read as 0x${value.toString(16)}`);
}
