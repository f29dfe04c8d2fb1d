// Real mode does not know VEX: what begins like it is LES or LDS with a register, which is #UD (SDM vol. 2, 2.3.2). Protected mode does,
// in code of every size.

import { describe, expect, it } from 'vitest';
import { selectCodeMode } from '../../src/cpu/codeMode.ts';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { readSegment, realModeSegment, writeSegment } from '../../src/cpu/segments.ts';
import { Decoded, decode, MODE, type Mode } from '../../src/x86/decoder.ts';
import { CR0, SEGMENT, SEGMENT_ATTRIBUTE } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { samplesOf } from '../x86/samples.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';

/** Code of a size, in real or in protected mode without paging; #UD exits. */
function enter(system: TestSystem, cr0: bigint, codeBits: 16 | 32): void {
  const { cpu, state } = system.reset();
  cpu.controls = new Controls();
  cpu.controls.exceptionBitmap = 1 << VECTOR.UD;
  state.cr0 = cr0;
  state.efer = 0n;
  for (let segment = SEGMENT.ES; segment <= SEGMENT.GS; segment++) {
    const { attributes, ...loaded } = realModeSegment(readSegment(state, segment), 0);
    const size = codeBits === 32 ? SEGMENT_ATTRIBUTE.DB : 0;
    writeSegment(state, segment, { ...loaded, attributes: (attributes & ~SEGMENT_ATTRIBUTE.L) | size });
  }
  selectCodeMode(state);
  cpu.mmu.translation.flushAll(false);
  cpu.mmu.translation.restored();
}

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

  it.each<[string, bigint, 16 | 32, Mode, number]>([
    ['16-bit real mode', CR0.ET, 16, MODE.CODE16, EXIT.EXCEPTION_NMI],
    ['32-bit code that has left protected mode', CR0.ET, 32, MODE.CODE32, EXIT.EXCEPTION_NMI],
    ['16-bit protected mode', CR0.ET | CR0.PE, 16, MODE.CODE16, EXIT.BUDGET],
    ['32-bit protected mode', CR0.ET | CR0.PE, 32, MODE.CODE32, EXIT.BUDGET],
  ])('in %s', (_, cr0, codeBits, mode, expected) => {
    const samples = samplesIn(mode);
    expect(samples.length).toBeGreaterThan(200);
    enter(system, cr0, codeBits);
    const ends = new Set(samples.map(run));
    expect([...ends]).toEqual([expected]);
  });
});
