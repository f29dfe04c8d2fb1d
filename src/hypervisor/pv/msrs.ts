// KVM's MSRs (Linux 6.16 arch/x86/kvm/x86.c, Documentation/virt/kvm/x86/msr.rst). What they switch on is in the files beside.
// In the order in which a VMM restores them: the interrupt of async page faults before these.

import { named, type MsrRecord } from '../msr/record.ts';
import { KVM_MSR } from '../names.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import { guestPvHas, type PvFeature } from './features.ts';

/** An MSR of one feature: #GP for a guest that must not use it. */
const pv = (
  index: number,
  feature: PvFeature,
  read: (vcpu: Vcpu) => bigint,
  write: (vcpu: Vcpu, value: bigint, hostInitiated: boolean) => boolean,
  reset = 0n,
): MsrRecord =>
  named(index, {
    reset,
    saved: true,
    read: (vcpu) => (guestPvHas(vcpu.vm, feature) ? read(vcpu) : null),
    write: (vcpu, value, hostInitiated) => guestPvHas(vcpu.vm, feature) && write(vcpu, value, hostInitiated),
  });

const systemTime = (index: number): MsrRecord =>
  pv(
    index,
    'kvmclock',
    ({ pv: { clock } }) => clock.msrVal,
    ({ pv: { clock } }, value, hostInitiated) => clock.writeMsr(value, index === KVM_MSR.SYSTEM_TIME, hostInitiated),
  );

/** One for all vCPUs; written, it asks for the date. */
const wallClock = (index: number): MsrRecord =>
  pv(
    index,
    'kvmclock',
    ({ vm }) => vm.wallClockMsr,
    ({ vm }, value) => {
      vm.wallClockMsr = value;
      vm.clock.writeWallClock(Number(value));
      return true;
    },
  );

function writeStealTime(vcpu: Vcpu, value: bigint): boolean {
  const { stealTime } = vcpu.pv;
  if (!stealTime.writeMsr(value)) return false;
  if (stealTime.enabled) vcpu.requests.make(KVM_REQ.STEAL_UPDATE);
  return true;
}

/** Bit 0 alone. */
function writePollControl(vcpu: Vcpu, value: bigint): boolean {
  if (value > 1n) return false;
  vcpu.pv.pollControl = value;
  return true;
}

/** The old and the new MSR are one register: a VMM saves it once, by its new name. */
const unsaved = (record: MsrRecord): MsrRecord => ({ ...record, saved: false });

/* prettier-ignore */
export const PV_MSRS: readonly MsrRecord[] = [
  wallClock(KVM_MSR.WALL_CLOCK_NEW), unsaved(wallClock(KVM_MSR.WALL_CLOCK)),
  systemTime(KVM_MSR.SYSTEM_TIME_NEW), unsaved(systemTime(KVM_MSR.SYSTEM_TIME)),
  pv(KVM_MSR.STEAL_TIME, 'kvm-steal-time', ({ pv: { stealTime } }) => stealTime.msrVal, writeStealTime),
  pv(KVM_MSR.PV_EOI_EN, 'kvm-pv-eoi', ({ pv: { eoi } }) => eoi.msrVal, ({ pv: { eoi } }, value) => eoi.writeMsr(value)),
  pv(KVM_MSR.POLL_CONTROL, 'kvm-poll-control', (vcpu) => vcpu.pv.pollControl, writePollControl, 1n),
  pv(KVM_MSR.ASYNC_PF_INT, 'kvm-asyncpf-int', ({ pv: { asyncPf } }) => asyncPf.intMsr, ({ pv: { asyncPf } }, value) => asyncPf.writeInt(value)),
  pv(KVM_MSR.ASYNC_PF_EN, 'kvm-asyncpf', ({ pv: { asyncPf } }) => asyncPf.enMsr, ({ pv: { asyncPf } }, value) => asyncPf.writeEn(value)),
  unsaved(pv(KVM_MSR.ASYNC_PF_ACK, 'kvm-asyncpf-int', () => 0n, ({ pv: { asyncPf } }, value) => asyncPf.writeAck(value))),
];
