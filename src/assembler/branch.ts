// Direct jumps and calls: encoded here, since their length depends on where their target lands. Each starts in its short form
// and grows when the layout says that the target is out of reach; it never shrinks again, so the layout settles.

import type { Mode } from './encoder.ts';
import type { Expression } from './expression.ts';
import { reject } from './problem.ts';

export interface Branch {
  mnemonic: string;
  target: Expression;
  /** Prefix bytes in front. */
  prefix: readonly number[];
  /** Opcode with an 8-bit displacement, or null if there is none. */
  short: readonly number[] | null;
  /** Opcode with a 16- or 32-bit displacement, or null if there is none. */
  near: readonly number[] | null;
  /** Bytes of the near displacement. */
  nearSize: 2 | 4;
}

// prettier-ignore
const CONDITIONS: Record<string, number> = {
  o: 0, no: 1, b: 2, c: 2, nae: 2, ae: 3, nb: 3, nc: 3, e: 4, z: 4, ne: 5, nz: 5, be: 6, na: 6, a: 7, nbe: 7,
  s: 8, ns: 9, p: 10, pe: 10, np: 11, po: 11, l: 12, nge: 12, ge: 13, nl: 13, le: 14, ng: 14, g: 15, nle: 15,
};

// prettier-ignore
const COUNTED: Record<string, number> = { loopne: 0xe0, loopnz: 0xe0, loope: 0xe1, loopz: 0xe1, loop: 0xe2 };

/** JCXZ and its like: the address size of the register tested. */
const CX_ZERO: Record<string, Mode> = { jcxz: 16, jecxz: 32, jrcxz: 64 };

/** The unconditional ones; with a suffix they exist in one mode only. */
// prettier-ignore
const JUMPS: Record<string, { short: readonly number[] | null; near: readonly number[]; only?: Mode }> = {
  jmp: { short: [0xeb], near: [0xe9] }, jmpq: { short: [0xeb], near: [0xe9], only: 64 }, jmpl: { short: [0xeb], near: [0xe9], only: 32 },
  call: { short: null, near: [0xe8] }, callq: { short: null, near: [0xe8], only: 64 }, calll: { short: null, near: [0xe8], only: 32 },
  xbegin: { short: null, near: [0xc7, 0xf8] },
};

type Opcodes = Pick<Branch, 'short' | 'near'> & { prefix?: readonly number[] };

function opcodes(mnemonic: string, mode: Mode): Opcodes | null {
  if (Object.hasOwn(JUMPS, mnemonic)) {
    const jump = JUMPS[mnemonic];
    if (jump.only !== undefined && jump.only !== mode) reject(`${mnemonic} does not exist in ${mode}-bit mode`);
    return jump;
  }
  if (Object.hasOwn(COUNTED, mnemonic)) return { short: [COUNTED[mnemonic]], near: null };
  if (Object.hasOwn(CX_ZERO, mnemonic)) {
    const size = CX_ZERO[mnemonic];
    if ((mode === 64 && size === 16) || (mode !== 64 && size === 64))
      reject(`${mnemonic} does not exist in ${mode}-bit mode`);
    return { short: [0xe3], near: null, prefix: size === mode ? [] : [0x67] };
  }
  const condition = mnemonic.startsWith('j') ? mnemonic.slice(1) : '';
  if (!Object.hasOwn(CONDITIONS, condition)) return null;
  const code = CONDITIONS[condition];
  return { short: [0x70 | code], near: [0x0f, 0x80 | code] };
}

/** A direct branch, or null if the mnemonic is none. */
export function makeBranch(mnemonic: string, target: Expression, prefix: readonly number[], mode: Mode): Branch | null {
  const found = opcodes(mnemonic, mode);
  if (found === null) return null;
  const { short, near } = found;
  return { mnemonic, target, prefix: [...prefix, ...(found.prefix ?? [])], short, near, nearSize: mode === 16 ? 2 : 4 };
}

export function branchLength(branch: Branch, isNear: boolean): number {
  const opcode = isNear ? branch.near : branch.short;
  return branch.prefix.length + (opcode?.length ?? 0) + (isNear ? branch.nearSize : 1);
}

/** Whether a displacement fits in a signed field of so many bytes. */
export function fitsSigned(value: bigint, bytes: number): boolean {
  return BigInt.asIntN(8 * bytes, value) === value;
}

/** The bytes of a branch at an address. */
export function encodeBranch(branch: Branch, address: bigint, target: bigint, isNear: boolean): Uint8Array {
  const length = branchLength(branch, isNear);
  const displacement = BigInt.asIntN(64, target - address - BigInt(length));
  const size = isNear ? branch.nearSize : 1;
  // A 16-bit near displacement wraps within the segment, so every target is in reach.
  if (!fitsSigned(displacement, size) && !(isNear && size === 2)) {
    reject(
      `the target of ${branch.mnemonic} is ${displacement} bytes away, out of its reach`,
      isNear
        ? 'load the address in a register and jump through it'
        : `${branch.mnemonic} reaches 127 bytes; jump around a jmp`,
    );
  }
  const opcode = (isNear ? branch.near : branch.short) ?? [];
  const bytes = new Uint8Array(length);
  bytes.set([...branch.prefix, ...opcode]);
  for (let i = 0; i < size; i++) bytes[length - size + i] = Number((displacement >> BigInt(8 * i)) & 255n);
  return bytes;
}
