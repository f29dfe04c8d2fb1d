// How the hypervisor reaches the timer of the CPU that it runs on: MRS, MSR and ISB, and the interrupt's state in the
// distributor. Each access is counted and charged; what they mean is the hardware's (host/genericTimer.ts, host/gic.ts).

import type { PhysicalCpu } from '../../host/cpu.ts';
import { CNTV_CTL } from '../../host/genericTimer.ts';
import { ACCESS, TimerAccesses } from './accesses.ts';

export class TimerRegisters {
  readonly accesses = new TimerAccesses();
  readonly #on: { readonly cpu: PhysicalCpu };
  readonly #vhe: boolean;

  /** `on.cpu`: the CPU that the caller runs on. `vhe`: the host is at EL2 already. */
  constructor(on: { readonly cpu: PhysicalCpu }, vhe: boolean) {
    this.#on = on;
    this.#vhe = vhe;
  }

  readCtl(): number {
    return this.#count(ACCESS.reads).vtimer.ctl;
  }
  readCval(): bigint {
    return this.#count(ACCESS.reads).vtimer.cval;
  }
  writeCtl(value: number): void {
    this.#count(ACCESS.writes).vtimer.ctl = value;
  }
  writeCval(value: bigint): void {
    this.#count(ACCESS.writes).vtimer.cval = value;
  }
  writeCntvoff(value: bigint): void {
    this.#count(ACCESS.writes).vtimer.cntvoff = value;
  }
  /** kvm_call_hyp(__kvm_timer_set_cntvoff): CNTVOFF belongs to EL2. */
  callSetCntvoff(value: bigint): void {
    if (!this.#vhe) this.#count(ACCESS.hypCalls);
    this.writeCntvoff(value);
  }
  /** What EL1 may use of counters and timers; a host at EL2 has set that up for good. */
  updateCnthctl(value: number): void {
    if (this.#vhe) return;
    this.#count(ACCESS.reads);
    this.#count(ACCESS.writes).vtimer.cnthctl = value;
  }
  isb(): void {
    this.#count(ACCESS.isbs).vtimer.synchronise();
  }

  /** set_timer_irq_phys_active(): or, where there is no active state, the interrupt is masked instead. */
  setPhysActive(active: boolean): void {
    const { gic } = this.#count(ACCESS.distributorWrites);
    if (gic.hasActiveState) gic.setActive(active);
    else gic.setEnabled(!active);
  }
  /** ICC_DIR_EL1: the interrupt that this CPU took is not handed on. */
  deactivate(): void {
    this.#count(ACCESS.deactivations).gic.deactivate();
  }

  /** The timer's output, by its registers. */
  fires(): boolean {
    const both = CNTV_CTL.ENABLE | CNTV_CTL.ISTATUS;
    return (this.readCtl() & (both | CNTV_CTL.IMASK)) === both;
  }

  #count(access: number): PhysicalCpu {
    const { cpu } = this.#on;
    this.accesses.count(cpu, access);
    return cpu;
  }
}
