// Prefixes written as words before a mnemonic (`lock`, `rep`, `notrack`, `rex.w`) and the order in which GNU as emits them,
// so that identical sources give identical bytes.

import { reject } from './problem.ts';

/** Groups of legacy prefixes, in the order of emission (binutils tc-i386.c: segment, address, data, REP, LOCK). */
const ORDER: readonly (readonly number[])[] = [
  [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65],
  [0x67],
  [0x66],
  [0xf2, 0xf3],
  [0xf0],
];

// prettier-ignore
const BYTES: Record<string, number> = {
  es: 0x26, cs: 0x2e, ss: 0x36, ds: 0x3e, fs: 0x64, gs: 0x65,
  addr16: 0x67, addr32: 0x67, data16: 0x66, data32: 0x66,
  rep: 0xf3, repe: 0xf3, repz: 0xf3, repne: 0xf2, repnz: 0xf2, xacquire: 0xf2, xrelease: 0xf3, bnd: 0xf2,
  lock: 0xf0, notrack: 0x3e,
};

const REX_W = new Set(['rex.w', 'rex64']);

export const isPrefix = (word: string): boolean => Object.hasOwn(BYTES, word) || REX_W.has(word);

/** What a prefix may stand before; GNU as refuses the rest, and so do we, since processors ignore it without a word. */
// prettier-ignore
const MEANT_FOR: Record<string, RegExp> = {
  rep: /^((movs|stos|lods|ins|outs)[bwlq]?|ret[wlq]?|xstore|xcrypt\w+|montmul|xsha\w+)$/,
  repe: /^((cmps|scas)[bwlq]?|ret[wlq]?)$/, repne: /^(cmps|scas)[bwlq]?$/,
  notrack: /^(jmp|call)q?$/, bnd: /^(j\w+|call[wlq]?|ret[wlq]?)$/,
};
const SAME_PREFIX: Record<string, string> = { repz: 'repe', repnz: 'repne' };

/** Rejects a prefix that means nothing to the instruction behind it. GNU as takes rep, repe and repne for each other on strings. */
export function checkPrefixes(words: readonly string[], mnemonic: string): void {
  for (const word of words) {
    const name = SAME_PREFIX[word] ?? word;
    if (!Object.hasOwn(MEANT_FOR, name)) continue;
    const isRepeat = name.startsWith('rep') && /^(movs|stos|lods|ins|outs|cmps|scas)[bwlq]?$/.test(mnemonic);
    if (!isRepeat && !MEANT_FOR[name].test(mnemonic)) reject(`${word} means nothing before ${mnemonic}`);
  }
}

const groupOf = (byte: number): number => ORDER.findIndex((group) => group.includes(byte));

/** The byte of a prefix that stands alone in its statement (`lock; xaddl …`). */
export function prefixByte(word: string): number {
  return REX_W.has(word) ? 0x48 : BYTES[word];
}

/** How many legacy prefixes an instruction starts with. */
export function legacyPrefixes(bytes: Uint8Array): number {
  let count = 0;
  while (count < bytes.length && groupOf(bytes[count]) >= 0) count++;
  return count;
}

/** The instruction with the asked prefixes added and all legacy prefixes in GNU as's order. */
export function withPrefixes(bytes: Uint8Array, words: readonly string[]): Uint8Array {
  const count = legacyPrefixes(bytes);
  const legacy = [...bytes.subarray(0, count)];
  const rest = [...bytes.subarray(count)];
  for (const word of words) {
    if (!REX_W.has(word)) legacy.push(BYTES[word]);
    else if ((rest[0] & 0xf0) === 0x40) rest[0] |= 8;
    else rest.unshift(0x48);
  }
  const groups = legacy.map(groupOf);
  if (new Set(groups).size !== groups.length) reject('two prefixes of the same kind on one instruction');
  legacy.sort((a, b) => groupOf(a) - groupOf(b));
  return Uint8Array.from([...legacy, ...rest]);
}
