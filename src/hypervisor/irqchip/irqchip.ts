// The interrupt controllers and the interval timer of a PC, and how its lines are soldered: KVM_CREATE_IRQCHIP,
// KVM_CREATE_PIT2, and the routing table that QEMU gives KVM (hw/i386/kvm/ioapic.c, kvm_pc_setup_irq_routing).

import type { Vm } from '../vm.ts';
import { Ioapic } from './ioapic.ts';
import { Pic } from './pic.ts';
import { CHIP_PINS, CASCADE_PIN } from './picChip.ts';
import { Pit } from './pit.ts';
import { GSI_COUNT, IRQCHIP } from './routing.ts';

const PIC_PINS = 2 * CHIP_PINS;
/** The interval timer's line is pin 2 of the IOAPIC, whose pin 0 is free; its own number 2 is the PIC's cascade. */
const TIMER_IOAPIC_PIN = 2;

export class Irqchip {
  readonly pic: Pic;
  readonly ioapic: Ioapic;
  readonly pit: Pit;

  constructor(vm: Vm) {
    this.pic = new Pic(vm);
    this.ioapic = new Ioapic(vm);
    this.pit = new Pit(vm);
    vm.ports.connect(this.pic);
    vm.ports.connect(this.pit);
    vm.mmio.connect(this.ioapic);
    for (let gsi = 0; gsi < GSI_COUNT; gsi++) this.#solder(vm, gsi);
  }

  /** The machine has ended: nothing fires any more. */
  free(): void {
    this.pit.free();
    this.ioapic.free();
  }

  #solder({ irqs }: Vm, gsi: number): void {
    if (gsi < PIC_PINS) {
      const chip = gsi < CHIP_PINS ? IRQCHIP.PIC_MASTER : IRQCHIP.PIC_SLAVE;
      irqs.connect(gsi, chip, gsi, (level) => this.pic.setIrq(gsi, level));
    }
    if (gsi === CASCADE_PIN) return;
    const pin = gsi === 0 ? TIMER_IOAPIC_PIN : gsi;
    irqs.connect(gsi, IRQCHIP.IOAPIC, pin, (level, lineStatus) => this.ioapic.setIrq(pin, level, lineStatus));
  }
}
