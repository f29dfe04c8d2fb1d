// The TSCs of a VM's vCPUs when a VMM writes them: kvm_synchronize_tsc (Linux 6.16 arch/x86/kvm/x86.c).
//
// Theory: a VMM restores vCPU after vCPU, and reads and writes each TSC at another moment, so values that were one clock come
// back as several. KVM assumes that they were one: a value within a second of what the last write would read by now gets
// that write's offset. The price: vCPUs whose clocks differed by less, on purpose, are in step afterwards. Writes that belong
// together are a generation; while all vCPUs are of one, their clocks are one.

import type { SavedFields } from '../cpu/savedFields.ts';
import type { Cell } from '../host/cells.ts';
import type { Vcpu } from './vcpu.ts';

interface TscWrite {
  readonly value: bigint;
  readonly offset: bigint;
  /** Host position. */
  readonly at: number;
}

export class TscSync {
  readonly #second: bigint;
  /** kvm->arch.last_tsc_write and cur_tsc_offset; null until userspace has set a TSC. */
  #last: Cell<TscWrite | null> = null;
  /** kvm->arch.cur_tsc_generation. */
  #generation: Cell<number> = 0;

  constructor(tscKhz: number) {
    this.#second = BigInt(tscKhz) * 1000n;
  }

  transfer(fields: SavedFields): void {
    this.#last = fields.data('last', this.#last);
    this.#generation = fields.value('generation', this.#generation);
  }

  /** A host-initiated write of IA32_TSC. */
  synchronize(vcpu: Vcpu, value: bigint): void {
    const at = vcpu.now();
    const matching = this.#matching(value, at);
    if (matching === null) this.#generation++;
    const offset = matching ?? BigInt.asUintN(64, value - BigInt(at));
    this.#last = { value, offset, at };
    vcpu.tscGeneration = this.#generation;
    vcpu.setTscOffset(offset);
    vcpu.vm.clock.tscWritten(vcpu, matching === null);
  }

  /** nr_vcpus_matched_tsc: every vCPU's TSC is of the last generation. */
  allMatch(vcpus: readonly Vcpu[]): boolean {
    for (const vcpu of vcpus) if (vcpu.tscGeneration !== this.#generation) return false;
    return true;
  }

  /** The offset of the last write, if this value continues it. */
  #matching(value: bigint, at: number): bigint | null {
    const last = this.#last;
    if (last === null) return null;
    const apart = value - (last.value + BigInt(at - last.at));
    return apart < this.#second && apart > -this.#second ? last.offset : null;
  }
}
