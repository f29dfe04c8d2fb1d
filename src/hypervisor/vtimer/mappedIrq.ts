// The timer's virtual interrupt with its link to the physical one: struct vgic_irq with hw=1 (Linux virt/kvm/arm/vgic), as
// much of it as one interrupt in one list register needs.
//
// Theory: what the host injects is a level, but of a mapped interrupt only rises are seen: each is one physical interrupt,
// which the host's handler left active. From then on the physical interrupt is active as long as the virtual one is pending
// or active; the guest's deactivation ends both at once, in hardware. When it never acknowledged the interrupt and has
// lowered the line instead, the host has to find that out and deactivate the physical one, or no other would ever come.

import type { Cell } from '../../host/cells.ts';
import { VTIMER_PPI, type ListRegister } from '../../host/gic.ts';
import type { VirtualInterrupt } from './owner.ts';

export class MappedIrq {
  /** Injected, and not yet acknowledged by the guest. */
  pending: Cell<boolean> = false;
  /** Acknowledged by the guest, and not yet deactivated. */
  active: Cell<boolean> = false;
  /** The vector that it was injected with. */
  vector: Cell<number> = 0;
  /** It rose again while the guest was at it. */
  #roseAgain: Cell<boolean> = false;
  readonly #virtual: VirtualInterrupt;

  constructor(virtual: VirtualInterrupt) {
    this.#virtual = virtual;
  }

  /** kvm_vgic_map_is_active(): the physical interrupt must be active while the vCPU is loaded. */
  get mapIsActive(): boolean {
    return this.pending || this.active;
  }

  /** kvm_vgic_inject_irq(). False: the guest has it masked, and it is lost. */
  inject(level: boolean): boolean {
    if (this.active) this.#roseAgain = level;
    else if (level && !this.pending) return this.#raise();
    else if (!level && this.pending) this.#withdraw();
    return true;
  }

  /** The guest acknowledges a vector; true when it is this one. */
  acknowledge(vector: number): boolean {
    if (!this.pending || vector !== this.vector) return false;
    this.pending = false;
    this.active = true;
    this.#roseAgain = false;
    return true;
  }

  /** The guest's deactivation was left to the host; true when it was of this one. */
  deactivate(vector: number): boolean {
    if (!this.active || vector !== this.vector) return false;
    this.active = false;
    if (this.#roseAgain) this.#raise();
    return true;
  }

  /** vgic_populate_lr(): what the guest is going to find. */
  populate(register: ListRegister): void {
    if (this.mapIsActive) register.set(this.pending ? 'pending' : 'active', this.vector, VTIMER_PPI);
  }

  /** vgic_fold_lr_state(): what the guest has left. True when it has not acknowledged the interrupt: its line is to be sampled. */
  fold(register: ListRegister): boolean {
    if (!this.mapIsActive) return false;
    const left = register.state;
    register.state = 'invalid';
    if (left !== 'pending') this.acknowledge(this.vector);
    if (left === 'invalid') {
      this.#virtual.ended(this.vector);
      this.deactivate(this.vector);
    }
    return this.pending;
  }

  /** What userspace has put into the guest's interrupt controller. */
  restore(vector: number, pending: boolean, active: boolean): void {
    this.vector = vector;
    this.active = active;
    this.pending = pending && !active;
    this.#roseAgain = false;
  }

  /** Power-on or INIT. */
  reset(): void {
    this.pending = this.active = this.#roseAgain = false;
  }

  #raise(): boolean {
    this.#roseAgain = false;
    const vector = this.#virtual.raise();
    if (vector === null) return false;
    this.pending = true;
    this.vector = vector;
    return true;
  }

  #withdraw(): void {
    this.pending = false;
    this.#virtual.withdraw(this.vector);
  }
}
