// VM-execution controls: what a guest does that makes the CPU exit (SDM vol. 3, 24.6). The hypervisor owns and sets them;
// microcode and event delivery ask them. Nothing here acts.

import { MSR } from '../x86/names/msrs.ts';
import { PROCESSOR_CONTROLS } from '../x86/names/registers.ts';
import type { SavedFields } from './savedFields.ts';
import type { VirtualApic } from './virtualApic.ts';

/** Bits of CR0 or CR4 that the hypervisor owns: the guest reads them from `shadow`, and exits when it would change them. */
export interface OwnedBits {
  mask: bigint;
  shadow: bigint;
}

/** MSRs that generated code writes by itself (x86/system.ts). */
const SWITCHED_BASES = [MSR.FS_BASE, MSR.KERNEL_GS_BASE];

const LOW_LAST = 0x1fff;
const HIGH_FIRST = 0xc0000000;
const HIGH_LAST = 0xc0001fff;
const BITMAP_BYTES = 0x2000 / 8;

/** One direction of the MSR bitmaps: a set bit exits, and so does every MSR outside of the two ranges. */
class MsrBitmap {
  readonly #low = new Uint8Array(BITMAP_BYTES).fill(0xff);
  readonly #high = new Uint8Array(BITMAP_BYTES).fill(0xff);

  exits(index: number): boolean {
    if (index <= LOW_LAST) return ((this.#low[index >> 3]! >> (index & 7)) & 1) === 1;
    if (index < HIGH_FIRST || index > HIGH_LAST) return true;
    const at = index - HIGH_FIRST;
    return ((this.#high[at >> 3]! >> (at & 7)) & 1) === 1;
  }

  set(index: number, exits: boolean): void {
    const high = index >= HIGH_FIRST;
    const at = high ? index - HIGH_FIRST : index;
    if (at > LOW_LAST) {
      throw new RangeError(
        `MSR 0x${index.toString(16)} always exits: the MSR bitmaps cover 0 to 0x1fff and 0xc0000000 to 0xc0001fff`,
      );
    }
    const bitmap = high ? this.#high : this.#low;
    if (exits) bitmap[at >> 3]! |= 1 << (at & 7);
    else bitmap[at >> 3]! &= ~(1 << (at & 7));
  }

  transfer(fields: SavedFields): void {
    fields.elements('low', this.#low);
    fields.elements('high', this.#high);
  }

  fill(exits: boolean): void {
    this.#low.fill(exits ? 0xff : 0);
    this.#high.fill(exits ? 0xff : 0);
  }
}

export type MsrDirection = 'read' | 'write' | 'both';

/** The controls of one CPU. CPUID, VMCALL and XSETBV always exit while `hypervisor` is true, as in VMX. */
export class Controls {
  /** False: the CPU runs by itself, as in tests: nothing exits, CPUID is answered from the CPU's own table. */
  hypervisor = true;

  hltExiting = true;
  pauseExiting = false;
  mwaitExiting = true;
  monitorExiting = true;
  rdtscExiting = false;
  rdpmcExiting = true;
  invlpgExiting = false;
  invdExiting = true;
  wbinvdExiting = true;
  cr3LoadExiting = false;
  cr3StoreExiting = false;
  cr8LoadExiting = true;
  cr8StoreExiting = true;
  movDrExiting = false;
  /** APIC virtualisation and the TPR shadow; null: all their controls are 0. */
  virtualApic: VirtualApic | null = null;
  /** Exit as soon as an external interrupt could be delivered. */
  interruptWindow = false;
  /** Exit as soon as an NMI could be delivered. */
  nmiWindow = false;

  /** Bit n: exception n exits before it is delivered. */
  exceptionBitmap = 0;

  readonly cr0: OwnedBits = { mask: 0n, shadow: 0n };
  readonly cr4: OwnedBits = { mask: 0n, shadow: 0n };

  readonly #msrRead = new MsrBitmap();
  readonly #msrWrite = new MsrBitmap();
  /** Whether one of SWITCHED_BASES exits. */
  #baseWritesExit = true;
  readonly #io = new Uint8Array(0x10000 / 8).fill(0xff);

  /** Controls of a CPU that has no hypervisor: nothing exits. */
  static none(): Controls {
    const controls = new Controls();
    controls.hypervisor = false;
    controls.hltExiting = controls.mwaitExiting = controls.monitorExiting = controls.rdpmcExiting = false;
    controls.invdExiting = controls.wbinvdExiting = controls.cr8LoadExiting = controls.cr8StoreExiting = false;
    controls.#msrRead.fill(false);
    controls.#msrWrite.fill(false);
    controls.#baseWritesExit = false;
    controls.#io.fill(0);
    return controls;
  }

  /** Lets the guest read or write an MSR without an exit. By default all exit. */
  allowMsr(index: number, direction: MsrDirection): void {
    this.#setMsr(index, direction, false);
  }

  /** Makes an MSR exit again. */
  trapMsr(index: number, direction: MsrDirection): void {
    this.#setMsr(index, direction, true);
  }

  #setMsr(index: number, direction: MsrDirection, exits: boolean): void {
    if (direction !== 'write') this.#msrRead.set(index, exits);
    if (direction !== 'read') this.#msrWrite.set(index, exits);
    this.#noteBases();
  }

  #noteBases(): void {
    this.#baseWritesExit = SWITCHED_BASES.some((base) => this.#msrWrite.exits(base));
  }

  msrReadExits(index: number): boolean {
    return this.#msrRead.exits(index) && this.hypervisor;
  }

  msrWriteExits(index: number): boolean {
    return this.#msrWrite.exits(index) && this.hypervisor;
  }

  /** Says whether an I/O port exits. By default all do. */
  setPortExits(port: number, exits: boolean): void {
    if (exits) this.#io[port >> 3]! |= 1 << (port & 7);
    else this.#io[port >> 3]! &= ~(1 << (port & 7));
  }

  /** An access exits if any of its bytes does, or if it wraps around the end of the port space (SDM vol. 3, 25.1.3). */
  portExits(port: number, size: number): boolean {
    if (port + size > 0x10000) return this.hypervisor;
    for (let byte = port; byte < port + size; byte++) {
      if ((this.#io[byte >> 3]! >> (byte & 7)) & 1) return true;
    }
    return false;
  }

  /** PROCESSOR_CONTROLS, for generated code. */
  get processorControls(): number {
    return (
      (this.interruptWindow ? PROCESSOR_CONTROLS.INTERRUPT_WINDOW : 0) |
      (this.#baseWritesExit ? PROCESSOR_CONTROLS.BASE_WRITES_EXITING : 0) |
      (this.movDrExiting ? PROCESSOR_CONTROLS.MOV_DR_EXITING : 0) |
      (this.rdtscExiting ? PROCESSOR_CONTROLS.RDTSC_EXITING : 0) |
      (this.pauseExiting ? PROCESSOR_CONTROLS.PAUSE_EXITING : 0)
    );
  }

  /** What a snapshot keeps; `virtualApic` is its owner's business. */
  transfer(fields: SavedFields): void {
    fields.own<Controls>(
      this,
      'hypervisor',
      'hltExiting',
      'pauseExiting',
      'mwaitExiting',
      'monitorExiting',
      'rdtscExiting',
    );
    fields.own<Controls>(this, 'rdpmcExiting', 'invlpgExiting', 'invdExiting', 'wbinvdExiting', 'movDrExiting');
    fields.own<Controls>(this, 'cr3LoadExiting', 'cr3StoreExiting', 'cr8LoadExiting', 'cr8StoreExiting');
    fields.own<Controls>(this, 'interruptWindow', 'nmiWindow', 'exceptionBitmap');
    fields.part('cr0').own(this.cr0, 'mask', 'shadow');
    fields.part('cr4').own(this.cr4, 'mask', 'shadow');
    this.#msrRead.transfer(fields.part('msrRead'));
    this.#msrWrite.transfer(fields.part('msrWrite'));
    this.#noteBases();
    fields.elements('io', this.#io);
  }
}
