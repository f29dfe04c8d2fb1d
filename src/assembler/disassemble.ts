// Bytes to AT&T text, for people: labels on lines of their own, branch targets by name, what is no instruction as .byte.

import type { SymbolTable } from '../vmm/symbols.ts';
import { Decoded, MAX_LENGTH } from '../x86/decoded.ts';
import { decode } from '../x86/decoder.ts';
import { textOf } from '../x86/text.ts';
import { CODE_MODE } from './decoder.ts';
import type { Mode } from './encoder.ts';

export interface DisassembledLine {
  address: bigint;
  bytes: Uint8Array;
  /** `call 0x101000 <tick_handler>`, `.byte 0xff`. */
  text: string;
  /** The symbol that starts here, or null. */
  label: string | null;
}

/** Disassembles from the first byte on; `address` is its guest address. */
export function* disassemble(
  bytes: Uint8Array,
  address: bigint,
  symbols: SymbolTable,
  mode: Mode = 64,
): Generator<DisassembledLine> {
  const decoded = new Decoded();
  const symbolAt = (target: bigint): string | undefined =>
    symbols.lookup(target) === null ? undefined : symbols.format(target);
  let at = 0;
  while (at < bytes.length) {
    const here = BigInt.asUintN(64, address + BigInt(at));
    const found = symbols.lookup(here);
    const label = found !== null && found.offset === 0n ? found.name : null;
    const length = decode(bytes, at, Math.min(bytes.length, at + MAX_LENGTH), CODE_MODE[mode], decoded);
    const isInstruction = length > 0;
    const size = isInstruction ? length : 1;
    const text = isInstruction ? textOf(decoded, here, symbolAt) : `.byte 0x${bytes[at].toString(16).padStart(2, '0')}`;
    yield { address: here, bytes: bytes.subarray(at, at + size), text, label };
    at += size;
  }
}

/** One line of text, as objdump shows it; a label has a line of its own before it. */
export function formatDisassembly({ address, bytes, text, label }: DisassembledLine): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const head = label === null ? '' : `${address.toString(16).padStart(16, '0')} <${label}>:\n`;
  return `${head}${address.toString(16).padStart(8)}:  ${hex.padEnd(30)}  ${text}`;
}
