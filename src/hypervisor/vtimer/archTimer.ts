// A vCPU's virtual timer on the hardware of seed 003: what both policies of ownership share (struct arch_timer_context; Linux
// 4.19 virt/kvm/arm/arch_timer.c). The policies are loadPut.ts and entryExit.ts.
//
// Theory: the guest programs the physical CPU's own timer, without an exit, so its registers have to be in the hardware while
// the guest runs and in memory while somebody else may be there. `loaded` says which of both is the truth; whatever saves or
// restores looks at it first, so it may be called from as many places as like to. While the vCPU blocks, an hrtimer of the host
// stands in for the hardware. When the hardware fires, its physical interrupt is handed to the guest as a virtual one that is
// linked to it (mappedIrq.ts). On x86 the timer is the TSC deadline: CVAL is its value, ENABLE says that there is one, and
// delivery disarms it, as x86 processors do; an ARM guest does that in its handler.

import type { Cell } from '../../host/cells.ts';
import type { PhysicalCpu } from '../../host/cpu.ts';
import { CNTV_CTL } from '../../host/genericTimer.ts';
import { VTIMER_PPI, type PercpuDevice } from '../../host/gic.ts';
import type { Hrtimer, HrtimerOwner, HrtimerRestart } from '../../host/hrtimer.ts';
import type { LapicHrtimer } from '../lapic/owner.ts';
import { OPERATION, type TimerAccesses } from './accesses.ts';
import { MappedIrq } from './mappedIrq.ts';
import type { VtimerOwner, VtimerParams } from './owner.ts';
import { TimerRegisters } from './registers.ts';

/** arch_timer_ctx_index of the virtual timer, for traces. */
const TIMER_VTIMER = 0;

export abstract class ArchTimer implements HrtimerOwner, PercpuDevice {
  readonly owner: VtimerOwner;
  readonly irq: MappedIrq;
  /** The registers in the hardware are the truth; else `cntCtl` and `cntCval` are. */
  loaded: Cell<boolean> = false;
  cntCtl: Cell<number> = 0;
  cntCval: Cell<bigint> = 0n;
  /** irq.level: what the guest's interrupt controller was told last. */
  level: Cell<boolean> = false;
  /** How often the timer was found to have expired. */
  expiries = 0;
  /** Interrupts whose cause was gone when the handler looked, and those that a policy does not expect at all. */
  spurious = 0;
  unexpected = 0;
  protected readonly params: VtimerParams;
  protected readonly regs: TimerRegisters;
  readonly #background: LapicHrtimer;

  constructor(owner: VtimerOwner, params: VtimerParams) {
    this.owner = owner;
    this.params = params;
    this.irq = new MappedIrq(owner);
    this.regs = new TimerRegisters(owner, params.vhe);
    this.#background = owner.hrtimer(this, 'background timer');
  }

  get name(): string {
    return `vcpu ${this.owner.id}`;
  }
  get accesses(): TimerAccesses {
    return this.regs.accesses;
  }
  /** The CPU that the vCPU is loaded on, or was last. */
  protected get cpu(): PhysicalCpu {
    return this.owner.cpu;
  }
  protected get userspaceIrqchip(): boolean {
    return this.params.irqchip === 'userspace';
  }

  // What a policy decides

  /** kvm_timer_vcpu_load(): the vCPU's thread has got the CPU `owner.cpu`. Preemption is off. */
  abstract load(): void;
  /** kvm_timer_vcpu_put(): it is about to lose it, or to return to userspace. Preemption is off. */
  abstract put(): void;
  /** kvm_timer_schedule(): the vCPU is about to block. */
  abstract schedule(): void;
  /** kvm_timer_unschedule(): it has stopped blocking. */
  abstract unschedule(): void;
  /** kvm_timer_flush_hwstate(): before events are injected and the vCPU is entered. */
  abstract flushHwstate(): void;
  /** The last things before an entry, the first after an exit. Interrupts are off. */
  abstract enter(): void;
  abstract exit(): void;
  /** kvm_arch_timer_handler(): the timer's physical interrupt, while this vCPU is loaded. */
  abstract onPercpuIrq(): void;

  // State

  /** kvm_timer_should_fire(): by the registers while they are loaded, else by what is saved. */
  shouldFire(): boolean {
    if (this.loaded) return this.regs.fires();
    return this.#canFire() && this.owner.guestTsc() >= this.cntCval;
  }
  /** kvm_timer_irq_can_fire(), of the saved state. */
  #canFire(): boolean {
    return (this.cntCtl & (CNTV_CTL.ENABLE | CNTV_CTL.IMASK)) === CNTV_CTL.ENABLE;
  }

  /** kvm_cpu_has_pending_timer(): no time to block, the deadline has passed. A timer that is loaded says so by its interrupt. */
  hasPendingTimer(): boolean {
    return !this.loaded && !this.irq.mapIsActive && this.shouldFire();
  }

  /** Position at which `hasPendingTimer` becomes true by itself; Infinity: it does not. Whoever polls looks again there. */
  get pendsAt(): number {
    return this.loaded || this.irq.mapIsActive || !this.#canFire() ? Infinity : this.#expiry();
  }

  /** For userspace (KVM_GET_ONE_REG, KVM_GET_MSRS): the deadline, as long as its interrupt was not taken; 0: none. */
  get deadline(): bigint {
    const { vtimer } = this.cpu;
    const ctl = this.loaded ? vtimer.ctl : this.cntCtl;
    if ((ctl & CNTV_CTL.ENABLE) === 0) return 0n;
    return this.loaded ? vtimer.cval : this.cntCval;
  }
  /** KVM_SET_ONE_REG, KVM_SET_MSRS: what is loaded is saved, changed and restored. */
  setDeadline(value: bigint): void {
    const loaded = this.loaded;
    const outer = this.accesses.begin(OPERATION.emulation);
    if (loaded) this.save();
    this.cntCval = value;
    this.cntCtl = value === 0n ? 0 : CNTV_CTL.ENABLE;
    if (loaded) this.restore();
    this.accesses.end(outer);
  }

  /** The guest's counter was moved against the host's. */
  counterMoved(): void {
    if (!this.loaded) return;
    const outer = this.accesses.begin(OPERATION.emulation);
    this.regs.callSetCntvoff(this.owner.cntvoff());
    this.accesses.end(outer);
  }

  // Both directions

  /** The registers go to memory, and the hardware falls silent. */
  protected saveRegisters(): void {
    this.cntCtl = this.regs.readCtl() & ~CNTV_CTL.ISTATUS;
    this.cntCval = this.regs.readCval();
    this.regs.writeCtl(0);
    this.loaded = false;
    const { probes } = this.owner;
    if (probes.active) probes.fire('kvm_timer_save_state', this.#traced(), this.owner.now());
  }
  protected restoreRegisters(): void {
    this.regs.writeCval(this.cntCval);
    this.regs.isb();
    this.regs.writeCtl(this.cntCtl);
    this.loaded = true;
    const { probes } = this.owner;
    if (probes.active) probes.fire('kvm_timer_restore_state', this.#traced(), this.owner.now());
  }
  #traced() {
    return { ctl: this.cntCtl, cval: this.cntCval, index: TIMER_VTIMER };
  }

  /** timer_save_state(): afterwards memory is the truth. No more than a look when it is already. */
  protected save(): void {
    const { cpu } = this;
    const irqs = cpu.localIrqSave();
    if (this.loaded) {
      this.saveRegisters();
      // Or interrupts could be on again before the timer is off.
      this.regs.isb();
    }
    cpu.localIrqRestore(irqs);
  }
  /** timer_restore_state(): afterwards the hardware is the truth. What is due by then interrupts at the end. */
  protected restore(): void {
    const { cpu } = this;
    const irqs = cpu.localIrqSave();
    if (!this.loaded) this.restoreRegisters();
    cpu.localIrqRestore(irqs);
  }

  // Interrupts

  /** kvm_timer_update_irq(). */
  protected updateIrq(level: boolean): void {
    this.level = level;
    if (level) this.expiries++;
    const { probes, id } = this.owner;
    if (probes.active) probes.fire('kvm_timer_update_irq', { vcpu: id, irq: VTIMER_PPI, level }, this.owner.now());
    if (this.userspaceIrqchip || this.irq.inject(level)) return;
    // The guest has masked the interrupt in its LVT: on x86 a deadline that passes then is over and done with.
    this.disarm();
    this.regs.deactivate();
  }

  /** The guest takes an interrupt. If it is the timer's, its deadline is history: x86's timer fires once. */
  acknowledge(vector: number): void {
    if (this.irq.acknowledge(vector)) this.disarm();
  }
  /** The guest ends an interrupt by way of the host, which then has to end the physical one. */
  endOfInterrupt(vector: number): void {
    if (!this.irq.deactivate(vector)) return;
    const outer = this.accesses.begin(OPERATION.emulation);
    this.regs.deactivate();
    this.accesses.end(outer);
  }

  /** What the processor does by itself: the deadline is taken back, wherever it stands. */
  disarm(): void {
    this.level = false;
    if (this.loaded) {
      const { vtimer } = this.cpu;
      vtimer.ctl = 0;
      vtimer.synchronise();
    } else this.cntCtl = 0;
  }

  /** What the guest is going to find in its list register. */
  protected populateListRegister(): void {
    this.irq.populate(this.cpu.gic.listRegisters[0]!);
  }
  /** What it left there. True when the interrupt is still pending, so that its line must be looked at. */
  protected foldListRegister(): boolean {
    return this.irq.fold(this.cpu.gic.listRegisters[0]!);
  }

  /** The guest's interrupt controller was restored: the timer's vector is linked again if it is found there. */
  restored(vector: number, pending: boolean, active: boolean): void {
    this.irq.restore(vector, pending, active);
  }

  /** Power-on or INIT: no deadline, no interrupt. */
  reset(): void {
    this.disarm();
    this.irq.reset();
    if (this.loaded) this.cpu.gic.setActive(false);
  }
  /** The VM is gone: nothing fires any more, here or on the hardware. */
  free(): void {
    this.reset();
    this.loaded = false;
    this.#background.cancel();
    if (this.cpu.gic.device === this) this.cpu.gic.device = null;
  }

  // The background timer

  /** Blocks with a deadline ahead: an hrtimer of the host wakes the vCPU then. None when it need not, or must not, sleep. */
  protected armBackground(): void {
    if (!this.#canFire() || this.shouldFire()) return;
    this.#background.start(this.#expiry());
  }
  protected cancelBackground(): void {
    this.#background.cancel();
  }
  get backgroundArmed(): boolean {
    return this.#background.queued;
  }

  /** Position of the saved deadline; it is ahead. */
  #expiry(): number {
    const remaining = Number(this.cntCval - this.owner.guestTsc());
    return Math.min(this.owner.now() + Math.max(remaining, 0), Number.MAX_SAFE_INTEGER);
  }

  /** kvm_bg_timer_expire(). */
  onHrtimer(timer: Hrtimer | LapicHrtimer): HrtimerRestart {
    const { probes } = this.owner;
    if (probes.active) probes.fire('kvm_timer_hrtimer_expire', { index: TIMER_VTIMER }, this.owner.now());
    // The guest's counter may have been moved meanwhile.
    if (!this.loaded && this.#canFire() && this.owner.guestTsc() < this.cntCval) {
      timer.expires = this.#expiry();
      return 'restart';
    }
    this.owner.wakeUp();
    return 'norestart';
  }
}
