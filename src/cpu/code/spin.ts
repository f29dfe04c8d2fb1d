// Loops that wait: a block that jumps to its own head, and does the same each time until somebody else changes memory.
//
// Theory. 1: mov flag, %eax; test %eax, %eax; je 1b. An iteration whose registers and flags are all as the one before found them, or
// are written before they are read, does what that one did, as long as memory is the same. Nobody writes memory while generated
// code runs: other vCPUs and devices come between two grants of units. So whoever has been once around such a loop goes around
// for all that was granted. A record at the head of the block (`SPIN`) sees that the head was reached last time with just one
// iteration's units more, and takes the units of all iterations that can be paid at once. Not if a call of generated code came in
// between, which may have set an accessed bit, or been granted units anew. Registers count in parts, since narrow writes leave
// the others alone.

import type { Decoded } from '../../x86/decoded.ts';
import { operandsOf, type Form } from '../../x86/forms.ts';
import { FORMS } from '../../x86/tables.ts';

/** What loads, computes and compares. */
// prettier-ignore
const PURE: ReadonlySet<string> = new Set([
  'mov', 'movzx', 'movsx', 'movsxd', 'lea', 'cmp', 'test', 'bt', 'and', 'or', 'xor', 'add', 'sub', 'nop', 'pause', 'endbr64',
]);
/**
 * Sets of parts of registers, in two words. `bytes`: the lowest byte of each general register by number, then the second bytes.
 * `rest`: what is above them, then all flags, which are read behind all writes of a block, so that they count as one.
 */
const REGISTERS = 16;
const SECOND = REGISTERS;
const FLAGS = 1 << REGISTERS;
const RIP = 16;
const BYTE = 8;
const HALF = 16;

/** The bit of a register by number; no register (-1) and RIP have none. */
const bitOf = (register: number): number => (register < 0 || register === RIP ? 0 : 1 << register);

/** A register operand: its slot, and its width in bits. */
interface Place {
  readonly slot: number;
  readonly width: number;
}

/** What an instruction that only loads, computes and compares reads and writes, beside address registers if it loads. */
interface Effect {
  readonly reads: readonly Place[];
  readonly writes: readonly Place[];
  readonly loads: boolean;
  readonly flags: boolean;
}

/** By form; null: it does more than that. Filled on first use. */
const effects = new Array<Effect | null | undefined>(FORMS.length).fill(undefined);

function effectOf(form: Form): Effect | null {
  const { row, rep } = form;
  if (!PURE.has(row.mnemonic) || rep !== '') return null;
  const operands = operandsOf(form);
  const isPure = operands.every(({ operand: { access, file }, kind }) => {
    if (kind === 'memory') return access === 'r' || access === 'n';
    return kind === 'immediate' || (kind === 'register' && file === 'gpr');
  });
  if (!isPure) return null;
  const registers = operands.filter(({ kind }) => kind === 'register');
  const thatMay = (letter: string): Place[] => registers.filter(({ operand }) => operand.access.includes(letter));
  const loads = operands.some(({ kind }) => kind === 'memory');
  return { reads: thatMay('r'), writes: thatMay('w'), loads, flags: row.written !== undefined };
}

/** Watches a block as it is decoded. */
export class SpinLoop {
  /** Read before they are written, and written. */
  #usedBytes = 0;
  #usedRest = 0;
  #writtenBytes = 0;
  #writtenRest = 0;
  #isPure = true;

  /** A block begins. */
  begin(): void {
    this.#usedBytes = this.#usedRest = this.#writtenBytes = this.#writtenRest = 0;
    this.#isPure = true;
  }

  /** It goes on with this instruction, which ends `distance` bytes behind the block's head. True: it jumps there, and waits. */
  add(insn: Decoded, distance: number): boolean {
    if (!this.#isPure) return false;
    if (insn.form < 0) return (this.#isPure = false);
    const form = FORMS[insn.form]!;
    if (form.shape === 'j') return this.#jumps(form, insn.immLo === -distance);
    let effect = effects[insn.form];
    if (effect === undefined) effect = effects[insn.form] = effectOf(form);
    if (effect === null) return (this.#isPure = false);
    this.#keep(insn, effect);
    return false;
  }

  /** A relative branch ends the block. */
  #jumps({ row: { condition, mnemonic } }: Form, toHead: boolean): boolean {
    this.#isPure = false;
    if (!toHead || (condition < 0 && mnemonic !== 'jmp')) return false;
    if (condition >= 0) this.#read(0, FLAGS);
    return (this.#usedBytes & this.#writtenBytes) === 0 && (this.#usedRest & this.#writtenRest) === 0;
  }

  #keep(insn: Decoded, { reads, writes, loads, flags }: Effect): void {
    if (loads) {
      const registers = bitOf(insn.base) | bitOf(insn.index);
      this.#read(registers | (registers << SECOND), registers);
    }
    for (let i = 0; i < reads.length; i++) this.#read(bytesIn(insn, reads[i]!), restIn(insn, reads[i]!));
    for (let i = 0; i < writes.length; i++) {
      this.#writtenBytes |= bytesIn(insn, writes[i]!);
      this.#writtenRest |= restIn(insn, writes[i]!);
    }
    if (flags) this.#writtenRest |= FLAGS;
  }

  #read(bytes: number, rest: number): void {
    this.#usedBytes |= bytes & ~this.#writtenBytes;
    this.#usedRest |= rest & ~this.#writtenRest;
  }
}

const registerIn = ({ reg0, reg1, reg2 }: Decoded, slot: number): number =>
  slot === 0 ? reg0 : slot === 1 ? reg1 : reg2;

/** AH to BH are registers 16 to 19. A write of 32 bits clears what is above. */
function bytesIn(insn: Decoded, { slot, width }: Place): number {
  const register = registerIn(insn, slot);
  if (register >= REGISTERS) return 1 << (register - REGISTERS + SECOND);
  return width === BYTE ? 1 << register : (1 << register) | (1 << (register + SECOND));
}

const restIn = (insn: Decoded, { slot, width }: Place): number => (width <= HALF ? 0 : 1 << registerIn(insn, slot));
