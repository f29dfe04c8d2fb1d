// Which vCPUs of a domain are up (VCPUOP_initialise, _up, _down, _is_up; Xen common/domain.c).
//
// Theory: a vCPU that is down does not call KVM_RUN: its thread waits in the VMM. One that runs is made to leave KVM_RUN by a signal.
// VCPUOP_initialise says in which state one begins that has had no INIT and SIPI; it takes it when it is brought up, since
// its thread is still in KVM_RUN when the call is made.

import type { SavedFields } from '../../cpu/savedFields.ts';
import { block, type Sleep } from '../../host/sleep.ts';
import { RUN_POINT, type RunPoint } from '../../hypervisor/runPoint.ts';
import { getRegs, setRegs } from '../../hypervisor/state/regs.ts';
import { setMpState } from '../../hypervisor/state/mpState.ts';
import { checkSregs, getSregs, setSregs, sregsOf, type Sregs } from '../../hypervisor/state/sregs.ts';
import type { Vcpu } from '../../hypervisor/vcpu.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { setXenVcpuAttr } from '../../hypervisor/xen/attributes.ts';
import { RUNSTATE } from '../../hypervisor/xen/names.ts';
import { meansPaePaging, PDPTES } from '../../cpu/memory/pdptes.ts';
import { HypercallError } from './hypercall.ts';
import type { VcpuContext } from './vcpuContext.ts';

const PDPT_ALIGN = 31n;

export class DomainVcpus {
  readonly #vm: Vm;
  /** Brought down, or initialised and not brought up yet. */
  readonly #down = new Set<number>();
  /** In which state vCPUs begin that are brought up for the first time. */
  readonly #contexts = new Map<number, VcpuContext>();

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  isUp(vcpu: Vcpu): boolean {
    return this.isInitialised(vcpu) && !this.#down.has(vcpu.id);
  }

  /** VCPUOP_initialise. Throws HypercallError. */
  initialise(vcpu: Vcpu, context: VcpuContext): void {
    const why = checkSregs(vcpu, this.#begun(sregsOf(vcpu), context));
    if (why !== null) throw new HypercallError('EINVAL', why);
    this.#contexts.set(vcpu.id, context);
    this.#down.add(vcpu.id);
    vcpu.signal();
  }

  /** Whether VCPUOP_initialise, or INIT and SIPI, have said in which state it begins. */
  isInitialised(vcpu: Vcpu): boolean {
    return hasBegun(vcpu) || this.#contexts.has(vcpu.id);
  }

  /** VCPUOP_up. Throws HypercallError. */
  up(vcpu: Vcpu): void {
    if (!this.isInitialised(vcpu)) throw new HypercallError('EINVAL', `vCPU ${vcpu.id} is not initialised`);
    if (this.#down.delete(vcpu.id) && vcpu.thread !== null) this.#vm.host.wakeUp(vcpu.thread);
  }

  /** VCPUOP_down; false: no other is up, and the domain ends. */
  down(vcpu: Vcpu): boolean {
    if (!this.#vm.vcpus.some((other) => other !== vcpu && this.isUp(other))) return false;
    this.#down.add(vcpu.id);
    vcpu.signal();
    return true;
  }

  /**
   * A vCPU's thread, before it calls KVM_RUN: waits until it is up, and while the machine is `paused`. `from`: where the thread
   * stands, which of one that has been restored may be DOWN.
   */
  *wait(vcpu: Vcpu, from: RunPoint, paused: () => boolean): Sleep<void> {
    if (this.#down.has(vcpu.id)) {
      if (from !== RUN_POINT.DOWN) setXenVcpuAttr(vcpu, { type: 'RUNSTATE_CURRENT', state: RUNSTATE.OFFLINE });
      do {
        vcpu.place.point = RUN_POINT.DOWN;
        // Nothing is left that a signal would have to interrupt.
        vcpu.signalPending = false;
        yield* block('VCPUOP_up');
      } while (this.#down.has(vcpu.id) || paused());
    }
    const context = this.#contexts.get(vcpu.id);
    if (context === undefined) return;
    this.#contexts.delete(vcpu.id);
    setMpState(vcpu, { mpState: 'runnable' });
    setRegs(vcpu, { ...getRegs(vcpu), ...context.regs });
    setSregs(vcpu, this.#begun(getSregs(vcpu), context));
  }

  transfer(fields: SavedFields): void {
    const down = fields.data('down', [...this.#down]);
    const contexts = fields.data('contexts', [...this.#contexts]);
    if (!fields.restoring) return;
    this.#down.clear();
    for (const id of down) this.#down.add(id);
    this.#contexts.clear();
    for (const [id, context] of contexts) this.#contexts.set(id, context);
  }

  #begun(sregs: Sregs, context: VcpuContext): Sregs {
    const { cr0, cr3, cr4, efer } = context.sregs;
    const at = Number(cr3 & ~PDPT_ALIGN);
    const pdptrs = meansPaePaging(cr0, cr4, efer)
      ? Array.from({ length: PDPTES }, (_, i) => this.#vm.memory.readU64(at + 8 * i) ?? 0n)
      : [];
    return { ...sregs, ...context.sregs, pdptrs };
  }
}

/** INIT and SIPI, or a boot loader, have let it begin. */
const hasBegun = ({ mpState }: Vcpu): boolean => mpState === 'runnable' || mpState === 'halted';
