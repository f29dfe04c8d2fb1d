// How often the hypervisor touches the timer's hardware, by what it was doing: the figures that seed 003 argues with.

import { COST } from '../../host/costs.ts';
import type { PhysicalCpu } from '../../host/cpu.ts';

/** What the hypervisor does when it touches the hardware. */
export const OPERATIONS = ['entry', 'exit', 'load', 'put', 'schedule', 'unschedule', 'interrupt', 'emulation'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** What it touches: timer registers, barriers, the distributor (an active or enable state), DIR, EL2 by a call. */
export const ACCESSES = ['reads', 'writes', 'isbs', 'distributorWrites', 'deactivations', 'hypCalls'] as const;
export type Access = (typeof ACCESSES)[number];

const PRIMITIVES = [COST.sysregRead, COST.sysregWrite, COST.isb, COST.distributorWrite, COST.gicCpuInterface, COST.hypCall]; // prettier-ignore
export const OPERATION = Object.fromEntries(OPERATIONS.map((name, i) => [name, i])) as Readonly<Record<Operation, number>>; // prettier-ignore
export const ACCESS = Object.fromEntries(ACCESSES.map((name, i) => [name, i])) as Readonly<Record<Access, number>>;

/** The accesses of one vCPU. */
export class TimerAccesses {
  readonly #times = new Float64Array(OPERATIONS.length);
  readonly #accesses = new Float64Array(OPERATIONS.length * ACCESSES.length);
  readonly #cycles = new Float64Array(OPERATIONS.length);
  #current: number = OPERATION.emulation;

  /** An operation begins; the result is the one that it interrupts, for `end`. */
  begin(operation: number): number {
    const outer = this.#current;
    this.#current = operation;
    this.#times[operation]!++;
    return outer;
  }
  end(outer: number): void {
    this.#current = outer;
  }

  /** Charges one access and counts it for the operation that is going on. */
  count(cpu: PhysicalCpu, access: number): void {
    const primitive = PRIMITIVES[access]!;
    cpu.charge(primitive);
    this.#accesses[this.#current * ACCESSES.length + access]!++;
    this.#cycles[this.#current]! += cpu.costOf(primitive);
  }

  /** How often an operation was done. */
  times(operation: Operation): number {
    return this.#times[OPERATION[operation]]!;
  }
  /** Accesses of one kind in all operations of a name. */
  of(operation: Operation, access: Access): number {
    return this.#accesses[OPERATION[operation] * ACCESSES.length + ACCESS[access]]!;
  }
  /** Modelled cycles of the accesses in all operations of a name. */
  cycles(operation: Operation): number {
    return this.#cycles[OPERATION[operation]]!;
  }
}
