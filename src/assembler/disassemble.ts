// Bytes to AT&T text, for people: labels on lines of their own, branch targets by name, what is no instruction as .byte.

import type { SymbolTable } from '../vmm/symbols.ts';
import { Decoder } from './decoder.ts';
import type { Mode } from './encoder.ts';

const LONGEST_INSTRUCTION = 15;

export interface DisassembledLine {
  address: bigint;
  bytes: Uint8Array;
  /** `call tick_handler`, `.byte 0xff`. */
  text: string;
  /** The symbol that starts here, or null. */
  label: string | null;
}

/** A bare target of a direct branch becomes `0x10001c <tick+0x1c>`; a RIP-relative operand gets its target as a comment. */
function annotate(mnemonic: string, operands: string, next: bigint, symbols: SymbolTable): string {
  const name = (address: bigint): string => (symbols.lookup(address) === null ? '' : ` <${symbols.format(address)}>`);
  if (/^0x[0-9a-f]+$/.test(operands) && /^(j|call|loop|xbegin)/.test(mnemonic))
    return `${operands}${name(BigInt(operands))}`;
  const relative = /(-?)(0x[0-9a-f]+|\d+)?\(%rip\)/.exec(operands);
  if (relative === null) return operands;
  const distance = BigInt(relative[2] ?? 0);
  const target = BigInt.asUintN(64, relative[1] === '-' ? next - distance : next + distance);
  return `${operands}  # 0x${target.toString(16)}${name(target)}`;
}

/** Disassembles from the first byte on. Loads the disassembler on first use. */
export async function* disassemble(
  bytes: Uint8Array,
  address: bigint,
  symbols: SymbolTable,
  mode: Mode = 64,
): AsyncGenerator<DisassembledLine> {
  const decoder = await Decoder.load();
  let at = 0;
  while (at < bytes.length) {
    const here = address + BigInt(at);
    const found = symbols.lookup(here);
    const label = found !== null && found.offset === 0n ? found.name : null;
    const decoded = decoder.decode(bytes.subarray(at, at + LONGEST_INSTRUCTION), here, mode);
    if (decoded === null) {
      yield {
        address: here,
        bytes: bytes.subarray(at, at + 1),
        text: `.byte 0x${bytes[at].toString(16).padStart(2, '0')}`,
        label,
      };
      at += 1;
      continue;
    }
    const next = here + BigInt(decoded.length);
    const operands = annotate(decoded.mnemonic, decoded.operands, next, symbols);
    yield {
      address: here,
      bytes: bytes.subarray(at, at + decoded.length),
      text: `${decoded.mnemonic} ${operands}`.trim(),
      label,
    };
    at += decoded.length;
  }
}

/** One line of text, as objdump shows it. */
export function formatDisassembly({ address, bytes, text, label }: DisassembledLine): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const head = label === null ? '' : `${address.toString(16).padStart(16, '0')} <${label}>:\n`;
  return `${head}${address.toString(16).padStart(8)}:  ${hex.padEnd(30)}  ${text}`;
}
