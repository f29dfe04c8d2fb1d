// What GNU as understands in a way of its own, or encodes in fewer or other bytes than the encoder would, brought to the one
// spelling that gives GNU's bytes. What the encoder would take for something else is refused here.

import { fitsSigned } from './branch.ts';
import type { Mode } from './encoder.ts';
import type { Constant } from './fields.ts';
import { gprSize, isSegmentRegister, type MemoryOperand, type Operand, resizeRegister } from './operand.ts';
import { reject } from './problem.ts';

export interface Spelling {
  mnemonic: string;
  prefixes: readonly string[];
  operands: readonly Operand[];
}

const STRING = /^(movs|cmps|stos|lods|scas|ins|outs)([bwlq]?)$/;
const SUFFIXES: Record<number, string> = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' };
const ACCUMULATORS = ['al', 'ax', 'eax', 'rax'];

const nameOf = (operand: Operand | undefined): string => (operand?.kind === 'register' ? operand.name : '');

const resized = (operand: Operand, size: number): Operand =>
  operand.kind === 'register' ? { ...operand, name: resizeRegister(operand.name, size) } : operand;

/** `fs movl (%rax), %ecx` is `movl %fs:(%rax), %ecx`. */
function placeSegment(spelling: Spelling): Spelling {
  const segment = spelling.prefixes.find(isSegmentRegister);
  const memory = spelling.operands.find((operand) => operand.kind === 'memory' && operand.segment === null);
  if (segment === undefined || memory?.kind !== 'memory') return spelling;
  return {
    ...spelling,
    prefixes: spelling.prefixes.filter((prefix) => prefix !== segment),
    operands: spelling.operands.map((operand) => (operand === memory ? { ...memory, segment } : operand)),
  };
}

/** String instructions have their addresses in RSI and RDI, and a size from their suffix or accumulator: nothing is guessed. */
function checkString({ mnemonic, operands }: Spelling): void {
  const suffix = STRING.exec(mnemonic)?.[2];
  const registers = operands.filter((operand) => operand.kind === 'register').map(nameOf);
  // With another register they are SSE's or sign-extending moves.
  if (suffix === undefined || registers.some((name) => ![...ACCUMULATORS, 'dx'].includes(name))) return;
  if (suffix === '' && !registers.some((name) => ACCUMULATORS.includes(name))) {
    reject(`the size of ${mnemonic} is not said`, `write ${mnemonic}b, ${mnemonic}w, ${mnemonic}l or ${mnemonic}q`);
  }
  for (const operand of operands) {
    if (operand.kind !== 'memory' || operand.base === 'dx') continue;
    const isPlain = operand.displacement === null && operand.index === null && /^[er]?[sd]i$/.test(operand.base ?? '');
    if (!isPlain)
      reject(`${mnemonic} addresses memory through %rsi and %rdi only`, `${mnemonic} without operands does`);
  }
}

/** To and from a segment register: 16 bits are moved whatever the register is called, and fewer bytes say so. */
function moveOfSegment({ mnemonic, prefixes, operands: [first, second] }: Spelling, mode: number): Spelling {
  const toSegment = isSegmentRegister(nameOf(second));
  const other = toSegment ? first : second;
  const suffix = other.kind === 'register' ? SUFFIXES[gprSize(other.name) ?? 0] : 'w';
  if (mnemonic !== 'mov' && mnemonic !== `mov${suffix}`) reject(`${mnemonic} does not fit its operands`, 'write mov');
  if (other.kind === 'memory') return { mnemonic: mode === 16 ? 'movw' : 'movl', prefixes, operands: [first, second] };
  const isLong = other.kind === 'register' && (toSegment || gprSize(other.name) === 8);
  const shorter = isLong ? resized(other, mode === 16 ? 2 : 4) : other;
  return { mnemonic: 'mov', prefixes, operands: toSegment ? [shorter, second] : [first, shorter] };
}

/** Whether GNU as gives this MOV a 64-bit address: accumulator and an absolute address beyond 32 bits. */
function isFarMove({ mnemonic, operands }: Spelling, constant: Constant): boolean {
  if (!/^mov[bwlq]?$/.test(mnemonic) || operands.length !== 2) return false;
  const memory = operands.find((operand) => operand.kind === 'memory');
  const accumulator = ACCUMULATORS.find((name) => operands.some((operand) => nameOf(operand) === name));
  if (memory?.kind !== 'memory' || accumulator === undefined) return false;
  if (mnemonic !== 'mov' && mnemonic !== `mov${SUFFIXES[gprSize(accumulator) ?? 8]}`) return false;
  if (memory.base !== null || memory.index !== null || memory.displacement === null) return false;
  const address = constant(memory.displacement);
  return address !== null && !fitsSigned(address, 4);
}

/** The segment that an address uses without a prefix. */
const impliedSegment = ({ base }: MemoryOperand): string => (/^([er]?[sb]p)$/.test(base ?? '') ? 'ss' : 'ds');

/**
 * The prefix that a segment asks for, or null. GNU as leaves it out where the segment is implied, and writes it wherever else
 * the source does, even where 64-bit mode ignores it; the encoder does neither, so that it is never shown a segment.
 */
export function segmentPrefix({ mnemonic, operands }: Spelling): string | null {
  const isString = STRING.test(mnemonic);
  for (const operand of operands) {
    if (operand.kind !== 'memory' || operand.segment === null) continue;
    // The destination of a string instruction is in ES, without a prefix and without a choice.
    if (isString && operand.segment === 'es' && /di$/.test(operand.base ?? '')) continue;
    if (operand.segment !== impliedSegment(operand)) return operand.segment;
  }
  return null;
}

/** The spelling to encode. */
export function asGnuSpells(written: Spelling, mode: Mode, constant: Constant): Spelling {
  const spelling = placeSegment(written);
  const { mnemonic, prefixes, operands } = spelling;
  const [first, second] = operands;
  checkString(spelling);
  if (/^l(jmp|call)q$/.test(mnemonic)) {
    reject(`GNU as has no ${mnemonic}`, `write rex.w ${mnemonic.slice(0, -1)} for a 64-bit offset`);
  }
  if (mnemonic === 'movsxd') return { ...spelling, mnemonic: 'movslq' };
  if (mnemonic === 'int' && operands.length === 1 && first.kind === 'immediate' && constant(first.value) === 3n) {
    return { mnemonic: 'int3', prefixes, operands: [] };
  }
  if (/^xchgq?$/.test(mnemonic) && operands.length === 2 && nameOf(first) === 'rax' && nameOf(second) === 'rax') {
    return { mnemonic: 'nop', prefixes, operands: [] };
  }
  if (/^(str|sldt)q?$/.test(mnemonic) && operands.length === 1 && gprSize(nameOf(first)) === 8) {
    return { mnemonic: mnemonic.replace(/q$/, ''), prefixes, operands: [resized(first, 4)] };
  }
  const isMove = /^mov[bwlq]?$/.test(mnemonic) && operands.length === 2;
  if (isMove && operands.some((operand) => isSegmentRegister(nameOf(operand)))) {
    return moveOfSegment(spelling, mode);
  }
  if (isMove && mnemonic !== 'movq' && operands.some((operand) => /^[xy]?mm\d/.test(nameOf(operand)))) {
    reject(`${mnemonic} does not move vector registers`, 'movq, movd, movaps and movdqa do');
  }
  if (/^movq?$/.test(mnemonic) && isMove && first.kind === 'immediate' && gprSize(nameOf(second)) === 8) {
    const value = constant(first.value);
    return { ...spelling, mnemonic: value === null || fitsSigned(value, 4) ? 'movq' : 'movabs' };
  }
  if (mode === 64 && isFarMove(spelling, constant)) return { ...spelling, mnemonic: 'movabs' };
  return spelling;
}
