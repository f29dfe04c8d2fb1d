// Encodes a built function as WebAssembly bytes.

import { Bytes } from './bytes.ts';
import type { Expr } from './expr.ts';
import type { FunctionBuilder, Label, Statement } from './function.ts';
import { BINARY, COMPARE, CONVERT, LOAD_CODE, STORE_CODE, TYPE_CODE, UNARY, type Int, type Type } from './types.ts';

const EMPTY_BLOCK = 0x40;
/** Opcodes, with memory 0 as their operands. */
const MEMORY_COPY = [0xfc, 0x0a, 0, 0];
const MEMORY_FILL = [0xfc, 0x0b, 0];

/** The function's entry in the code section: locals, body, end. */
export function encodeBody(fn: FunctionBuilder): Bytes {
  const out = new Bytes();
  const runs: [count: number, type: Type][] = [];
  for (const type of fn.locals) {
    const last = runs.at(-1);
    if (last?.[1] === type) last[0]++;
    else runs.push([1, type]);
  }
  out.unsigned(runs.length);
  for (const [count, type] of runs) {
    out.unsigned(count);
    out.byte(TYPE_CODE[type]);
  }
  encodeStatements(out, fn.body, []);
  out.byte(0x0b);
  return out;
}

/** Branch depth: how many enclosing constructs lie between here and the label's. `if` counts, under a null. */
function depthOf(labels: readonly (Label | null)[], label: Label): number {
  const at = labels.lastIndexOf(label);
  if (at < 0) throw new Error(`branch to ${label.name}, which does not enclose it`);
  return labels.length - 1 - at;
}

function encodeStatements(out: Bytes, statements: readonly Statement[], labels: (Label | null)[]): void {
  for (const statement of statements) encodeStatement(out, statement, labels);
}

function encodeStatement(out: Bytes, s: Statement, labels: (Label | null)[]): void {
  switch (s.kind) {
    case 'set':
      encodeExpr(out, s.value);
      out.byte(0x21);
      out.unsigned(s.index);
      return;
    case 'setGlobal':
      encodeExpr(out, s.value);
      out.byte(0x24);
      out.unsigned(s.index);
      return;
    case 'store':
      encodeExpr(out, s.address);
      encodeExpr(out, s.value);
      out.byte(STORE_CODE[s.value.type][s.bytes]!);
      out.byte(0);
      out.unsigned(s.offset);
      return;
    case 'copy':
    case 'fill':
      encodeExpr(out, s.target);
      encodeExpr(out, s.source);
      encodeExpr(out, s.bytes);
      for (const byte of s.kind === 'copy' ? MEMORY_COPY : MEMORY_FILL) out.byte(byte);
      return;
    case 'block':
    case 'loop':
      out.byte(s.kind === 'block' ? 0x02 : 0x03);
      out.byte(EMPTY_BLOCK);
      labels.push(s.label);
      encodeStatements(out, s.body, labels);
      labels.pop();
      out.byte(0x0b);
      return;
    case 'if':
      encodeExpr(out, s.when);
      out.byte(0x04);
      out.byte(EMPTY_BLOCK);
      labels.push(null);
      encodeStatements(out, s.then, labels);
      if (s.else.length > 0) {
        out.byte(0x05);
        encodeStatements(out, s.else, labels);
      }
      labels.pop();
      out.byte(0x0b);
      return;
    case 'br':
      out.byte(0x0c);
      out.unsigned(depthOf(labels, s.label));
      return;
    case 'brIf':
      encodeExpr(out, s.when);
      out.byte(0x0d);
      out.unsigned(depthOf(labels, s.label));
      return;
    case 'brTable':
      encodeExpr(out, s.index);
      out.byte(0x0e);
      out.unsigned(s.labels.length);
      for (const label of s.labels) out.unsigned(depthOf(labels, label));
      out.unsigned(depthOf(labels, s.otherwise));
      return;
    case 'return':
      if (s.value) encodeExpr(out, s.value);
      out.byte(0x0f);
      return;
    case 'evaluate':
      encodeExpr(out, s.value);
      if (s.drop) out.byte(0x1a);
      return;
    case 'unreachable':
      out.byte(0x00);
      return;
  }
}

const codeOf = (codes: readonly [number, number], type: Type): number => codes[type === 'i64' ? 1 : 0];

function encodeExpr(out: Bytes, e: Expr<Type>): void {
  const n = e.node;
  switch (n.kind) {
    case 'const':
      if (e.type === 'i32') {
        out.byte(0x41);
        out.signed(Number(n.value));
      } else {
        out.byte(0x42);
        out.signed64(n.value);
      }
      return;
    case 'local':
    case 'global':
      out.byte(n.kind === 'local' ? 0x20 : 0x23);
      out.unsigned(n.index);
      return;
    case 'load':
      encodeExpr(out, n.address);
      out.byte(LOAD_CODE[e.type as Int][n.bytes]!);
      out.byte(0);
      out.unsigned(n.offset);
      return;
    case 'binary':
      encodeExpr(out, n.left);
      encodeExpr(out, n.right);
      out.byte(codeOf(BINARY[n.op], e.type));
      return;
    case 'compare':
      encodeExpr(out, n.left);
      encodeExpr(out, n.right);
      out.byte(codeOf(COMPARE[n.op], n.left.type));
      return;
    case 'eqz':
      encodeExpr(out, n.operand);
      out.byte(n.operand.type === 'i32' ? 0x45 : 0x50);
      return;
    case 'unary':
      encodeExpr(out, n.operand);
      out.byte(codeOf(UNARY[n.op], e.type));
      return;
    case 'convert':
      encodeExpr(out, n.operand);
      out.byte(CONVERT[n.op][2]);
      return;
    case 'select':
      encodeExpr(out, n.then);
      encodeExpr(out, n.else);
      encodeExpr(out, n.when);
      out.byte(0x1b);
      return;
    case 'call':
      for (const arg of n.args) encodeExpr(out, arg);
      out.byte(0x10);
      out.unsigned(n.callee);
      return;
    case 'callIndirect':
      for (const arg of n.args) encodeExpr(out, arg);
      encodeExpr(out, n.callee);
      out.byte(0x11);
      out.unsigned(n.type);
      out.byte(0);
      return;
  }
}
