// How an x86 guest meets the timer of seed 003: as a TSC deadline that does not exit. Hypothetical: no x86 processor has such a
// timer, or an interrupt controller that deactivates physical interrupts for a guest.
//
// Theory: in TSC-deadline mode the MSR bitmaps let IA32_TSC_DEADLINE through, and what the guest writes goes to the comparator of
// the CPU that it runs on. The interrupt takes KVM's usual way in, through IRR and an injection, for which the list register
// stands in only as the hardware's memory of the link. Its end does not exit either, as long as nothing else in the LAPIC hangs
// on it: then the guest's EOI is the deactivation that the hardware carries over to the physical interrupt. With anything
// else in service or requested, EOI exits as always, and the host deactivates.

import type { PhysicalMsrs } from '../../cpu/microcode/microcode.ts';
import type { PhysicalCpu } from '../../host/cpu.ts';
import { CNTV_CTL } from '../../host/genericTimer.ts';
import type { Hrtimer, HrtimerOwner } from '../../host/hrtimer.ts';
import type { Probes } from '../../trace/probes.ts';
import { MSR, X2APIC_MSR } from '../../x86/names/msrs.ts';
import { localDeliver } from '../lapic/lvt.ts';
import { clearVector, highestVector, NONE } from '../lapic/priority.ts';
import { APIC, LVT } from '../lapic/registers.ts';
import type { Vcpu } from '../vcpu.ts';
import type { ArchTimer } from './archTimer.ts';
import { EntryExitTimer } from './entryExit.ts';
import { LoadPutTimer } from './loadPut.ts';
import type { TimerPolicy, VtimerOwner } from './owner.ts';

const POLICIES = { 'load-put': LoadPutTimer, 'entry-exit': EntryExitTimer } as const;
const MASK = 0xffff_ffff_ffff_ffffn;

export class DirectTimer implements PhysicalMsrs, VtimerOwner {
  readonly timer: ArchTimer;
  /** Writes of the deadline, and ends of interrupts, that did not exit. */
  deadlineWrites = 0;
  directEois = 0;
  readonly #vcpu: Vcpu;
  #deadlineDirect = false;
  #eoiDirect = false;

  constructor(vcpu: Vcpu, policy: TimerPolicy, vhe: boolean) {
    this.#vcpu = vcpu;
    this.timer = new POLICIES[policy](this, { vhe, irqchip: 'kernel' });
    vcpu.guest.physicalMsrs = this;
  }

  /** Before an entry, with interrupts off: what the guest may touch, then the hardware. */
  enter(): void {
    const { lapic } = this.#vcpu;
    const deadline = lapic.hardwareEnabled && lapic.timer.tscDeadlineMode;
    if (deadline !== this.#deadlineDirect) this.#letDeadlineThrough(deadline);
    const eoi = this.timer.irq.active && this.#ownsEoi();
    if (eoi !== this.#eoiDirect) this.#letEoiThrough(eoi);
    this.timer.enter();
  }
  exit(): void {
    this.timer.exit();
  }

  #letDeadlineThrough(direct: boolean): void {
    this.#deadlineDirect = direct;
    const { controls } = this.#vcpu.guest;
    if (direct) controls.allowMsr(MSR.TSC_DEADLINE, 'both');
    else {
      controls.trapMsr(MSR.TSC_DEADLINE, 'both');
      // Leaving TSC-deadline mode disarms (SDM vol. 3, 11.5.4.1).
      this.timer.disarm();
    }
  }

  #letEoiThrough(direct: boolean): void {
    this.#eoiDirect = direct;
    const { controls } = this.#vcpu.guest;
    if (direct) controls.allowMsr(X2APIC_MSR.EOI, 'write');
    else controls.trapMsr(X2APIC_MSR.EOI, 'write');
  }

  /** The next EOI can only be meant for the timer, and lets nobody else in. */
  #ownsEoi(): boolean {
    const { lapic } = this.#vcpu;
    const { regs } = lapic;
    return (
      lapic.x2apic && highestVector(regs, APIC.ISR) === this.timer.irq.vector && highestVector(regs, APIC.IRR) === NONE
    );
  }

  // PhysicalMsrs: guest code, without an exit

  read(index: number): bigint | null {
    if (index !== MSR.TSC_DEADLINE) return null;
    const { ctl, cval } = this.cpu.vtimer;
    return (ctl & CNTV_CTL.ENABLE) !== 0 && this.#vcpu.guest.state.tsc < cval ? cval : 0n;
  }

  write(index: number, value: bigint): boolean | null {
    if (index === MSR.TSC_DEADLINE) {
      const { vtimer } = this.cpu;
      vtimer.cval = value;
      vtimer.ctl = value === 0n ? 0 : CNTV_CTL.ENABLE;
      vtimer.synchronise();
      this.deadlineWrites++;
      return true;
    }
    if (index !== X2APIC_MSR.EOI) return null;
    if (value !== 0n) return false;
    this.cpu.gic.deactivateVirtual(this.timer.irq.vector);
    this.directEois++;
    // There is one end for one interrupt: a second EOI is the host's to judge.
    this.#letEoiThrough(false);
    return true;
  }

  // The LAPIC, as the interrupt controller of the guest

  raise(): number | null {
    const { lapic } = this.#vcpu;
    return localDeliver(lapic, APIC.LVTT) ? lapic.register(APIC.LVTT) & LVT.VECTOR : null;
  }
  withdraw(vector: number): void {
    clearVector(this.#vcpu.lapic.regs, APIC.IRR, vector);
  }
  ended(vector: number): void {
    this.#vcpu.lapic.endedByHardware(vector);
  }

  // The rest of VtimerOwner

  get id(): number {
    return this.#vcpu.id;
  }
  get probes(): Probes {
    return this.#vcpu.probes;
  }
  get cpu(): PhysicalCpu {
    return this.#vcpu.cpu;
  }
  now(): number {
    return this.#vcpu.now();
  }
  guestTsc(): bigint {
    return this.#vcpu.guestTsc();
  }
  cntvoff(): bigint {
    return -this.#vcpu.tsc.offset & MASK;
  }
  hrtimer(owner: HrtimerOwner, kind: string): Hrtimer {
    return this.#vcpu.hrtimer(owner, kind);
  }
  wakeUp(): boolean {
    return this.#vcpu.wakeUp();
  }
}
