// EPT_VIOLATION and EPT_MISCONFIG: handle_ept_violation and handle_ept_misconfig. A page of a slot becomes present when it is
// first touched; what no slot holds belongs to a device, and so do writes to a read-only slot (KVM_MEM_READONLY).

import { STAGE } from '../../cpu/memory/secondStage.ts';
import { COST } from '../../host/costs.ts';
import { mmioRead, mmioWrite } from '../lapic/mmio.ts';
import { pageOf } from '../memslots.ts';
import type { Vcpu } from '../vcpu.ts';
import type { Vm } from '../vm.ts';
import { CONTINUE, exitAs, say, TO_USERSPACE, type Disposition } from './handler.ts';

export function handleEptViolation(vcpu: Vcpu): Disposition {
  const { gpa, access, rip } = exitAs(vcpu, 'EPT_VIOLATION');
  const { memslots } = vcpu.vm;
  const page = pageOf(Number(gpa));
  const slot = memslots.at(page);
  vcpu.stat.pfTaken++;
  vcpu.cpu.charge(COST.pageFault);
  if (vcpu.probes.active) {
    const errorCode = Number(vcpu.guest.state.exitQualification);
    vcpu.probes.fire('kvm_page_fault', { vcpu: vcpu.id, rip, gpa, errorCode }, vcpu.cpu.now);
  }
  if (slot === undefined) {
    // As KVM's MMIO entries: from now on each access is a misconfiguration that carries its data.
    memslots.secondStage.markMmio(page, 1);
    if (vcpu.probes.active) say(vcpu, `no memory at 0x${gpa.toString(16)}: marked as MMIO`);
    return CONTINUE;
  }
  if (access === 'write' && slot.readOnly && (memslots.secondStage.lookup(page) & STAGE.PRESENT) !== 0) {
    // An ordinary write would have been a misconfiguration: the page walk wants to set an accessed or dirty bit.
    vcpu.userspace = {
      reason: 'INTERNAL_ERROR',
      what: `page tables in read-only memory at 0x${gpa.toString(16)} (slot ${slot.slot}) need an accessed or dirty bit`,
      hint: 'set these bits beforehand, or make the slot writable',
    };
    return TO_USERSPACE;
  }
  if (vcpu.vm.swap?.isOut(page)) return awaitPage(vcpu, page, vcpu.guest.state.exitGva);
  populate(vcpu.vm, page);
  if (vcpu.probes.active) say(vcpu, `page 0x${page.toString(16)} populated from slot ${slot.slot}`);
  return CONTINUE;
}

/** Maps a page of a slot that is in memory. */
export function populate({ memslots, swap }: Vm, page: number): void {
  const { readOnly, logDirty } = memslots.at(page)!;
  const address = memslots.addressOf(page, false);
  memslots.secondStage.map(page, 1, address, { writable: !readOnly, logged: logDirty, rom: readOnly });
  swap?.resident(page);
}

/** The host has paged it out: the guest does something else meanwhile, or the thread sleeps before the next entry. */
function awaitPage(vcpu: Vcpu, page: number, gva: bigint): Disposition {
  const outcome = vcpu.pv.asyncPf.fault(page, gva);
  if (outcome === 'sleep') vcpu.awaitsPage = page;
  if (vcpu.probes.active)
    say(
      vcpu,
      `page 0x${page.toString(16)} is paged out: ${outcome === 'sleep' ? 'waits for it' : 'read in the background'}`,
    );
  return CONTINUE;
}

export function handleEptMisconfig(vcpu: Vcpu): Disposition {
  const { gpa, size, access, value } = exitAs(vcpu, 'EPT_MISCONFIG');
  const write = access === 'write';
  const answer = inKernel(vcpu, gpa, size, write, value);
  if (vcpu.probes.active) {
    const event = {
      vcpu: vcpu.id,
      write,
      gpa,
      length: size,
      value: write ? value : (answer ?? 0n),
      satisfied: write || answer !== null,
    };
    vcpu.probes.fire('kvm_mmio', event, vcpu.cpu.now);
    say(vcpu, `MMIO ${write ? 'write' : 'read'} ${answer === null ? 'goes to userspace' : 'served in the kernel'}`);
  }
  if (answer !== null) {
    vcpu.guest.complete(answer);
    return CONTINUE;
  }
  vcpu.stat.mmioExits++;
  vcpu.userspace = { reason: 'MMIO', gpa: Number(gpa), size, write, value };
  return TO_USERSPACE;
}

/** kvm_io_bus_read and write on the MMIO bus: the vCPU's own LAPIC, then the VM's devices. null: not claimed. */
function inKernel({ lapic, vm, cpu }: Vcpu, gpa: bigint, size: number, write: boolean, value: bigint): bigint | null {
  const local = write ? (mmioWrite(lapic, gpa, size, value) ? 0n : null) : mmioRead(lapic, gpa, size);
  if (local !== null) {
    cpu.charge(COST.lapicAccess);
    return local;
  }
  const device = vm.mmio.at(Number(gpa));
  if (device === undefined) return null;
  cpu.charge(COST.deviceAccess);
  if (!write) return device.read(Number(gpa) - device.gpa, size);
  device.write(Number(gpa) - device.gpa, size, value);
  return 0n;
}
