// What a processor does not offer, it does not execute: without its CPUID bit every encoding is #UD, or the older instruction that
// it is on such processors.

import { beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { Decoded, decode, MODE } from '../../src/x86/decoder.ts';
import { CPUID_FEATURE, type CpuidFeature } from '../../src/x86/names/cpuid.ts';
import { GPR, RFLAGS } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { featuresOf } from '../../src/cpu/features.ts';
import { samplesOf } from '../x86/samples.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';

const system = new TestSystem();
const { cpu, state } = system;

beforeEach(() => {
  system.reset();
  cpu.controls = new Controls();
  cpu.controls.exceptionBitmap = 1 << VECTOR.UD;
});

/** Offers everything but a feature. */
function withhold(feature: CpuidFeature): void {
  cpu.features = featuresOf((Object.keys(CPUID_FEATURE) as CpuidFeature[]).filter((name) => name !== feature));
}

/** Runs one instruction; the exit, by reason. */
function run(bytes: ArrayLike<number>): number {
  system.writeBytes(AT.CODE, bytes);
  cpu.setRip(BigInt(AT.CODE));
  return cpu.enter(1, Infinity);
}

const insn = new Decoded();
/** An encoding of the row in 64-bit mode. */
const sampleOf = (row: Row): Uint8Array | undefined =>
  samplesOf(row, MODE.CODE64).find((bytes) => decode(bytes, 0, 16, MODE.CODE64, insn) > 0 && ROWS[insn.row] === row);

describe('an encoding whose CPUID bit is absent', () => {
  const byFeature = new Map<CpuidFeature, Row[]>();
  for (const row of ROWS) if (row.cpuid) byFeature.set(row.cpuid, [...(byFeature.get(row.cpuid) ?? []), row]);

  it.each([...byFeature])('is #UD, or an older instruction: %s', (feature, rows) => {
    withhold(feature);
    const wrong = rows.filter((row) => {
      const bytes = sampleOf(row);
      if (bytes === undefined) return false; // not in 64-bit mode
      const isUndefined = run(bytes) === EXIT.EXCEPTION_NMI;
      return isUndefined === (row.without !== undefined);
    });
    expect(wrong.map(({ text, mnemonic }) => `${text} ${mnemonic}`)).toEqual([]);
  });
});

describe('without its bit', () => {
  const bytes = (hex: string): number[] => hex.split(' ').map((byte) => parseInt(byte, 16));
  /** RAX and ZF after an instruction that finds 0x77 in RAX and a source in RCX. */
  function count(hex: string, source: bigint): { rax: bigint; zf: boolean } {
    state.setGpr(GPR.RAX, 0x77n);
    state.setGpr(GPR.RCX, source);
    writeRflags(state, RFLAGS.FIXED);
    expect(run(bytes(hex))).toBe(EXIT.BUDGET);
    return { rax: system.gpr(GPR.RAX), zf: (readRflags(state) & RFLAGS.ZF) !== 0 };
  }

  it('TZCNT is BSF: of 0 it leaves the destination and sets ZF', () => {
    expect(count('f3 0f bc c1', 0n)).toEqual({ rax: 32n, zf: false });
    withhold('BMI1');
    expect(count('f3 0f bc c1', 0n)).toEqual({ rax: 0x77n, zf: true });
    expect(count('f3 0f bc c1', 8n)).toEqual({ rax: 3n, zf: false });
  });
  it('LZCNT is BSR: it counts from the other end', () => {
    expect(count('f3 48 0f bd c1', 8n)).toEqual({ rax: 60n, zf: false });
    withhold('LZCNT');
    expect(count('f3 48 0f bd c1', 8n)).toEqual({ rax: 3n, zf: false });
  });
  it('WBNOINVD is WBINVD', () => {
    withhold('WBNOINVD');
    expect(run(bytes('f3 0f 09'))).toBe(EXIT.WBINVD);
  });
  it.each<[string, string, CpuidFeature]>([
    ['PREFETCHW', '0f 0d 0c 25 ff ff ff 7f', 'PREFETCHW'],
    ['CLDEMOTE', '0f 1c 04 25 ff ff ff 7f', 'CLDEMOTE'],
    ['RDSSPQ', 'f3 48 0f 1e c8', 'CET_SS'],
  ])('%s is a NOP', (_, hex, feature) => {
    withhold(feature);
    state.setGpr(GPR.RAX, 0x77n);
    expect(run(bytes(hex))).toBe(EXIT.BUDGET);
    expect(system.gpr(GPR.RAX)).toBe(0x77n);
    expect(state.rip).toBe(BigInt(AT.CODE + bytes(hex).length));
  });
});
