// The loop that inlines hot forms: what it may not contain. That it does what handlers do is engines.test.ts's business.

import { describe, expect, it } from 'vitest';
import { HANDLERS } from '../../src/cpu/code/handlers.ts';
import { HOT_FORMS } from '../../src/cpu/code/hot.ts';
import { buildDispatcher } from '../../src/cpu/code/interpreter.ts';
import { ViewAccess } from '../../src/cpu/code/viewAccess.ts';
import type { Environment } from '../../src/cpu/segments/codeMode.ts';
import { i32, i64 } from '../../src/wasm/expr.ts';
import { FunctionBuilder } from '../../src/wasm/function.ts';

describe('A dispatcher', () => {
  it.each(Object.keys(HOT_FORMS) as Environment[])(
    'of %s code imports no function: inlined forms call nothing',
    (environment) => {
      const bytes = buildDispatcher(HANDLERS, new Set(HOT_FORMS[environment]));
      const imported = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
      expect(imported.map(({ kind }) => kind).sort()).toEqual(['memory', 'table']);
    },
  );

  it('inlines each form of its list', () => {
    const names = new Set(HANDLERS.map(({ name }) => name));
    for (const name of Object.values(HOT_FORMS).flat()) expect(names, name).toContain(name);
  });

  it('inlines no form that accesses memory behind a store: its handler would store twice', () => {
    const fn = new FunctionBuilder('twice', ['i32', 'i32'], null);
    const memory = new ViewAccess(
      fn,
      () => fn.unreachable(),
      fn.param(0, 'i32'),
      fn.param(1, 'i32'),
      () => {},
    );
    memory.store(i64(0), 4, 'operand', i32(1));
    expect(() => memory.load(i64(0), 4, 'operand')).toThrow('behind a store');
    expect(() => memory.open(i64(0), 4, 'operand')).toThrow('behind a store');
    expect(() => memory.store(i64(0), 4, 'operand', i32(1))).toThrow('behind a store');
  });
});
