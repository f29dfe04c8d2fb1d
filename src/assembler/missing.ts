// Instructions that keystone lacks or encodes differently from GNU as. Three ways to give them: fixed bytes, a register in
// ModRM, or the encoding of a relative (IMUL r, r/m has every operand shape) with its opcode replaced.

import { gprSize, type Operand, resizeRegister } from './operand.ts';
import { legacyPrefixes } from './prefix.ts';
import { reject } from './problem.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(text.split(' '), (byte) => parseInt(byte, 16));

/** No explicit operands. Intel SDM vol. 2, AMD APM vol. 3. */
// prettier-ignore
const FIXED: Record<string, Uint8Array> = {
  endbr32: bytes('f3 0f 1e fb'), endbr64: bytes('f3 0f 1e fa'),
  serialize: bytes('0f 01 e8'), wbnoinvd: bytes('f3 0f 09'),
  clui: bytes('f3 0f 01 ee'), stui: bytes('f3 0f 01 ef'), testui: bytes('f3 0f 01 ed'), uiret: bytes('f3 0f 01 ec'),
  eretu: bytes('f3 0f 01 ca'), erets: bytes('f2 0f 01 ca'),
  wrmsrns: bytes('0f 01 c6'), rdmsrlist: bytes('f2 0f 01 c6'), wrmsrlist: bytes('f3 0f 01 c6'),
  tdcall: bytes('66 0f 01 cc'), seamret: bytes('66 0f 01 cd'), seamops: bytes('66 0f 01 ce'), seamcall: bytes('66 0f 01 cf'),
  vmgexit: bytes('f3 0f 01 d9'), pvalidate: bytes('f2 0f 01 ff'), psmash: bytes('f3 0f 01 ff'),
  rmpupdate: bytes('f2 0f 01 fe'), rmpadjust: bytes('f3 0f 01 fe'),
  invlpgb: bytes('0f 01 fe'), tlbsync: bytes('0f 01 ff'), rdpru: bytes('0f 01 fd'), mcommit: bytes('f3 0f 01 fa'),
  xsusldtrk: bytes('f2 0f 01 e8'), xresldtrk: bytes('f2 0f 01 e9'),
  vmrun: bytes('0f 01 d8'), vmload: bytes('0f 01 da'), vmsave: bytes('0f 01 db'), invlpga: bytes('0f 01 df'),
  skinit: bytes('0f 01 de'), saveprevssp: bytes('f3 0f 01 ea'), setssbsy: bytes('f3 0f 01 e8'),
  ud2a: bytes('0f 0b'),
};

/** Implicit operands that GNU as lets one write. */
// prettier-ignore
const IMPLICIT: Record<string, readonly string[]> = {
  vmrun: ['rax'], vmload: ['rax'], vmsave: ['rax'], skinit: ['eax'], invlpga: ['rax', 'ecx'],
};

interface RegisterForm {
  prefix: number;
  opcode: readonly [number, number];
  digit: number;
  /** Register sizes in bytes that are allowed; `wide`: 8 needs REX.W. */
  sizes: readonly number[];
  wide: boolean;
  /** Implicit operands that may be written in front: `tpause %eax, %edx, %ecx`. */
  implicit: readonly string[];
}

// prettier-ignore
const REGISTER_FORMS: Record<string, RegisterForm> = {
  umonitor: { prefix: 0xf3, opcode: [0x0f, 0xae], digit: 6, sizes: [8, 4], wide: false, implicit: [] },
  umwait:   { prefix: 0xf2, opcode: [0x0f, 0xae], digit: 6, sizes: [4], wide: false, implicit: ['eax', 'edx'] },
  tpause:   { prefix: 0x66, opcode: [0x0f, 0xae], digit: 6, sizes: [4], wide: false, implicit: ['eax', 'edx'] },
  rdpid:    { prefix: 0xf3, opcode: [0x0f, 0xc7], digit: 7, sizes: [8], wide: false, implicit: [] },
  senduipi: { prefix: 0xf3, opcode: [0x0f, 0xc7], digit: 6, sizes: [8], wide: false, implicit: [] },
  rdsspd:   { prefix: 0xf3, opcode: [0x0f, 0x1e], digit: 1, sizes: [4], wide: false, implicit: [] },
  rdsspq:   { prefix: 0xf3, opcode: [0x0f, 0x1e], digit: 1, sizes: [8], wide: true, implicit: [] },
  incsspd:  { prefix: 0xf3, opcode: [0x0f, 0xae], digit: 5, sizes: [4], wide: false, implicit: [] },
  incsspq:  { prefix: 0xf3, opcode: [0x0f, 0xae], digit: 5, sizes: [8], wide: true, implicit: [] },
};

/** Hardware numbers of registers: position in this list, and 8 and up by name. */
const NUMBERED = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];

function registerNumber(name: string): number {
  const extended = /^r(\d+)[dwb]?$/.exec(name);
  return extended !== null ? Number(extended[1]) : NUMBERED.indexOf(name.slice(-2));
}

function encodeRegisterForm(mnemonic: string, form: RegisterForm, operands: readonly Operand[]): Uint8Array {
  const names = operands.map((operand) => (operand.kind === 'register' ? operand.name : ''));
  // GNU as lets the implicit operands be left out or written first, last-to-first of the manual's order.
  const writesImplicit =
    names.length === 1 + form.implicit.length && form.implicit.every((name, i) => names[i] === name);
  const name = names.at(-1) ?? '';
  const size = gprSize(name);
  if ((names.length !== 1 && !writesImplicit) || size === null || !form.sizes.includes(size)) {
    return reject(`${mnemonic} takes one ${form.sizes.map((n) => `${8 * n}-bit`).join(' or ')} register`);
  }
  const number = registerNumber(name);
  const rex = (form.wide ? 0x48 : 0x40) | (number >> 3);
  const address = mnemonic === 'umonitor' && size === 4 ? [0x67] : [];
  return Uint8Array.from([
    ...address,
    form.prefix,
    ...(rex === 0x40 ? [] : [rex]),
    ...form.opcode,
    0xc0 | (form.digit << 3) | (number & 7),
  ]);
}

/** The encoding of an instruction without operands that need the encoder, or null. */
export function encodeMissing(mnemonic: string, operands: readonly Operand[]): Uint8Array | null {
  const fixed = Object.hasOwn(FIXED, mnemonic) ? FIXED[mnemonic] : undefined;
  if (fixed !== undefined) {
    const implicit = IMPLICIT[mnemonic] ?? [];
    const fits = operands.every((operand, i) => operand.kind === 'register' && operand.name === implicit[i]);
    if (!fits) reject(`${mnemonic} takes no operands`);
    return fixed;
  }
  const form = Object.hasOwn(REGISTER_FORMS, mnemonic) ? REGISTER_FORMS[mnemonic] : undefined;
  return form === undefined ? null : encodeRegisterForm(mnemonic, form, operands);
}

/** An instruction given to the encoder under a relative's name; `opcode` replaces 0F AF of IMUL in the result. */
interface Respelling {
  mnemonic: string;
  operands: Operand[];
  opcode: readonly [number, number];
}

// prettier-ignore
const IMUL_RELATIVES: Record<string, readonly [number, number]> = {
  lar: [0x0f, 0x02], lsl: [0x0f, 0x03], ud1: [0x0f, 0xb9], ud0: [0x0f, 0xff], nop: [0x0f, 0x1f],
};
const SUFFIX_BYTES: Record<string, number> = { w: 2, l: 4, q: 8 };
const ACCUMULATOR: Record<number, string> = { 2: 'ax', 4: 'eax', 8: 'rax' };
const register = (name: string): Operand => ({ kind: 'register', name, indirect: false });

/** How to get LAR, LSL, UD0, UD1 and multi-byte NOPs out of the encoder, or null if it needs no help. */
export function respell(mnemonic: string, operands: readonly Operand[]): Respelling | null {
  const bare = Object.hasOwn(IMUL_RELATIVES, mnemonic) ? mnemonic : mnemonic.replace(/[wlq]$/, '');
  const opcode = Object.hasOwn(IMUL_RELATIVES, bare) ? IMUL_RELATIVES[bare] : undefined;
  if (opcode === undefined || operands.length === 0) return null;
  const last = operands[operands.length - 1];
  const suffix = mnemonic === bare ? null : SUFFIX_BYTES[mnemonic.slice(-1)];
  const size = suffix ?? (last.kind === 'register' ? gprSize(last.name) : null);
  if (size === null || size === 1) return reject(`${mnemonic} needs an operand size`, 'add the suffix w, l or q');
  if (bare === 'nop') {
    if (operands.length !== 1) reject('nop takes one operand');
    return { mnemonic: 'imul', operands: [last, register(ACCUMULATOR[size])], opcode };
  }
  if (operands.length !== 2 || last.kind !== 'register') return reject(`${mnemonic} takes a source and a register`);
  const [source] = operands;
  if (bare.startsWith('ud')) return { mnemonic: 'imul', operands: [source, last], opcode };
  // LAR and LSL read 16 bits of their source whatever its name is.
  const resized = source.kind === 'register' ? register(resizeRegister(source.name, size)) : source;
  return { mnemonic: 'imul', operands: [resized, last], opcode };
}

/** Puts the real opcode in place of IMUL's. */
export function replaceOpcode(encoded: Uint8Array, opcode: readonly [number, number]): Uint8Array {
  const result = encoded.slice();
  let at = legacyPrefixes(result);
  if ((result[at] & 0xf0) === 0x40) at++;
  if (result[at] !== 0x0f || result[at + 1] !== 0xaf) reject('the operands do not fit');
  result.set(opcode, at);
  return result;
}
