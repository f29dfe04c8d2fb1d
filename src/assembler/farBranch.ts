// Far jumps and calls with an immediate selector and offset, which only 16- and 32-bit code has: `ljmpl $0x08, $start64`.

import type { Mode } from './encoder.ts';
import type { Fixup } from './fields.ts';
import type { Operand } from './operand.ts';
import { reject } from './problem.ts';

const OPCODE: Record<string, number> = { ljmp: 0xea, lcall: 0x9a };

/** The encoding of a direct far branch with its selector and offset to be filled in, or null if this is none. */
export function encodeFarBranch(
  mnemonic: string,
  operands: readonly Operand[],
  mode: Mode,
): { bytes: Uint8Array; fixups: Fixup[] } | null {
  const [, name, suffix] = /^(ljmp|lcall)([wl]?)$/.exec(mnemonic) ?? [];
  const [selector, offset] = operands;
  if (name === undefined || selector?.kind !== 'immediate') return null;
  if (mode === 64)
    return reject(
      `${mnemonic} $selector, $offset does not exist in 64-bit mode`,
      'push the selector and the offset, then lretq',
    );
  if (operands.length !== 2 || offset.kind !== 'immediate')
    return reject(`${mnemonic} takes a selector and an offset`, `${mnemonic} $0x08, $label`);
  const size = suffix === 'l' || (suffix === '' && mode === 32) ? 4 : 2;
  const head = [...(size * 8 === mode ? [] : [0x66]), OPCODE[name]];
  const bytes = new Uint8Array(head.length + size + 2);
  bytes.set(head);
  return {
    bytes,
    fixups: [
      { offset: head.length, size, value: offset.value, kind: 'absolute' },
      { offset: head.length + size, size: 2, value: selector.value, kind: 'absolute' },
    ],
  };
}
