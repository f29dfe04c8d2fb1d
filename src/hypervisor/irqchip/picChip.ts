// One 8259A: its registers, which request it would signal, and what its command words do (Intel 8259A data sheet; Linux
// arch/x86/kvm/i8259.c). The pair of a PC is in pic.ts.
//
// Theory: a request goes from a pin to IRR, and by the processor's acknowledge cycle from IRR to ISR, where it keeps all of
// its own and of lower priority back until an end of interrupt. Pin 0 has the highest priority, unless a rotation has put
// another pin first. A level-triggered request stays in IRR as long as its line is high. The chip is programmed by ICW1 to
// ICW4 in this order, and by OCW1 to OCW3 at any time; bits 4 and 3 of the command say which.
//
// As KVM has it: special mask mode is stored and has no effect, IRR is read without the requests that last as long as
// a line, single mode and ICW1's level mode are ignored, and ICW3 is taken for granted.

import type { Cell } from '../../host/cells.ts';

/** Pins of one chip. */
export const CHIP_PINS = 8;
/** The master's pin to which the slave is connected. */
export const CASCADE_PIN = 2;
/** No request; the lowest priority and one more. */
const NO_PRIORITY = 8;
/** No pin. */
export const NO_PIN = -1;

const ICW1 = { INIT: 1 << 4, NEEDS_ICW4: 1 << 0 } as const;
const ICW2_BASE = 0xf8;
const ICW4 = { AUTO_EOI: 1 << 1, SPECIAL_FULLY_NESTED: 1 << 4 } as const;
const OCW3 = { IS: 1 << 3, POLL: 1 << 2, READ_REGISTER: 1 << 1, READ_ISR: 1 << 0, SET_SPECIAL_MASK: 1 << 6, SPECIAL_MASK_SHIFT: 5 } as const; // prettier-ignore
/** OCW2 bits 7:5: rotate, specific, end of interrupt. */
const OCW2 = {
  CLEAR_ROTATE_AUTO_EOI: 0,
  EOI: 1,
  SPECIFIC_EOI: 3,
  SET_ROTATE_AUTO_EOI: 4,
  ROTATE_EOI: 5,
  SET_PRIORITY: 6,
  ROTATE_SPECIFIC_EOI: 7,
} as const;
/** What initialisation waits for. */
const INIT = { DONE: 0, ICW2: 1, ICW3: 2, ICW4: 3 } as const;

/** What a poll answers while nothing is requested. */
const POLL_SPURIOUS = 7;

/** struct kvm_pic_state, by its names; numbers of one bit are 0 or 1. */
export interface PicChipState {
  readonly lastIrr: number;
  readonly irr: number;
  readonly imr: number;
  readonly isr: number;
  readonly priorityAdd: number;
  readonly irqBase: number;
  readonly readRegSelect: number;
  readonly poll: number;
  readonly specialMask: number;
  readonly initState: number;
  readonly autoEoi: number;
  readonly rotateOnAutoEoi: number;
  readonly specialFullyNestedMode: number;
  readonly init4: number;
  readonly elcr: number;
}

/** What a chip asks of the pair that it belongs to. */
export interface PicPair {
  /** pic_clear_isr(): an interrupt of this pin has ended. */
  ended(chip: PicChip, pin: number): void;
  /** pic_update_irq(): a request, a mask or a priority has changed. */
  update(): void;
  masked(chip: PicChip, pin: number, masked: boolean): void;
  /** The slave was polled: the master's request and service of the cascade are over. */
  releaseCascade(): void;
  /** Whether any vCPU takes the PIC's interrupts. */
  isHeard(): boolean;
}

export class PicChip {
  readonly name: string;
  readonly #pair: PicPair;
  readonly #isMaster: boolean;
  /** The pins that may be level-triggered. */
  readonly #elcrMask: number;
  /** Levels of the lines, as far as edges need them. */
  lastIrr: Cell<number> = 0;
  irr: Cell<number> = 0;
  imr: Cell<number> = 0;
  isr: Cell<number> = 0;
  /** The pin of highest priority. */
  priorityAdd: Cell<number> = 0;
  irqBase: Cell<number> = 0;
  readRegSelect: Cell<number> = 0;
  poll: Cell<number> = 0;
  specialMask: Cell<number> = 0;
  initState: Cell<number> = 0;
  autoEoi: Cell<number> = 0;
  rotateOnAutoEoi: Cell<number> = 0;
  specialFullyNestedMode: Cell<number> = 0;
  init4: Cell<number> = 0;
  /** Bits of level-triggered pins. */
  elcr: Cell<number> = 0;

  constructor(name: string, pair: PicPair, isMaster: boolean, elcrMask: number) {
    this.name = name;
    this.#pair = pair;
    this.#isMaster = isMaster;
    this.#elcrMask = elcrMask;
  }

  /** pic_set_irq1(): a line goes up or down. 1: a new request; 0: it was requested already; -1: the pin is masked. */
  setLine(pin: number, level: boolean): number {
    const bit = 1 << pin;
    let answer = 1;
    const edge = (this.elcr & bit) === 0;
    if (level) {
      if (!edge || (this.lastIrr & bit) === 0) {
        answer = (this.irr & bit) === 0 ? 1 : 0;
        this.irr |= bit;
      }
      this.lastIrr |= bit;
    } else {
      this.lastIrr &= ~bit;
      if (!edge) this.irr &= ~bit;
    }
    return (this.imr & bit) === 0 ? answer : -1;
  }

  /** pic_get_irq(): the pin whose request it signals; NO_PIN when nothing comes before what is in service. */
  get requested(): number {
    const priority = this.#highestPriority(this.irr & ~this.imr);
    if (priority === NO_PRIORITY) return NO_PIN;
    // A master in special fully nested mode takes further requests of the slave while one is in service.
    const nested = this.specialFullyNestedMode !== 0 && this.#isMaster;
    const inService = this.#highestPriority(nested ? this.isr & ~(1 << CASCADE_PIN) : this.isr);
    return priority < inService ? this.#pinOf(priority) : NO_PIN;
  }

  /** pic_intack(): the processor takes the request of a pin. */
  acknowledge(pin: number): void {
    const bit = 1 << pin;
    this.isr |= bit;
    if ((this.elcr & bit) === 0) this.irr &= ~bit;
    if (this.autoEoi === 0) return;
    if (this.rotateOnAutoEoi !== 0) this.#setLowest(pin);
    this.#end(pin);
  }

  /** A byte written to the even port: ICW1, OCW2 or OCW3. */
  writeCommand(value: number): void {
    if ((value & ICW1.INIT) !== 0) this.#initialize(value);
    else if ((value & OCW3.IS) !== 0) this.#setModes(value);
    else this.#endOrRotate(value >> 5, value & 7);
  }

  /** A byte written to the odd port: OCW1, or the ICW that initialisation waits for. */
  writeData(value: number): void {
    switch (this.initState) {
      case INIT.ICW2:
        this.irqBase = value & ICW2_BASE;
        this.initState = INIT.ICW3;
        return;
      case INIT.ICW3:
        this.initState = this.init4 !== 0 ? INIT.ICW4 : INIT.DONE;
        return;
      case INIT.ICW4:
        this.specialFullyNestedMode = (value & ICW4.SPECIAL_FULLY_NESTED) !== 0 ? 1 : 0;
        this.autoEoi = (value & ICW4.AUTO_EOI) !== 0 ? 1 : 0;
        this.initState = INIT.DONE;
        return;
      default:
        this.#setMask(value);
    }
  }

  /** The even port: IRR or ISR. The odd one: IMR. Either answers a poll that was asked for. */
  read(odd: boolean): number {
    if (this.poll !== 0) {
      this.poll = 0;
      return this.#answerPoll();
    }
    if (odd) return this.imr;
    return this.readRegSelect !== 0 ? this.isr : this.irr;
  }

  writeElcr(value: number): void {
    this.elcr = value & this.#elcrMask;
  }

  save(): PicChipState {
    return {
      lastIrr: this.lastIrr,
      irr: this.irr,
      imr: this.imr,
      isr: this.isr,
      priorityAdd: this.priorityAdd,
      irqBase: this.irqBase,
      readRegSelect: this.readRegSelect,
      poll: this.poll,
      specialMask: this.specialMask,
      initState: this.initState,
      autoEoi: this.autoEoi,
      rotateOnAutoEoi: this.rotateOnAutoEoi,
      specialFullyNestedMode: this.specialFullyNestedMode,
      init4: this.init4,
      elcr: this.elcr,
    };
  }

  restore(state: PicChipState): void {
    this.lastIrr = state.lastIrr;
    this.irr = state.irr;
    this.imr = state.imr;
    this.isr = state.isr;
    this.priorityAdd = state.priorityAdd;
    this.irqBase = state.irqBase;
    this.readRegSelect = state.readRegSelect;
    this.poll = state.poll;
    this.specialMask = state.specialMask;
    this.initState = state.initState;
    this.autoEoi = state.autoEoi;
    this.rotateOnAutoEoi = state.rotateOnAutoEoi;
    this.specialFullyNestedMode = state.specialFullyNestedMode;
    this.init4 = state.init4;
    this.elcr = state.elcr;
  }

  /** get_priority(): of the pins in a mask, the highest, counted from the pin of highest priority. */
  #highestPriority(mask: number): number {
    let priority = 0;
    while (priority < NO_PRIORITY && (mask & (1 << this.#pinOf(priority))) === 0) priority++;
    return priority;
  }

  #pinOf(priority: number): number {
    return (priority + this.priorityAdd) & (CHIP_PINS - 1);
  }

  /** pic_clear_isr(). */
  #end(pin: number): void {
    this.isr &= ~(1 << pin);
    this.#pair.ended(this, pin);
  }

  /** kvm_pic_reset(): ICW1. Edges that wait are forgotten, and count as ended. */
  #initialize(icw1: number): void {
    const edges = this.irr & ~this.elcr;
    this.init4 = icw1 & ICW1.NEEDS_ICW4;
    this.lastIrr = 0;
    this.irr &= this.elcr;
    this.imr = 0;
    this.priorityAdd = 0;
    this.specialMask = 0;
    this.readRegSelect = 0;
    if (this.init4 === 0) {
      this.specialFullyNestedMode = 0;
      this.autoEoi = 0;
    }
    this.initState = INIT.ICW2;
    if (!this.#pair.isHeard()) return;
    for (let pin = 0; pin < CHIP_PINS; pin++) if ((edges & (1 << pin)) !== 0) this.#end(pin);
  }

  /** OCW3. */
  #setModes(ocw3: number): void {
    if ((ocw3 & OCW3.POLL) !== 0) this.poll = 1;
    if ((ocw3 & OCW3.READ_REGISTER) !== 0) this.readRegSelect = ocw3 & OCW3.READ_ISR;
    if ((ocw3 & OCW3.SET_SPECIAL_MASK) !== 0) this.specialMask = (ocw3 >> OCW3.SPECIAL_MASK_SHIFT) & 1;
  }

  /** OCW2. */
  #endOrRotate(command: number, pin: number): void {
    switch (command) {
      case OCW2.CLEAR_ROTATE_AUTO_EOI:
      case OCW2.SET_ROTATE_AUTO_EOI:
        this.rotateOnAutoEoi = command >> 2;
        return;
      case OCW2.EOI:
      case OCW2.ROTATE_EOI: {
        const priority = this.#highestPriority(this.isr);
        if (priority === NO_PRIORITY) return;
        const ended = this.#pinOf(priority);
        if (command === OCW2.ROTATE_EOI) this.#setLowest(ended);
        this.#end(ended);
        break;
      }
      case OCW2.SPECIFIC_EOI:
        this.#end(pin);
        break;
      case OCW2.SET_PRIORITY:
        this.#setLowest(pin);
        break;
      case OCW2.ROTATE_SPECIFIC_EOI:
        this.#setLowest(pin);
        this.#end(pin);
        break;
      default:
        return;
    }
    this.#pair.update();
  }

  #setLowest(pin: number): void {
    this.priorityAdd = (pin + 1) & (CHIP_PINS - 1);
  }

  /** OCW1. */
  #setMask(mask: number): void {
    const changed = this.imr ^ mask;
    this.imr = mask;
    for (let pin = 0; pin < CHIP_PINS; pin++) {
      const bit = 1 << pin;
      if ((changed & bit) !== 0) this.#pair.masked(this, pin, (mask & bit) !== 0);
    }
    this.#pair.update();
  }

  /** pic_poll_read(): the poll is the acknowledge cycle and the end of the interrupt at once. */
  #answerPoll(): number {
    const pin = this.requested;
    if (pin === NO_PIN) {
      this.#pair.update();
      return POLL_SPURIOUS;
    }
    if (!this.#isMaster) this.#pair.releaseCascade();
    this.irr &= ~(1 << pin);
    this.#end(pin);
    if (!this.#isMaster || pin !== CASCADE_PIN) this.#pair.update();
    return pin;
  }
}
