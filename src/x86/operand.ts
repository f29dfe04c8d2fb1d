// How a row's operands are written, and their parsed shape. Not where a decoded instruction keeps them: decoded.ts.
//
// Notation, after SDM vol. 2, appendix A.2: a letter says where the operand is, what follows how large it is.
//   A   far address in the instruction        N    rm: MMX register
//   B   general register by VEX.vvvv          O    memory at an offset in the instruction
//   C   control register by reg               P    MMX register by reg
//   D   debug register by reg                 Q    rm: MMX register or memory
//   E   rm: general register or memory        R    rm: general register
//   F   the flags register                    S    segment register by reg
//   G   general register by reg               U    rm: vector register
//   H   vector register by VEX.vvvv           V    vector register by reg
//   I   immediate                             VM   rm: memory with a vector of indices
//   J   relative target                       W    rm: vector register or memory
//   L   vector register by imm8[7:4]          X    memory at DS:rSI
//   M   rm: memory                            Y    memory at ES:rDI
//   K KH KN KQ   mask register by reg, by VEX.vvvv, rm, rm or memory
//   T TH TN      tile register by reg, by VEX.vvvv, rm
//   Z            general register in the opcode's low 3 bits
//   Ry/Mb        as a register of one size, as memory of another
// Sizes: b w d q t (80 bits) dq (128) qq (256); v = operand size, z = operand size but at most 32, y = 32 or 64 by REX.W,
//   n = 64 in 64-bit mode else 32, am = address size; x ps pd = vector length, h f e = a half, a fourth, an eighth of it;
//   ss sd = a scalar in a vector register; bs = byte, sign-extended; p = far pointer, s = pseudo-descriptor, a = BOUND's pair;
//   env state fx xsave = x87 environment, x87 state, FXSAVE and XSAVE area; sib = tile memory, which needs a SIB byte.
// Named: AL CL AX DX ES .. GS ST0 XMM0; rAX and eAX = v and z of register 0; STi = x87 register by rm; 1 = the constant.

export type Access = 'r' | 'w' | 'rw' | 'n';

/** Which registers a register operand counts. */
export type RegisterFile = 'gpr' | 'segment' | 'control' | 'debug' | 'mmx' | 'vector' | 'x87' | 'mask' | 'tile';

/** Where the decoder finds the register number (or that there is none). */
export type Place = 'reg' | 'rm' | 'vvvv' | 'opcode' | 'is4' | 'fixed' | 'none';

export interface Operand {
  /** As written in the row. */
  readonly notation: string;
  /** What the form's name calls it when it is a register or implicit: r, x, mm, sreg, cr, i, j, cl, 1 ... */
  readonly shape: string;
  readonly file: RegisterFile | null;
  readonly place: Place;
  /** Register number of a named register. */
  readonly fixed: number;
  /** A named register that needs no number at run time (CL, DX): its name tells all. */
  readonly literal: boolean;
  /** 'no': never memory; 'only': always; 'or': register or memory, as mod says. */
  readonly memory: 'no' | 'only' | 'or';
  /** Size as a register, and as memory. */
  readonly size: string;
  readonly memorySize: string;
  /** Immediates and relative targets: size of the field in the instruction ('' = none). */
  readonly immediate: '' | 'b' | 'bs' | 'w' | 'z' | 'v' | 'jb' | 'jz' | 'p' | 'o' | 'is4';
  /** Memory whose address is in rSI ('si') or rDI ('di') instead of ModRM; VSIB index ('vector'). */
  readonly addressing: '' | 'si' | 'di' | 'offset' | 'vector';
  readonly access: Access;
}

type Kind = Pick<Operand, 'shape' | 'file' | 'place' | 'memory'>;
const kind = (shape: string, file: RegisterFile | null, place: Place, memory: Operand['memory'] = 'no'): Kind => ({
  shape,
  file,
  place,
  memory,
});

// prettier-ignore
const LETTERS: Readonly<Record<string, Kind>> = {
  A: kind('far', null, 'none'),         B: kind('r', 'gpr', 'vvvv'),         C: kind('cr', 'control', 'reg'),
  D: kind('dr', 'debug', 'reg'),        E: kind('r', 'gpr', 'rm', 'or'),     F: kind('flags', null, 'none'),
  G: kind('r', 'gpr', 'reg'),           H: kind('x', 'vector', 'vvvv'),      I: kind('i', null, 'none'),
  J: kind('j', null, 'none'),           K: kind('k', 'mask', 'reg'),         KH: kind('k', 'mask', 'vvvv'),
  KN: kind('k', 'mask', 'rm'),          KQ: kind('k', 'mask', 'rm', 'or'),   T: kind('tmm', 'tile', 'reg'),
  TH: kind('tmm', 'tile', 'vvvv'),      TN: kind('tmm', 'tile', 'rm'),       L: kind('x', 'vector', 'is4'),       M: kind('m', null, 'none', 'only'),
  N: kind('mm', 'mmx', 'rm'),           O: kind('m', null, 'none', 'only'),  P: kind('mm', 'mmx', 'reg'),
  Q: kind('mm', 'mmx', 'rm', 'or'),     R: kind('r', 'gpr', 'rm'),           S: kind('sreg', 'segment', 'reg'),
  U: kind('x', 'vector', 'rm'),         V: kind('x', 'vector', 'reg'),       VM: kind('m', null, 'none', 'only'),
  W: kind('x', 'vector', 'rm', 'or'),   X: kind('m', null, 'none', 'only'),  Y: kind('m', null, 'none', 'only'),
  Z: kind('r', 'gpr', 'opcode'),
};

const ADDRESSING: Readonly<Record<string, Operand['addressing']>> = { O: 'offset', X: 'si', Y: 'di', VM: 'vector' };

interface Named {
  readonly shape: string;
  readonly file: RegisterFile | null;
  readonly number: number;
  readonly size: string;
  readonly literal?: boolean;
}
const named = (shape: string, file: RegisterFile | null, number: number, size: string, literal = false): Named => ({
  shape,
  file,
  number,
  size,
  literal,
});

// prettier-ignore
const NAMED: Readonly<Record<string, Named>> = {
  AL: named('r', 'gpr', 0, 'b'), AX: named('r', 'gpr', 0, 'w'), eAX: named('r', 'gpr', 0, 'z'), rAX: named('r', 'gpr', 0, 'v'),
  CL: named('cl', 'gpr', 1, 'b', true), DX: named('dx', 'gpr', 2, 'w', true),
  ES: named('sreg', 'segment', 0, 'w'), CS: named('sreg', 'segment', 1, 'w'), SS: named('sreg', 'segment', 2, 'w'),
  DS: named('sreg', 'segment', 3, 'w'), FS: named('sreg', 'segment', 4, 'w'), GS: named('sreg', 'segment', 5, 'w'),
  ST0: named('st', 'x87', 0, 't'), STi: named('st', 'x87', -1, 't'), XMM0: named('xmm0', 'vector', 0, 'dq', true),
  1: named('1', null, 0, '', true),
};

/** Parses one operand; `access` is how the instruction uses it. */
function parseOperand(notation: string, access: Access): Operand {
  const name = NAMED[notation];
  if (name) {
    return {
      notation,
      shape: name.shape,
      file: name.file,
      place: notation === 'STi' ? 'rm' : 'fixed',
      fixed: name.number,
      literal: name.literal === true,
      memory: 'no',
      size: name.size,
      memorySize: '',
      immediate: '',
      addressing: '',
      access,
    };
  }
  const [first, second] = notation.split('/') as [string, string | undefined];
  const [, letters, size] = /^([A-Z]+)([a-z0-9]*)$/.exec(first) ?? [];
  const found = letters === undefined ? undefined : LETTERS[letters];
  if (!found || (second !== undefined && !second.startsWith('M'))) {
    throw new Error(`operand '${notation}' is not in the notation of operand.ts`);
  }
  return {
    notation,
    ...found,
    memory: second === undefined ? found.memory : 'or',
    fixed: -1,
    literal: false,
    size: size!,
    memorySize: second === undefined ? size! : second.slice(1),
    immediate: immediateOf(letters!, size!),
    addressing: ADDRESSING[letters!] ?? '',
    access: letters === 'I' || letters === 'J' || letters === 'A' ? 'r' : access,
  };
}

function immediateOf(letters: string, size: string): Operand['immediate'] {
  if (letters === 'I') return size as Operand['immediate'];
  if (letters === 'J') return size === 'b' ? 'jb' : 'jz';
  if (letters === 'A') return 'p';
  if (letters === 'O') return 'o';
  if (letters === 'L') return 'is4';
  return '';
}

const parsed = new Map<string, readonly Operand[]>();

/**
 * Parses a row's operands. `access` gives r, w, rw or n (named, not accessed) for the first ones, separated by spaces; the
 * others are read. Left out, it is 'w' for two or more operands (a destination and its sources) and 'r' for one.
 */
export function parseOperands(text: string, access: string | undefined): readonly Operand[] {
  const key = `${text} ${access ?? ''}`;
  let operands = parsed.get(key);
  if (!operands) {
    const notations = text === '' ? [] : text.split(',');
    const accesses = (access ?? (notations.length > 1 ? 'w' : 'r')).split(' ') as Access[];
    operands = notations.map((notation, i) => parseOperand(notation, accesses[i] ?? 'r'));
    parsed.set(key, operands);
  }
  return operands;
}
