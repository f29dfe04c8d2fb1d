// The second opinion: capstone-wasm turns bytes back into AT&T text, for `trapline disasm` and for checking what the encoder
// produced. Capstone 5 is wrong about a few encodings; they are listed here and nowhere else.

import type { Capstone } from 'capstone-wasm';
import type { Mode } from './encoder.ts';

export interface Decoded {
  /** Bytes. */
  length: number;
  /** With prefixes, as `lock xaddq`. */
  mnemonic: string;
  operands: string;
}

/** Mnemonics whose encodings capstone 5.0 rejects or measures wrongly, so that its opinion counts for nothing. */
// prettier-ignore
export const CAPSTONE_CANNOT = new Set([
  'ud0', 'ud1',                                      // ModRM not consumed
  'serialize', 'wbnoinvd', 'wrmsrns', 'rdmsrlist', 'wrmsrlist', 'hreset', 'senduipi', 'uiret', 'testui', 'clui', 'stui',
  'enqcmd', 'enqcmds', 'vmgexit', 'pvalidate', 'psmash', 'rmpupdate', 'rmpadjust', 'tdcall', 'seamcall', 'seamret', 'seamops',
  'erets', 'eretu', 'saveprevssp', 'setssbsy', 'xsusldtrk', 'xresldtrk', 'mcommit', 'rdpru', 'invlpgb', 'tlbsync',
  'prefetch', 'prefetchwt1',                         // 0F 0D /2…/7
  'nop',                                             // 0F 1A…1E forms
]);

export class Decoder {
  readonly #engines: Record<Mode, Capstone>;

  private constructor(engines: Record<Mode, Capstone>) {
    this.#engines = engines;
  }

  static #loading: Promise<Decoder> | null = null;

  static load(): Promise<Decoder> {
    Decoder.#loading ??= Decoder.#open();
    return Decoder.#loading;
  }

  static async #open(): Promise<Decoder> {
    const { Capstone, Const, loadCapstone } = await import('capstone-wasm');
    await loadCapstone();
    const open = (mode: number): Capstone => {
      const engine = new Capstone(Const.CS_ARCH_X86, mode);
      engine.setOption(Const.CS_OPT_SYNTAX, Const.CS_OPT_SYNTAX_ATT);
      return engine;
    };
    return new Decoder({ 16: open(Const.CS_MODE_16), 32: open(Const.CS_MODE_32), 64: open(Const.CS_MODE_64) });
  }

  /** The instruction at the start of `bytes`, or null when there is none. */
  decode(bytes: Uint8Array, address: bigint, mode: Mode): Decoded | null {
    try {
      const [instruction] = this.#engines[mode].disasm(bytes, { address: BigInt.asUintN(64, address), count: 1 });
      if (instruction === undefined) return null;
      return { length: instruction.size, mnemonic: instruction.mnemonic, operands: instruction.opStr };
    } catch {
      // capstone-wasm throws when nothing decodes.
      return null;
    }
  }
}
