// A back end without a processor: evaluates the semantics of one form on registers, flags and an immediate, quickly enough that
// every input of a small instruction can be tried. What records, memory and modes have to do with it: cpu/code/evaluator.ts.

import { evaluate } from '../../src/cpu/code/evaluate.ts';
import { constant, i32, i64, type Expr } from '../../src/wasm/expr.ts';
import type { Int, Type } from '../../src/wasm/types.ts';
import type { BackEnd, FaultName, Register } from '../../src/x86/backEnd.ts';
import { packFlags, unpackFlags, type Flags } from '../../src/x86/flags.ts';
import type { Form } from '../../src/x86/forms.ts';
import { describe } from '../../src/x86/places.ts';

/** What an instruction reads, and what it leaves. `flags`: the arithmetic ones in their RFLAGS positions. */
export interface Registers {
  /** By number; 16 and above are the second bytes of the first four. */
  readonly gpr: readonly bigint[];
  readonly flags: number;
}

export type Ending = Registers | { readonly fault: FaultName };

const FIRST_HIGH_BYTE = 16;
const unused = (): never => {
  throw new Error('this instruction needs a processor: see cpu/code/evaluator.ts');
};
const faulted = {};

/**
 * Evaluates a form. Register operands are those of its slots: `slots` are their numbers. `load` gives what memory holds at an
 * address; addresses are those of a ModRM operand that points at 0.
 */
export function evaluateForm(
  form: Form,
  before: Registers,
  operands: {
    readonly immediate?: bigint;
    readonly slots?: readonly number[];
    readonly load?: (address: bigint, bytes: number) => bigint;
  } = {},
): Ending {
  const gpr = [...before.gpr];
  let flags: Flags = held(unpackFlags(i32(before.flags)));
  let raised: FaultName | null = null;
  const shiftOf = (register: Register): { number: number; shift: bigint } => {
    const number = 'fixed' in register ? register.fixed : operands.slots![register.slot]!;
    return number < FIRST_HIGH_BYTE ? { number, shift: 0n } : { number: number - FIRST_HIGH_BYTE, shift: 8n };
  };
  const pending: (() => void)[] = [];
  const backEnd: BackEnd = {
    addressWidth: 32,
    let: <T extends Type>(value: Expr<T>) => constant(value.type as Int, evaluate(value)) as Expr<Type> as Expr<T>,
    register: (register, width) => {
      const { number, shift } = shiftOf(register);
      return constant(width === 64 ? 'i64' : 'i32', BigInt.asUintN(width, gpr[number]! >> shift));
    },
    setRegister: (register, width, value) => {
      const { number, shift } = shiftOf(register);
      const stored = BigInt.asUintN(width, evaluate(value));
      const mask = (width >= 32 ? -1n : (1n << BigInt(width)) - 1n) << shift;
      pending.push(() => (gpr[number] = (gpr[number]! & ~mask) | (stored << shift)));
    },
    immediate: () => i64(operands.immediate ?? unused()),
    effectiveAddress: () => i64(0),
    wrapAddress: (address) => i64(BigInt.asUintN(32, evaluate(address))),
    load: (address, bytes) => constant('i32', (operands.load ?? unused)(evaluate(address), bytes)),
    flags: () => flags,
    setFlags: (after, when) => {
      if (when !== undefined && evaluate(when) === 0n) return;
      const stored = held(after);
      pending.push(() => (flags = stored));
    },
    faultIf: (when, fault) => {
      if (evaluate(when) === 0n) return;
      raised = fault;
      throw faulted;
    },
    registerNumber: unused,
    immediate2: unused,
    baseIsStackPointer: unused,
    wrapStack: unused,
    setStackPointer: unused,
    open: unused,
    store: unused,
    systemFlags: unused,
    setSystemFlags: unused,
    nextRip: unused,
    relativeTarget: unused,
    tsc: unused,
    stateField: unused,
    setStateField: unused,
    checkTarget: unused,
    jump: unused,
    branch: unused,
    repeatIf: unused,
    skipIf: unused,
    microcodeIf: unused,
    atHand: unused,
    shadowIf: unused,
    attendsLater: unused,
    attendIf: unused,
  };
  try {
    describe(form, backEnd);
  } catch (thrown) {
    if (thrown === faulted && raised !== null) return { fault: raised };
    throw thrown;
  }
  for (const store of pending) store();
  return { gpr, flags: Number(evaluate(packFlags(flags))) };
}

/** Flags as numbers. */
const held = ({ carry, result, aux }: Flags): Flags => ({
  carry: i32(Number(evaluate(carry))),
  result: i64(evaluate(result)),
  aux: i64(evaluate(aux)),
});
