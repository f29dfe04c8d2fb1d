// AT&T operands: parsed into what they mean, and written back in the one canonical spelling that the encoder and the
// comparison with the disassembler use.

import { type Expression, type Position, parseExpression } from './expression.ts';
import { reject } from './problem.ts';
import type { Cursor } from './token.ts';

export interface RegisterOperand {
  kind: 'register';
  /** Without the percent sign. */
  name: string;
  /** Written with `*`: the target of an indirect jump or call. */
  indirect: boolean;
}

export interface ImmediateOperand {
  kind: 'immediate';
  value: Expression;
}

export interface MemoryOperand {
  kind: 'memory';
  segment: string | null;
  displacement: Expression | null;
  base: string | null;
  index: string | null;
  scale: 1 | 2 | 4 | 8;
  indirect: boolean;
}

export type Operand = RegisterOperand | ImmediateOperand | MemoryOperand;

const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const SIZES = new Map<string, 1 | 2 | 4 | 8>();
const OTHERS = new Set<string>([...SEGMENTS, 'st', 'eip', 'rip', 'eiz', 'riz']);

for (const r of ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh', 'spl', 'bpl', 'sil', 'dil']) SIZES.set(r, 1);
for (const r of ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di']) {
  SIZES.set(r, 2).set(`e${r}`, 4).set(`r${r}`, 8);
}
for (let i = 8; i < 16; i++) SIZES.set(`r${i}b`, 1).set(`r${i}w`, 2).set(`r${i}d`, 4).set(`r${i}`, 8);
for (let i = 0; i < 16; i++) OTHERS.add(`cr${i}`).add(`dr${i}`);
for (let i = 0; i < 8; i++) OTHERS.add(`st(${i})`).add(`mm${i}`);
for (let i = 0; i < 4; i++) OTHERS.add(`bnd${i}`);
for (let i = 0; i < 16; i++) OTHERS.add(`xmm${i}`).add(`ymm${i}`);

/** Bytes of a general-purpose register, or null for any other register. */
export function gprSize(name: string): 1 | 2 | 4 | 8 | null {
  return SIZES.get(name) ?? null;
}

export const isSegmentRegister = (name: string): boolean => SEGMENTS.includes(name);

/** The 32-bit register of the same number: `rax`, `ax` → `eax`. Byte registers stay as they are. */
export function as32Bit(name: string): string {
  switch (SIZES.get(name)) {
    case 8:
      return /^r\d/.test(name) ? `${name}d` : `e${name.slice(1)}`;
    case 2:
      return name.endsWith('w') ? `${name.slice(0, -1)}d` : `e${name}`;
    default:
      return name;
  }
}

/** The same general-purpose register at another size: 2, 4 or 8 bytes. */
export function resizeRegister(name: string, size: number): string {
  const wide = as32Bit(name);
  if (size === 4) return wide;
  const isNumbered = /^r\d/.test(wide);
  if (size === 8) return isNumbered ? wide.slice(0, -1) : `r${wide.slice(1)}`;
  return isNumbered ? `${wide.slice(0, -1)}w` : wide.slice(1);
}

function register(cursor: Cursor, what: string): string {
  const token = cursor.next();
  if (token?.kind !== 'register')
    return reject(`expected ${what}`, 'registers are written %rax, memory 8(%rax,%rcx,4)');
  // GNU objdump's name of the debug registers.
  const name = token.text.replace(/^db(?=\d)/, 'dr');
  if (SIZES.has(name) || OTHERS.has(name)) return name;
  if (/^(zmm|[xy]mm|k)\d+$/.test(token.text))
    reject(`%${token.text} belongs to AVX-512, which is not supported`, 'AVX and AVX2 are');
  return reject(`there is no register %${token.text}`);
}

function addressRegister(cursor: Cursor, role: string): string {
  const name = register(cursor, `the ${role} register of a memory operand`);
  const size = SIZES.get(name);
  const isPseudo = name === 'rip' || name === 'eip' || name === 'riz' || name === 'eiz';
  if (!isPseudo && (size === undefined || size === 1) && !/^[xyz]mm/.test(name)) {
    reject(`%${name} cannot be the ${role} of an address`);
  }
  return name;
}

function memory(cursor: Cursor, position: Position, segment: string | null, indirect: boolean): MemoryOperand {
  const operand: MemoryOperand = {
    kind: 'memory',
    segment,
    displacement: null,
    base: null,
    index: null,
    scale: 1,
    indirect,
  };
  const opensAddress = cursor.isOperator('(') && (cursor.peek(1)?.kind === 'register' || cursor.isOperator(',', 1));
  if (!opensAddress) {
    const word = cursor.peek();
    operand.displacement = parseExpression(cursor, position);
    const isBare = operand.displacement.kind === 'symbol' && word?.kind === 'name' && !cursor.isOperator('(');
    if (isBare && (SIZES.has(word.text) || OTHERS.has(word.text)))
      reject(`${word.text} is a symbol here`, `registers need a percent sign: %${word.text}`);
  }
  if (cursor.accept('(')) {
    if (!cursor.isOperator(',')) operand.base = addressRegister(cursor, 'base');
    if (cursor.accept(',') && !cursor.isOperator(')')) {
      if (cursor.peek()?.kind === 'register') operand.index = addressRegister(cursor, 'index');
      if (cursor.accept(',') || operand.index === null) {
        const scale = cursor.next();
        if (scale?.kind !== 'number' || ![1n, 2n, 4n, 8n].includes(scale.value))
          reject('the scale must be 1, 2, 4 or 8');
        else operand.scale = Number(scale.value) as 1 | 2 | 4 | 8;
      }
    }
    cursor.expect(')');
  }
  if (operand.index === 'rsp' || operand.index === 'esp' || operand.index === 'rip' || operand.index === 'eip') {
    reject(`%${operand.index} cannot be an index`);
  }
  if (operand.index !== null && (operand.base === 'rip' || operand.base === 'eip'))
    reject('a RIP-relative address has no index');
  return operand;
}

/** Reads one operand. */
export function parseOperand(cursor: Cursor, position: Position): Operand {
  if (cursor.accept('$')) return { kind: 'immediate', value: parseExpression(cursor, position) };
  const indirect = cursor.accept('*');
  if (cursor.peek()?.kind !== 'register') return memory(cursor, position, null, indirect);
  const name = register(cursor, 'a register');
  if (cursor.accept(':')) {
    if (!isSegmentRegister(name)) reject(`%${name} is not a segment register`);
    return memory(cursor, position, name, indirect);
  }
  if (['rip', 'eip', 'riz', 'eiz'].includes(name)) {
    reject(`%${name} is no operand by itself`, 'it can only be part of an address, as in label(%rip)');
  }
  return { kind: 'register', name, indirect };
}

/** Reads a whole operand list. */
export function parseOperands(cursor: Cursor, position: Position): Operand[] {
  const operands: Operand[] = [];
  if (cursor.done) return operands;
  do operands.push(parseOperand(cursor, position));
  while (cursor.accept(','));
  cursor.end();
  return operands;
}

/** An integer as the encoder wants it: always hexadecimal, so that no default radix can change it. */
export function hex(value: bigint): string {
  return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

/** The canonical spelling; `value` writes immediates and displacements. */
export function writeOperand(operand: Operand, value: (expression: Expression) => string): string {
  switch (operand.kind) {
    case 'register':
      return `${operand.indirect ? '*' : ''}%${operand.name}`;
    case 'immediate':
      return `$${value(operand.value)}`;
    case 'memory': {
      const star = operand.indirect ? '*' : '';
      const segment = operand.segment === null ? '' : `%${operand.segment}:`;
      const displacement = operand.displacement === null ? '' : value(operand.displacement);
      const base = operand.base === null ? '' : `%${operand.base}`;
      const index = operand.index === null ? '' : `,%${operand.index},${operand.scale}`;
      const address = base === '' && index === '' ? '' : `(${base}${index})`;
      return `${star}${segment}${displacement}${address}`;
    }
  }
}
