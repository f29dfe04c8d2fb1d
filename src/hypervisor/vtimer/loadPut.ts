// Timer ownership by load and put, by block and unblock (seed 003: Linux commit b103cc3f10, November 2017, with its fixups). Entry
// and exit touch nothing.
//
// Theory: the registers stay in the hardware from load to put, exits or not: the timer is able to say by itself that it has
// expired, by its interrupt. The host's handler leaves the timer alone; it tells the guest's interrupt controller, and the
// physical interrupt stays active until the guest has dealt with its own, so that it does not come again in between. Since that
// state belongs to the CPU, load brings it along. A vCPU that blocks saves its registers for the background timer, but it
// need not lose the CPU after that, and losing the CPU needs no blocking: so all four ways save and restore, and
// `loaded` makes the second one in a row do nothing.

import { ArchTimer } from './archTimer.ts';
import { OPERATION } from './accesses.ts';

export class LoadPutTimer extends ArchTimer {
  override load(): void {
    const outer = this.accesses.begin(OPERATION.load);
    this.regs.setPhysActive(this.userspaceIrqchip ? this.level : this.irq.mapIsActive);
    this.regs.callSetCntvoff(this.owner.cntvoff());
    this.cpu.gic.device = this;
    this.restore();
    this.accesses.end(outer);
  }

  override put(): void {
    const outer = this.accesses.begin(OPERATION.put);
    this.save();
    // A host at EL2 has a virtual counter of its own, without offset.
    if (!this.params.vhe) this.regs.callSetCntvoff(0n);
    this.cpu.gic.device = null;
    this.accesses.end(outer);
  }

  override schedule(): void {
    const outer = this.accesses.begin(OPERATION.schedule);
    this.save();
    this.armBackground();
    this.accesses.end(outer);
  }

  override unschedule(): void {
    const outer = this.accesses.begin(OPERATION.unschedule);
    this.restore();
    this.cancelBackground();
    this.accesses.end(outer);
  }

  override flushHwstate(): void {}

  override enter(): void {
    const outer = this.accesses.begin(OPERATION.entry);
    this.populateListRegister();
    this.accesses.end(outer);
  }

  override exit(): void {
    const outer = this.accesses.begin(OPERATION.exit);
    // kvm_timer_sync_hwstate(); with a controller in the kernel, vgic_get_phys_line_level().
    const lookAtLine = this.userspaceIrqchip ? this.level : this.foldListRegister();
    if (lookAtLine && !this.shouldFire()) {
      this.updateIrq(false);
      this.regs.setPhysActive(false);
    }
    this.accesses.end(outer);
  }

  override onPercpuIrq(): void {
    const outer = this.accesses.begin(OPERATION.interrupt);
    if (this.shouldFire()) {
      this.updateIrq(true);
      // Nothing else keeps the interrupt from coming again.
      if (this.userspaceIrqchip && !this.cpu.gic.hasActiveState) this.regs.setPhysActive(true);
    } else {
      this.spurious++;
      // Linux leaves it active until the next load; a vCPU that stays loaded would miss its next expiry.
      this.regs.deactivate();
    }
    this.accesses.end(outer);
  }

  /** run->s.regs.device_irq_level: what userspace's interrupt controller knows. */
  #reported = false;
  /** kvm_timer_should_notify_user(): KVM_RUN has to return, since the timer's level has changed. */
  shouldNotifyUser(): boolean {
    return this.userspaceIrqchip && this.level !== this.#reported;
  }
  /** kvm_timer_update_run(): userspace is told the level. */
  updateRun(): boolean {
    this.#reported = this.level;
    return this.level;
  }
}
