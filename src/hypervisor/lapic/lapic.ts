// One local APIC: its registers, who may touch them in which mode, and what a write sets in motion (struct kvm_lapic). What
// interrupts do on their way in is in delivery.ts and accept.ts, the timer in ../timer.ts.

import { highWord, lowWord } from '../../cpu/words.ts';
import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import { KVM_REQ } from '../requests.ts';
import { ApicTimer } from '../timer.ts';
import { mayWriteBase, modeOf, resetBase, type ApicMode } from './base.ts';
import { x2apicLdr } from './destination.ts';
import { InitSipiEvents } from './events.ts';
import { DELIVERY, ICR, ICR_HIGH, ICR_SELF, readX2apicIcr, sendIpi, writeX2apicIcr } from './icr.ts';
import { lvtEntries, lvtValue, maskAllEntries, versionRegister } from './lvt.ts';
import type { LapicOwner } from './owner.ts';
import {
  clearVector,
  deliverableVector,
  highestVector,
  NONE,
  processorPriority,
  setVector,
  testVector,
  type RegisterPage,
} from './priority.ts';
import {
  APIC,
  APIC_REGISTERS,
  DFR,
  offsetOfMsr,
  REGISTER_PAGE,
  registerAt,
  SPIV,
  XAPIC_ID_SHIFT,
  type ApicRegister,
} from './registers.ts';

/** CR8 is TPR bits 7:4. */
const CR8_SHIFT = 4;
const CR8_MAX = 15n;

/** Not usable before its first `reset`, which the vCPU's own reset calls. */
export class Lapic {
  readonly owner: LapicOwner;
  readonly regs: RegisterPage = new Uint32Array(REGISTER_PAGE / 4);
  readonly events: InitSipiEvents;
  readonly timer: ApicTimer;
  /** How often this APIC was chosen by lowest-priority arbitration. */
  arbitrationPriority: Cell<number> = 0;
  /** highest_isr_cache: the vector that the processor took last, while nothing has been ended since; NONE. */
  lastTaken: Cell<number> = NONE;
  #base: Cell<bigint> = 0n;
  #mode: Cell<ApicMode> = 'disabled';

  constructor(owner: LapicOwner) {
    this.owner = owner;
    this.events = new InitSipiEvents(owner);
    this.timer = new ApicTimer(this);
  }

  get mode(): ApicMode {
    return this.#mode;
  }
  get x2apic(): boolean {
    return this.#mode === 'x2apic';
  }
  /** IA32_APIC_BASE.EN. */
  get hardwareEnabled(): boolean {
    return this.#mode !== 'disabled';
  }
  /** SVR[8]. */
  get softwareEnabled(): boolean {
    return (this.register(APIC.SPIV) & SPIV.ENABLED) !== 0;
  }
  get enabled(): boolean {
    return this.hardwareEnabled && this.softwareEnabled;
  }
  get x2apicId(): number {
    return this.owner.id;
  }
  get xapicId(): number {
    return this.register(APIC.ID) >>> XAPIC_ID_SHIFT;
  }

  /** A register's stored value, unsigned; no access rules and no side effects: kvm_lapic_get_reg(). */
  register(offset: number): number {
    return this.regs[offset >> 2]!;
  }
  /** kvm_lapic_set_reg(). */
  setRegister(offset: number, value: number): void {
    this.regs[offset >> 2] = value;
  }

  /** RDMSR of 0x800 to 0x8ff; null is #GP. */
  readMsr(index: number): bigint | null {
    if (!this.x2apic) return null;
    const offset = offsetOfMsr(index);
    if (offset === APIC.ICR) return readX2apicIcr(this);
    const value = this.readRegister(offset);
    return value === null ? null : BigInt(value);
  }

  /** WRMSR of 0x800 to 0x8ff; false is #GP. Only the ICR has 64 bits. */
  writeMsr(index: number, value: bigint): boolean {
    return this.writeMsrWords(index, lowWord(value), highWord(value));
  }

  /** The same for EDX:EAX as they stand: these writes are frequent, and most fit the low half. */
  writeMsrWords(index: number, low: number, high: number): boolean {
    if (!this.x2apic) return false;
    const offset = offsetOfMsr(index);
    if (offset === APIC.ICR) return writeX2apicIcr(this, low, high);
    return high === 0 && this.writeRegister(offset, low);
  }

  /** kvm_lapic_reg_read(): reads the register at an offset that is a multiple of 16; null where it cannot be read in this mode. */
  readRegister(offset: number): number | null {
    const register = registerAt(offset);
    if (register === undefined || !this.#offers(register) || !this.#mayRead(register)) return null;
    if (offset === APIC.PROCPRI) this.updatePpr();
    const value = offset === APIC.TMCCT ? this.timer.currentCount() : this.register(offset);
    this.#trace(false, offset, value);
    return value;
  }

  /** kvm_lapic_reg_write(): false where it cannot be written in this mode, or not with this value. */
  writeRegister(offset: number, value: number): boolean {
    this.#trace(true, offset, value);
    const register = registerAt(offset);
    if (register === undefined || !this.#offers(register) || !this.#mayWrite(register)) return false;
    const reserved = register.effect === 'eoi' && this.owner.vm.quirks.eoiIgnoresValue ? 0 : register.reserved;
    if (this.x2apic && (value & reserved) !== 0) return false;
    this.#apply(register, value);
    return true;
  }

  get base(): bigint {
    return this.#base;
  }

  /** WRMSR of IA32_APIC_BASE; false is #GP. `hostInitiated`: the VMM restores a vCPU, no change of mode is illegal. */
  writeBase(value: bigint, hostInitiated = false): boolean {
    if (!mayWriteBase(this.#base, value, this.owner.features, hostInitiated)) return false;
    this.#setBase(value);
    return true;
  }

  /** CR8, the task priority by class. */
  get cr8(): number {
    return (this.register(APIC.TASKPRI) & 0xf0) >> CR8_SHIFT;
  }
  /** MOV to CR8; false is #GP. */
  writeCr8(value: bigint): boolean {
    if (value > CR8_MAX) return false;
    this.#setTaskPriority(Number(value) << CR8_SHIFT);
    return true;
  }

  /** The vector that the processor would take now; NONE (-1) when there is none: kvm_apic_has_interrupt(). */
  pendingInterrupt(): number {
    if (!this.hardwareEnabled) return NONE;
    if (this.owner.apicv !== null) this.owner.apicv.syncPirToIrr();
    const ppr = processorPriority(this.regs);
    this.setRegister(APIC.PROCPRI, ppr);
    return deliverableVector(this.regs, ppr);
  }

  /** The processor takes a vector: from IRR to ISR (kvm_apic_ack_interrupt). */
  acknowledge(vector: number): void {
    clearVector(this.regs, APIC.IRR, vector);
    setVector(this.regs, APIC.ISR, vector);
    this.lastTaken = vector;
    if (this.owner.apicv !== null) this.owner.apicv.hwapicIsrUpdate();
    this.setRegister(APIC.PROCPRI, processorPriority(this.regs));
    this.owner.directDeadline?.acknowledge(vector);
  }

  /** Puts a vector into IRR and tells the vCPU: the deliver_interrupt hook of a vCPU without APIC virtualisation. */
  deliverInterrupt(vector: number): void {
    setVector(this.regs, APIC.IRR, vector);
    this.owner.requests.make(KVM_REQ.EVENT);
    this.owner.kick();
  }

  /** Power-on reset, or INIT, which keeps IA32_APIC_BASE and the id: kvm_lapic_reset(). */
  reset(init: boolean): void {
    const { owner } = this;
    const bsp = owner.id === owner.vm.bspId;
    if (!init) this.#setBase(resetBase(bsp));
    const { x2apicId, xapicId } = this;
    for (const row of APIC_REGISTERS) this.setRegister(row.offset, this.#offers(row) ? row.reset : 0);
    this.setRegister(ICR_HIGH, 0);
    this.setRegister(APIC.LVR, versionRegister(this));
    if (bsp && owner.vm.quirks.lint0Reenabled) this.setRegister(APIC.LVT0, DELIVERY.EXTINT << ICR.MODE_SHIFT);
    if (this.x2apic) this.#setX2apicId(x2apicId);
    else this.#setXapicId(init ? xapicId : x2apicId);
    owner.apicv?.stateRestored();
    this.timer.reset();
    this.lastTaken = NONE;
    this.arbitrationPriority = 0;
    owner.vm.apicMap.markDirty();
  }

  /** The whole page was replaced: derived state follows (kvm_apic_set_state). */
  registersReplaced(): void {
    if (this.x2apic) this.#setX2apicId(this.x2apicId);
    this.setRegister(APIC.LVR, versionRegister(this));
    this.setRegister(APIC.PROCPRI, processorPriority(this.regs));
    this.lastTaken = NONE;
    this.owner.vm.apicMap.markDirty();
    this.owner.apicv?.stateRestored();
    this.timer.restored();
    this.owner.requests.make(KVM_REQ.EVENT);
  }

  transfer(fields: SavedFields): void {
    this.#base = fields.value('base', this.#base);
    this.#mode = fields.value('mode', this.#mode);
    fields.elements('registers', this.regs);
    fields.own<Lapic>(this, 'arbitrationPriority', 'lastTaken');
    this.events.transfer(fields.part('initSipi'));
    this.timer.transfer(fields.part('timer'));
    if (fields.restoring) this.owner.vm.apicMap.restored();
  }

  #mayRead({ reads }: ApicRegister): boolean {
    return this.x2apic ? reads.x2apic : reads.xapic;
  }
  #mayWrite({ writes }: ApicRegister): boolean {
    return this.x2apic ? writes.x2apic : writes.xapic;
  }

  /** The seventh LVT entry exists only where CPUID's machine-check banks have it. */
  #offers({ name, offset }: ApicRegister): boolean {
    return name !== 'LVTCMCI' || lvtEntries(this).includes(offset);
  }

  #apply({ offset, effect, keeps }: ApicRegister, written: number): void {
    const value = written & keeps;
    switch (effect) {
      case 'ignore':
        return;
      case 'store':
        this.setRegister(offset, value);
        return;
      case 'id':
        this.setRegister(offset, value);
        this.owner.vm.apicMap.markDirty();
        return;
      case 'taskPriority':
        this.#setTaskPriority(value);
        return;
      case 'eoi':
        this.endOfInterrupt();
        return;
      case 'ldr':
        this.setRegister(offset, value);
        this.owner.vm.apicMap.markDirty();
        return;
      case 'dfr':
        this.setRegister(offset, value | DFR.ONES);
        this.owner.vm.apicMap.markDirty();
        return;
      case 'spiv':
        this.#setSpiv(value);
        return;
      case 'icr':
        // xAPIC only: in x2APIC mode the ICR is one 64-bit write.
        sendIpi(this, value, this.register(APIC.ICR2));
        this.setRegister(offset, value);
        return;
      case 'lvt':
        this.setRegister(offset, lvtValue(this, offset, written, keeps));
        return;
      case 'lvtTimer':
        this.setRegister(offset, lvtValue(this, offset, written, keeps));
        this.timer.updateLvtt();
        return;
      case 'initialCount':
        this.timer.writeInitialCount(value);
        return;
      case 'divide':
        this.setRegister(offset, value);
        this.timer.updateDivide();
        return;
      case 'selfIpi':
        sendIpi(this, ICR_SELF | value, 0);
        return;
      default:
        effect satisfies never;
    }
  }

  #setTaskPriority(value: number): void {
    this.setRegister(APIC.TASKPRI, value);
    this.updatePpr();
  }

  /** apic_update_ppr(): when the priority falls below a requested vector, the vCPU must look. */
  updatePpr(): void {
    const old = this.register(APIC.PROCPRI);
    const ppr = processorPriority(this.regs);
    this.setRegister(APIC.PROCPRI, ppr);
    if (ppr < old && deliverableVector(this.regs, ppr) !== NONE) this.owner.requests.make(KVM_REQ.EVENT);
  }

  /** apic_set_eoi(): ends the highest interrupt in service; NONE when there is none. */
  endOfInterrupt(): number {
    const { owner } = this;
    const vector = highestVector(this.regs, APIC.ISR);
    if (owner.probes.active) owner.probes.fire('kvm_eoi', { apicId: owner.id, vector }, owner.now());
    if (vector === NONE) return vector;
    this.endedByHardware(vector);
    owner.directDeadline?.endOfInterrupt(vector);
    this.#broadcastEoi(vector);
    owner.requests.make(KVM_REQ.EVENT);
    return vector;
  }

  /** An interrupt in service has ended; the processor has done so, or the host does. */
  endedByHardware(vector: number): void {
    clearVector(this.regs, APIC.ISR, vector);
    this.lastTaken = NONE;
    if (this.owner.apicv !== null) this.owner.apicv.hwapicIsrUpdate();
    this.updatePpr();
  }

  /** kvm_apic_set_eoi_accelerated(): the processor has ended an interrupt that an IOAPIC may have sent. */
  endOfInterruptAccelerated(vector: number): void {
    const { owner } = this;
    if (owner.probes.active) owner.probes.fire('kvm_eoi', { apicId: owner.id, vector }, owner.now());
    this.#broadcastEoi(vector);
    owner.requests.make(KVM_REQ.EVENT);
  }

  /** kvm_ioapic_send_eoi(). */
  #broadcastEoi(vector: number): void {
    if ((this.register(APIC.SPIV) & SPIV.DIRECTED_EOI) === 0) {
      this.owner.vm.ioapicEoi(this, vector, testVector(this.regs, APIC.TMR, vector));
    }
  }

  #setSpiv(value: number): void {
    const enabled = this.softwareEnabled;
    this.setRegister(APIC.SPIV, this.owner.vm.quirks.directedEoi ? value : value & ~SPIV.DIRECTED_EOI);
    if (enabled !== this.softwareEnabled) this.owner.vm.apicMap.markDirty();
    if (this.softwareEnabled) {
      this.owner.lapicEnabled();
      return;
    }
    maskAllEntries(this);
    this.timer.updateLvtt();
    this.timer.pending = 0;
  }

  /** kvm_lapic_set_base(): the ids follow the mode. */
  #setBase(value: bigint): void {
    const old = this.#mode;
    this.#base = value;
    this.#mode = modeOf(value);
    this.owner.apicBaseChanged(value);
    if (this.#mode === old) return;
    this.owner.vm.apicMap.markDirty();
    if (old === 'disabled' && !this.owner.vm.quirks.disabledKeepsState) this.reset(true);
    // Nothing can be armed through a disabled APIC, so nothing may look armed.
    if (this.#mode === 'disabled') this.timer.lazy.clear('mode');
    if (this.#mode === 'x2apic') this.#setX2apicId(this.x2apicId);
    else if (this.#mode === 'xapic') this.#setXapicId(this.x2apicId);
  }

  #setXapicId(id: number): void {
    this.setRegister(APIC.ID, (id & 0xff) << XAPIC_ID_SHIFT);
  }

  #setX2apicId(id: number): void {
    this.setRegister(APIC.ID, id);
    this.setRegister(APIC.LDR, x2apicLdr(id));
  }

  #trace(write: boolean, register: number, value: number): void {
    const { probes, id } = this.owner;
    if (!probes.active) return;
    probes.fire('kvm_apic', { vcpu: id, write, register, value: BigInt(value >>> 0) }, this.owner.now());
  }
}
