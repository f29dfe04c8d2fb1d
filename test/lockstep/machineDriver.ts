// Drives a whole trapline machine, hypervisor and devices included, on one of the engines.

import type { Cpu } from '../../src/cpu/cpu.ts';
import type { ProcessorOptions } from '../../src/cpu/processor.ts';
import { readRflags } from '../../src/cpu/rflags.ts';
import { readSegment } from '../../src/cpu/segments/segments.ts';
import { SEGMENTS } from '../../src/cpu/state.ts';
import { PRIMITIVE_COUNT, type CostModel } from '../../src/host/costs.ts';
import type { Image } from '../../src/vmm/image.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { GPR, RFLAGS } from '../../src/x86/names/registers.ts';
import { ROWS } from '../../src/x86/rows.ts';
import type { Driver, DriverKind, Registers } from './driver.ts';
import { decodeAt, explainInstruction } from './explain.ts';

export interface EngineOptions {
  readonly engine: NonNullable<ProcessorOptions['engine']>;
  readonly noHot?: boolean;
  /** Compared with a machine whose arithmetic is not trapline's: undefined flags need not agree. One unit at a time. */
  readonly tracksUndefined?: boolean;
}

/** Host code takes no time, so that a cycle is a unit. */
const FREE: CostModel = { name: 'free', cycles: new Float64Array(PRIMITIVE_COUNT), entries: [] };
const { CF, PF, AF, ZF, SF, OF } = RFLAGS;
/** Letters of rows. */
const FLAG_BITS: Readonly<Record<string, number>> = { c: CF, p: PF, a: AF, z: ZF, s: SF, o: OF };
const STRIDE = 1 << 15;
/** Enough for guests that fit a lockstep run, and quick to compare. */
export const LOCKSTEP_MEMORY = 16 << 20;

const nameOf = ({ engine, noHot }: EngineOptions): string =>
  engine === 'bigint' ? 'evaluator' : noHot ? 'generated code by calls' : 'generated code';

export interface MachineKind extends DriverKind {
  start(): Promise<MachineDriver>;
}

export function machineKind(image: Image, options: EngineOptions, boot: Partial<BootOptions> = {}): MachineKind {
  const { engine, noHot = false, tracksUndefined = false } = options;
  const name = nameOf(options);
  const start = (): Promise<MachineDriver> =>
    Promise.resolve(
      new MachineDriver(
        name,
        Machine.boot({ image, memory: LOCKSTEP_MEMORY, costs: FREE, ...boot, engine, noHot }),
        tracksUndefined,
      ),
    );
  return { name, stride: tracksUndefined ? 1 : STRIDE, start };
}

export class MachineDriver implements Driver {
  readonly name: string;
  readonly machine: Machine;
  readonly #tracksUndefined: boolean;
  #undefinedFlags = '';
  #position = 0;

  constructor(name: string, machine: Machine, tracksUndefined: boolean) {
    this.name = name;
    this.machine = machine;
    this.#tracksUndefined = tracksUndefined;
  }

  advance(units: number): Promise<void> {
    if (this.#tracksUndefined) this.#track();
    this.#position += units;
    this.machine.run({ maxCycles: this.#position });
    return Promise.resolve();
  }
  get ended(): string | null {
    return this.machine.result?.kind ?? null;
  }
  registers(): Promise<Registers[]> {
    return Promise.resolve(this.machine.processor.cpus.map(registersOf));
  }
  memory(): Uint8Array {
    const { memslots } = this.machine.vm;
    const { address, pages } = memslots.slots[0]!;
    return memslots.arena.views.u8.subarray(address, address + pages * 4096);
  }
  explain(vcpu: number, rip: bigint): string[] {
    return explainInstruction(this.machine, vcpu, rip);
  }
  /** A shift by zero writes no flags, so rows that leave some undefined define none for certain. */
  #track(): void {
    const cpu = this.machine.processor.cpus[0]!;
    const found = decodeAt(cpu, cpu.state.rip);
    if (found === null) return;
    const { written = '', undefined: left = '' } = ROWS[found.insn.row]!;
    const kept =
      left === '' ? [...this.#undefinedFlags].filter((flag) => !written.includes(flag)).join('') : this.#undefinedFlags;
    this.#undefinedFlags = kept + left;
  }
  meaningless(name: string): bigint {
    if (name !== 'rflags') return 0n;
    return [...this.#undefinedFlags].reduce((bits, flag) => bits | BigInt(FLAG_BITS[flag] ?? 0), 0n);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** All that a guest can see of a CPU, the lazy flags as they are kept, and the time. */
function registersOf({ state }: Cpu): Registers {
  const registers: Record<string, bigint> = { rip: state.rip };
  for (const [name, number] of Object.entries(GPR)) registers[name.toLowerCase()] = state.gpr(number);
  registers.rflags = BigInt(readRflags(state) >>> 0);
  const { flagResult, flagAux, flagCarry, cr0, cr2, cr3, cr4, cr8, efer, tsc, kernelGsBase } = state;
  Object.assign(registers, { cr0, cr2, cr3, cr4, cr8, efer, tsc, kernelGsBase });
  for (const table of ['gdtr', 'idtr'] as const) {
    registers[`${table}.base`] = state[`${table}Base`];
    registers[`${table}.limit`] = BigInt(state[`${table}Limit`]);
  }
  Object.assign(registers, {
    'flags.result': flagResult,
    'flags.aux': flagAux,
    'flags.carry': BigInt(flagCarry >>> 0),
  });
  SEGMENTS.forEach((name, i) => {
    const { selector, base, limit, attributes } = readSegment(state, i);
    registers[name] = BigInt(selector);
    registers[`${name}.base`] = base;
    registers[`${name}.limit`] = BigInt(limit);
    registers[`${name}.attributes`] = BigInt(attributes);
  });
  for (const name of ['cpl', 'shadow', 'activity', 'pendingDb', 'nmiBlocked'] as const)
    registers[name] = BigInt(state[name]);
  return registers;
}
