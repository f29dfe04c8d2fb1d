// Loops that wait: a block that jumps to its own head, and does the same each time until somebody else changes memory.
//
// Theory. 1: mov flag, %eax; test %eax, %eax; je 1b. An iteration whose registers and flags are all as the one before found them, or
// are written before they are read, does what that one did, as long as memory is the same. Nobody writes memory while generated
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
/** Of a register number as an operand has it (-1: none), and as the base of an address has it. */
const ofOperand = (register: number): number => (register < 0 ? 0 : 1 << (register % REGISTERS));
const ofAddress = (register: number): number => (register < 0 || register === RIP ? 0 : 1 << register);
const RIP = 16;
/** Flags that conditions look at. */
const CONDITIONS = [...'oszpc'];
/** A narrower write leaves the rest of the register as it is. */
const WHOLE = 32;

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
    if (!this.#isPure || insn.form < 0) return (this.#isPure = false);
    const form = FORMS[insn.form]!;
    const { condition, mnemonic } = form.row;
    if (condition >= 0) this.#reads(FLAGS);
    if (condition >= 0 ? mnemonic.startsWith('j') : mnemonic === 'jmp') {
      this.#isPure = false;
      return form.shape === 'j' && insn.immLo === -distance && (this.#used & this.#written) === 0;
    }
    this.#isPure = condition < 0 && PURE.has(mnemonic) && this.#isKept(insn, form);
    return false;
  }

  /** Keeps what it reads and writes; false: it writes more than general registers. */
  #isKept(insn: Decoded, form: Form): boolean {
    const numbers = [insn.reg0, insn.reg1, insn.reg2];
    let written = 0;
    for (const { operand, kind, slot, width } of operandsOf(form)) {
      const { access } = operand;
      const writes = access === 'w' || access === 'rw';
      if (kind === 'memory') {
        if (writes) return false;
        this.#reads(ofAddress(insn.base) | ofAddress(insn.index));
      } else if (kind === 'register') {
        if (operand.file !== 'gpr') return false;
        const register = ofOperand(numbers[slot]!);
        if (access === 'r' || access === 'rw' || (writes && width < WHOLE)) this.#reads(register);
        if (writes) written |= register;
      } else if (kind === 'implicit') return false;
    }
    const flags = form.row.written ?? '';
    if (flags !== '') {
      if (!CONDITIONS.every((flag) => flags.includes(flag))) this.#reads(FLAGS);
      written |= FLAGS;
    }
    this.#written |= written;
    return true;
  }

  #reads(registers: number): void {
    this.#used |= registers & ~this.#written;
  }
}
