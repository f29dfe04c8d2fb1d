// Decimal arithmetic and BOUND in 16- and 32-bit code, generated and evaluated: what test/x86/decimal.test.ts holds to the manual on
// every input, in the place where guests meet it.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { AF, ARITHMETIC, CF, OF } from '../../src/x86/flags.ts';
import { GPR, RFLAGS } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { formByName } from '../../src/x86/tables.ts';
import { evaluateForm } from '../x86/evaluation.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';
import { unpaged } from './unpaged.ts';

const { BUDGET, EXCEPTION_NMI } = EXIT;
const bytes = Array.from({ length: 256 }, (_, i) => i);
const FLAGS = [0, CF, AF, CF | AF, OF];
/** Bits of EAX above AX, which stay. */
const UPPER = 0x89ab_0000;

describe.each(['wasm', 'bigint'] as const)('on the %s engine', (engine) => {
  const system = new TestSystem(engine);
  const { cpu, state } = system;
  const load = (...code: readonly number[]): void => system.writeBytes(AT.CODE, code);
  const run = (): number => {
    cpu.setRip(BigInt(AT.CODE));
    return cpu.enter(1, Infinity);
  };

  it.each<[string, number[]]>([
    ['daa.8', [0x27]],
    ['das.8', [0x2f]],
    ['aaa.8', [0x37]],
    ['aas.8', [0x3f]],
    ['aam.8.i', [0xd4, 10]],
    ['aad.8.i', [0xd5, 10]],
    ['salc', [0xd6]],
  ])('%s does what its semantics say, undefined flags too', (name, code) => {
    unpaged(system, 'protected', 32);
    load(...code);
    const form = formByName(name)!;
    for (const al of bytes)
      for (const flags of FLAGS) {
        const eax = BigInt((UPPER | 0x7f00 | al) >>> 0);
        state.setGpr(GPR.RAX, eax);
        writeRflags(state, RFLAGS.FIXED | flags);
        expect(run()).toBe(BUDGET);
        const expected = evaluateForm(form, { gpr: [eax], flags }, { immediate: BigInt(code[1] ?? 0) });
        expect({ gpr: [system.gpr(GPR.RAX)], flags: readRflags(state) & ARITHMETIC }).toEqual(expected);
      }
  });

  it('AAM 0 is #DE', () => {
    unpaged(system, 'real', 16);
    cpu.controls.exceptionBitmap = 1 << VECTOR.DE;
    load(0xd4, 0);
    expect(run()).toBe(EXCEPTION_NMI);
    expect(cpu.exit()).toMatchObject({ vector: VECTOR.DE, rip: BigInt(AT.CODE) });
  });

  const bound = (
    mode: 'real' | 'protected',
    bits: 16 | 32,
    index: number,
    [lower, upper]: readonly [number, number],
  ) => {
    unpaged(system, mode, bits);
    cpu.controls.exceptionBitmap = (1 << VECTOR.BR) | (1 << VECTOR.GP);
    load(0x62, bits === 16 ? 0x07 : 0x03); // bound %ax,(%bx); bound %eax,(%ebx)
    state.setGpr(GPR.RAX, BigInt.asUintN(32, BigInt(index)));
    state.setGpr(GPR.RBX, BigInt(AT.STACK));
    const limits = bits === 16 ? Int16Array.of(lower, upper) : Int32Array.of(lower, upper);
    system.writeBytes(AT.STACK, new Uint8Array(limits.buffer));
  };

  it.each<['real' | 'protected', 16 | 32]>([
    ['real', 16],
    ['protected', 16],
    ['protected', 32],
  ])('BOUND raises #BR outside its limits (%s mode, %i bits)', (mode, bits) => {
    for (const [index, inside] of [
      [-3, true],
      [5, true],
      [0, true],
      [-4, false],
      [6, false],
    ] as const) {
      bound(mode, bits, index, [-3, 5]);
      expect(run()).toBe(inside ? BUDGET : EXCEPTION_NMI);
      if (!inside) expect(cpu.exit()).toMatchObject({ vector: VECTOR.BR, rip: BigInt(AT.CODE) });
    }
  });

  it('BOUND finds the upper limit at 0 where the lower is the last word of a segment', () => {
    bound('real', 16, 5, [0, 0]);
    state.setGpr(GPR.RBX, 0xfffen);
    system.writeBytes(0xfffe, [3, 0]);
    system.writeBytes(0, [5, 0]);
    expect(run()).toBe(BUDGET);
    system.writeBytes(0, [4, 0]);
    expect(run()).toBe(EXCEPTION_NMI);
  });
});
