// The cost model as data: what each primitive step of host code costs in cycles, with where the figure comes from. Presets
// are tables of it; nothing here knows who charges a primitive, and no entry is fitted to a figure that an experiment
// compares itself with.
//
// Theory: results that depend on this table are "modelled cycles". Counts and paths, which need no model, come first; so
// every charge is also counted by primitive (PhysicalCpu.charged), and a table may be swapped without changing any path
// except through the time it takes.

interface Row {
  /** What one charge stands for. */
  readonly what: string;
  /** Cycles on a Skylake server of 2017 to 2020, at the nominal TSC rate. */
  readonly skylake: number;
  /** Where the figure comes from; "estimate" when no measurement of this very step is published. */
  readonly source: string;
}

/* prettier-ignore */
const rows = {
  vmEntry:         { what: 'VMRESUME until the first guest instruction',                  skylake: 450,  source: 'estimate: half of a bare hardware round trip, weighted to the exit' },
  vmExit:          { what: 'from the exiting instruction to the first host instruction',  skylake: 550,  source: 'estimate: half of a bare hardware round trip, weighted to the exit' },
  vmread:          { what: 'VMREAD of one field',                                         skylake: 25,   source: 'estimate; the 2019 IPI review puts two of them at about 50 cycles' },
  vmwrite:         { what: 'VMWRITE of one field',                                        skylake: 25,   source: 'estimate: as VMREAD' },
  vmptrld:         { what: 'VMPTRLD or VMCLEAR: another VMCS becomes current, or none',    skylake: 150,  source: 'estimate: a VMCS that the caches hold' },
  guestSwitch:     { what: 'registers, XCR0, debug state on one side of an entry',        skylake: 60,   source: 'estimate' },
  barrier:         { what: 'full memory barrier (MFENCE or a locked instruction)',        skylake: 20,   source: 'Agner Fog, instruction tables: locked ADD, Skylake-X' },
  srcu:            { what: 'srcu_read_lock or unlock, its barrier included',              skylake: 25,   source: 'estimate: one barrier and two adds' },
  interruptWindow: { what: 'STI, one instruction, CLI',                                   skylake: 12,   source: 'estimate from instruction tables' },
  exitDispatch:    { what: 'from the reason to its handler, through one retpoline',       skylake: 40,   source: 'estimate: an indirect branch that cannot be predicted' },
  msrDispatch:     { what: 'common MSR emulation: filter, lookup, trace points',          skylake: 60,   source: 'estimate' },
  cpuidLookup:     { what: 'search of the CPUID table',                                   skylake: 60,   source: 'estimate' },
  emulate:         { what: 'the instruction emulator: fetch, decode, execute one',        skylake: 800,  source: 'estimate' },
  lapicAccess:     { what: 'emulation of one local APIC register',                        skylake: 30,   source: 'estimate' },
  deviceAccess:    { what: 'emulation of one register of an interrupt controller or timer', skylake: 60,  source: 'estimate: a look-up on the bus, a lock and the register' },
  ioctl:           { what: 'one ioctl of the VMM that is not KVM_RUN',                    skylake: 350,  source: 'estimate: a system call with its mitigations, and a look-up of the file' },
  eventChannel:    { what: 'an event of Xen: two pages held, its port and its word set',   skylake: 120,  source: 'estimate: six locked instructions' },
  eventfd:         { what: 'eventfd_signal: the counter, its lock, a call of whoever waits',   skylake: 100,  source: 'estimate: two locked instructions and an indirect call' },
  inject:          { what: 'choose and program one event for entry',                      skylake: 50,   source: 'estimate: two VMWRITEs' },
  hardirq:         { what: 'interrupt entry and return on the host, without its handler', skylake: 500,  source: 'estimate: vector, entry code, EOI, IRET' },
  softirq:         { what: 'raise and run of one softirq, without its callbacks',         skylake: 150,  source: 'estimate: a few atomic operations and one indirect call' },
  timerProgram:    { what: 'write of the physical TSC_DEADLINE',                          skylake: 100,  source: 'estimate: WRMSR to the local APIC with its fence' },
  hrtimer:         { what: 'enqueue or dequeue of one hrtimer',                           skylake: 80,   source: 'estimate: red-black tree of a few nodes' },
  ipiSend:         { what: 'write of the physical ICR',                                   skylake: 100,  source: 'estimate: WRMSR in x2APIC mode' },
  ipiLatency:      { what: 'from that write until the target takes the interrupt',        skylake: 900,  source: 'estimate' },
  wakeUp:          { what: 'try_to_wake_up of one thread',                                skylake: 300,  source: 'estimate' },
  contextSwitch:   { what: 'schedule() to another thread or out of idle',                 skylake: 1500, source: 'estimate' },
  pageFault:       { what: 'population of one page of the second stage',                  skylake: 1500, source: 'estimate' },
  pageWalkStep:    { what: 'one level of a software page walk',                           skylake: 15,   source: 'estimate: a cached load and its checks' },
  sysregRead:      { what: 'read of a timer register of the second timer (seed 003)',     skylake: 25,   source: 'estimate: as VMREAD' },
  sysregWrite:     { what: 'write of one',                                                skylake: 25,   source: 'estimate: as VMWRITE' },
  isb:             { what: 'ISB: the writes before it have taken effect',                 skylake: 40,   source: 'estimate: an emptied pipeline' },
  hypCall:         { what: 'from a host at EL1 to EL2 and back (non-VHE)',                skylake: 200,  source: 'estimate: two changes of exception level and a call' },
  distributorWrite:{ what: 'active or enable state of one interrupt, in its distributor', skylake: 700,  source: 'Linux commit 9b4a3004439d: about 700 cycles less for each hypercall without one (GICv2, 2 GHz)' },
  gicCpuInterface: { what: 'IAR, EOIR or DIR of the interrupt controller',                skylake: 25,   source: 'estimate: a system register (GICv3)' },
  userspaceReturn: { what: 'return from KVM_RUN to the VMM and the next KVM_RUN',         skylake: 1150, source: 'KVM_RUN loop on AMD, 2528 cycles, less its VMRUN path of 1344 to 1376 (KVM list, 2020)' },
} as const satisfies Record<string, Row>;

export type PrimitiveName = keyof typeof rows;
const names = Object.keys(rows) as PrimitiveName[];

/** The primitives by number: what `PhysicalCpu.charge` takes, so that a charge is one array access. */
export const COST = Object.fromEntries(names.map((name, index) => [name, index])) as Readonly<
  Record<PrimitiveName, number>
>;
export const PRIMITIVE_COUNT = names.length;

/** One line of a cost table, for people. */
export interface CostEntry {
  readonly name: PrimitiveName;
  readonly what: string;
  readonly cycles: number;
  readonly source: string;
  /** No measurement of this very step is published. */
  readonly estimated: boolean;
}

export interface CostModel {
  readonly name: string;
  /** Cycles by primitive number. */
  readonly cycles: Float64Array;
  readonly entries: readonly CostEntry[];
}

function model(name: string, entry: (row: Row) => { cycles: number; source: string }): CostModel {
  const entries = names.map((primitive): CostEntry => {
    const { cycles, source } = entry(rows[primitive]);
    return { name: primitive, what: rows[primitive].what, cycles, source, estimated: source.startsWith('estimate') };
  });
  return { name, entries, cycles: Float64Array.from(entries, (e) => e.cycles) };
}

/** The presets by name. `unit`: everything costs one cycle, for tests of order. */
export const COST_MODELS = {
  'skylake-2020': model('skylake-2020', (row) => ({ cycles: row.skylake, source: row.source })),
  unit: model('unit', () => ({ cycles: 1, source: 'by definition' })),
} as const;
export type CostModelName = keyof typeof COST_MODELS;

/** The preset of that name; an Error that lists the presets when there is none. */
export function costModel(name: string): CostModel {
  const found = Object.hasOwn(COST_MODELS, name) ? COST_MODELS[name as CostModelName] : undefined;
  if (found === undefined) {
    throw new Error(`there is no cost model "${name}"; choose one of ${Object.keys(COST_MODELS).join(', ')}`);
  }
  return found;
}
