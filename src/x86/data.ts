// Rows that move data without computing: MOV, XCHG, LEA, extensions, conditional moves, byte order.

import { i32, i64, select, type Expr } from '../wasm/expr.ts';
import type { Int } from '../wasm/types.ts';
import { conditional, row, type RowOptions } from './row.ts';
import { RAX, RBX, dst, src, type Op, type Semantics } from './semantics.ts';

const move: Semantics = (op) => op.write(dst, op.read(src));

const swapBytes32 = (x: Expr<'i32'>): Expr<'i32'> =>
  x
    .rotl(i32(8))
    .and(i32(0x00ff_00ff))
    .or(x.rotr(i32(8)).and(i32(0xff00_ff00 | 0)));

function swapBytes<T extends Int>(op: Op<T>, value: Expr<T>): Expr<T> {
  if (op.width === 16)
    return op.low(
      value
        .shl(op.k(8))
        .or(value.shrU(op.k(8)))
        .zext(),
    );
  if (op.width === 32) return op.fit(swapBytes32(value.wrap()));
  const [low, high] = [value.wrap(), value.zext().shrU(i64(32)).wrap()].map((half) => swapBytes32(op.let(half)).zext());
  return op.low(low!.shl(i64(32)).or(high!));
}

const mov: RowOptions = { semantics: move };
const xchg: RowOptions = {
  access: 'rw rw',
  lock: true,
  semantics: (op) => {
    const a = op.read(dst);
    const b = op.read(src);
    op.write(dst, b);
    op.write(src, a);
  },
};
const lea: RowOptions = { access: 'w n', semantics: (op) => op.write(dst, op.low(op.address())) };
const movzx: RowOptions = { semantics: (op) => op.write(dst, op.readZext(src)) };
const movsx: RowOptions = { semantics: (op) => op.write(dst, op.readSext(src)) };
const movbe: RowOptions = { cpuid: 'MOVBE', semantics: (op) => op.write(dst, swapBytes(op, op.read(src))) };
const cmov: RowOptions = {
  access: 'rw',
  cpuid: 'CMOV',
  // The source is read, and may fault, whatever the condition.
  semantics: (op) => op.write(dst, select(op.condition(), op.read(src), op.read(dst))),
};
const set: RowOptions = { access: 'w', semantics: (op) => op.write(dst, op.fit(op.condition())) };
const bswap: RowOptions = {
  access: 'rw',
  // Undefined for 16 bits; processors write zero.
  semantics: (op) => op.write(dst, op.width === 16 ? op.k(0) : swapBytes(op, op.read(dst))),
};
const xlat: RowOptions = {
  addressed: 'memory',
  size: 'b',
  semantics: (op) => op.setReg(RAX, op.loadAt(op.reg64(RBX).add(op.reg(RAX).zext()))),
};
const direct: RowOptions = { cpuid: 'MOVDIRI', semantics: move };
const direct64: RowOptions = { access: 'r r', cpuid: 'MOVDIR64B', microcode: 'movdir64b' };

// prettier-ignore
export const DATA = [
  row('63 /r',            'movsxd',    'Gv,Ez',   { ...movsx, modes: 'only64' }),
  row('86 /r',            'xchg',      'Eb,Gb',   xchg),
  row('87 /r',            'xchg',      'Ev,Gv',   xchg),
  row('88 /r',            'mov',       'Eb,Gb',   mov),
  row('89 /r',            'mov',       'Ev,Gv',   mov),
  row('8A /r',            'mov',       'Gb,Eb',   mov),
  row('8B /r',            'mov',       'Gv,Ev',   mov),
  row('8D /r',            'lea',       'Gv,M',    lea),
  row('90+r',             'xchg',      'Zv,rAX',  xchg),
  row('A0',               'mov',       'AL,Ob',   mov),
  row('A1',               'mov',       'rAX,Ov',  mov),
  row('A2',               'mov',       'Ob,AL',   mov),
  row('A3',               'mov',       'Ov,rAX',  mov),
  row('B0+r',             'mov',       'Zb,Ib',   mov),
  row('B8+r',             'mov',       'Zv,Iv',   mov),
  row('C6 /0',            'mov',       'Eb,Ib',   mov),
  row('C7 /0',            'mov',       'Ev,Iz',   mov),
  row('D7',               'xlat',      '',        xlat),
  ...conditional('0F 40+cc /r', 'cmovCC', 'Gv,Ev', cmov),
  ...conditional('0F 90+cc /r', 'setCC', 'Eb',    set),
  row('0F B6 /r',         'movzx',     'Gv,Eb',   movzx),
  row('0F B7 /r',         'movzx',     'Gv,Ew',   movzx),
  row('0F BE /r',         'movsx',     'Gv,Eb',   movsx),
  row('0F BF /r',         'movsx',     'Gv,Ew',   movsx),
  row('NP 0F C3 /r',      'movnti',    'My,Gy',   { cpuid: 'SSE2', semantics: move }),
  row('0F C8+r',          'bswap',     'Zv',      bswap),
  row('NFx 0F 38 F0 /r',  'movbe',     'Gv,Mv',   movbe),
  row('NFx 0F 38 F1 /r',  'movbe',     'Mv,Gv',   movbe),
  row('66 0F 38 F8 /r',   'movdir64b', 'Gam,M',   direct64),
  row('NP 0F 38 F9 /r',   'movdiri',   'My,Gy',   direct),
];
