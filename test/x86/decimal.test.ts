// Decimal arithmetic and the like on every input, against the manual's Operation sections written a second time, in plain numbers.

import { describe, expect, it } from 'vitest';
import { AF, CF, OF, PF, SF, ZF } from '../../src/x86/flags.ts';
import { formByName } from '../../src/x86/tables.ts';
import { evaluateForm } from './evaluation.ts';

/** AX and flags, or the name of a fault. */
type Result = { ax: number; flags: number } | string;
/** One instruction of the manual: `undefined` flags do not count. */
interface Model {
  readonly undefined: number;
  run(ax: number, flags: number, immediate: number): Result;
}

const bytes = Array.from({ length: 256 }, (_, i) => i);
const word = (ah: number, al: number): number => ((ah & 0xff) << 8) | (al & 0xff);
/** SF, ZF and PF by a byte. */
function byResult(value: number): number {
  const ones = value.toString(2).replaceAll('0', '').length;
  return (value & 0x80 ? SF : 0) | (value === 0 ? ZF : 0) | (ones % 2 === 0 ? PF : 0);
}

/** DAA and DAS (SDM vol. 2). */
const packed = (direction: 1 | -1): Model => ({
  undefined: OF,
  run(ax, flags) {
    const oldAl = ax & 0xff;
    const oldCf = (flags & CF) !== 0;
    let al = oldAl;
    let cf = false;
    const af = (al & 0xf) > 9 || (flags & AF) !== 0;
    if (af) {
      al += 6 * direction;
      cf = oldCf || al > 0xff || al < 0;
      al &= 0xff;
    }
    if (oldAl > 0x99 || oldCf) {
      al = (al + 0x60 * direction) & 0xff;
      cf = true;
    } else if (direction === 1) cf = false;
    return { ax: word(ax >> 8, al), flags: (cf ? CF : 0) | (af ? AF : 0) | byResult(al) };
  },
});

/** AAA and AAS. */
const unpacked = (direction: 1 | -1): Model => ({
  undefined: OF | SF | ZF | PF,
  run(ax, flags) {
    const adjusts = (ax & 0xf) > 9 || (flags & AF) !== 0;
    const after = adjusts ? (direction === 1 ? ax + 0x106 : ax - 6 - 0x100) & 0xffff : ax;
    return { ax: word(after >> 8, after & 0xf), flags: adjusts ? CF | AF : 0 };
  },
});

const aam: Model = {
  undefined: OF | AF | CF,
  run(ax, _, base) {
    const al = ax & 0xff;
    return base === 0 ? 'de' : { ax: word(Math.floor(al / base), al % base), flags: byResult(al % base) };
  },
};
const aad: Model = {
  undefined: OF | AF | CF,
  run(ax, _, base) {
    const al = ((ax & 0xff) + (ax >> 8) * base) & 0xff;
    return { ax: al, flags: byResult(al) };
  },
};
const salc: Model = { undefined: 0, run: (ax, flags) => ({ ax: word(ax >> 8, flags & CF ? 0xff : 0), flags }) };

/** Bits above AX, which must stay. */
const UPPER = 0x89ab_cdef_0123_0000n;

/** What the form does otherwise than the model, at most a few. */
function differences(name: string, model: Model, inputs: Iterable<readonly [number, number, number]>): string[] {
  const form = formByName(name)!;
  const found: string[] = [];
  for (const [ax, flags, immediate] of inputs) {
    const ending = evaluateForm(form, { gpr: [UPPER | BigInt(ax)], flags }, { immediate: BigInt(immediate) });
    const theirs = model.run(ax, flags, immediate);
    const defined = ~model.undefined;
    const expected = typeof theirs === 'string' ? theirs : `${UPPER | BigInt(theirs.ax)} ${theirs.flags & defined}`;
    const ours = 'fault' in ending ? ending.fault : `${ending.gpr[0]} ${ending.flags & defined}`;
    if (ours !== expected) found.push(`${name} ${[ax, flags, immediate]}: ${ours}, not ${expected}`);
    if (found.length > 5) break;
  }
  return found;
}

const CARRIES = [0, CF, AF, CF | AF, OF | SF | ZF | PF, CF | OF, AF | SF, CF | AF | OF | SF | ZF | PF];
const ANY_AH = [0, 1, 9, 0x7f, 0xfe, 0xff];

function* everyAl(highs: readonly number[], flags: readonly number[]): Generator<readonly [number, number, number]> {
  for (const ah of highs) for (const al of bytes) for (const image of flags) yield [word(ah, al), image, 0];
}
function* everyBase(pairs: Iterable<number>): Generator<readonly [number, number, number]> {
  for (const ax of pairs) for (const base of bytes) yield [ax, CF | AF | OF, base];
}

describe('decimal arithmetic does what the manual says', () => {
  it.each<[string, Model]>([
    ['daa.8', packed(1)],
    ['das.8', packed(-1)],
    ['aaa.8', unpacked(1)],
    ['aas.8', unpacked(-1)],
  ])('%s, for every AL, CF and AF', (name, model) => {
    expect(differences(name, model, everyAl(ANY_AH, CARRIES))).toEqual([]);
  });

  it('AAM, for every AL and base; a base of 0 is #DE', () => {
    expect(differences('aam.8.i', aam, everyBase(bytes.map((al) => word(0x55, al))))).toEqual([]);
  });

  it('AAD, for every AH and base, and every AL with base 10', () => {
    expect(differences('aad.8.i', aad, everyBase(bytes.map((ah) => word(ah, 0x9d ^ ah))))).toEqual([]);
    const tens = [...everyAl(bytes, [0])].map(([ax, flags]) => [ax, flags, 10] as const);
    expect(differences('aad.8.i', aad, tens)).toEqual([]);
  });

  it('SALC fills AL with the carry and leaves flags alone', () => {
    expect(differences('salc', salc, everyAl([0x12], CARRIES))).toEqual([]);
  });

  it('and a model that forgets the borrow of DAS is told apart', () => {
    const forgetful: Model = {
      undefined: OF,
      run: (ax, flags) => {
        const right = packed(-1).run(ax, flags, 0) as { ax: number; flags: number };
        const high = (ax & 0xff) > 0x99 || (flags & CF) !== 0;
        return { ...right, flags: (right.flags & ~CF) | (high ? CF : 0) };
      },
    };
    expect(differences('das.8', forgetful, everyAl([0], [AF]))).not.toEqual([]);
  });
});

describe('BOUND', () => {
  const EDGES = [-0x8000_0000, -0x8000, -5, -1, 0, 1, 7, 0x7fff, 0x7fff_ffff];
  it.each([16, 32])('raises #BR outside its limits, signed and inclusive, at %i bits', (width) => {
    const form = formByName(`bound.${width}.r.s`)!;
    const cut = (value: number): bigint => BigInt.asUintN(width, BigInt(value));
    const signed = (value: number): bigint => BigInt.asIntN(width, BigInt(value));
    for (const index of EDGES)
      for (const lower of EDGES)
        for (const upper of EDGES) {
          const memory = new Map([
            [0n, cut(lower)],
            [BigInt(width / 8), cut(upper)],
          ]);
          const gpr = [0n, 0n, 0n, BigInt.asUintN(64, (0xabcdn << 32n) | BigInt.asUintN(32, BigInt(index)))];
          const before = { gpr, flags: CF | ZF };
          const load = (address: bigint): bigint => memory.get(address)!;
          const inside = signed(lower) <= signed(index) && signed(index) <= signed(upper);
          expect(evaluateForm(form, before, { slots: [3], load })).toEqual(inside ? before : { fault: 'br' });
        }
  });
});
