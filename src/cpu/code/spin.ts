// Loops that wait: a block that jumps to its own head, and does the same each time until somebody else changes memory.
//
// Theory. 1: mov flag, %eax; test %eax, %eax; je 1b. An iteration whose registers and flags are all as the one before found them, or
// are written before they are read, does what that one did, as long as memory is the same. (Parts that a narrow write leaves alone
// are as the one before found them.) Nobody writes memory while generated
// code runs: other vCPUs and devices come between two grants of units. So whoever has been once around such a loop goes
// around for all that was granted. A record at the head of the block (`SPIN`) sees that the head was reached last time with
// just one iteration's units more, and takes the units of all iterations that can be paid at once. Not if a call of generated
// code came in between, which may have set an accessed bit, or been granted units anew.

import type { Decoded } from '../../x86/decoded.ts';
import { operandsOf, type Form } from '../../x86/forms.ts';
import { FORMS } from '../../x86/tables.ts';

/** What loads, computes and compares. */
// prettier-ignore
const PURE: ReadonlySet<string> = new Set([
  'mov', 'movzx', 'movsx', 'movsxd', 'lea', 'cmp', 'test', 'bt', 'and', 'or', 'xor', 'add', 'sub', 'nop', 'pause', 'endbr64',
]);
/** Bits of a set: general registers by number, then the flags. AH to BH are parts of the first four, RIP is none. */
const REGISTERS = 16;
const FLAGS = 1 << REGISTERS;
const RIP = 16;
/** Of an address register (-1: none), and of the register in an operand slot. */
const ofAddress = (register: number): number => (register < 0 || register === RIP ? 0 : 1 << register);
const registerIn = ({ reg0, reg1, reg2 }: Decoded, slot: number): number =>
  1 << ((slot === 0 ? reg0 : slot === 1 ? reg1 : reg2) % REGISTERS);

/** What an instruction that only loads, computes and compares reads and writes: operand slots, address registers, flags. */
interface Effect {
  readonly reads: readonly number[];
  readonly writes: readonly number[];
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
  const slotsOf = (letter: string): number[] =>
    registers.filter(({ operand }) => operand.access.includes(letter)).map(({ slot }) => slot);
  const loads = operands.some(({ kind }) => kind === 'memory');
  return { reads: slotsOf('r'), writes: slotsOf('w'), loads, flags: row.written !== undefined };
}

/** Watches a block as it is decoded. */
export class SpinLoop {
  /** Read before they are written, and written. */
  #used = 0;
  #written = 0;
  #isPure = true;

  /** A block begins. */
  begin(): void {
    this.#used = this.#written = 0;
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
    if (condition >= 0) this.#read(FLAGS);
    return toHead && (condition >= 0 || mnemonic === 'jmp') && (this.#used & this.#written) === 0;
  }

  #keep(insn: Decoded, { reads, writes, loads, flags }: Effect): void {
    if (loads) this.#read(ofAddress(insn.base) | ofAddress(insn.index));
    for (let i = 0; i < reads.length; i++) this.#read(registerIn(insn, reads[i]!));
    for (let i = 0; i < writes.length; i++) this.#written |= registerIn(insn, writes[i]!);
    if (flags) this.#written |= FLAGS;
  }

  #read(registers: number): void {
    this.#used |= registers & ~this.#written;
  }
}
