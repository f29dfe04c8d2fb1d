// Builds a module: imports, functions, one table of functions, exports and the name section.

import { Bytes } from './bytes.ts';
import { encodeBody } from './encode.ts';
import { Expr } from './expr.ts';
import { type FunctionBuilder } from './function.ts';
import { TYPE_CODE, type Type } from './types.ts';

interface Imported {
  readonly module: string;
  readonly name: string;
  readonly type: number;
}

/** A function that can be called: an import or one of the module's own. */
export interface Callable {
  readonly index: number;
  readonly params: readonly Type[];
  readonly result: Type | null;
}

const SECTION = {
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  element: 9,
  code: 10,
} as const;
const FUNCREF = 0x70;

export class ModuleBuilder {
  #types: { params: readonly Type[]; result: Type | null }[] = [];
  #imports: Imported[] = [];
  #memory: { module: string; name: string; pages: number } | null = null;
  #functions: { builder: FunctionBuilder; type: number; exported: boolean }[] = [];
  #globals: { type: Type; initial: number; exported: string }[] = [];
  #table: number[] = [];
  #tableName: string | null = null;
  #importedTable: { module: string; name: string; size: number } | null = null;

  /** Index of a function type, for `callIndirect`. */
  type(params: readonly Type[], result: Type | null): number {
    const same = this.#types.findIndex((t) => t.result === result && t.params.join() === params.join());
    return same >= 0 ? same : this.#types.push({ params, result }) - 1;
  }

  /** All imports come before the first function: function indices start behind them. */
  import(module: string, name: string, params: readonly Type[], result: Type | null): Callable {
    if (this.#functions.length > 0) throw new Error(`import ${name} after the first function`);
    const index = this.#imports.push({ module, name, type: this.type(params, result) }) - 1;
    return { index, params, result };
  }

  /** The module works on a memory that it imports, of at least `pages` pages of 64 KiB. */
  importMemory(module: string, name: string, pages: number): void {
    this.#memory = { module, name, pages };
  }

  /** The module calls through a table of at least `size` functions that it imports; it has none of its own then. */
  importTable(module: string, name: string, size: number): void {
    this.#importedTable = { module, name, size };
  }

  global<T extends Type>(type: T, initial: number, exported: string): Expr<T> {
    const index = this.#globals.push({ type, initial, exported }) - 1;
    return new Expr(type, { kind: 'global', index });
  }

  /** Takes a function in; exported under its own name if asked. */
  add(builder: FunctionBuilder, exported = false): Callable {
    const type = this.type(builder.params, builder.result);
    const index = this.#imports.length + this.#functions.push({ builder, type, exported }) - 1;
    return { index, params: builder.params, result: builder.result };
  }

  /** Exports the function table. */
  exportTable(name: string): void {
    this.#tableName = name;
  }

  /** Appends to the function table; returns the slot. */
  addToTable(fn: Callable): number {
    return this.#table.push(fn.index) - 1;
  }

  toUint8Array(): Uint8Array<ArrayBuffer> {
    const out = new Bytes();
    for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
    const section = (id: number, count: number, fill: (body: Bytes) => void): void => {
      if (count === 0) return;
      const body = new Bytes();
      body.unsigned(count);
      fill(body);
      out.byte(id);
      out.sized(body);
    };

    section(SECTION.type, this.#types.length, (body) => {
      for (const { params, result } of this.#types) {
        body.byte(0x60);
        body.unsigned(params.length);
        for (const type of params) body.byte(TYPE_CODE[type]);
        body.unsigned(result ? 1 : 0);
        if (result) body.byte(TYPE_CODE[result]);
      }
    });
    const others = (this.#memory ? 1 : 0) + (this.#importedTable ? 1 : 0);
    section(SECTION.import, this.#imports.length + others, (body) => {
      for (const { module, name, type } of this.#imports) {
        body.name(module);
        body.name(name);
        body.byte(0);
        body.unsigned(type);
      }
      if (this.#memory) {
        body.name(this.#memory.module);
        body.name(this.#memory.name);
        body.byte(2);
        body.byte(0);
        body.unsigned(this.#memory.pages);
      }
      if (this.#importedTable) {
        body.name(this.#importedTable.module);
        body.name(this.#importedTable.name);
        body.byte(1);
        body.byte(FUNCREF);
        body.byte(0);
        body.unsigned(this.#importedTable.size);
      }
    });
    section(SECTION.function, this.#functions.length, (body) => {
      for (const { type } of this.#functions) body.unsigned(type);
    });
    section(SECTION.table, this.#table.length > 0 ? 1 : 0, (body) => {
      body.byte(FUNCREF);
      body.byte(0);
      body.unsigned(this.#table.length);
    });
    section(SECTION.global, this.#globals.length, (body) => {
      for (const { type, initial } of this.#globals) {
        body.byte(TYPE_CODE[type]);
        body.byte(1);
        body.byte(type === 'i32' ? 0x41 : 0x42);
        body.signed(initial);
        body.byte(0x0b);
      }
    });
    const exported = this.#functions.flatMap((f, i) =>
      f.exported ? [[f.builder.name, 0, this.#imports.length + i] as const] : [],
    );
    const globals = this.#globals.map((g, i) => [g.exported, 3, i] as const);
    const tables = this.#tableName === null ? [] : [[this.#tableName, 1, 0] as const];
    section(SECTION.export, exported.length + globals.length + tables.length, (body) => {
      for (const [name, kind, index] of [...exported, ...globals, ...tables]) {
        body.name(name);
        body.byte(kind);
        body.unsigned(index);
      }
    });
    section(SECTION.element, this.#table.length > 0 ? 1 : 0, (body) => {
      body.unsigned(0);
      body.byte(0x41);
      body.signed(0);
      body.byte(0x0b);
      body.unsigned(this.#table.length);
      for (const index of this.#table) body.unsigned(index);
    });
    section(SECTION.code, this.#functions.length, (body) => {
      for (const { builder } of this.#functions) body.sized(encodeBody(builder));
    });
    this.#nameSection(out);
    return out.toUint8Array();
  }

  /** Function names, so that a profile or a trap names the form that it met. */
  #nameSection(out: Bytes): void {
    const names = new Bytes();
    names.unsigned(this.#functions.length);
    this.#functions.forEach(({ builder }, i) => {
      names.unsigned(this.#imports.length + i);
      names.name(builder.name);
    });
    const body = new Bytes();
    body.name('name');
    body.byte(1);
    body.sized(names);
    out.byte(0);
    out.sized(body);
  }
}

/** A call of an import or of one of the module's functions. */
export function call<T extends Type>(callee: Callable, type: T, args: readonly Expr<Type>[]): Expr<T> {
  const given = args.map((a) => a.type).join();
  if (given !== callee.params.join())
    throw new TypeError(`call with (${given}), which takes (${callee.params.join()})`);
  return new Expr(type, { kind: 'call', callee: callee.index, args });
}
