// A CPU in the system of systemImage.ts, for tests that call microcode and event delivery directly.

import { selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { Controls } from '../../src/cpu/controls.ts';
import type { Cpu } from '../../src/cpu/cpu.ts';
import { EXIT, type ExitName } from '../../src/cpu/exit.ts';
import { exitSignal, guestFault, stopSignal } from '../../src/cpu/fault.ts';
import { featuresOf } from '../../src/cpu/features.ts';
import type { Operands, Outcome } from '../../src/cpu/microcode/microcode.ts';
import { MICROCODE, type MicrocodeName } from '../../src/cpu/microcode/table.ts';
import { RecordOperands } from '../../src/cpu/code/operands.ts';
import { Processor } from '../../src/cpu/processor.ts';
import { writeRflags } from '../../src/cpu/rflags.ts';
import { writeSegment } from '../../src/cpu/segments/segments.ts';
import { CPUID_FEATURE, type CpuidFeature } from '../../src/x86/names/cpuid.ts';
import { CR0, CR4, EFER, GPR, RFLAGS } from '../../src/x86/names/registers.ts';
import { AT, MEMORY_SIZE, TABLE_REGISTERS, segmentsAt, systemImage } from './systemImage.ts';

/** How microcode or a delivery ended. */
export type Ending =
  | { readonly outcome: Exclude<Outcome, 'exit'> }
  | { readonly fault: number; readonly code: number | null }
  | { readonly exit: ExitName }
  | { readonly stopped: string };

const image = systemImage();
const nameOf = new Map<number, ExitName>(Object.entries(EXIT).map(([name, reason]) => [reason, name as ExitName]));

export class TestSystem {
  readonly cpu: Cpu;
  readonly #processor: Processor;
  readonly #ram: number;

  constructor(engine: 'wasm' | 'bigint' = 'bigint') {
    this.#processor = new Processor({ cpus: 1, arenaBytes: MEMORY_SIZE, engine });
    this.cpu = this.#processor.cpus[0]!;
    this.#ram = this.#processor.arena.allocate(MEMORY_SIZE);
    this.reset();
  }

  get state() {
    return this.cpu.state;
  }

  /** The image, and registers of 64-bit code at this privilege level; no hypervisor, all features. */
  reset(cpl: 0 | 1 | 3 = 0): this {
    const { cpu, state } = this;
    const { secondStage, arena } = this.#processor;
    secondStage.map(0, MEMORY_SIZE / 4096, this.#ram, { writable: true });
    arena.hostWrite(this.#ram, image);
    cpu.controls = Controls.none();
    cpu.features = featuresOf(Object.keys(CPUID_FEATURE) as CpuidFeature[]);
    for (let i = 0; i < 16; i++) state.setGpr(i, 0n);
    state.setGpr(GPR.RSP, BigInt(AT.STACK));
    segmentsAt(cpl).forEach((segment, i) => writeSegment(state, i, segment));
    Object.assign(state, TABLE_REGISTERS);
    state.cr0 = CR0.PE | CR0.ET | CR0.NE | CR0.WP | CR0.PG;
    state.cr2 = 0n;
    state.cr3 = BigInt(AT.TABLES);
    state.cr4 = CR4.PAE | CR4.PGE;
    state.cr8 = 0n;
    state.xcr0 = 1n;
    state.efer = EFER.LME | EFER.LMA | EFER.SCE | EFER.NXE;
    state.cpl = cpl;
    selectCodeMode(state);
    writeRflags(state, RFLAGS.FIXED);
    for (let i = 0; i < 8; i++) state.views.u64[state.at('dr', i) >> 3] = 0n;
    state.shadow = state.activity = state.nmiBlocked = state.pendingDb = 0;
    state.entryEvent = state.vectoringEvent = 0;
    cpu.mmu.fragments.drop();
    cpu.setRip(BigInt(AT.CODE));
    cpu.mmu.translation.flushAll(false);
    cpu.mmu.translation.restored();
    return this;
  }

  /** Takes a page away from the second stage. */
  unmap(gpa: number): void {
    this.#processor.secondStage.unmap(gpa >> 12, 1);
    this.cpu.mmu.translation.flushAll(false);
  }

  /** Gives it back. */
  map(gpa: number): void {
    this.#processor.secondStage.map(gpa >> 12, 1, this.#ram + gpa, { writable: true });
  }

  read(address: number | bigint): bigint {
    return this.#processor.views.data.getBigUint64(this.#ram + Number(address), true);
  }
  write(address: number | bigint, ...values: readonly (bigint | number)[]): void {
    values.forEach((value, i) =>
      this.#processor.views.data.setBigUint64(
        this.#ram + Number(address) + 8 * i,
        BigInt.asUintN(64, BigInt(value)),
        true,
      ),
    );
  }
  writeBytes(address: number, bytes: ArrayLike<number>): void {
    this.#processor.arena.hostWrite(this.#ram + address, Uint8Array.from(bytes));
  }
  /** All of guest memory. */
  memory(): Uint8Array {
    return this.#processor.views.u8.slice(this.#ram, this.#ram + MEMORY_SIZE);
  }
  gpr(register: number): bigint {
    return this.state.gpr(register);
  }

  /** Does something and says how it ended. */
  attempt(action: () => Outcome | void): Ending {
    try {
      const outcome = action() ?? 'next';
      return outcome === 'exit' ? { exit: nameOf.get(this.state.exitReason)! } : { outcome };
    } catch (thrown) {
      if (thrown === guestFault) return { fault: guestFault.vector, code: guestFault.errorCode };
      if (thrown === exitSignal) return { exit: nameOf.get(this.state.exitReason)! };
      if (thrown === stopSignal) return { stopped: stopSignal.what };
      throw thrown;
    }
  }

  /** Executes microcode at RIP on these operands. */
  execute(name: MicrocodeName, operands: Partial<Operands> = {}): Ending {
    const insn = { ...new RecordOperands(this.state), rip: this.state.rip, length: 3, width: 8, ...operands };
    return this.attempt(() => MICROCODE[name](this.cpu, insn));
  }
}
