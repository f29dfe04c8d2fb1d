// Drives the processor underneath, as far as user mode can: a machine of trapline's carries the guest, and every instruction
// on general registers alone is executed natively from the carrier's state. Those results are what is compared; memory,
// branches and all that belongs to the system stay the carrier's.

import { FORMS } from '../../src/x86/tables.ts';
import { RIP } from '../../src/x86/decoder.ts';
import { GPR, RFLAGS } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { isFree } from '../hardware/cases.ts';
import { runNative } from '../hardware/native.ts';
import { NATIVE, type NativeCase, type NativeResult } from '../hardware/nativeCase.ts';
import type { Driver, DriverKind, Registers } from './driver.ts';
import { decodeAt } from './explain.ts';
import type { MachineDriver, MachineKind } from './machineDriver.ts';

/** Units that the carrier runs ahead: starting the oracle costs as much as thousands of instructions. */
const BATCH = 4096;
const { CF, PF, AF, ZF, SF, OF, DF } = RFLAGS;
/** What user mode may change of RFLAGS, and the oracle takes over. */
const NATIVE_FLAGS = BigInt(CF | PF | AF | ZF | SF | OF | DF);
const NAMES = Object.keys(GPR).map((name) => name.toLowerCase());

/** `carrier`: the machine that it is compared with, once more. */
export function nativeKind(carrier: MachineKind): DriverKind {
  return { name: 'native', stride: 1, start: async () => new NativeDriver(await carrier.start()) };
}

class NativeDriver implements Driver {
  readonly name = 'native';
  readonly ended = undefined;
  readonly #carrier: MachineDriver;
  #now: Registers | null = null;
  /** States after the units to come, the next one last. */
  #ahead: Registers[] = [];

  constructor(carrier: MachineDriver) {
    this.#carrier = carrier;
  }

  async advance(units: number): Promise<void> {
    for (let i = 0; i < units; i++) {
      if (this.#ahead.length === 0) this.#ahead = (await this.#runAhead()).reverse();
      this.#now = this.#ahead.pop()!;
    }
  }

  /** The carrier's next states, with the processor's own results in the place of what it could do as well. */
  async #runAhead(): Promise<Registers[]> {
    const states: Registers[] = [];
    const cases: { unit: number; test: NativeCase }[] = [];
    let before = await this.#carried();
    for (let unit = 0; unit < BATCH; unit++) {
      const test = this.#nativeCase(before);
      await this.#carrier.advance(1);
      const after = await this.#carried();
      // Anything else was a fault, or an event that came first: the carrier's alone.
      if (test !== null && after.rip === before.rip! + BigInt(test.bytes.length)) cases.push({ unit, test });
      states.push(after);
      before = after;
      if (this.#carrier.ended !== null) break;
    }
    const results = runNative(cases.map(({ test }) => test));
    cases.forEach(({ unit, test }, i) => (states[unit] = withResult(states[unit]!, test, results[i]!)));
    return states;
  }

  async #carried(): Promise<Registers> {
    return (await this.#carrier.registers())[0]!;
  }

  #nativeCase(before: Registers): NativeCase | null {
    const found = decodeAt(this.#carrier.machine.processor.cpus[0]!, before.rip!);
    if (found === null) return null;
    const { bytes, insn } = found;
    const row = ROWS[insn.row]!;
    const usesMemory = FORMS[insn.form]!.memory !== '' && !(row.mnemonic === 'lea' && insn.base !== RIP);
    if (usesMemory || !isFree(row)) return null;
    return {
      bytes,
      offset: 0,
      step: false,
      gpr: NAMES.map((name) => before[name]!),
      rflags: (before.rflags! & NATIVE_FLAGS) | BigInt(RFLAGS.FIXED),
      window: new Uint8Array(NATIVE.WINDOW_SIZE),
    };
  }

  async registers(): Promise<Registers[]> {
    return [this.#now ?? (await this.#carried())];
  }
  memory(): null {
    return null;
  }
  explain(): null {
    return null;
  }
  meaningless(): bigint {
    return 0n;
  }
  close(): Promise<void> {
    return this.#carrier.close();
  }
}

/** The carrier's state with what the processor left; an instruction that this processor does not have says nothing. */
function withResult(carried: Registers, { bytes }: NativeCase, result: NativeResult): Registers {
  if (result.vector === VECTOR.UD) return carried;
  const registers: Record<string, bigint> = {
    rip: carried.rip! - BigInt(bytes.length) + result.rip - BigInt(NATIVE.CODE),
    rflags: (carried.rflags! & ~NATIVE_FLAGS) | (result.rflags & NATIVE_FLAGS),
  };
  NAMES.forEach((name, i) => (registers[name] = result.gpr[i]!));
  return registers;
}
