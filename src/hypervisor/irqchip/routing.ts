// From an interrupt line to the pins that it reaches: kvm_set_irq and the GSI routing table (Linux virt/kvm/irqchip.c).
//
// Theory: a GSI is a number that stands for one line of the board. The routing table says which pins of which interrupt
// controllers it is soldered to: below 16 a line reaches a PIC and the IOAPIC at once. Several devices may share a line; it
// is high while any of them holds it.

import type { Cells } from '../../host/cells.ts';

/** A pin of an interrupt controller: told of the line's level whenever somebody drives it. */
export type IrqPin = (level: boolean) => void;

/** Who drives a line: KVM_USERSPACE_IRQ_SOURCE_ID and its kin. */
export const IRQ_SOURCE = { USERSPACE: 0, PIT: 1 } as const;
export type IrqSource = (typeof IRQ_SOURCE)[keyof typeof IRQ_SOURCE];

/** GSIs of a PC without PCI extenders: the IOAPIC's 24 pins. */
export const GSI_COUNT = 24;

export class IrqRouting {
  readonly #pins: readonly IrqPin[][] = Array.from({ length: GSI_COUNT }, () => []);
  /** For each GSI the sources that hold it, one bit each. */
  readonly #held: Cells<Uint8Array> = new Uint8Array(GSI_COUNT);

  /** Solders a GSI to one more pin. */
  connect(gsi: number, pin: IrqPin): void {
    this.#pins[this.#checked(gsi)]!.push(pin);
  }

  /** kvm_set_irq(): a source raises or releases a line. */
  set(gsi: number, level: boolean, source: IrqSource = IRQ_SOURCE.USERSPACE): void {
    const bit = 1 << source;
    const index = this.#checked(gsi);
    if (level) this.#held[index] |= bit;
    else this.#held[index] &= ~bit;
    const high = this.#held[index] !== 0;
    for (const pin of this.#pins[index]!) pin(high);
  }

  #checked(gsi: number): number {
    if (Number.isInteger(gsi) && gsi >= 0 && gsi < GSI_COUNT) return gsi;
    throw new RangeError(`there is no GSI ${gsi}, only 0 to ${GSI_COUNT - 1}`);
  }
}
