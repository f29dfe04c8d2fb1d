// A GIC as one physical CPU sees it: its private interrupt of the virtual timer, its CPU interface with EOImode 1, its list
// registers (GIC architecture specification, IHI 0069, chapters 4 and 6). There is no other interrupt than the timer's.
//
// Theory: a level-triggered interrupt is pending while its line is high. Acknowledging it (IAR) makes it active and raises the
// running priority; EOIR only drops the priority again, so that other interrupts flow; DIR deactivates. An interrupt that is
// active is not signalled, however high its line. So a host that drops the priority and leaves the interrupt active can hand
// it to a guest: a list register with HW=1 presents a virtual interrupt, and when the guest deactivates that one, the hardware
// deactivates the physical one too; if the line is still high, the interrupt is signalled anew. The active state belongs to
// the CPU, not to the guest.

import { COST } from './costs.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { GenericTimer, TimerLine } from './genericTimer.ts';
import { HostEvent, type EventOwner } from './queue.ts';

/** INTID of the virtual timer (Arm Base System Architecture). */
export const VTIMER_PPI = 27;
/** INTID_SPURIOUS: nothing is pending any more. */
export const SPURIOUS_INTID = 1023;
const LIST_REGISTERS = 4;

/** Whom the handler of a per-CPU interrupt finds: the dev_id of request_percpu_irq(). */
export interface PercpuDevice {
  /** In hard interrupt context; the priority is dropped, the interrupt is active. */
  onPercpuIrq(): void;
}

export type ListState = 'invalid' | 'pending' | 'active';

/** ICH_LR<n>_EL2. */
export class ListRegister {
  state: ListState = 'invalid';
  /** vINTID. */
  virtualId = 0;
  /** pINTID of an entry with HW=1; null: HW=0. */
  physicalId: number | null = null;

  set(state: ListState, virtualId: number, physicalId: number | null): void {
    this.state = state;
    this.virtualId = virtualId;
    this.physicalId = physicalId;
  }
}

export class Gic implements EventOwner, TimerLine {
  readonly name: string;
  readonly listRegisters: readonly ListRegister[] = Array.from({ length: LIST_REGISTERS }, () => new ListRegister());
  /** The dev_id of the timer's interrupt on this CPU; null: nobody expects it. */
  device: PercpuDevice | null = null;
  /** False: the controller cannot keep an interrupt active for a guest, as one that is no GIC cannot. */
  hasActiveState = true;
  /** Interrupts of the timer that came when nobody expected one, and those that were gone when they were acknowledged. */
  stale = 0;
  retired = 0;
  readonly #cpu: PhysicalCpu;
  readonly #timer: GenericTimer;
  readonly #interrupt = new HostEvent(this, 'vtimer');
  #active = false;
  #enabled = true;
  /** The running priority is that of the timer's interrupt: between IAR and EOIR. */
  #running = false;

  constructor(cpu: PhysicalCpu, timer: GenericTimer) {
    this.name = `the GIC of CPU ${cpu.id}`;
    this.#cpu = cpu;
    this.#timer = timer;
    timer.line = this;
  }

  /** GICR_ISACTIVER0, bit 27. */
  get active(): boolean {
    return this.#active;
  }
  /** irq_set_irqchip_state(IRQCHIP_STATE_ACTIVE): GICR_ISACTIVER0 or GICR_ICACTIVER0. */
  setActive(active: boolean): void {
    this.#active = active;
    this.lineChanged();
  }

  get enabled(): boolean {
    return this.#enabled;
  }
  /** enable_percpu_irq(), disable_percpu_irq(): GICR_ISENABLER0 or GICR_ICENABLER0. */
  setEnabled(enabled: boolean): void {
    this.#enabled = enabled;
    this.lineChanged();
  }

  /** ICC_IAR1_EL1: the pending interrupt, now active; INTID_SPURIOUS when there is none. */
  acknowledge(): number {
    if (this.#active || !this.#enabled || !this.#timer.signalled) return SPURIOUS_INTID;
    this.#active = this.#running = true;
    this.lineChanged();
    return VTIMER_PPI;
  }
  /** ICC_EOIR1_EL1 with EOImode 1: the priority drops, the interrupt stays active. */
  dropPriority(): void {
    this.#running = false;
    this.lineChanged();
  }
  /** ICC_DIR_EL1. */
  deactivate(): void {
    this.setActive(false);
  }

  /** The guest acknowledges a virtual interrupt (ICV_IAR1_EL1). */
  acknowledgeVirtual(virtualId: number): void {
    const found = this.#find(virtualId);
    if (found?.state === 'pending') found.state = 'active';
  }
  /** The guest deactivates a virtual interrupt: with HW=1 that deactivates the physical one. No exit. */
  deactivateVirtual(virtualId: number): void {
    const found = this.#find(virtualId);
    if (found?.state !== 'active') return;
    found.state = 'invalid';
    if (found.physicalId === VTIMER_PPI) this.deactivate();
  }
  #find(virtualId: number): ListRegister | undefined {
    return this.listRegisters.find((each) => each.state !== 'invalid' && each.virtualId === virtualId);
  }

  /** The interrupt is signalled to the CPU from when its line rises, unless it is active, disabled or being handled. */
  lineChanged(): void {
    const { events, now } = this.#cpu;
    if (this.#active || !this.#enabled || this.#running) {
      events.remove(this.#interrupt);
      return;
    }
    const { queued, at } = this.#interrupt;
    if (queued && at <= now && this.#timer.signalled) return;
    const { risesAt } = this.#timer;
    if (risesAt === Infinity) events.remove(this.#interrupt);
    else if (!queued || at !== risesAt) events.insert(this.#interrupt, risesAt);
  }

  /** gic_handle_irq() of Linux for an interrupt that was given to a guest (irq_set_vcpu_affinity): nobody here writes DIR. */
  onEvent(): void {
    const cpu = this.#cpu;
    cpu.charge(COST.gicCpuInterface);
    if (this.acknowledge() === SPURIOUS_INTID) {
      this.retired++;
      this.lineChanged();
      return;
    }
    cpu.charge(COST.gicCpuInterface);
    this.dropPriority();
    if (this.device === null) this.stale++;
    else this.device.onPercpuIrq();
    if (!this.hasActiveState) this.deactivate();
  }
}
