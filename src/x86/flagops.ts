// Rows that change or move single flags. STI, CLI, PUSHF and POPF are elsewhere (system.ts, stack.ts).

import { i32 } from '../wasm/expr.ts';
import { AF, CF, OF, PF, SF, ZF } from './flags.ts';
import { RFLAGS } from './names/registers.ts';
import { row, type RowOptions } from './row.ts';
import { AH, RAX } from './semantics.ts';

/** The flags that LAHF and SAHF move. */
const LOW_FLAGS = CF | PF | AF | ZF | SF;

const clc: RowOptions = { written: 'c', semantics: (op) => op.flags.carryOverflow(i32(0), op.flag.of()) };
const stc: RowOptions = { written: 'c', semantics: (op) => op.flags.carryOverflow(i32(1), op.flag.of()) };
const cmc: RowOptions = {
  written: 'c',
  read: 'c',
  semantics: (op) => op.flags.carryOverflow(op.flag.cf().eqz(), op.flag.of()),
};
const cld: RowOptions = { written: 'd', semantics: (op) => op.setSystemFlags(op.systemFlags().and(i32(~RFLAGS.DF))) };
const std: RowOptions = { written: 'd', semantics: (op) => op.setSystemFlags(op.systemFlags().or(i32(RFLAGS.DF))) };
const sahf: RowOptions = {
  written: 'szapc',
  semantics: (op) =>
    op.setPackedFlags(
      op
        .narrow(AH, 8)
        .and(i32(LOW_FLAGS))
        .or(op.packedFlags().and(i32(OF))),
    ),
};
const lahf: RowOptions = {
  read: 'szapc',
  semantics: (op) => op.setReg8(AH, op.packedFlags().and(i32(LOW_FLAGS)).or(i32(RFLAGS.FIXED))),
};
/** Not in the manual, but in every processor: SBB AL, AL without its flags. */
const salc: RowOptions = { read: 'c', modes: 'no64', semantics: (op) => op.setReg8(RAX, i32(0).sub(op.flag.cf())) };

// prettier-ignore
export const FLAGOPS = [
  row('9E', 'sahf', '', sahf),
  row('9F', 'lahf', '', lahf),
  row('D6', 'salc', '', salc),
  row('F5', 'cmc',  '', cmc),
  row('F8', 'clc',  '', clc),
  row('F9', 'stc',  '', stc),
  row('FC', 'cld',  '', cld),
  row('FD', 'std',  '', std),
];
