// Byte strings for decoder tests: a seeded generator, and encodings made from the rows themselves.

import { MODE, type Mode } from '../../src/x86/decoder.ts';
import { MAP, PREFIX } from '../../src/x86/encoding.ts';
import type { Row } from '../../src/x86/row.ts';

/** Seeded numbers (mulberry32): the same sequence in every run. */
export function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

const MANDATORY = [
  [PREFIX.NP, []],
  [PREFIX.X66, [0x66]],
  [PREFIX.F3, [0xf3]],
  [PREFIX.F2, [0xf2]],
] as const;

/** Opcode bytes behind the prefixes of each legacy map. */
const ESCAPES: Readonly<Record<number, readonly number[]>> = {
  [MAP.ONE]: [],
  [MAP.X0F]: [0x0f],
  [MAP.X0F38]: [0x0f, 0x38],
  [MAP.X0F3A]: [0x0f, 0x3a],
};

/** Prefixes, escape and opcode of a row, without ModRM. */
function openings(row: Row, mode: Mode): number[][] {
  const { encoding: e } = row;
  const is64 = mode === MODE.CODE64;
  const out: number[][] = [];
  // A vector of indices needs a SIB byte, and so 32-bit addresses.
  const address = mode === MODE.CODE16 && row.operands.some((o) => o.addressing === 'vector') ? [0x67] : [];
  MANDATORY.forEach(([bit, bytes], pp) => {
    if (!(e.prefixes & bit)) return;
    for (const w of e.w < 0 ? [0, 1] : [e.w]) {
      if (w === 1 && !is64 && !e.vex) continue;
      if (!e.vex) out.push([...bytes, ...(w ? [0x48] : []), ...ESCAPES[e.map]!, e.opcode + (e.opcodes >> 3)]);
      else
        for (const l of e.l < 0 ? [0, 1] : [e.l])
          for (const vvvv of [0xf, 0xc])
            out.push([
              ...address,
              0xc4,
              0xe0 | (e.map - MAP.VEX_0F + 1),
              (w << 7) | (vvvv << 3) | (l << 2) | pp,
              e.opcode,
            ]);
    }
  });
  return out;
}

/** ModRM (and SIB) bytes that a row may have: some registers and memory, with every reg field that it admits. */
function modrms(row: Row): number[][] {
  const { encoding: e } = row;
  if (!e.modrm) return [[]];
  const regs = e.reg < 0 ? [0, 1, 2, 3, 4, 5, 6, 7] : [e.reg];
  const rms = e.rm >= 0 ? [e.rm] : e.registerOnly ? [0, 1, 2, 3, 4, 5, 6, 7] : [1, 6];
  const out: number[][] = [];
  for (const reg of regs) {
    for (const rm of rms) out.push([0xc0 | (reg << 3) | rm]);
    if (!e.registerOnly) out.push([(reg << 3) | 4, 0x1e], [(reg << 3) | 3]);
  }
  return out;
}

/** Encodings that a row may have in a mode, followed by zeros to 16 bytes; some may belong to a more specific row. */
export function samplesOf(row: Row, mode: Mode): Uint8Array[] {
  return openings(row, mode).flatMap((opening) =>
    modrms(row).map((modrm) => {
      const bytes = new Uint8Array(16);
      bytes.set([...opening, ...modrm]);
      return bytes;
    }),
  );
}
