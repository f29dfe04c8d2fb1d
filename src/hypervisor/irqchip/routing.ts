// From an interrupt line to the pins that it reaches, and back: kvm_set_irq, kvm_notify_acked_irq and the GSI routing table
// (Linux virt/kvm/irqchip.c, eventfd.c; the table of a PC is QEMU's, hw/i386/kvm/ioapic.c).
//
// Theory: a GSI is a number that stands for one line of the board. The routing table says which pins of which interrupt
// controllers it is soldered to: below 16 a line reaches a PIC and the IOAPIC at once. Several devices may share a line; it
// is high while any of them holds it. In the other direction a controller says that the guest has ended an interrupt of a
// pin, or that it has masked one, and who has asked for this GSI is told.

import type { Cells } from '../../host/cells.ts';
import type { Host } from '../../host/host.ts';
import type { Probes } from '../../trace/probes.ts';

/** KVM_IRQCHIP_*: the controllers that have pins. */
export const IRQCHIP = { PIC_MASTER: 0, PIC_SLAVE: 1, IOAPIC: 2 } as const;
export type Irqchip = (typeof IRQCHIP)[keyof typeof IRQCHIP];

/**
 * A pin of an interrupt controller: told of the line's level whenever somebody drives it. How many CPUs got the interrupt; 0
 * when it was coalesced with one that waits already, below 0 when it is masked. `lineStatus`: whoever drives it looks at that.
 */
export type IrqPin = (level: boolean, lineStatus: boolean) => number;

/** Who drives a line: KVM_USERSPACE_IRQ_SOURCE_ID and its kin. */
export const IRQ_SOURCE = { USERSPACE: 0, RESAMPLE: 1, PIT: 2 } as const;
export type IrqSource = (typeof IRQ_SOURCE)[keyof typeof IRQ_SOURCE];

/** GSIs of a PC without PCI extenders: the IOAPIC's 24 pins. */
export const GSI_COUNT = 24;

/** Whoever wants to know what the guest does with the interrupts of a line (struct kvm_irq_ack_notifier and mask_notifier). */
export interface IrqNotified {
  /** The guest has ended an interrupt. */
  irqAcked(): void;
  /** The guest has masked a pin of the line, or unmasked it. */
  irqMasked(masked: boolean): void;
}

interface Route {
  readonly chip: Irqchip;
  readonly pin: number;
  readonly set: IrqPin;
}

export class IrqRouting {
  readonly #host: Host;
  readonly #probes: Probes;
  readonly #routes: readonly Route[][] = Array.from({ length: GSI_COUNT }, () => []);
  readonly #notified = new Map<number, IrqNotified>();
  /** For each GSI the sources that hold it, one bit each. */
  readonly #held: Cells<Uint8Array> = new Uint8Array(GSI_COUNT);

  constructor(host: Host, probes: Probes) {
    this.#host = host;
    this.#probes = probes;
  }

  /** Solders a GSI to one more pin. */
  connect(gsi: number, chip: Irqchip, pin: number, set: IrqPin): void {
    this.#routes[this.#checked(gsi)]!.push({ chip, pin, set });
  }

  /** kvm_register_irq_ack_notifier() and kvm_register_irq_mask_notifier(); null: nobody wants to know any more. */
  notify(gsi: number, notified: IrqNotified | null): void {
    if (notified === null) this.#notified.delete(gsi);
    else this.#notified.set(this.#checked(gsi), notified);
  }

  /** kvm_set_irq(): a source raises or releases a line. Returns what its pins answer, added up; -1 when all mask it. */
  set(gsi: number, level: boolean, source: IrqSource = IRQ_SOURCE.USERSPACE, lineStatus = false): number {
    const index = this.#checked(gsi);
    const probes = this.#probes;
    if (probes.active) probes.fire('kvm_set_irq', { gsi, level, source }, this.#host.thisCpu.now);
    const bit = 1 << source;
    if (level) this.#held[index] |= bit;
    else this.#held[index] &= ~bit;
    const high = this.#held[index] !== 0;
    let answer = -1;
    for (const route of this.#routes[index]!) {
      const got = route.set(high, lineStatus);
      if (got >= 0) answer = got + Math.max(answer, 0);
    }
    return answer;
  }

  /** kvm_notify_acked_irq(): the guest has ended an interrupt of a pin. */
  acked(chip: Irqchip, pin: number): void {
    const probes = this.#probes;
    if (probes.active) probes.fire('kvm_ack_irq', { chip, pin }, this.#host.thisCpu.now);
    this.#notifiedOf(chip, pin)?.irqAcked();
  }

  /** kvm_fire_mask_notifiers(). */
  masked(chip: Irqchip, pin: number, masked: boolean): void {
    this.#notifiedOf(chip, pin)?.irqMasked(masked);
  }

  /** kvm_irq_has_notifier(): the end of a pin's interrupts must be heard of. */
  hasNotifier(chip: Irqchip, pin: number): boolean {
    return this.#notifiedOf(chip, pin) !== undefined;
  }

  /** Who holds which line: one number for each GSI, a bit for each source. */
  save(): number[] {
    return Array.from(this.#held.slice());
  }
  /** The controllers are restored by themselves; no pin moves. */
  restore(held: readonly number[]): void {
    this.#held.set(held);
  }

  #notifiedOf(chip: Irqchip, pin: number): IrqNotified | undefined {
    for (const [gsi, notified] of this.#notified) {
      if (this.#routes[gsi]!.some((route) => route.chip === chip && route.pin === pin)) return notified;
    }
    return undefined;
  }

  #checked(gsi: number): number {
    if (Number.isInteger(gsi) && gsi >= 0 && gsi < GSI_COUNT) return gsi;
    throw new RangeError(`there is no GSI ${gsi}, only 0 to ${GSI_COUNT - 1}`);
  }
}
