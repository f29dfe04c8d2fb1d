// How a row's encoding is written, and its parsed shape. Not the decoder: tables.ts compiles these.
//
// Notation, after the SDM's opcode column (vol. 2, section 3.1.1):
//   NP / 66 / F3 / F2   mandatory prefix; NP = none of the three. Without one of them, any prefix matches and 66 is the operand size
//   NFx                 neither F3 nor F2; 66 is the operand size
//   REX.W, REX.W0       REX.W must be 1, or 0
//   REX.B0              REX.B must be 0
//   VEX.L.pp.map.W      L: 128, 256, LIG (ignored), or left out: both, and `x` operands take their width from it
//                       pp: NP 66 F3 F2; map: 0F 0F38 0F3A; W: W0 W1 WIG
//   0F, 0F 38, 0F 3A    opcode map; then the opcode byte
//   +r, +cc             the low 3 bits are a register, the low 4 bits a condition
//   /r, /0 .. /7        a ModRM byte; a digit fixes its reg field. Operands say whether rm may be a register or memory
//   /C1, /C0+i, /C0+r   two digits: the whole ModRM byte; +i: any rm field, +r: any reg field
// Of two rows that match the same bytes the more specific one wins (F3 90 pause before 90 xchg); equally specific ones are an error.

/** Opcode maps, in the order of the decoder's tables. */
export const MAP = { ONE: 0, X0F: 1, X0F38: 2, X0F3A: 3, VEX_0F: 4, VEX_0F38: 5, VEX_0F3A: 6 } as const;
export const MAPS = 7;

/** Bits of `Encoding.prefixes`: which of the mandatory-prefix columns a row stands in. */
export const PREFIX = { NP: 1, X66: 2, F3: 4, F2: 8, ANY: 15 } as const;

export interface Encoding {
  readonly map: number;
  readonly opcode: number;
  /** Opcodes that the row covers: 8 for +r, else 1. */
  readonly opcodes: 1 | 8;
  readonly prefixes: number;
  /** Required W bit; -1 = either. */
  readonly w: -1 | 0 | 1;
  /** Required REX.B bit; -1 = either. */
  readonly b: -1 | 0;
  /** Required VEX.L; -1 = either. */
  readonly l: -1 | 0 | 1;
  readonly vex: boolean;
  readonly modrm: boolean;
  /** Required reg field of ModRM; -1 = any. */
  readonly reg: number;
  /** Required rm field of ModRM, which fixes mod to 3 as well; -1 = any. */
  readonly rm: number;
  /** The row covers the register forms of one reg field (/C0+i, or a whole byte). */
  readonly registerOnly: boolean;
}

const PREFIX_TOKENS: Readonly<Record<string, number>> = {
  NP: PREFIX.NP,
  NFx: PREFIX.NP | PREFIX.X66,
  '66': PREFIX.X66,
  F3: PREFIX.F3,
  F2: PREFIX.F2,
};
const VEX_MAPS: Readonly<Record<string, number>> = { '0F': MAP.VEX_0F, '0F38': MAP.VEX_0F38, '0F3A': MAP.VEX_0F3A };

/** Parses an encoding in the notation above. */
export function parseEncoding(text: string): Encoding {
  const e = {
    map: MAP.ONE as number,
    opcode: -1,
    opcodes: 1 as 1 | 8,
    prefixes: PREFIX.ANY as number,
    w: -1 as -1 | 0 | 1,
    b: -1 as -1 | 0,
    l: -1 as -1 | 0 | 1,
    vex: false,
    modrm: false,
    reg: -1,
    rm: -1,
    registerOnly: false,
  };
  for (const token of text.split(' ')) {
    if (token.startsWith('VEX.')) parseVex(token, e);
    else if (token === 'REX.W') e.w = 1;
    else if (token === 'REX.W0') e.w = 0;
    else if (token === 'REX.B0') e.b = 0;
    else if (token.startsWith('/')) parseModrm(token.slice(1), e);
    else if (e.map === MAP.ONE && !e.vex && e.opcode < 0 && token in PREFIX_TOKENS) e.prefixes = PREFIX_TOKENS[token]!;
    else if (token === '0F' && e.opcode < 0 && !e.vex && e.map === MAP.ONE) e.map = MAP.X0F;
    else if (token === '38' && e.map === MAP.X0F) e.map = MAP.X0F38;
    else if (token === '3A' && e.map === MAP.X0F) e.map = MAP.X0F3A;
    else if (/^[0-9A-F]{2}(\+r)?$/.test(token) && e.opcode < 0) {
      e.opcode = parseInt(token, 16);
      if (token.endsWith('+r')) e.opcodes = 8;
    } else throw new Error(`encoding '${text}': '${token}' is no part of the notation in encoding.ts`);
  }
  if (e.opcode < 0) throw new Error(`encoding '${text}' has no opcode byte`);
  return e;
}

type Draft = { -readonly [K in keyof Encoding]: Encoding[K] };

function parseVex(token: string, e: Draft): void {
  e.vex = true;
  for (const part of token.split('.').slice(1)) {
    if (part in VEX_MAPS) e.map = VEX_MAPS[part]!;
    else if (part in PREFIX_TOKENS) e.prefixes = PREFIX_TOKENS[part]!;
    else if (part === '128') e.l = 0;
    else if (part === '256') e.l = 1;
    else if (part === 'W0') e.w = 0;
    else if (part === 'W1') e.w = 1;
    else if (part !== 'WIG' && part !== 'LIG') throw new Error(`encoding '${token}': unknown part '${part}'`);
  }
}

function parseModrm(text: string, e: Draft): void {
  e.modrm = true;
  if (text === 'r') return;
  if (/^[0-7]$/.test(text)) {
    e.reg = Number(text);
    return;
  }
  const byte = parseInt(text, 16);
  if (!/^[C-F][0-9A-F](\+[ir])?$/.test(text))
    throw new Error(`'/${text}' is neither /r, a digit nor a ModRM byte with mod = 3`);
  e.registerOnly = true;
  if (!text.endsWith('+r')) e.reg = (byte >> 3) & 7;
  if (!text.endsWith('+i')) e.rm = byte & 7;
}
