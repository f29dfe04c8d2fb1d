// A CPU without hypervisor for tests: 64-bit mode, supervisor, memory mapped one to one, code at CODE, data at DATA.

import { selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { Controls } from '../../src/cpu/controls.ts';
import type { Cpu } from '../../src/cpu/cpu.ts';
import { featuresOf } from '../../src/cpu/features.ts';
import { Processor } from '../../src/cpu/processor.ts';
import { CPUID_FEATURE, type CpuidFeature } from '../../src/x86/names/cpuid.ts';
import { CR0, CR4, EFER } from '../../src/x86/names/registers.ts';
import { SEGMENTS } from '../../src/cpu/state.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';

export const MEMORY = 16 << 20;
export const TABLES = 0x1000;
export const CODE = 0x10_0000;
export const DATA = 0x20_0000;
export const STACK = 0x80_0000;

const PRESENT_WRITABLE_USER = 7n;
const PAGE_SIZE_BIT = 0x80n;
const LONG_CODE = 0xa09b;
const FLAT_DATA = 0xc093;

export interface Bare {
  readonly processor: Processor;
  readonly cpu: Cpu;
  /** Byte address in linear memory of guest physical 0. */
  readonly ram: number;
  load(address: number, bytes: ArrayLike<number>): void;
}

/** Builds one CPU over `MEMORY` bytes; all features that trapline knows are offered unless told otherwise. */
export function bareCpu(
  options: { features?: Iterable<CpuidFeature>; noHot?: boolean; engine?: 'wasm' | 'bigint' } = {},
): Bare {
  const processor = new Processor({
    cpus: 1,
    arenaBytes: MEMORY,
    noHot: options.noHot ?? false,
    engine: options.engine ?? 'wasm',
  });
  const cpu = processor.cpus[0]!;
  const ram = processor.arena.allocate(MEMORY);
  processor.secondStage.map(0, MEMORY / 4096, ram, { writable: true });
  cpu.features = featuresOf(options.features ?? (Object.keys(CPUID_FEATURE) as CpuidFeature[]));
  cpu.controls = Controls.none();
  const load = (address: number, bytes: ArrayLike<number>): void =>
    processor.arena.hostWrite(ram + address, Uint8Array.from(bytes));
  const entry = (at: number, value: bigint): void => processor.views.data.setBigUint64(ram + at, value, true);
  entry(TABLES, BigInt(TABLES + 0x1000) | PRESENT_WRITABLE_USER);
  entry(TABLES + 0x1000, BigInt(TABLES + 0x2000) | PRESENT_WRITABLE_USER);
  for (let at = 0; at < MEMORY; at += 1 << 21) {
    entry(TABLES + 0x2000 + (at >> 18), BigInt(at) | PRESENT_WRITABLE_USER | PAGE_SIZE_BIT);
  }
  resetState(cpu);
  return { processor, cpu, ram, load };
}

/** 64-bit mode at CODE with a stack, all registers 0. */
export function resetState(cpu: Cpu): void {
  const { state } = cpu;
  for (let i = 0; i < 16; i++) state.setGpr(i, 0n);
  state.setGpr(4, BigInt(STACK));
  state.cr0 = CR0.PG | CR0.PE | CR0.WP | CR0.ET | CR0.NE;
  state.cr3 = BigInt(TABLES);
  state.cr4 = CR4.PAE;
  state.efer = EFER.LME | EFER.LMA | EFER.NXE | EFER.SCE;
  state.cpl = 0;
  SEGMENTS.forEach((name, i) => {
    const at = state.at('segments', i);
    state.views.u64[at >> 3] = 0n;
    state.views.u32[(at + 8) >> 2] = 0xffff_ffff;
    state.views.u16[(at + 12) >> 1] = name === 'cs' ? LONG_CODE : FLAT_DATA;
    state.views.u16[(at + 14) >> 1] = name === 'cs' ? 0x10 : 0x18;
  });
  selectCodeMode(state);
  writeRflags(state, 2);
  state.shadow = 0;
  state.activity = 0;
  cpu.setRip(BigInt(CODE));
  cpu.mmu.translation.restored();
}

export { readRflags, writeRflags };
