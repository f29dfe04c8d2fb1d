// The IOAPIC: 24 pins, each with an entry that says which message it sends to the LAPICs (82093AA data sheet; Linux
// arch/x86/kvm/ioapic.c). It is version 0x11, so there is no EOI register: the LAPICs' broadcasts end interrupts.
//
// Theory: an edge sends its message once, and is lost while the pin is masked. A level sends its message and sets Remote IRR,
// which keeps the pin quiet until a LAPIC has ended the vector; is the line still high then, the message is sent again. A guest
// that never quiets its device would do nothing else: after 10 000 rounds the next one is put off by 10 ms. With APIC
// virtualisation the processor ends interrupts without an exit, so each vCPU has a set of vectors whose end must exit; it is
// computed again when an entry or an APIC id has changed (KVM_REQ_SCAN_IOAPIC).

import type { Cell, Cells } from '../../host/cells.ts';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../../host/hrtimer.ts';
import type { MmioDevice } from '../bus/mmio.ts';
import { deliverToApics } from '../lapic/delivery.ts';
import { matchesDestination } from '../lapic/destination.ts';
import { DELIVERY } from '../lapic/icr.ts';
import type { Lapic } from '../lapic/lapic.ts';
import { microsecondsToCycles } from '../lapic/busClock.ts';
import { testVector } from '../lapic/priority.ts';
import { APIC, SPIV } from '../lapic/registers.ts';
import { KVM_REQ } from '../requests.ts';
import { VCPU_MODE, type Vcpu } from '../vcpu.ts';
import type { Vm } from '../vm.ts';
import { messageOf, REDIRECTION } from './redirection.ts';
import { GSI_COUNT, IRQCHIP } from './routing.ts';

export const IOAPIC_BASE = 0xfec00000;
const LENGTH = 0x100;
/** Offsets of the window, and registers behind it. */
export const IOAPIC_OFFSET = { SELECT: 0x00, WINDOW: 0x10 } as const;
export const IOAPIC_REGISTER = { ID: 0x00, VERSION: 0x01, ARBITRATION: 0x02, TABLE: 0x10 } as const;

const PINS = GSI_COUNT;
const VERSION = 0x11;
const MAX_ENTRY_SHIFT = 16;
const ID_SHIFT = 24;
const ID_MASK = 0xf;
/** Written by nobody but the IOAPIC. */
const READ_ONLY = REDIRECTION.REMOTE_IRR | REDIRECTION.DELIVERY_STATUS;
/** The pin whose interrupts userspace wants counted. */
const RTC_PIN = 8;
/** IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT, and how long the next one waits then: HZ / 100. */
const SUCCESSIVE_MAX = 10_000;
const STORM_DELAY_US = 10_000;
const WORD = 4;
const ALL_ONES = 0xffffffff;

/** A register of the MMIO page; an access of any size sees its low bytes. */
interface IoapicRegister {
  readonly name: string;
  read(): number;
  write(value: number): void;
}

export interface IoapicState {
  readonly id: number;
  readonly ioregsel: number;
  /** Lines that are high, and edges that were masked: one bit each. */
  readonly irr: number;
  readonly irrDelivered: number;
  /** Each entry's 64 bits. */
  readonly redirtbl: readonly bigint[];
  /** Rounds of each pin's storm. */
  readonly irqEoi: readonly number[];
  /** Host position at which a storm goes on; null: there is none. */
  readonly eoiInjectAt: number | null;
  readonly rtcPending: readonly { readonly vcpu: number; readonly vector: number }[];
}

export class Ioapic implements MmioDevice, HrtimerOwner {
  readonly name = 'IOAPIC';
  readonly gpa = IOAPIC_BASE;
  readonly length = LENGTH;
  readonly registers: ReadonlyMap<number, IoapicRegister>;
  #id: Cell<number> = 0;
  /** The register that the window shows. */
  #select: Cell<number> = 0;
  #irr: Cell<number> = 0;
  /** Edges whose message was sent: their bit in IRR says no more than that the line is high. */
  #irrDelivered: Cell<number> = 0;
  readonly #low: Cells<Uint32Array> = new Uint32Array(PINS).fill(REDIRECTION.MASKED);
  readonly #high: Cells<Uint32Array> = new Uint32Array(PINS);
  readonly #irqEoi: Cells<Uint16Array> = new Uint16Array(PINS);
  /** LAPICs, by vcpu_id, that have not ended the RTC's interrupt, and the vector that they got. */
  readonly #rtcPending: Cells<Map<number, number>> = new Map();
  readonly #storm: Hrtimer;
  readonly #vm: Vm;

  constructor(vm: Vm) {
    this.#vm = vm;
    this.#storm = new Hrtimer(vm.host, this, 'EOI storm', 'soft', false);
    this.registers = new Map([
      [IOAPIC_OFFSET.SELECT, { name: 'IOREGSEL', read: () => this.#select, write: (value) => void (this.#select = value & 0xff) }],
      [IOAPIC_OFFSET.WINDOW, { name: 'IOWIN', read: () => this.#readSelected(), write: (value) => this.#writeSelected(value) }],
    ]); // prettier-ignore
  }

  /** ioapic_mmio_read(): what is no register reads as 0. */
  read(offset: number, size: number): bigint {
    const value = this.registers.get(offset)?.read() ?? 0;
    return BigInt(size < WORD ? value % 2 ** (8 * size) : value);
  }

  /** ioapic_mmio_write(): of eight bytes the lower four count. */
  write(offset: number, _size: number, value: bigint): void {
    this.registers.get(offset)?.write(Number(BigInt.asUintN(32, value)));
  }

  /** kvm_ioapic_set_irq(): drives a pin. */
  setIrq(pin: number, level: boolean, lineStatus: boolean): number {
    const answer = this.#setLine(pin, level, lineStatus);
    const { probes, host } = this.#vm;
    if (probes.active) {
      probes.fire('kvm_ioapic_set_irq', { entry: this.#bits(pin), pin, coalesced: answer === 0 }, host.thisCpu.now);
    }
    return answer;
  }

  /** kvm_ioapic_update_eoi(): a LAPIC has ended a vector. `levelTriggered`: it came as a level. */
  updateEoi(lapic: Lapic, vector: number, levelTriggered: boolean): void {
    if (this.#rtcPending.get(lapic.owner.id) === vector) this.#rtcPending.delete(lapic.owner.id);
    const directed = (lapic.register(APIC.SPIV) & SPIV.DIRECTED_EOI) !== 0;
    for (let pin = 0; pin < PINS; pin++) {
      if ((this.#low[pin]! & REDIRECTION.VECTOR) !== vector) continue;
      this.#vm.irqs.acked(IRQCHIP.IOAPIC, pin);
      if (levelTriggered && !directed) this.#levelEnded(pin);
    }
  }

  /** kvm_ioapic_scan_entry(): computes the vectors whose end this vCPU must tell. */
  scan(vcpu: Vcpu): void {
    const { lapic, ioapicVectors: vectors } = vcpu;
    vectors.clear();
    const rtc = this.#rtcPending.get(vcpu.id);
    if (rtc !== undefined) vectors.add(rtc);
    for (let pin = 0; pin < PINS; pin++) {
      const low = this.#low[pin]!;
      const level = (low & REDIRECTION.LEVEL_TRIGGER) !== 0;
      if (!level && pin !== RTC_PIN && !this.#vm.irqs.hasNotifier(IRQCHIP.IOAPIC, pin)) continue;
      const message = messageOf(low, this.#high[pin]!);
      if (matchesDestination(lapic, null, message)) vectors.add(message.vector);
      else if (isPendingEoi(lapic, message.vector)) vectors.addStale(message.vector);
    }
  }

  /** kvm_make_scan_ioapic_request(): ids or logical ids of LAPICs have changed. Without an entry in use nobody has to look. */
  apicsChanged(): void {
    for (let pin = 0; pin < PINS; pin++) {
      if (this.#low[pin] === REDIRECTION.MASKED && this.#high[pin] === 0) continue;
      for (const vcpu of this.#vm.vcpus) askToScan(vcpu);
      return;
    }
  }

  /** kvm_ioapic_eoi_inject_work(). */
  onHrtimer(): HrtimerRestart {
    for (let pin = 0; pin < PINS; pin++) {
      const low = this.#low[pin]!;
      if ((low & REDIRECTION.LEVEL_TRIGGER) === 0 || (low & REDIRECTION.REMOTE_IRR) !== 0) continue;
      if ((this.#irr & (1 << pin)) !== 0) this.#service(pin, false);
    }
    return 'norestart';
  }

  /** The machine has ended. */
  free(): void {
    this.#storm.cancel();
  }

  save(): IoapicState {
    const redirtbl: bigint[] = [];
    const irqEoi: number[] = [];
    for (let pin = 0; pin < PINS; pin++) {
      redirtbl.push(this.#bits(pin));
      irqEoi.push(this.#irqEoi[pin]!);
    }
    const rtcPending: { vcpu: number; vector: number }[] = [];
    for (const { id } of this.#vm.vcpus) {
      const vector = this.#rtcPending.get(id);
      if (vector !== undefined) rtcPending.push({ vcpu: id, vector });
    }
    return {
      id: this.#id,
      ioregsel: this.#select,
      irr: this.#irr,
      irrDelivered: this.#irrDelivered,
      redirtbl,
      irqEoi,
      eoiInjectAt: this.#storm.queued ? this.#storm.expires : null,
      rtcPending,
    };
  }

  /** The LAPICs are restored by themselves: no message is sent. */
  restore(state: IoapicState): void {
    this.#id = state.id;
    this.#select = state.ioregsel;
    this.#irr = state.irr;
    this.#irrDelivered = state.irrDelivered;
    for (let pin = 0; pin < PINS; pin++) {
      this.#low[pin] = Number(BigInt.asUintN(32, state.redirtbl[pin]!));
      this.#high[pin] = Number(state.redirtbl[pin]! >> 32n);
      this.#irqEoi[pin] = state.irqEoi[pin]!;
    }
    this.#rtcPending.clear();
    for (const { vcpu, vector } of state.rtcPending) this.#rtcPending.set(vcpu, vector);
    this.#storm.cancel();
    if (state.eoiInjectAt !== null) this.#storm.start(state.eoiInjectAt);
    // Whoever restores the vCPUs lets them look: nobody is kicked, as nobody runs.
    for (const { requests } of this.#vm.vcpus) requests.make(KVM_REQ.SCAN_IOAPIC);
  }

  #bits(pin: number): bigint {
    return (BigInt(this.#high[pin]!) << 32n) | BigInt(this.#low[pin]!);
  }

  /** ioapic_set_irq(). */
  #setLine(pin: number, level: boolean, lineStatus: boolean): number {
    const bit = 1 << pin;
    if (!level) {
      this.#irr &= ~bit;
      return 1;
    }
    if (pin === RTC_PIN && lineStatus && this.#rtcPending.size > 0) return 0;
    const wasHigh = (this.#irr & bit) !== 0;
    this.#irr |= bit;
    if ((this.#low[pin]! & REDIRECTION.LEVEL_TRIGGER) === 0) {
      this.#irrDelivered &= ~bit;
      if (wasHigh) return 0;
    }
    return this.#service(pin, lineStatus);
  }

  /** ioapic_service(): sends a pin's message, unless it is masked or waits for an end. -1: nothing was sent, or nobody is there. */
  #service(pin: number, lineStatus: boolean): number {
    const low = this.#low[pin]!;
    const level = (low & REDIRECTION.LEVEL_TRIGGER) !== 0;
    if ((low & REDIRECTION.MASKED) !== 0 || (level && (low & REDIRECTION.REMOTE_IRR) !== 0)) return -1;
    if (!level) this.#irrDelivered |= 1 << pin;
    const reached = pin === RTC_PIN && lineStatus ? this.#rtcPending : null;
    const answer = deliverToApics(this.#vm, null, messageOf(low, this.#high[pin]!), reached) ?? -1;
    // As KVM: also when nobody is there.
    if (answer !== 0 && level) this.#low[pin] |= REDIRECTION.REMOTE_IRR;
    return answer;
  }

  /** kvm_ioapic_update_eoi_one(), behind the notifiers. */
  #levelEnded(pin: number): void {
    this.#low[pin] &= ~REDIRECTION.REMOTE_IRR;
    if ((this.#low[pin]! & REDIRECTION.MASKED) !== 0 || (this.#irr & (1 << pin)) === 0) {
      this.#irqEoi[pin] = 0;
      return;
    }
    this.#irqEoi[pin]++;
    if (this.#irqEoi[pin]! < SUCCESSIVE_MAX) {
      this.#service(pin, false);
      return;
    }
    this.#irqEoi[pin] = 0;
    const { host, probes } = this.#vm;
    if (!this.#storm.queued) this.#storm.start(host.thisCpu.now + microsecondsToCycles(STORM_DELAY_US, host.tscKhz));
    if (probes.active) probes.fire('kvm_ioapic_delayed_eoi_inj', { entry: this.#bits(pin) }, host.thisCpu.now);
  }

  /** ioapic_read_indirect(). */
  #readSelected(): number {
    switch (this.#select) {
      case IOAPIC_REGISTER.VERSION:
        return ((PINS - 1) << MAX_ENTRY_SHIFT) | VERSION;
      case IOAPIC_REGISTER.ID:
      case IOAPIC_REGISTER.ARBITRATION:
        return this.#id << ID_SHIFT;
      default: {
        const pin = (this.#select - IOAPIC_REGISTER.TABLE) >> 1;
        if (pin < 0 || pin >= PINS) return ALL_ONES;
        return (this.#select & 1) !== 0 ? this.#high[pin]! : this.#low[pin]!;
      }
    }
  }

  /** ioapic_write_indirect(). */
  #writeSelected(value: number): void {
    switch (this.#select) {
      case IOAPIC_REGISTER.VERSION:
      case IOAPIC_REGISTER.ARBITRATION:
        return;
      case IOAPIC_REGISTER.ID:
        this.#id = (value >>> ID_SHIFT) & ID_MASK;
        return;
      default: {
        const pin = (this.#select - IOAPIC_REGISTER.TABLE) >> 1;
        if (pin >= 0 && pin < PINS) this.#writeEntry(pin, (this.#select & 1) !== 0, value);
      }
    }
  }

  #writeEntry(pin: number, upper: boolean, value: number): void {
    const before = messageOf(this.#low[pin]!, this.#high[pin]!);
    const old = this.#low[pin]!;
    if (upper) this.#high[pin] = value;
    else {
      // Some systems end a level by making the entry edge-triggered for a moment.
      const kept = (value & REDIRECTION.LEVEL_TRIGGER) === 0 ? old & ~REDIRECTION.REMOTE_IRR : old;
      this.#low[pin] = (value & ~READ_ONLY) | (kept & READ_ONLY);
    }
    const low = this.#low[pin]!;
    const masked = (low & REDIRECTION.MASKED) !== 0;
    if (masked !== ((old & REDIRECTION.MASKED) !== 0)) this.#vm.irqs.masked(IRQCHIP.IOAPIC, pin, masked);
    // An edge that came while the pin was masked stays lost.
    if ((low & REDIRECTION.LEVEL_TRIGGER) !== 0 && (this.#irr & (1 << pin)) !== 0) this.#service(pin, false);
    const after = messageOf(low, this.#high[pin]!);
    for (const vcpu of this.#vm.vcpus) {
      const { lapic } = vcpu;
      const fixed = after.deliveryMode === DELIVERY.FIXED;
      if (!fixed || [after, before].some((message) => matchesDestination(lapic, null, message))) askToScan(vcpu);
    }
  }
}

/** kvm_apic_pending_eoi(). */
const isPendingEoi = ({ regs }: Lapic, vector: number): boolean =>
  testVector(regs, APIC.ISR, vector) || testVector(regs, APIC.IRR, vector);

/** A request that wakes nobody: a vCPU that runs its guest leaves it, any other looks before it enters again. */
function askToScan(vcpu: Vcpu): void {
  vcpu.requests.make(KVM_REQ.SCAN_IOAPIC);
  if (vcpu.mode === VCPU_MODE.IN_GUEST) vcpu.kick();
}
