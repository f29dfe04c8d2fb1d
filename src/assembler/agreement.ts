// Compares what was asked for with what the disassembler reads back: mnemonic class, registers, address and immediates. Both
// sides are brought to one spelling first, so that `jz` is `je`, `movq` is `mov` and -1 is 0xff where a byte is meant.

import type { ReadBack } from './decoder.ts';
import { evaluate, type Expression, type Position } from './expression.ts';
import { as32Bit, isSegmentRegister, type MemoryOperand, type Operand, parseOperands } from './operand.ts';
import { reject, Rejection } from './problem.ts';
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

function sameMemory(asked: MemoryOperand, found: MemoryOperand): boolean {
  const isPseudo = (name: string | null): boolean => name === 'riz' || name === 'eiz';
  const index = (operand: MemoryOperand): string | null => (isPseudo(operand.index) ? null : operand.index);
  const samePlaces =
    asked.base === found.base &&
    index(asked) === index(found) &&
    (index(asked) === null || asked.scale === found.scale);
  // GNU and capstone disagree about showing a segment that is the default; an override that matters is a prefix byte and was asked for.
  const sameSegment =
    (asked.segment ?? '') === (found.segment ?? '') ||
    ['ds', 'es', 'ss', 'cs'].includes(found.segment ?? asked.segment ?? '');
  const distance = value(asked.displacement) - value(found.displacement);
  return (
    samePlaces && sameSegment && BigInt.asUintN(found.base === null && asked.base === null ? 64 : 32, distance) === 0n
  );
}

/** The port in %dx is written with and without parentheses. */
const isPort = (operand: Operand): boolean =>
  (operand.kind === 'register' && operand.name === 'dx') || (operand.kind === 'memory' && operand.base === 'dx');

function sameOperand(asked: Operand, found: Operand, immediateBytes: number, namesOneWidth: boolean): boolean {
  if (isPort(asked) && isPort(found)) return true;
  if (asked.kind === 'register' && found.kind === 'register') {
    return namesOneWidth ? asked.name === found.name : as32Bit(asked.name) === as32Bit(found.name);
  }
  if (asked.kind === 'immediate' && found.kind === 'immediate') {
    return BigInt.asUintN(8 * immediateBytes, value(asked.value) - value(found.value)) === 0n;
  }
  if (asked.kind === 'memory' && found.kind === 'memory') return sameMemory(asked, found);
  return false;
}

/** What was asked of the encoder. Operands hold numbers only. */
export interface Request {
  mnemonic: string;
  operands: readonly Operand[];
  /** Width of an immediate operand. */
  immediateBytes: number;
}

/**
 * Whether the disassembler read back what was asked for. Operand lists of different length are not compared: assemblers
 * and disassemblers differ in which implicit operands they write.
 */
export function agrees(request: Request, decoded: ReadBack): boolean {
  // XCHG of the accumulator with itself is NOP.
  if (decoded.mnemonic === 'nop' && /^xchg/.test(request.mnemonic)) return true;
  if (!sameMnemonic(request.mnemonic, decoded.mnemonic)) return false;
  let found: Operand[];
  try {
    found = parseOperands(new Cursor(decoded.operands), NO_POSITION);
  } catch (thrown) {
    if (thrown instanceof Rejection) return true;
    throw thrown;
  }
  if (found.length !== request.operands.length) return true;
  // Selectors have 16 bits whatever the register's name is: LAR, LSL, STR, SLDT, MOV to and from a segment register.
  const isSegment = (operand: Operand): boolean => operand.kind === 'register' && isSegmentRegister(operand.name);
  const namesOneWidth = !/^(lar|lsl|str|sldt)[wlq]?$/.test(request.mnemonic) && !found.some(isSegment);
  const matches = (list: readonly Operand[]): boolean =>
    list.every((operand, i) => sameOperand(operand, found[i], request.immediateBytes, namesOneWidth));
  // XCHG and TEST are symmetrical: GNU and capstone write their operands in either order.
  const mayReverse = found.length === 2 && /^(xchg|test)/.test(request.mnemonic);
  return matches(request.operands) || (mayReverse && matches([...request.operands].reverse()));
}
