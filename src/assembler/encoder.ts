// The instruction encoder: keystone-wasm, one instruction a call, behind one function. Keystone is GPLv2 and is imported only
// here and only when something is assembled. It never sees a directive, a label, a decimal number or a source file, which
// removes most of what it gets wrong: nothing can be dropped silently, no radix can surprise, and no source is too long for its stack.

import type { Keystone } from 'keystone-wasm';
import { reject } from './problem.ts';

/** Operand and address size that code is assembled for: `.code16`, `.code32`, `.code64`. */
export type Mode = 16 | 32 | 64;

/** Far longer than any instruction; keystone's stack takes about 64 KiB before it corrupts itself. */
const MAX_TEXT = 1000;

/** Printed by LLVM on its way into exit(1), which arrives here as a thrown object that is no Error. */
let lastComplaint = '';

export class Encoder {
  readonly #engines: Record<Mode, Keystone>;
  readonly #known = new Map<string, Uint8Array>();

  private constructor(engines: Record<Mode, Keystone>) {
    this.#engines = engines;
  }

  static #loading: Promise<Encoder> | null = null;

  /** The encoder of this process; keystone-wasm knows only one instance. */
  static load(): Promise<Encoder> {
    Encoder.#loading ??= Encoder.#open();
    return Encoder.#loading;
  }

  static async #open(): Promise<Encoder> {
    const { Const, Keystone, loadKeystone } = await import('keystone-wasm');
    await loadKeystone({ printErr: (text) => (lastComplaint = text.replace(/^LLVM ERROR: /, '')) });
    const open = (mode: number): Keystone => {
      const engine = new Keystone(Const.KS_ARCH_X86, mode);
      // Also sets the default radix to 16 (keystone issue 436): harmless, since every number is written 0x….
      engine.setOption(Const.KS_OPT_SYNTAX, Const.KS_OPT_SYNTAX_ATT);
      return engine;
    };
    return new Encoder({ 16: open(Const.KS_MODE_16), 32: open(Const.KS_MODE_32), 64: open(Const.KS_MODE_64) });
  }

  /** The bytes of one instruction in canonical spelling, or a rejection. The result is shared: copy before changing it. */
  encode(text: string, mode: Mode): Uint8Array {
    const key = `${mode} ${text}`;
    let bytes = this.#known.get(key);
    if (bytes === undefined) {
      bytes = this.#assemble(text, mode);
      this.#known.set(key, bytes);
    }
    return bytes;
  }

  #assemble(text: string, mode: Mode): Uint8Array {
    if (text.length > MAX_TEXT)
      reject(`an instruction of ${text.length} characters is too long`, `the limit is ${MAX_TEXT}`);
    let bytes: Uint8Array;
    try {
      bytes = this.#engines[mode].asm(text, { address: 0 });
    } catch (thrown) {
      this.#requireAlive(text);
      return reject(explain(thrown, text), hintFor(text));
    }
    // Some operand errors give no bytes and no error (keystone issue 293).
    if (bytes.length === 0) reject(`the operands do not fit "${mnemonicOf(text)}"`, hintFor(text));
    return bytes;
  }

  /** A trap inside the engine can leave it dead, and keystone-wasm cannot be loaded twice in one process. */
  #requireAlive(text: string): void {
    try {
      const nop = this.#engines[64].asm('nop', { address: 0 });
      if (nop.length === 1 && nop[0] === 0x90) return;
    } catch {
      // Falls through: it is dead.
    }
    Encoder.#loading = null;
    throw new Error(
      `keystone crashed on "${text}" and cannot be restarted; run the assembler again without this instruction`,
    );
  }
}

function mnemonicOf(text: string): string {
  return text.split(' ')[0];
}

function explain(thrown: unknown, text: string): string {
  if (!(thrown instanceof Error))
    return lastComplaint === '' ? 'the encoder gave up on this instruction' : lastComplaint;
  const code = /KS_ERR_ASM_(\w+)/.exec(thrown.message)?.[1] ?? '';
  switch (code) {
    case 'MNEMONICFAIL':
      return `unknown instruction "${mnemonicOf(text)}", or one that does not take these operands`;
    case 'INVALIDOPERAND':
      return `invalid operands for "${mnemonicOf(text)}"`;
    case 'MISSINGFEATURE':
      return `"${mnemonicOf(text)}" does not exist in this mode`;
    default:
      return `"${mnemonicOf(text)}" cannot be encoded (${code === '' ? thrown.message : code.toLowerCase()})`;
  }
}

/** What usually helps: a missing suffix, an immediate that does not fit, operands in Intel's order. */
function hintFor(text: string): string | null {
  if (/\$/.test(text) && /%r\w+$/.test(text) && !/^movabs/.test(text)) {
    return 'immediates of 64-bit instructions are 32 bits, sign-extended; load larger ones with movabs';
  }
  if (/\(/.test(text) && !/%\w+(?=,|$)/.test(text.replace(/\([^)]*\)/g, ''))) {
    return 'without a register operand the size must be in the mnemonic: b, w, l or q';
  }
  return 'AT&T order is source, destination; check the operand sizes against the suffix';
}
