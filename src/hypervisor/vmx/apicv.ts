// APIC virtualisation and posted interrupts of one vCPU: what KVM sets up, what a sender does, what the vCPU does before an
// entry (Linux 6.16 arch/x86/kvm/vmx/vmx.c, vmx/posted_intr.c; the processor's half is cpu/virtualApic.ts).
//
// Theory. A sender does not touch IRR, which the processor may be changing at that moment. It sets the vector in PIR; whoever
// sets ON besides tells the vCPU, once for however many vectors come before the vCPU looks: with an interrupt to its CPU if
// it is in guest mode, which the processor turns into a merge of PIR without an exit; by waking it if it blocks; not at all
// otherwise, because every entry looks. The notification may still arrive when the guest has just been left: then it is an
// interrupt of the host that does nothing, and ON is still set for the next entry.

import { VirtualApic } from '../../cpu/virtualApic.ts';
import type { PhysicalCpu } from '../../host/cpu.ts';
import { HostEvent, type EventOwner } from '../../host/queue.ts';
import type { HostFields } from '../../host/savedFields.ts';
import { X2APIC_FIRST, X2APIC_MSR } from '../../x86/names/msrs.ts';
import { highestVector } from '../lapic/priority.ts';
import { APIC, APIC_REGISTERS, REGISTER_STEP, type ApicRegister } from '../lapic/registers.ts';
import { KVM_REQ } from '../requests.ts';
import { VCPU_MODE, type Vcpu } from '../vcpu.ts';
import { PiDesc, PIR_WORDS } from './piDesc.ts';

/** The guest reads these from the page; the timer's count exists only where somebody computes it. */
const isReadFromPage = (register: ApicRegister): boolean => register.reads.x2apic && register.offset !== APIC.TMCCT;

export class VmxApicv implements EventOwner {
  readonly name: string;
  readonly piDesc = new PiDesc();
  /** The VMCS's controls, while they are in force. */
  readonly controls: VirtualApic;
  /** apic->apicv_active: in x2APIC mode only. A guest in xAPIC mode runs without. */
  active = false;
  readonly #vcpu: Vcpu;
  /** The notification for each physical CPU: one may be on its way to a CPU that the vCPU has left. */
  readonly #notifications = new Map<PhysicalCpu, HostEvent>();

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.name = vcpu.name;
    this.controls = new VirtualApic(vcpu.lapic.regs);
    this.controls.virtualizeX2apicMode = true;
    this.controls.apicRegisterVirtualization = true;
    this.controls.virtualInterruptDelivery = true;
    this.controls.postedInterrupts = this.piDesc;
  }

  /** What a snapshot keeps; the register page is the LAPIC's, and what the guest may do by MSRs the processor's. */
  transfer(fields: HostFields): void {
    const { vm, guest } = this.#vcpu;
    this.active = fields.value('active', this.active);
    this.piDesc.transfer(fields.part('piDesc'));
    this.controls.transfer(fields.part('controls'));
    for (const cpu of vm.host.cpus) fields.event(`notification to CPU ${cpu.id}`, this.#notificationTo(cpu));
    if (fields.restoring) guest.controls.virtualApic = this.active ? this.controls : null;
  }

  get canPostTimerInterrupt(): boolean {
    const { piInjectTimer, hltInGuest } = this.#vcpu.vm.params;
    return piInjectTimer && this.active && hltInGuest;
  }

  get usePostedTimerInterrupt(): boolean {
    return this.canPostTimerInterrupt && this.#vcpu.mode === VCPU_MODE.IN_GUEST;
  }

  /** vmx_refresh_apicv_exec_ctrl(): the mode of the APIC has changed. In the vCPU's context. */
  refresh(): void {
    const { lapic, guest, requests } = this.#vcpu;
    if (this.active === lapic.x2apic) return;
    if (this.active) this.syncPirToIrr();
    this.active = lapic.x2apic;
    guest.controls.virtualApic = this.active ? this.controls : null;
    guest.controls.cr8LoadExiting = guest.controls.cr8StoreExiting = !this.active;
    this.#updateMsrBitmap();
    this.hwapicIsrUpdate();
    // What was accepted while the processor delivered by itself has to be looked for.
    if (!this.active) requests.make(KVM_REQ.EVENT);
  }

  /** vmx_update_msr_bitmap_x2apic(). */
  #updateMsrBitmap(): void {
    const { controls } = this.#vcpu.guest;
    const allow = (index: number, direction: 'read' | 'write'): void =>
      this.active ? controls.allowMsr(index, direction) : controls.trapMsr(index, direction);
    for (const register of APIC_REGISTERS) {
      if (isReadFromPage(register)) allow(X2APIC_FIRST + register.offset / REGISTER_STEP, 'read');
    }
    for (const index of [X2APIC_MSR.TPR, X2APIC_MSR.EOI, X2APIC_MSR.SELF_IPI]) allow(index, 'write');
  }

  /** vmx_deliver_posted_interrupt(). May run on any physical CPU. */
  deliverPostedInterrupt(vector: number): void {
    if (this.piDesc.testAndSetPir(vector)) return;
    if (this.piDesc.testAndSetOn()) return;
    this.#triggerPostedInterrupt();
  }

  /** kvm_vcpu_trigger_posted_interrupt(). On its own CPU the vCPU looks by itself before it enters again. */
  #triggerPostedInterrupt(): void {
    const vcpu = this.#vcpu;
    if (vcpu.mode !== VCPU_MODE.IN_GUEST) {
      vcpu.wakeUp();
      return;
    }
    const { host } = vcpu.vm;
    if (host.thisCpu !== vcpu.cpu) host.sendIpi(vcpu.cpu, this.#notificationTo(vcpu.cpu));
  }

  #notificationTo(cpu: PhysicalCpu): HostEvent {
    let event = this.#notifications.get(cpu);
    if (event === undefined) this.#notifications.set(cpu, (event = new HostEvent(this, 'posted interrupt')));
    return event;
  }

  /** sysvec_kvm_posted_intr_ipi(): the guest was not running any more. */
  onEvent(): void {}

  /** vmx_sync_pir_to_irr(). In the vCPU's context. */
  syncPirToIrr(): void {
    const { lapic, guest, requests } = this.#vcpu;
    let got = false;
    if (this.piDesc.on) {
      this.piDesc.clearOn();
      got = this.#updateIrr();
    }
    if (this.active) guest.state.rvi = Math.max(highestVector(lapic.regs, APIC.IRR), 0);
    else if (got) requests.make(KVM_REQ.EVENT);
  }

  /** kvm_apic_update_irr(): whether PIR held anything. */
  #updateIrr(): boolean {
    const { regs } = this.#vcpu.lapic;
    let got = false;
    for (let word = 0; word < PIR_WORDS; word++) {
      const taken = this.piDesc.takePir(word);
      if (taken === 0) continue;
      got = true;
      regs[(APIC.IRR + word * REGISTER_STEP) >> 2]! |= taken;
    }
    return got;
  }

  /** vmx_hwapic_isr_update(): ISR was changed by somebody else than the processor. */
  hwapicIsrUpdate(): void {
    const { guest, lapic } = this.#vcpu;
    guest.state.svi = Math.max(highestVector(lapic.regs, APIC.ISR), 0);
  }

  /** vmx_load_eoi_exitmap(): the ends of interrupts with these vectors, one bit each, are for the IOAPIC to hear of. */
  loadEoiExitmap(vectors: Uint32Array): void {
    this.controls.eoiExitBitmap.set(vectors);
  }

  /** vmx_apicv_pre_state_restore(): reset, or the register page was replaced. What was posted before is forgotten. */
  stateRestored(): void {
    this.piDesc.clearOn();
    for (let word = 0; word < PIR_WORDS; word++) this.piDesc.takePir(word);
    this.hwapicIsrUpdate();
  }
}
