// A trapline CPU that runs the same system cases as the oracle: same image, same registers, until HLT, a triple fault, or the end of memory.
import { selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import type { Cpu } from '../../src/cpu/cpu.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import type { Features } from '../../src/cpu/features.ts';
import { Processor } from '../../src/cpu/processor.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { readSegment, writeSegment } from '../../src/cpu/segments/segments.ts';
import { MSR } from '../../src/x86/names/msrs.ts';
import { APIC_BASE } from '../../src/x86/names/msrs.ts';
import { MEMORY_SIZE, type Poke } from '../cpu/systemImage.ts';
import { ORACLE_MSRS, type SystemCase, type SystemResult } from './kvm.ts';

const PATIENCE = 1_000_000;
const SEGMENT_COUNT = 8;

/** The result, and why the machine stopped by name if it did. */
export type GuestSystemResult = SystemResult & { readonly stopped: string | null };

/** Builds the machine; the function it returns runs one case. */
export function systemGuest(image: Uint8Array, features: Features): (test: SystemCase) => GuestSystemResult {
  const processor = new Processor({ cpus: 1, arenaBytes: MEMORY_SIZE });
  const { arena, views } = processor;
  const cpu = processor.cpus[0]!;
  const ram = arena.allocate(MEMORY_SIZE);
  processor.secondStage.map(0, MEMORY_SIZE / 4096, ram, { writable: true });
  cpu.features = features;
  for (const index of [...ORACLE_MSRS, MSR.FS_BASE, MSR.GS_BASE, MSR.EFER]) cpu.controls.allowMsr(index, 'both');
  cpu.controls.cr8LoadExiting = cpu.controls.cr8StoreExiting = false;
  const memory = (): Uint8Array => views.u8.subarray(ram, ram + MEMORY_SIZE);

  return (test) => {
    const start = image.slice();
    const words = new BigUint64Array(start.buffer);
    const bytes = new DataView(start.buffer);
    for (const [address, value] of test.pokes) bytes.setBigUint64(address, value, true);
    arena.hostWrite(ram, start);
    loadCase(cpu, test);
    const end = run(cpu);
    const after = new BigUint64Array(memory().slice().buffer);
    const changed: Poke[] = [];
    words.forEach((word, i) => void (word !== after[i] && changed.push([8 * i, after[i]!])));
    return {
      end,
      stopped: end === 'failed' ? (cpu.stopped?.what ?? `exit ${cpu.state.exitReason}`) : null,
      ...saveState(cpu),
      changed,
    };
  };
}

function loadCase(cpu: Cpu, test: SystemCase): void {
  const { state } = cpu;
  test.gpr.forEach((value, i) => state.setGpr(i, value));
  test.segments.forEach((segment, i) => writeSegment(state, i, segment));
  const { gdtrBase, gdtrLimit, idtrBase, idtrLimit, cr0, cr2, cr3, cr4, cr8, efer } = test;
  Object.assign(state, { gdtrBase, gdtrLimit, idtrBase, idtrLimit, cr0, cr2, cr3, cr4, cr8, efer });
  state.cpl = (test.segments[2]!.attributes >> 5) & 3;
  selectCodeMode(state);
  state.apicBase = APIC_BASE.DEFAULT_ADDRESS | APIC_BASE.EN | APIC_BASE.BSP;
  writeRflags(state, Number(test.rflags));
  state.shadow = state.activity = state.nmiBlocked = state.pendingDb = 0;
  state.entryEvent = test.event;
  state.entryErrorCode = test.eventError;
  ORACLE_MSRS.forEach((index, i) => void cpu.writeMsr(index, test.msrs[i]!));
  cpu.setRip(test.rip);
  cpu.mmu.translation.flushAll(false);
  cpu.mmu.translation.restored();
}

function run(cpu: Cpu): SystemResult['end'] {
  const reason = cpu.enter(PATIENCE, Infinity);
  switch (reason) {
    case EXIT.HLT:
      cpu.skip();
      return 'halted';
    case EXIT.TRIPLE_FAULT:
      return 'shutdown';
    case EXIT.EPT_VIOLATION:
    case EXIT.EPT_MISCONFIG:
      return 'outside memory';
    case EXIT.BUDGET:
      return 'endless';
    default:
      return 'failed';
  }
}

function saveState(cpu: Cpu): Omit<SystemResult, 'end' | 'changed'> {
  const { state } = cpu;
  const { rip, gdtrBase, gdtrLimit, idtrBase, idtrLimit, cr0, cr2, cr3, cr4, cr8, efer } = state;
  return {
    gpr: Array.from({ length: 16 }, (_, i) => state.gpr(i)),
    rip,
    rflags: BigInt(readRflags(state) >>> 0),
    segments: Array.from({ length: SEGMENT_COUNT }, (_, i) => readSegment(state, i)),
    gdtrBase,
    gdtrLimit,
    idtrBase,
    idtrLimit,
    cr0,
    cr2,
    cr3,
    cr4,
    cr8,
    efer, // prettier-ignore
    msrs: ORACLE_MSRS.map((index) => cpu.readMsr(index)!),
    nmiBlocked: state.nmiBlocked !== 0,
  };
}
