// Real mode does not know VEX: what begins like it is LES or LDS with a register, which is #UD (SDM vol. 2, ANDN and 2.5.1). Protected mode does,
// in code of every size.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { Decoded, decode, MODE, type Mode } from '../../src/x86/decoder.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { samplesOf } from '../x86/samples.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';
import { unpaged } from './unpaged.ts';

const insn = new Decoded();
const vexRows = ROWS.filter((row) => row.encoding.vex && row.semantics !== undefined);
/** Register and memory encodings of all executed VEX rows. */
const samplesIn = (mode: Mode): Uint8Array[] =>
  vexRows.flatMap((row) => samplesOf(row, mode)).filter((bytes) => decode(bytes, 0, 16, mode, insn) > 0);

describe.each(['wasm', 'bigint'] as const)('VEX (%s)', (engine) => {
  const system = new TestSystem(engine);
  const run = (bytes: Uint8Array): number => {
    // Memory operands are at address 0.
    for (let register = 0; register < 8; register++) system.state.setGpr(register, 0n);
    system.writeBytes(AT.CODE, bytes);
    system.cpu.setRip(BigInt(AT.CODE));
    return system.cpu.enter(1, Infinity);
  };

  it.each<[string, 'real' | 'protected', 16 | 32, Mode, number]>([
    ['16-bit real mode', 'real', 16, MODE.CODE16, EXIT.EXCEPTION_NMI],
    ['32-bit code that has left protected mode', 'real', 32, MODE.CODE32, EXIT.EXCEPTION_NMI],
    ['16-bit protected mode', 'protected', 16, MODE.CODE16, EXIT.BUDGET],
    ['32-bit protected mode', 'protected', 32, MODE.CODE32, EXIT.BUDGET],
  ])('in %s', (_, cpuMode, bits, mode, expected) => {
    const samples = samplesIn(mode);
    expect(samples.length).toBeGreaterThan(200);
    unpaged(system, cpuMode, bits);
    system.cpu.controls.exceptionBitmap = 1 << VECTOR.UD;
    const ends = new Set(samples.map(run));
    expect([...ends]).toEqual([expected]);
  });
});
