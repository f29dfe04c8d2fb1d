// Instructions that observe time one after the other, while other CPUs only spin.
//
// Theory. An instruction that observes time waits for the CPUs that are behind. Where these do nothing but wait themselves, they
// are brought up, and the guest goes on with units granted anew: until the next such instruction, thirty units later in a loop on
// RDTSC. What was found of the others holds as long as no code of the host runs. So when the host has said how far that is,
// the CPU settles by itself (`Cpu.settleAgain`) and keeps where it last did; the host brings the others up to there when guest
// mode is left. Positions, and the units that may be used, are what they would be with each settling asked for.

export class Settling {
  /** Units since the grant up to which the CPU may settle by itself; -1: not at all. */
  until = -1;
  /** Cycles that the others are then ahead. */
  lead = 0;
  /** Cycles that guest code may run ahead of the others. */
  quantum = 0;
  /** Units since the grant at which something else is due. */
  end = 0;
  /** Units since the grant at which it last did; -1: it has not. */
  at = -1;

  /** Right behind a grant. */
  permit(until: number, lead: number, quantum: number, end: number): void {
    this.until = until;
    this.lead = lead;
    this.quantum = quantum;
    this.end = end;
  }

  forbid(): void {
    this.until = -1;
  }

  /** Where it last settled, for the host to act on once; -1: nowhere. */
  take(): number {
    const { at } = this;
    this.at = -1;
    return at;
  }
}
