// One instruction from operands to bytes: spelled as GNU as understands it, encoded, read back, and compared with what was
// asked for. Direct jumps and calls are not here: their length depends on the layout (branch.ts).

import { agrees, type Request } from './agreement.ts';
import { readBack } from './decoder.ts';
import type { Encoder, Mode } from './encoder.ts';
import { evaluate, type Expression } from './expression.ts';
import { encodeFarBranch } from './farBranch.ts';
import { type Constant, Filling, type Fixup } from './fields.ts';
import { immediateWidth } from './immediate.ts';
import { encodeMissing, replaceOpcode, respell } from './missing.ts';
import { hex, type Operand, writeOperand } from './operand.ts';
import { withPrefixes } from './prefix.ts';
import { reject } from './problem.ts';
import { asGnuSpells, segmentPrefix } from './spelling.ts';

export interface Encoded {
  bytes: Uint8Array;
  fixups: Fixup[];
}

/** What an instruction needs to know of its surroundings. */
export interface Surroundings {
  mode: Mode;
  encoder: Encoder;
  constant: Constant;
}

/** Encodes an instruction that is no direct branch. `prefixes` are words. */
export function encodeInstruction(
  mnemonic: string,
  prefixes: readonly string[],
  operands: readonly Operand[],
  around: Surroundings,
): Encoded {
  const far = encodeFarBranch(mnemonic, operands, around.mode);
  if (far !== null) return far;
  const spelling = asGnuSpells({ mnemonic, prefixes, operands }, around.mode, around.constant);
  const filling = new Filling(spelling, around.mode, around.constant);
  const filled = spelling.operands.map((_, index) => filling.operand(index));
  const segment = segmentPrefix(spelling);
  const words = segment === null ? spelling.prefixes : [...spelling.prefixes, segment];
  const bytes = withPrefixes(encodeFilled(spelling.mnemonic, filled, around), words);
  const immediate = filled.findIndex((operand) => operand.kind === 'immediate');
  const immediateBytes =
    immediate < 0 ? 8 : immediateWidth(spelling.mnemonic, spelling.operands, immediate, around.mode).bytes;
  verify(bytes, { mnemonic: spelling.mnemonic, operands: filled, immediateBytes, mode: around.mode });
  return { bytes, fixups: filling.fixups(bytes) };
}

/** The bytes of an instruction whose operands are all numbers. */
function encodeFilled(mnemonic: string, operands: readonly Operand[], { encoder, mode }: Surroundings): Uint8Array {
  const missing = encodeMissing(mnemonic, operands);
  if (missing !== null) return missing;
  const respelling = respell(mnemonic, operands);
  const asked = respelling ?? { mnemonic, operands };
  const list = asked.operands.map((operand) => {
    const plain = operand.kind === 'memory' ? { ...operand, segment: null } : operand;
    return writeOperand(plain, (value) => hex(numberOf(value)));
  });
  const bytes = encoder.encode(`${asked.mnemonic} ${list.join(', ')}`.trim(), mode);
  return respelling === null ? bytes : replaceOpcode(bytes, respelling.opcode);
}

const numberOf = (value: Expression): bigint => evaluate(value, (name) => reject(`internal: ${name} is still open`));

/** Refuses bytes that do not read back as what was asked for. */
function verify(bytes: Uint8Array, request: Request): void {
  const { mode } = request;
  const found = readBack(bytes, mode);
  const shown = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  if (found === null || found.length !== bytes.length) {
    reject(
      `"${request.mnemonic}" does not exist with these operands or prefixes in ${mode}-bit mode`,
      `the encoder gave ${shown}, which does not decode`,
    );
  }
  if (!agrees(request, found)) {
    reject(
      `the encoder turned this into "${found.mnemonic} ${found.operands}"`,
      `bytes ${shown}; write the instruction in another way, or as .byte`,
    );
  }
}
