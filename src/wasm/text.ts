// Prints a built function in the WebAssembly text format, folded: for people who look for a wrong instruction.

import type { Expr } from './expr.ts';
import type { FunctionBuilder, Statement } from './function.ts';
import type { Type } from './types.ts';

/** The function as an s-expression. `nameOf` names callees by function index. */
export function functionText(fn: FunctionBuilder, nameOf: (index: number) => string): string {
  const params = fn.params.map((type, i) => ` (param $${i} ${type})`).join('');
  const result = fn.result ? ` (result ${fn.result})` : '';
  const locals = fn.locals.map((type, i) => `  (local $${fn.params.length + i} ${type})`);
  return [`(func $${fn.name}${params}${result}`, ...locals, ...statements(fn.body, '  ', nameOf), ')'].join('\n');
}

function statements(body: readonly Statement[], indent: string, nameOf: (index: number) => string): string[] {
  const text = (e: Expr<Type>): string => expression(e, nameOf);
  const nested = (list: readonly Statement[]): string[] => statements(list, `${indent}  `, nameOf);
  return body.flatMap((s): string[] => {
    switch (s.kind) {
      case 'set':
        return [`${indent}(local.set $${s.index} ${text(s.value)})`];
      case 'setGlobal':
        return [`${indent}(global.set $${s.index} ${text(s.value)})`];
      case 'store': {
        const narrow = s.bytes * 8 === (s.value.type === 'i32' ? 32 : 64) ? '' : String(s.bytes * 8);
        return [`${indent}(${s.value.type}.store${narrow}${offset(s.offset)} ${text(s.address)} ${text(s.value)})`];
      }
      case 'copy':
      case 'fill':
        return [`${indent}(memory.${s.kind} ${text(s.target)} ${text(s.source)} ${text(s.bytes)})`];
      case 'block':
      case 'loop':
        return [`${indent}(${s.kind} $${s.label.name}`, ...nested(s.body), `${indent})`];
      case 'if': {
        const otherwise = s.else.length > 0 ? [`${indent}(else`, ...nested(s.else), `${indent})`] : [];
        return [
          `${indent}(if ${text(s.when)}`,
          `${indent}(then`,
          ...nested(s.then),
          `${indent})`,
          ...otherwise,
          `${indent})`,
        ];
      }
      case 'br':
        return [`${indent}(br $${s.label.name})`];
      case 'brIf':
        return [`${indent}(br_if $${s.label.name} ${text(s.when)})`];
      case 'brTable':
        return [
          `${indent}(br_table ${s.labels.map((l) => `$${l.name}`).join(' ')} $${s.otherwise.name} ${text(s.index)})`,
        ];
      case 'return':
        return [`${indent}(return${s.value ? ` ${text(s.value)}` : ''})`];
      case 'evaluate':
        return [`${indent}${s.drop ? `(drop ${text(s.value)})` : text(s.value)}`];
      case 'unreachable':
        return [`${indent}unreachable`];
    }
  });
}

const offset = (bytes: number): string => (bytes === 0 ? '' : ` offset=${bytes}`);

function expression(e: Expr<Type>, nameOf: (index: number) => string): string {
  const text = (other: Expr<Type>): string => expression(other, nameOf);
  const n = e.node;
  switch (n.kind) {
    case 'const':
      return `(${e.type}.const ${n.value})`;
    case 'local':
      return `$${n.index}`;
    case 'global':
      return `(global.get $${n.index})`;
    case 'load': {
      const narrow = n.bytes * 8 === (e.type === 'i32' ? 32 : 64) ? '' : `${n.bytes * 8}_u`;
      return `(${e.type}.load${narrow}${offset(n.offset)} ${text(n.address)})`;
    }
    case 'binary':
      return `(${e.type}.${n.op} ${text(n.left)} ${text(n.right)})`;
    case 'compare':
      return `(${n.left.type}.${n.op} ${text(n.left)} ${text(n.right)})`;
    case 'eqz':
      return `(${n.operand.type}.eqz ${text(n.operand)})`;
    case 'unary':
      return `(${e.type}.${n.op} ${text(n.operand)})`;
    case 'convert':
      return `(${e.type}.${n.op} ${text(n.operand)})`;
    case 'select':
      return `(select ${text(n.then)} ${text(n.else)} ${text(n.when)})`;
    case 'call':
      return `(call $${nameOf(n.callee)}${n.args.map((a) => ` ${text(a)}`).join('')})`;
    case 'callIndirect':
      return `(call_indirect${n.args.map((a) => ` ${text(a)}`).join('')} ${text(n.callee)})`;
  }
}
