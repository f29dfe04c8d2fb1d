// Which vCPU is loaded on which physical CPU: vcpu_load, vcpu_put, the preempt notifiers between them, and what loading means
// on x86 (Linux 6.16 virt/kvm/kvm_main.c, arch/x86/kvm/x86.c kvm_arch_vcpu_load, vmx/vmx.c vmx_vcpu_load_vmcs).
//
// Theory: from KVM_RUN until it returns the vCPU is loaded: its VMCS is the current one of the CPU on which its thread
// runs. Whenever the thread loses the CPU in between it is put, and loaded again where the thread goes on. Nothing is done
// for that at entries and exits: what belongs to a CPU and not to an entry hangs on load and put.

import type { Cell } from '../host/cells.ts';
import { COST } from '../host/costs.ts';
import type { PhysicalCpu } from '../host/cpu.ts';
import { HostEvent, type EventOwner } from '../host/queue.ts';
import type { HostFields } from '../host/savedFields.ts';
import type { PreemptNotifier } from '../host/thread.ts';
import { KVM_REQ } from './requests.ts';
import type { Vcpu } from './vcpu.ts';

/** The preempt notifier of one vCPU, with its VMCS's place. */
export class VcpuLoad implements PreemptNotifier, EventOwner {
  readonly name: string;
  /** Between vcpu_load and vcpu_put, where KVM_RUN holds vcpu->mutex too. */
  loaded: Cell<boolean> = false;
  readonly #vcpu: Vcpu;
  /** loaded_vmcs->cpu: where the VMCS may still be held by the processor; null: nowhere. */
  #vmcsCpu: PhysicalCpu | null = null;
  readonly #clear: HostEvent;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.name = vcpu.name;
    this.#clear = new HostEvent(this, 'call function');
  }

  /** vcpu_load(): in the vCPU's thread, on the way into KVM_RUN. */
  load(): void {
    const { thisCpu } = this.#vcpu.vm.host;
    thisCpu.disablePreemption();
    thisCpu.thread!.registerPreemptNotifier(this);
    this.loaded = true;
    this.#archLoad(thisCpu);
    thisCpu.enablePreemption();
  }

  /** vcpu_put(): on the way out of KVM_RUN. */
  put(): void {
    const { thisCpu } = this.#vcpu.vm.host;
    thisCpu.disablePreemption();
    thisCpu.thread!.unregisterPreemptNotifier(this);
    this.loaded = false;
    this.#archPut();
    thisCpu.enablePreemption();
  }

  transfer(fields: HostFields): void {
    this.loaded = fields.value('loaded', this.loaded);
    this.#vmcsCpu = fields.cpu('vmcsCpu', this.#vmcsCpu);
    fields.event('clear', this.#clear);
    const current = this.#vcpu.vm.host.cpus.filter((cpu) => cpu.currentVmcs === this).map(({ id }) => id);
    const saved = fields.data('currentOn', current);
    if (!fields.restoring) return;
    for (const cpu of this.#vcpu.vm.host.cpus) {
      if (saved.includes(cpu.id)) cpu.currentVmcs = this;
      else if (cpu.currentVmcs === this) cpu.currentVmcs = null;
    }
    if (this.loaded) this.#vcpu.thread?.registerPreemptNotifier(this);
  }

  /** kvm_sched_in(). */
  schedIn(cpu: PhysicalCpu): void {
    this.#archLoad(cpu);
  }

  /** kvm_sched_out(). */
  schedOut(): void {
    this.#archPut();
  }

  /** kvm_arch_vcpu_load(). */
  #archLoad(cpu: PhysicalCpu): void {
    const vcpu = this.#vcpu;
    if (cpu.currentVmcs !== this) this.#loadVmcs(cpu);
    if (vcpu.cpu !== cpu) {
      vcpu.cpu = cpu;
      vcpu.stat.migrations++;
      vcpu.lapic.timer.restartHvTimer();
      vcpu.requests.make(KVM_REQ.MIGRATE_TIMER);
      if (vcpu.pv.clock.inUse && !vcpu.vm.clock.useMasterClock) vcpu.requests.make(KVM_REQ.GLOBAL_CLOCK_UPDATE);
    }
    if (vcpu.pv.stealTime.enabled || vcpu.xen !== null) vcpu.requests.make(KVM_REQ.STEAL_UPDATE);
    if (vcpu.directTimer !== null) vcpu.directTimer.timer.load();
  }

  /** kvm_arch_vcpu_put(). */
  #archPut(): void {
    const { directTimer, thread, pv, xen, vm } = this.#vcpu;
    // vcpu->preempted: it would have gone on.
    if (thread !== null && thread.state === 'runnable') {
      if (xen !== null && vm.xen!.enabled) xen.runstate.setPreempted();
      else pv.stealTime.setPreempted();
    }
    if (directTimer !== null) directTimer.timer.put();
  }

  /** vmx_vcpu_load_vmcs(). A VMCS is current on at most one CPU: the last one is asked to write it back first. */
  #loadVmcs(cpu: PhysicalCpu): void {
    const last = this.#vmcsCpu;
    if (last !== null && last !== cpu) {
      this.#vcpu.vm.host.sendIpi(last, this.#clear);
      // smp_call_function_single() spins for the answer: there and back again.
      cpu.charge(COST.ipiLatency);
      if (last.currentVmcs === this) last.currentVmcs = null;
    }
    this.#vmcsCpu = cpu;
    cpu.currentVmcs = this;
    cpu.charge(COST.vmptrld);
  }

  /** __loaded_vmcs_clear(), on the CPU that had the VMCS: its time is spent there. */
  onEvent(): void {
    this.#vcpu.vm.host.thisCpu.charge(COST.vmptrld);
  }

  /** KVM_CREATE_VCPU leaves the VMCS that it initialised current. */
  created(cpu: PhysicalCpu): void {
    this.#vmcsCpu = cpu;
    cpu.currentVmcs = this;
  }
}
