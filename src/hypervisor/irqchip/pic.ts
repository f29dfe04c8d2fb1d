// The PIC of a PC: two 8259A, the slave's output on the master's pin 2, and ELCR, which says which pins are level-triggered
// (Linux arch/x86/kvm/i8259.c, struct kvm_pic). What one chip does is in picChip.ts.
//
// Theory: the output is one line, INTR. It reaches the processors by LINT0 of their LAPICs where that entry says ExtINT and
// is not masked, as reset leaves it on the first processor (virtual wire mode), or past a LAPIC that is disabled. The processor
// that takes the interrupt asks for its vector in the acknowledge cycle; if the request is gone by then, it is pin 7's: the
// spurious interrupt.

import type { Cell } from '../../host/cells.ts';
import { acceptsPicInterrupt } from '../lapic/lvt.ts';
import type { PortDevice, PortRegister, PortSize } from '../bus/ports.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vm } from '../vm.ts';
import { CASCADE_PIN, CHIP_PINS, NO_PIN, PicChip, type PicChipState, type PicPair } from './picChip.ts';
import { IRQCHIP } from './routing.ts';

export const PIC_PORT = { MASTER: 0x20, SLAVE: 0xa0, ELCR: 0x4d0 } as const;
/** Timer, keyboard and cascade are edge-triggered for ever; RTC and coprocessor error likewise. */
const ELCR_MASK = { MASTER: 0xf8, SLAVE: 0xde } as const;
const SPURIOUS_PIN = 7;
const ALL_SIZES: readonly PortSize[] = [1, 2, 4];

export interface PicState {
  readonly master: PicChipState;
  readonly slave: PicChipState;
  readonly output: boolean;
  /** Whether somebody is to be told of an output that has come up. */
  readonly wakeupNeeded: boolean;
}

export class Pic implements PortDevice, PicPair {
  readonly name = 'PIC';
  readonly registers: ReadonlyMap<number, PortRegister>;
  readonly master: PicChip;
  readonly slave: PicChip;
  /** The level of INTR. */
  output: Cell<boolean> = false;
  #wakeupNeeded: Cell<boolean> = false;
  readonly #vm: Vm;

  constructor(vm: Vm) {
    this.#vm = vm;
    this.master = new PicChip('master PIC', this, true, ELCR_MASK.MASTER);
    this.slave = new PicChip('slave PIC', this, false, ELCR_MASK.SLAVE);
    this.registers = new Map([...this.#portsOf(this.master, PIC_PORT.MASTER, PIC_PORT.ELCR), ...this.#portsOf(this.slave, PIC_PORT.SLAVE, PIC_PORT.ELCR + 1)]); // prettier-ignore
  }

  /** kvm_pic_set_irq(): drives a pin of 0 to 15. */
  setIrq(pin: number, level: boolean): number {
    const { probes, host } = this.#vm;
    const chip = pin < CHIP_PINS ? this.master : this.slave;
    const own = pin % CHIP_PINS;
    const answer = chip.setLine(own, level);
    this.update();
    if (probes.active) {
      const event = {
        chip: pin < CHIP_PINS ? 0 : 1,
        pin: own,
        elcr: chip.elcr,
        imr: chip.imr,
        coalesced: answer === 0,
      };
      probes.fire('kvm_pic_set_irq', event, host.thisCpu.now);
    }
    this.#wakeUp();
    return answer;
  }

  /** kvm_pic_read_irq(): the acknowledge cycle. The vector of the request, which is in service now. */
  readIrq(): number {
    this.output = false;
    const vector = this.#acknowledge();
    this.update();
    this.#wakeUp();
    return vector;
  }

  save(): PicState {
    return {
      master: this.master.save(),
      slave: this.slave.save(),
      output: this.output,
      wakeupNeeded: this.#wakeupNeeded,
    };
  }

  /** The vCPUs are restored by themselves: nobody is told. */
  restore({ master, slave, output, wakeupNeeded }: PicState): void {
    this.master.restore(master);
    this.slave.restore(slave);
    this.output = output;
    this.#wakeupNeeded = wakeupNeeded;
  }

  ended(chip: PicChip, pin: number): void {
    // KVM drops its lock here: an interrupt that has come up meanwhile is told of now.
    this.#wakeUp();
    if (chip === this.master) this.#vm.irqs.acked(IRQCHIP.PIC_MASTER, pin);
    else this.#vm.irqs.acked(IRQCHIP.PIC_SLAVE, pin + CHIP_PINS);
  }

  masked(chip: PicChip, pin: number, masked: boolean): void {
    if (chip === this.master) this.#vm.irqs.masked(IRQCHIP.PIC_MASTER, pin, masked);
    else this.#vm.irqs.masked(IRQCHIP.PIC_SLAVE, pin + CHIP_PINS, masked);
  }

  update(): void {
    if (this.slave.requested !== NO_PIN) {
      this.master.setLine(CASCADE_PIN, true);
      this.master.setLine(CASCADE_PIN, false);
    }
    // pic_irq_request(): KVM looks at the old level only.
    if (!this.output) this.#wakeupNeeded = true;
    this.output = this.master.requested !== NO_PIN;
  }

  releaseCascade(): void {
    this.master.isr &= ~(1 << CASCADE_PIN);
    this.master.irr &= ~(1 << CASCADE_PIN);
  }

  isHeard(): boolean {
    return this.#vm.lapics.some(acceptsPicInterrupt);
  }

  #acknowledge(): number {
    const { master, slave } = this;
    const pin = master.requested;
    if (pin === NO_PIN) return master.irqBase + SPURIOUS_PIN;
    master.acknowledge(pin);
    if (pin !== CASCADE_PIN) return master.irqBase + pin;
    const behind = slave.requested;
    if (behind === NO_PIN) return slave.irqBase + SPURIOUS_PIN;
    slave.acknowledge(behind);
    return slave.irqBase + behind;
  }

  /** pic_unlock(): the first vCPU whose LINT0 is open looks. */
  #wakeUp(): void {
    if (!this.#wakeupNeeded) return;
    this.#wakeupNeeded = false;
    const vcpu = this.#vm.vcpus.find(({ lapic }) => acceptsPicInterrupt(lapic));
    if (vcpu === undefined) return;
    vcpu.requests.make(KVM_REQ.EVENT);
    vcpu.kick();
  }

  /** Accesses wider than a byte read as 0 and are dropped: picdev_read(), picdev_write(). */
  #register(name: string, read: () => number, write: (value: number) => void): PortRegister {
    return {
      name,
      sizes: ALL_SIZES,
      read: (size) => {
        if (size !== 1) return 0;
        const value = read();
        this.#wakeUp();
        return value;
      },
      write: (value, size) => {
        if (size !== 1) return;
        write(value);
        this.#wakeUp();
      },
    };
  }

  #portsOf(chip: PicChip, base: number, elcr: number): [number, PortRegister][] {
    return [
      [base, this.#register(`${chip.name} command`, () => chip.read(false), (value) => chip.writeCommand(value))],
      [base + 1, this.#register(`${chip.name} data`, () => chip.read(true), (value) => chip.writeData(value))],
      [elcr, { ...this.#register(`${chip.name} ELCR`, () => chip.elcr, (value) => chip.writeElcr(value)), steady: true }],
    ]; // prettier-ignore
  }
}
