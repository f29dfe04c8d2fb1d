// Compares what was asked for with what the disassembler reads back: mnemonic class, registers, address and immediates. Both
// sides are brought to one spelling first, so that `jz` is `je`, `movq` is `mov` and -1 is 0xff where a byte is meant.

import type { ReadBack } from './decoder.ts';
import type { Mode } from './encoder.ts';
import { evaluate, type Expression, type Position } from './expression.ts';
import { as32Bit, type MemoryOperand, type Operand, parseOperands } from './operand.ts';
import { reject } from './problem.ts';
import { Cursor } from './token.ts';

// prettier-ignore
const CONDITION: Record<string, string> = {
  z: 'e', nz: 'ne', c: 'b', nae: 'b', nb: 'ae', nc: 'ae', na: 'be', nbe: 'a', pe: 'p', po: 'np', nge: 'l', nl: 'ge', ng: 'le', nle: 'g',
};

// prettier-ignore
const ALIASES: Record<string, string> = {
  sal: 'shl', sall: 'shl', salq: 'shl', salb: 'shl', salw: 'shl',
  cbtw: 'cbw', cwtl: 'cwde', cltq: 'cdqe', cwtd: 'cwd', cltd: 'cdq', cqto: 'cqo',
  movabs: 'mov', movabsq: 'mov', movabsl: 'mov', movabsw: 'mov', movabsb: 'mov',
  movsbl: 'movsx', movsbw: 'movsx', movsbq: 'movsx', movswl: 'movsx', movswq: 'movsx', movslq: 'movsx', movsxd: 'movsx',
  movzb: 'movzx', movzbl: 'movzx', movzbw: 'movzx', movzbq: 'movzx', movzw: 'movzx', movzwl: 'movzx', movzwq: 'movzx',
  xlatb: 'xlat', int1: 'icebp', int3: 'int', wait: 'fwait', ud2a: 'ud2', loopz: 'loope', loopnz: 'loopne',
  // AT&T assemblers exchange these names where the destination is %st(i), an old mistake that they all keep.
  fsubr: 'fsub', fsubrp: 'fsubp', fdivr: 'fdiv', fdivrp: 'fdivp',
  retf: 'lret', retfq: 'lret', iretd: 'iret', sysexitl: 'sysexit', sysretl: 'sysret',
};

/** One spelling for a mnemonic that has several. */
const canonical = (word: string): string => (Object.hasOwn(ALIASES, word) ? ALIASES[word] : word);

/** The mnemonic's class: aliases and operand size removed. */
function mnemonicClass(text: string): string {
  const word = text.trim().split(/\s+/).at(-1) ?? '';
  const conditional = /^(j|set|cmov)(n?[abceglopsz]e?|pe|po|nae|nbe|nge|nle)([lqw]?)$/.exec(word);
  if (conditional !== null && word !== 'jmpe') return conditional[1] + (CONDITION[conditional[2]] ?? conditional[2]);
  const predicate = /^(v?cmp)(?:eq|lt|le|unord|neq|nlt|nle|ord)([sp][sd])$/.exec(word);
  if (predicate !== null) return predicate[1] + predicate[2];
  // FXSAVE64 is fxsaveq in older books.
  return canonical(word.replace(/^(f?x(?:save|rstor)\w*)64$/, '$1q'));
}

/** Whether two mnemonics name one instruction; either may carry a size suffix. */
export function sameMnemonic(a: string, b: string): boolean {
  const x = mnemonicClass(a);
  const y = mnemonicClass(b);
  if (x === y) return true;
  const strip = (word: string): string => canonical(word.replace(/[bwlq]$/, ''));
  return strip(x) === y || x === strip(y) || strip(x) === strip(y);
}

const NO_POSITION: Position = { here: () => reject('no position'), local: () => reject('no position') };

const value = (expression: Expression | null): bigint =>
  expression === null ? 0n : evaluate(expression, (name) => reject(`symbol ${name}`));

/** How two operand lists are compared. */
interface Comparison {
  immediateBytes: number;
  mode: Mode;
  /** `%ax` and `%eax` differ. */
  widthCounts: boolean;
}

function sameMemory(asked: MemoryOperand, found: MemoryOperand, mode: Mode): boolean {
  // %riz is an empty index: a way to write that there is none.
  const index = ({ index }: MemoryOperand): string | null => (index === 'riz' || index === 'eiz' ? null : index);
  const isAbsolute = found.base === null && index(found) === null;
  const samePlaces = asked.base === found.base && index(asked) === index(found);
  const sameScale = index(asked) === null || asked.scale === found.scale;
  // An override that 64-bit mode ignores is a byte that was asked for, and no part of the operand that is read back.
  const isIgnored = (segment: string | null): boolean => segment === null || !['fs', 'gs'].includes(segment);
  const sameSegment = asked.segment === found.segment || (isIgnored(asked.segment) && isIgnored(found.segment));
  const distance = value(asked.displacement) - value(found.displacement);
  const bits = mode === 16 ? 16 : mode === 64 && isAbsolute ? 64 : 32;
  return samePlaces && sameScale && sameSegment && BigInt.asUintN(bits, distance) === 0n;
}

/** The port in %dx is written with and without parentheses. */
const isPort = (operand: Operand): boolean =>
  (operand.kind === 'register' && operand.name === 'dx') || (operand.kind === 'memory' && operand.base === 'dx');

function sameOperand(asked: Operand, found: Operand, { immediateBytes, mode, widthCounts }: Comparison): boolean {
  if (isPort(asked) && isPort(found)) return true;
  if (asked.kind === 'register' && found.kind === 'register') {
    if (asked.indirect !== found.indirect) return false;
    return widthCounts ? asked.name === found.name : as32Bit(asked.name) === as32Bit(found.name);
  }
  if (asked.kind === 'immediate' && found.kind === 'immediate') {
    return BigInt.asUintN(8 * immediateBytes, value(asked.value) - value(found.value)) === 0n;
  }
  if (asked.kind !== 'memory' || found.kind !== 'memory') return false;
  return asked.indirect === found.indirect && sameMemory(asked, found, mode);
}

/** Integer instructions whose last letter is their operand size. */
const SIZED =
  /^(?:mov|add|or|adc|sbb|and|sub|xor|cmp|test|inc|dec|not|neg|i?mul|i?div|s[ah][lr]|ro[lr]|rc[lr]|sh[lr]d|bt[src]?|bs[fr]|xchg|xadd|cmpxchg|bswap|lea|push|pop|movs|stos|lods|scas|cmps|ins|outs|in|out)([bwlq])$/;
const SUFFIX_BITS: Record<string, number> = { b: 8, w: 16, l: 32, q: 64 };

const isRegister = (operand: Operand, names: RegExp): boolean =>
  operand.kind === 'register' && names.test(operand.name);

/** What was asked of the encoder. Operands hold numbers only. */
export interface Request {
  mnemonic: string;
  operands: readonly Operand[];
  /** Width of an immediate operand. */
  immediateBytes: number;
  mode: Mode;
}

/** Whether the suffix that was written is the size of what was read back. Segment and vector registers have sizes of their own. */
function sameSize({ mnemonic, operands }: Request, found: ReadBack): boolean {
  const suffix = SIZED.exec(mnemonic)?.[1];
  const isOther = operands.some((operand) => isRegister(operand, /mm\d|^[c-gs]s$|^[cd]r\d/));
  return suffix === undefined || isOther || found.width === SUFFIX_BITS[suffix];
}

/**
 * Whether what was read back is what was asked for. Operand lists of different length are not compared: assemblers and
 * disassemblers differ in which implicit operands they write.
 */
export function agrees(request: Request, found: ReadBack): boolean {
  const { mnemonic, operands, immediateBytes, mode } = request;
  // XCHG of the accumulator with itself is NOP.
  if (found.mnemonic === 'nop' && /^xchg/.test(mnemonic)) return true;
  if (!sameMnemonic(mnemonic, found.mnemonic) || !sameSize(request, found)) return false;
  const read = parseOperands(new Cursor(found.operands), NO_POSITION);
  if (read.length !== operands.length) return true;
  // Selectors have 16 bits whatever the register's name is: LAR, LSL, STR, SLDT, MOV to and from a segment register.
  const isSelector =
    /^(lar|lsl|str|sldt)[wlq]?$/.test(mnemonic) || read.some((operand) => isRegister(operand, /^[c-gs]s$/));
  const comparison = { immediateBytes, mode, widthCounts: !isSelector };
  const matches = (list: readonly Operand[]): boolean =>
    list.every((operand, i) => sameOperand(operand, read[i], comparison));
  // XCHG and TEST are symmetrical: their operands may be written in either order.
  const mayReverse = read.length === 2 && /^(xchg|test)/.test(mnemonic);
  return matches(operands) || (mayReverse && matches([...operands].reverse()));
}
