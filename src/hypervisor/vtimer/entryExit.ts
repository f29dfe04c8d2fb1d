// The policy before seed 003: the timer's registers are saved on each exit and restored on each entry, and the host looks
// itself whether the timer has expired (Linux 4.14 virt/kvm/arm/arch_timer.c, hyp/timer-sr.c).
//
// Theory: while the host runs the timer is off, so its interrupt can do no more than end guest mode; the host's handler
// expects none. The expiry is computed from what was saved. As the interrupt never becomes active by itself, its active state
// is written before each entry, which is dear: hence the one case of "it was clear and stays clear" is remembered. A set bit
// cannot be remembered: the guest's deactivation clears it.

import { ArchTimer } from './archTimer.ts';
import { OPERATION } from './accesses.ts';

/** CNTHCTL_EL2.{EL1PCTEN, EL1PCEN}: with them EL1 uses the physical counter and timer untrapped, which a guest must not. */
const CNTHCTL = { HOST: 3, GUEST: 1 } as const;

export class EntryExitTimer extends ArchTimer {
  /** active_cleared_last. */
  #activeClearedLast = false;

  override load(): void {
    const outer = this.accesses.begin(OPERATION.load);
    this.cpu.gic.device = this;
    this.accesses.end(outer);
  }

  override put(): void {
    const outer = this.accesses.begin(OPERATION.put);
    // Another vCPU may leave the interrupt active.
    this.#activeClearedLast = false;
    this.cpu.gic.device = null;
    this.accesses.end(outer);
  }

  override schedule(): void {
    const outer = this.accesses.begin(OPERATION.schedule);
    this.armBackground();
    this.accesses.end(outer);
  }

  override unschedule(): void {
    const outer = this.accesses.begin(OPERATION.unschedule);
    this.cancelBackground();
    this.accesses.end(outer);
  }

  override flushHwstate(): void {
    this.#updateState();
  }

  override enter(): void {
    const outer = this.accesses.begin(OPERATION.entry);
    const active = this.level || this.irq.mapIsActive;
    if (active || !this.#activeClearedLast) {
      this.regs.setPhysActive(active);
      this.#activeClearedLast = !active;
    }
    this.populateListRegister();
    this.regs.updateCnthctl(CNTHCTL.GUEST);
    this.regs.writeCntvoff(this.owner.cntvoff());
    this.restoreRegisters();
    this.accesses.end(outer);
  }

  override exit(): void {
    const outer = this.accesses.begin(OPERATION.exit);
    this.saveRegisters();
    this.regs.updateCnthctl(CNTHCTL.HOST);
    this.regs.writeCntvoff(0n);
    // The return from EL2 code to the host's own context.
    this.cpu.vtimer.synchronise();
    this.foldListRegister();
    this.#updateState();
    this.accesses.end(outer);
  }

  override onPercpuIrq(): void {
    const outer = this.accesses.begin(OPERATION.interrupt);
    this.unexpected++;
    this.regs.deactivate();
    this.accesses.end(outer);
  }

  /** kvm_timer_update_state(): by what is saved. */
  #updateState(): void {
    const fires = this.shouldFire();
    if (fires !== this.level) this.updateIrq(fires);
  }
}
