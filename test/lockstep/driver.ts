// What lockstep asks of a machine that runs the guest: to go on, to say where it stands, to show its memory. One driver for
// each kind of machine.

/** Registers and whatever else is compared, by name, for one vCPU. */
export type Registers = Readonly<Record<string, bigint>>;

export interface Driver {
  /** As people ask for it. */
  readonly name: string;
  /** Runs `units` instructions (iterations of a REP, deliveries) more, or less if the guest ends; again after the end: nothing. */
  advance(units: number): Promise<void>;
  /** How the guest ended; null while it can go on; undefined where that is not to be known: then the other machine decides. */
  readonly ended: string | null | undefined;
  /** One for each vCPU. */
  registers(): Promise<readonly Registers[]>;
  /** Guest memory from physical address 0 on; null where it can only be seen through registers. */
  memory(): Uint8Array | null;
  /** The instruction at a RIP for a person, line by line; null for machines that say nothing about it. */
  explain(vcpu: number, rip: bigint): readonly string[] | null;
  /** Bits of a register that need not agree: flags that the instructions so far have left undefined. */
  meaningless(name: string): bigint;
  close(): Promise<void>;
}

/** Boots a new machine with the guest at its entry: every run of the same driver is the same. */
export interface DriverKind {
  readonly name: string;
  /** Units between two comparisons at first: 1 for machines that only step. */
  readonly stride: number;
  start(): Promise<Driver>;
}
