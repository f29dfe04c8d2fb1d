// IRETQ as interrupt handlers end: from 64-bit code in ring 0 to 64-bit code in ring 0 (SDM vol. 2, IRET). What is rare of IRET is
// microcode's (cpu/microcode/interruptReturn.ts), which makes every check by itself again.
//
// Theory. The descriptors of CS and SS are read anew by each return, whatever the segment registers hold. One comparison under a
// mask says of a descriptor that it is of the one kind that is taken here, and marked as accessed: then nothing is raised and
// nothing written.

import { i32, i64, select, type Expr } from '../wasm/expr.ts';
import type { Int } from '../wasm/types.ts';
import { RFLAGS, SEGMENT_ATTRIBUTE, SEGMENT_TYPE, SELECTOR } from './names/registers.ts';
import { RSP, type Op, type Semantics } from './semantics.ts';

/** Byte offsets in the frame, and its size. */
const FRAME = { RIP: 0, CS: 8, RFLAGS: 16, RSP: 24, SS: 32, SIZE: 40 } as const;
const DESCRIPTOR_SIZE = 8;

type AnyOp = Pick<Op<Int>, 'let' | 'microcodeIf' | 'stateField' | 'setStateField' | 'atHand'>;

/** What a return to ring 0 loads: all but VM; the arithmetic flags are kept elsewhere. */
const LOADED =
  RFLAGS.TF | RFLAGS.IF | RFLAGS.DF | RFLAGS.IOPL | RFLAGS.NT | RFLAGS.RF | RFLAGS.AC | RFLAGS.VIF | RFLAGS.VIP | RFLAGS.ID; // prettier-ignore

const { S, DPL, P, L, DB, G, UNUSABLE } = SEGMENT_ATTRIBUTE;
const { ACCESSED, CODE, WRITABLE } = SEGMENT_TYPE;
/** Attributes that must be as given for a segment to be taken here, all of ring 0. */
const CODE64 = { mask: ACCESSED | CODE | S | DPL | P | L | DB, are: ACCESSED | CODE | S | P | L };
const STACK = { mask: ACCESSED | CODE | WRITABLE | S | DPL | P, are: ACCESSED | WRITABLE | S | P };

/** A descriptor's attributes, where SEGMENT_ATTRIBUTE has them: its bytes 5 and 6 without bits of the limit. */
const attributesOf = (descriptor: Expr<'i64'>): Expr<'i64'> => descriptor.shrU(i64(40)).and(i64(0xf0ff));
const baseOf = (descriptor: Expr<'i64'>): Expr<'i64'> =>
  descriptor
    .shrU(i64(16))
    .and(i64(0xff_ffff))
    .or(descriptor.shrU(i64(32)).and(i64(0xff00_0000)));

const limitOf = (op: AnyOp, descriptor: Expr<'i64'>): Expr<'i64'> => {
  const limit = op.let(descriptor.and(i64(0xffff)).or(descriptor.shrU(i64(32)).and(i64(0xf_0000))));
  const inPages = limit.shl(i64(12)).or(i64(0xfff));
  return select(attributesOf(descriptor).and(i64(G)).eqz(), limit, inPages);
};

/** The entry that a selector of ring 0 has in the GDT; microcode finds out why there is none. */
function descriptorOf(op: AnyOp, selector: Expr<'i64'>): Expr<'i64'> {
  const last = selector.add(i64(DESCRIPTOR_SIZE - 1));
  const elsewhere = selector.and(i64(SELECTOR.RPL | SELECTOR.TI)).ne(i64(0));
  op.microcodeIf(elsewhere.or(last.gtU(op.stateField('gdtrLimit'))));
  return op.atHand(op.stateField('gdtrBase').add(selector), DESCRIPTOR_SIZE, 'system')(0);
}

/** Loads a segment register as its descriptor says, or as null. */
function loadSegment(
  op: AnyOp,
  register: 'cs' | 'ss',
  selector: Expr<'i64'>,
  descriptor: Expr<'i64'>,
  isNull: Expr<'i32'>,
): void {
  op.setStateField(`${register}Base`, select(isNull, i64(0), baseOf(descriptor)));
  op.setStateField(`${register}Limit`, select(isNull, i64(0), limitOf(op, descriptor)));
  op.setStateField(`${register}Attributes`, select(isNull, i64(UNUSABLE), attributesOf(descriptor)));
  op.setStateField(`${register}Selector`, selector);
}

const isNot = (descriptor: Expr<'i64'>, { mask, are }: typeof CODE64): Expr<'i32'> =>
  attributesOf(descriptor).and(i64(mask)).ne(i64(are));

export const interruptReturn: Semantics = (op) => {
  if (op.width !== 64) return op.microcodeIf(i32(1));
  const before = op.let(op.systemFlags());
  const unusual = op.stateField('cpl').or(op.stateField('nmiBlocked')).wrap();
  op.microcodeIf(unusual.or(before.and(i32(RFLAGS.NT))));

  const frame = op.atHand(op.reg64(RSP), FRAME.SIZE, 'stack');
  const rip = frame(FRAME.RIP);
  const image = op.let(frame(FRAME.RFLAGS).wrap());
  const rsp = frame(FRAME.RSP);
  const cs = op.let(frame(FRAME.CS).and(i64(0xffff)));
  const ss = op.let(frame(FRAME.SS).and(i64(0xffff)));
  const code = descriptorOf(op, cs);
  const stack = descriptorOf(op, ss);
  const noStack = op.let(ss.eqz());
  op.microcodeIf(
    cs
      .eqz()
      .or(isNot(code, CODE64))
      .or(noStack.eqz().and(isNot(stack, STACK))),
  );

  const after = op.let(before.and(i32(~LOADED)).or(image.and(i32(LOADED))));
  const changed = op.let(before.xor(after));
  op.microcodeIf(changed.and(i32(RFLAGS.AC)));
  op.checkTarget(rip);

  loadSegment(op, 'cs', cs, code, i32(0));
  loadSegment(op, 'ss', ss, stack, noStack);
  op.setReg(RSP, op.low(rsp));
  op.setPackedFlags(image);
  op.setSystemFlags(after);
  const enables = changed.and(after).and(i32(RFLAGS.IF)).ne(i32(0));
  op.jump(rip, after.and(i32(RFLAGS.TF | RFLAGS.RF)).or(enables.and(op.isInterruptAwaited())));
};
