// A PCI function that does nothing but interrupt, for guests that want to see MSI-X at work: who writes a vector's number to its
// doorbell gets that vector's message, at once or some time later.
//
// Theory: it stands for hardware of the host that the guest has been given (VFIO). So its interrupt is one of the host's, taken
// by the CPU that rang the doorbell in hard interrupt context, while the guest may be doing anything; only configuration space
// and MSI-X table are the VMM's, as they are with VFIO.

import type { Host } from '../../../host/host.ts';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../../../host/hrtimer.ts';
import type { MmioDevice } from '../../../hypervisor/bus/mmio.ts';
import { PAGE_SIZE } from '../../../x86/names/paging.ts';
import type { SavedDevice } from '../device.ts';
import { ConfigurationSpace, PCI, PCI_COMMAND } from './configurationSpace.ts';
import type { PciFunction } from './host.ts';
import { Msix, type MessageSink } from './msix.ts';

const ID = { VENDOR: 0x1234, DEVICE: 0x7e57, CLASS: 0xff00 } as const;
const BAR = { REGISTERS: 0, MSIX: 1 } as const;
/** What firmware would have chosen: in the hole below the APICs. */
const REGISTERS_GPA = 0xfeb0_0000;
const MSIX_GPA = REGISTERS_GPA + PAGE_SIZE;
export const MSIX_TEST_VECTORS = 8;

/**
 * Registers of four bytes: how many vectors there are, the doorbell, nanoseconds from there to the interrupt, and how many writes
 * to the doorbell named no vector.
 */
const REGISTER = { VECTORS: 0, DOORBELL: 4, DELAY: 8, REFUSED: 12 } as const;
const NS_PER_MS = 1e6;

interface MsixTestState {
  readonly delay: number;
  readonly refused: number;
}

export class MsixTest implements PciFunction, MmioDevice, HrtimerOwner, SavedDevice<MsixTestState> {
  readonly name = 'msix-test';
  readonly devfn: number;
  readonly configuration = new ConfigurationSpace(ID.VENDOR, ID.DEVICE, ID.CLASS);
  readonly msix: Msix;
  readonly #host: Host;
  readonly #interrupts: readonly Hrtimer[];
  #delay = 0;
  #refused = 0;

  constructor(host: Host, devfn: number, sink: MessageSink) {
    this.#host = host;
    this.devfn = devfn;
    const { configuration } = this;
    configuration.allow(PCI.COMMAND, 2, PCI_COMMAND.MEMORY | PCI_COMMAND.BUS_MASTER);
    configuration.set(PCI.COMMAND, 2, PCI_COMMAND.MEMORY);
    configuration.addBar(BAR.REGISTERS, REGISTERS_GPA);
    configuration.addBar(BAR.MSIX, MSIX_GPA);
    this.msix = new Msix(this.name, configuration, BAR.MSIX, MSIX_TEST_VECTORS, sink);
    this.#interrupts = Array.from({ length: MSIX_TEST_VECTORS }, (_, i) => new Hrtimer(host, this, `vector ${i}`));
  }

  get gpa(): number {
    return this.configuration.bar(BAR.REGISTERS) ?? 0;
  }
  get length(): number {
    return this.configuration.bar(BAR.REGISTERS) === null ? 0 : PAGE_SIZE;
  }

  configured(): void {
    this.msix.sendPending();
  }

  /** Interrupts by a vector, `delayNs` from now; a vector that waits already is moved. Throws RangeError. */
  ring(vector: number, delayNs = 0): void {
    const interrupt = this.#interrupts[vector];
    if (interrupt === undefined)
      throw new RangeError(`msix-test has vectors 0 to ${MSIX_TEST_VECTORS - 1}, and none ${vector}`);
    interrupt.start(Math.ceil(this.#host.thisCpu.now + (delayNs * this.#host.tscKhz) / NS_PER_MS));
  }

  /** The host takes the interrupt. */
  onHrtimer(interrupt: Hrtimer): HrtimerRestart {
    this.msix.raise(this.#interrupts.indexOf(interrupt));
    return 'norestart';
  }

  read(offset: number, size: number): bigint {
    const value = { [REGISTER.VECTORS]: MSIX_TEST_VECTORS, [REGISTER.DELAY]: this.#delay, [REGISTER.REFUSED]: this.#refused }[offset]; // prettier-ignore
    return BigInt.asUintN(8 * size, BigInt(value ?? 0));
  }

  write(offset: number, size: number, value: bigint): void {
    if (size !== 4) return;
    if (offset === REGISTER.DELAY) this.#delay = Number(value);
    if (offset !== REGISTER.DOORBELL) return;
    if (value < MSIX_TEST_VECTORS) this.ring(Number(value), this.#delay);
    else this.#refused++;
  }

  save(): MsixTestState {
    return { delay: this.#delay, refused: this.#refused };
  }
  restore({ delay, refused }: MsixTestState): void {
    this.#delay = delay;
    this.#refused = refused;
  }
}
