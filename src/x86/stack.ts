// Rows that push and pop: general registers, immediates, flags, frames. Segment registers are in segment.ts.

import { i32, i64, select } from '../wasm/expr.ts';
import { RFLAGS } from './names/registers.ts';
import { row, type RowOptions } from './row.ts';
import { RBP, dst, type Semantics } from './semantics.ts';

const popInto: Semantics = (op) => {
  const value = op.pop();
  // An address that uses RSP counts from its value after the increment.
  if (op.isMemory(dst)) op.displace(select(op.baseIsStackPointer(), i64(op.width / 8), i64(0)));
  op.write(dst, value);
};

const unwindFrame: Semantics = (op) => op.setReg(RBP, op.popAt(RBP));

/** RF and VM read as 0 in the image. */
const pushFlags: Semantics = (op) => {
  const system = op.systemFlags().and(i32(~(RFLAGS.RF | RFLAGS.VM)));
  op.push(op.fit(system.or(op.packedFlags())));
};

/** What POPF loads at any privilege, of the flags that are not arithmetic; AC and ID only where it pops 32 bits of them. */
const ALWAYS = RFLAGS.TF | RFLAGS.DF | RFLAGS.NT;
const ALWAYS_WIDE = ALWAYS | RFLAGS.AC | RFLAGS.ID;

/** VM, VIF and VIP stay, RF is cleared (SDM vol. 2, POPF). */
const popFlags: Semantics = (op) => {
  const image = op.let(op.pop().wrap());
  const always = i32(op.width === 16 ? ALWAYS : ALWAYS_WIDE);
  const ofIopl = select(op.isInterruptFlagForbidden(), i32(0), i32(RFLAGS.IF));
  const ofRing0 = select(op.stateField('cpl').eqz(), i32(RFLAGS.IOPL), i32(0));
  const loaded = op.let(always.or(ofIopl).or(ofRing0));
  const before = op.systemFlags();
  const kept = before.and(loaded.or(i32(RFLAGS.RF)).xor(i32(-1)));
  const after = op.let(kept.or(image.and(loaded)));
  op.setPackedFlags(image);
  op.setSystemFlags(after);
  const changed = op.let(before.xor(after));
  const enables = changed.and(after).and(i32(RFLAGS.IF)).ne(i32(0));
  const steps = after
    .and(i32(RFLAGS.TF))
    .or(changed.and(i32(RFLAGS.AC)))
    .ne(i32(0));
  op.attendIf(steps.or(enables.and(op.isInterruptAwaited())));
};

const stack: RowOptions = { d64: true, stack: true };
const push: RowOptions = { ...stack, access: 'r', semantics: (op) => op.push(op.read(dst)) };
const pop: RowOptions = { ...stack, access: 'w', semantics: popInto };
const pusha: RowOptions = { stack: true, modes: 'no64', size: 'v', microcode: 'pusha' };
const popa: RowOptions = { stack: true, modes: 'no64', size: 'v', microcode: 'popa' };
const pushf: RowOptions = { ...stack, access: 'r', read: 'oszapcditrvx', semantics: pushFlags };
const popf: RowOptions = { ...stack, access: 'w', written: 'oszapcditrvx', semantics: popFlags };
const enter: RowOptions = { ...stack, size: 'v', microcode: 'enter' };
const leave: RowOptions = { ...stack, size: 'v', semantics: unwindFrame };

// prettier-ignore
export const STACK = [
  row('50+r',   'push',  'Zv',    push),
  row('58+r',   'pop',   'Zv',    pop),
  row('60',     'pusha', '',      pusha),
  row('61',     'popa',  '',      popa),
  row('68',     'push',  'Iz',    push),
  row('6A',     'push',  'Ibs',   push),
  row('8F /0',  'pop',   'Ev',    pop),
  row('9C',     'pushf', 'Fv',    pushf),
  row('9D',     'popf',  'Fv',    popf),
  row('C8',     'enter', 'Iw,Ib', enter),
  row('C9',     'leave', '',      leave),
  row('FF /6',  'push',  'Ev',    push),
];
