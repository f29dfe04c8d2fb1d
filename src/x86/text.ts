// Disassembly text of a decoded instruction in AT&T syntax, as GNU objdump prints it, except for columns, prefixes that
// change nothing, and two habits of its own: names for the predicates of CMPPS and the like, and x87's exchanged FSUB and
// FSUBR. For people: nothing reads it back.

import { HIGH_BYTES, RIP, type Decoded } from './decoded.ts';
import { mnemonicOf, operandsOf, type Form, type FormOperand } from './forms.ts';
import { SEGMENTS } from './row.ts';
import { ROWS } from './rows.ts';
import { FORMS } from './tables.ts';

/** Name of an address (`default_idle+0x1c`), or undefined if it has none. */
export type SymbolAt = (address: bigint) => string | undefined;

/** The instruction at `rip` as text; `(bad)` for an invalid encoding. */
export function textOf(insn: Decoded, rip: bigint, symbolAt?: SymbolAt): string {
  if (insn.form < 0) return '(bad)';
  const form = FORMS[insn.form]!;
  const row = ROWS[insn.row]!;
  const next = rip + BigInt(insn.length);
  const operands = operandsOf(form, row).filter(({ operand }) => operand.notation !== 'Fv');
  const texts = operands.map((o) => operandText(insn, form, o, next, symbolAt)).filter((text) => text !== '');
  if (row.mnemonic === 'xlat') texts.push(`%${SEGMENTS[insn.segment]}:(%${gprName(3, insn.addressSize)})`);
  if (!IN_ORDER.has(row.mnemonic)) texts.reverse();
  const name = prefixText(insn, form) + (NAMES[form.name] ?? mnemonicText(insn, form, operands));
  const note = insn.base === RIP ? noteText(next + BigInt(insn.disp), symbolAt) : '';
  return (texts.length === 0 ? name : `${name} ${texts.join(',')}`) + note;
}

/** AT&T keeps the manual's order of operands here. */
const IN_ORDER = new Set(['enter', 'bound', 'invlpga']);

/** Forms that AT&T names in a way of its own. */
const NAMES: Readonly<Record<string, string>> = {
  'cbw.16': 'cbtw',
  'cwde.32': 'cwtl',
  'cdqe.64': 'cltq',
  'cwd.16': 'cwtd',
  'cdq.32': 'cltd',
  'cqo.64': 'cqto',
  'iret.16': 'iretw',
  'iret.64': 'iretq',
  'pushf.16.flags': 'pushfw',
  'popf.16.flags': 'popfw',
  'retf.64': 'lretq',
  'sysret.32': 'sysretl',
  'sysret.64': 'sysretq',
  'sysexit.32': 'sysexitl',
  'sysexit.64': 'sysexitq',
};
const FAR: Readonly<Record<string, string>> = { jmpf: 'ljmp', callf: 'lcall', retf: 'lret' };

const SUFFIX: Readonly<Record<number, string>> = { 8: 'b', 16: 'w', 32: 'l', 64: 'q' };
/** x87 memory operands: floating point, and integers (FI...). */
const FLOAT_SUFFIX: Readonly<Record<number, string>> = { 32: 's', 64: 'l', 80: 't' };
const INTEGER_SUFFIX: Readonly<Record<number, string>> = { 16: 's', 32: 'l', 64: 'll' };
/** Strings whose operands do not name a register. */
const SUFFIXED_STRINGS = new Set(['movs', 'cmps', 'ins', 'outs']);
/** Their memory operand has a size that the mnemonic implies. */
const UNSUFFIXED = /^(set|call|jmp|lldt|ltr|verr|verw|lmsw|vmread|vmwrite|v?mov[dq]$|v?pinsr|v?pextr|v?extractps|lkgs)/;

function prefixText(insn: Decoded, form: Form): string {
  const rep = form.rep === '' ? '' : `${form.rep} `;
  return insn.lock ? `lock ${rep}` : rep;
}

function mnemonicText(insn: Decoded, form: Form, operands: readonly FormOperand[]): string {
  const { row, width } = form;
  const name = FAR[row.mnemonic] ?? mnemonicOf(row, width);
  if (name === 'movzx' || name === 'movsx') return `mov${name[3]}${SUFFIX[operands[1]!.width]}${SUFFIX[width]}`;
  if (name === 'movsxd') return `movs${width === 16 ? 'ww' : SUFFIX[operands[1]!.width]! + SUFFIX[width]!}`;
  if (name === 'jcxz') return { 16: 'jcxz', 32: 'jecxz', 64: 'jrcxz' }[insn.addressSize]!;
  if (name === 'mov' && operands.some((o) => isWide(o, form))) return 'movabs';
  if (SUFFIXED_STRINGS.has(name)) return name + SUFFIX[width];
  if (name === 'crc32') return name + SUFFIX[operands[1]!.width];
  return name + suffixOf(form, name, operands);
}

/** A 64-bit immediate, or a 64-bit address in the instruction. */
const isWide = ({ operand, width }: FormOperand, form: Form): boolean =>
  operand.immediate === 'o'
    ? form.addressSize === 64 || form.memory === 's'
    : operand.immediate === 'v' && width === 64;

/** The size letter, where no register says the size. */
function suffixOf(form: Form, name: string, operands: readonly FormOperand[]): string {
  const memory = operands.find((o) => o.kind === 'memory');
  if (name.startsWith('f') && memory && form.row.cpuid !== 'FXSR') return x87Suffix(name, memory.width);
  if (form.width === 16 && operands.length > 0 && /^(push|pop)$/.test(name) && !operands[0]!.operand.file) return 'w';
  if (!memory || !memory.operand.notation.startsWith('E') || UNSUFFIXED.test(name)) return '';
  if (/^(push|pop)$/.test(name) && form.width === 64) return '';
  if (operands.some((o) => o.kind === 'register' && o.operand.file === 'gpr' && !o.operand.literal)) return '';
  return SUFFIX[memory.width] ?? '';
}

const x87Suffix = (name: string, width: number): string =>
  (/^fi/.test(name)
    ? INTEGER_SUFFIX[width]
    : /^f(ld|stp?|add|mul|comp?|subr?|divr?)$/.test(name)
      ? FLOAT_SUFFIX[width]
      : '') ?? '';

function operandText(insn: Decoded, form: Form, o: FormOperand, next: bigint, symbolAt: SymbolAt | undefined): string {
  const { operand } = o;
  switch (o.kind) {
    case 'register':
      return (isIndirect(form) ? '*' : '') + registerText(insn, o);
    case 'memory':
      return (isIndirect(form) ? '*' : '') + memoryText(insn, form, o);
    case 'immediate':
      return immediateText(insn, form, o, next, symbolAt);
    case 'implicit':
      if (operand.notation === 'DX') return '(%dx)';
      return operand.notation === '1' ? '' : `%${operand.notation.toLowerCase()}`;
  }
}

const isIndirect = ({ row }: Form): boolean => /^(call|jmp)f?$/.test(row.mnemonic) && row.encoding.opcode === 0xff;

// prettier-ignore
const GPR64 = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'];
const BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const HIGH = ['ah', 'ch', 'dh', 'bh'];

/** A general register of 8, 16, 32 or 64 bits, without the %; number 16 is RIP, or AH of 8 bits. */
export function gprName(number: number, width: number): string {
  const full = GPR64[number]!;
  const isNew = number >= 8 && number < RIP;
  switch (width) {
    case 8:
      return number >= HIGH_BYTES ? HIGH[number - HIGH_BYTES]! : isNew ? `${full}b` : BYTES[number]!;
    case 16:
      return isNew ? `${full}w` : full.slice(1);
    case 32:
      return isNew ? `${full}d` : `e${full.slice(1)}`;
    default:
      return full;
  }
}

function registerText(insn: Decoded, { operand, slot, width }: FormOperand): string {
  const number = [insn.reg0, insn.reg1, insn.reg2, insn.reg3][slot]!;
  switch (operand.file) {
    case 'gpr':
      return `%${gprName(number, width === 0 ? insn.addressSize : width)}`;
    case 'segment':
      return `%${SEGMENTS[number]}`;
    case 'control':
      return `%cr${number}`;
    case 'debug':
      return `%db${number}`;
    case 'mmx':
      return `%mm${number}`;
    case 'x87':
      return operand.notation === 'ST0' ? '%st' : `%st(${number})`;
    case 'mask':
      return `%k${number}`;
    case 'tile':
      return `%tmm${number}`;
    default:
      return `%${width === 256 ? 'y' : 'x'}mm${number}`;
  }
}

const hex = (value: bigint | number): string => (value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);

function memoryText(insn: Decoded, form: Form, { operand }: FormOperand): string {
  const { base, index, disp, segment, addressSize } = insn;
  if (operand.addressing === 'di') return `%es:(%${gprName(7, addressSize)})`;
  if (operand.addressing === 'si') return `%${SEGMENTS[segment]}:(%${gprName(6, addressSize)})`;
  const implied = base === 4 || base === 5 ? 2 : 3;
  const override = segment === implied || (form.memory !== 's' && segment === 3) ? '' : `%${SEGMENTS[segment]}:`;
  if (operand.addressing === 'offset') return override + hex(immediateOf(insn, addressSize));
  if (base < 0 && index < 0) return override + hex(BigInt.asUintN(addressSize, BigInt(disp)));
  const parts = [base < 0 ? '' : `%${gprName(base, addressSize)}`];
  if (index >= 0) parts.push(`%${indexName(insn, form, operand.addressing)}`, String(1 << insn.scale));
  return `${override}${disp === 0 ? '' : hex(disp)}(${parts.join(',')})`;
}

/** A general register, or the vector of indices of a gather: half as wide where dwords index qwords. */
function indexName({ index, addressSize, vexL }: Decoded, form: Form, addressing: string): string {
  if (addressing !== 'vector') return gprName(index, addressSize);
  const isHalf = /gatherd(pd|q)$/.test(form.row.mnemonic);
  return `${vexL === 1 && !isHalf ? 'y' : 'x'}mm${index}`;
}

/** The immediate as an unsigned number of `width` bits. */
const immediateOf = ({ immLo, immHi }: Decoded, width: number): bigint =>
  BigInt.asUintN(width, (BigInt(immHi) << 32n) | BigInt(immLo >>> 0));

function immediateText(
  insn: Decoded,
  form: Form,
  o: FormOperand,
  next: bigint,
  symbolAt: SymbolAt | undefined,
): string {
  const { operand } = o;
  switch (operand.immediate) {
    case 'jb':
    case 'jz': {
      const target = BigInt.asUintN(form.width === 0 ? 64 : form.width, next + BigInt(insn.immLo));
      const symbol = symbolAt?.(target);
      return hex(target) + (symbol === undefined ? '' : ` <${symbol}>`);
    }
    case 'p':
      return `$${hex(insn.imm2)},$${hex(insn.immLo >>> 0)}`;
    case 'b':
      return `$${hex(isSecond(insn, o) ? insn.imm2 : insn.immLo & 0xff)}`;
    case 'w':
      return `$${hex(insn.immLo & 0xffff)}`;
    default:
      return `$${hex(immediateOf(insn, form.width))}`;
  }
}

/** Whether another immediate stands before this one. */
const isSecond = ({ row }: Decoded, { operand }: FormOperand): boolean => {
  const { operands } = ROWS[row]!;
  return operands.indexOf(operand) > operands.findIndex((other) => other.immediate !== '');
};

function noteText(address: bigint, symbolAt: SymbolAt | undefined): string {
  const target = BigInt.asUintN(64, address);
  const symbol = symbolAt?.(target);
  return ` # ${hex(target)}${symbol === undefined ? '' : ` <${symbol}>`}`;
}
