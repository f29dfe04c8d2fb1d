// The interpreter as WebAssembly: one handler for each form, taking (record, state) and giving the next record or 0, and for each
// environment a dispatcher that inlines the forms hottest there in one br_table loop and reaches the others by call_indirect.
// Handlers are modules of their own, made when a guest first needs them: of 4000, a guest uses about a hundred. What is rare of an
// inlined form (a view that misses, a fault) is left to its handler too, so that the loop calls nothing else: a compiler
// keeps on the stack what must outlive a call, which made every memory operand half as long again.

import { Expr, i32, load } from '../../wasm/expr.ts';
import { FunctionBuilder, type Label } from '../../wasm/function.ts';
import { ModuleBuilder, type Callable } from '../../wasm/module.ts';
import { functionText } from '../../wasm/text.ts';
import { HandlerBackEnd } from './emit.ts';
import type { Flow } from './emitControl.ts';
import type { Handler } from './handlers.ts';
import type { HandlerImports, Rare } from './imports.ts';
import { RECORD } from './records.ts';
import { placeBesideCode } from './viewAccess.ts';

const MINIMUM_PAGES = 1;

/** Declares what generated code imports; the names of the functions by index go to `handlerText`. */
function declareImports(module: ModuleBuilder): HandlerImports {
  const place = ['i32', 'i32', 'i32', 'i32'] as const;
  const imported = {
    slowRead: module.import('host', 'slowRead', place, 'i32'),
    slowOpen: module.import('host', 'slowOpen', place, 'i32'),
    slowWrite: module.import('host', 'slowWrite', [...place, 'i32', 'i32'], 'i32'),
    checkSegment: module.import('host', 'checkSegment', place, 'i32'),
    raise: module.import('host', 'raise', ['i32', 'i32'], null),
    microcode: module.import('host', 'microcode', ['i32'], 'i32'),
    attend: module.import('host', 'attend', ['i32'], 'i32'),
    ahead: module.import('host', 'ahead', ['i32'], 'i32'),
  };
  module.importMemory('host', 'memory', MINIMUM_PAGES);
  return { ...imported, storeBesideCode: module.add(storeBesideCode()) };
}

/** What is generated for a handler, in the WebAssembly text format. */
export function handlerText(handler: Handler): string {
  const imports = declareImports(new ModuleBuilder());
  const names = new Map(Object.entries(imports).map(([name, { index }]) => [index, name]));
  return functionText(buildHandler(handler, imports), (index) => names.get(index) ?? String(index));
}

/**
 * Builds the table of handlers, in which one that is not there yet asks for itself and is then run. Exports it as `handlers`.
 */
export function buildTable(handlers: readonly Handler[]): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const link = module.import('host', 'link', ['i32'], null);
  const imports = declareImports(module);
  const absent = module.add(absentHandler(link));
  for (const handler of handlers) module.addToTable(handler.form ? absent : module.add(buildHandler(handler, imports)));
  module.exportTable('handlers');
  return module.toUint8Array();
}

/**
 * Builds a dispatcher, over the table of all handlers; those whose name is in `hot` are inlined (none with `--no-hot`: then all
 * forms run by call). Exports `run`.
 */
export function buildDispatcher(handlers: readonly Handler[], hot: ReadonlySet<string>): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importMemory('host', 'memory', MINIMUM_PAGES);
  module.importTable('host', 'handlers', handlers.length);
  const type = module.type(['i32', 'i32'], 'i32');
  module.add(dispatcher(handlers, hot, type), true);
  return module.toUint8Array();
}

/** A module that exports one handler under its own name. */
export function buildHandlerModule(handler: Handler): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.add(buildHandler(handler, declareImports(module)), true);
  return module.toUint8Array();
}

/** Stands in the table for a handler that was not made yet: has it made, and runs the record again. */
function absentHandler(link: Callable): FunctionBuilder {
  const fn = new FunctionBuilder('absent', ['i32', 'i32'], 'i32');
  const record = fn.param(0, 'i32');
  fn.evaluate(
    new Expr('i32', { kind: 'call', callee: link.index, args: [load('i32', 2, record, RECORD.handler)] }),
    false,
  );
  fn.return(record);
  return fn;
}

/** One handler as a function of its own: (record, state) -> next record, or 0 to leave. */
function buildHandler(handler: Handler, imports: HandlerImports): FunctionBuilder {
  const fn = new FunctionBuilder(handler.name, ['i32', 'i32'], 'i32');
  const flow: Flow = { go: (record) => fn.return(record), leave: () => fn.return(i32(0)) };
  emit(handler, fn, imports, flow, fn.param(0, 'i32'), fn.param(1, 'i32'));
  fn.unreachable();
  return fn;
}

function emit(
  handler: Handler,
  fn: FunctionBuilder,
  rare: Rare,
  flow: Flow,
  record: Expr<'i32'>,
  state: Expr<'i32'>,
): void {
  const { environment, memory, addressWidth, form } = handler;
  const operandWidth = form?.width ?? 0;
  const backEnd = new HandlerBackEnd(fn, rare, flow, {
    environment,
    memory,
    addressWidth,
    operandWidth,
    lastBlock: form !== null && form.memory !== '' ? RECORD.lastBlockOfMemory : RECORD.lastBlock,
    record,
    state,
  });
  handler.emit(backEnd);
  backEnd.finish();
}

/** run(record, state): executes from a record on until a handler leaves. */
function dispatcher(handlers: readonly Handler[], hot: ReadonlySet<string>, type: number): FunctionBuilder {
  const fn = new FunctionBuilder('run', ['i32', 'i32'], null);
  const record = fn.param(0, 'i32');
  const state = fn.param(1, 'i32');
  const inlined = handlers.filter((h) => hot.has(h.name));
  fn.block('leave', (leave) => {
    fn.loop('dispatch', (dispatch) => {
      const index = load('i32', 2, record, RECORD.handler);
      fn.block('byCall', (byCall) => {
        const flow: Flow = {
          go: (next) => {
            fn.set(record, next);
            fn.br(dispatch);
          },
          leave: () => fn.br(leave),
        };
        // Nested blocks, innermost first: leaving the k-th block lands before the body of the k-th inlined handler.
        const nest = (depth: number, targets: Label[]): void => {
          if (depth < 0) {
            const labelOf = new Map(inlined.map((h, k) => [h, targets[inlined.length - 1 - k]!]));
            fn.brTable(
              index,
              handlers.map((h) => labelOf.get(h) ?? byCall),
              byCall,
            );
            return;
          }
          fn.block(inlined[depth]!.name, (label) => nest(depth - 1, [...targets, label]));
          fn.scope(() => emit(inlined[depth]!, fn, () => fn.br(byCall), flow, record, state));
        };
        nest(inlined.length - 1, []);
      });
      const next = new Expr('i32', { kind: 'callIndirect', type, callee: index, args: [record, state] });
      fn.set(record, next);
      fn.brIf(record, dispatch);
    });
  });
  return fn;
}

/** `placeBesideCode` as a function: (linear, bytes, entry) -> host address, or 0. */
function storeBesideCode(): FunctionBuilder {
  const fn = new FunctionBuilder('storeBesideCode', ['i64', 'i32', 'i32'], 'i32');
  const [linear, bytes, entry] = [fn.param(0, 'i64'), fn.param(1, 'i32'), fn.param(2, 'i32')];
  fn.return(placeBesideCode(fn, linear, bytes, entry, () => fn.return(i32(0))));
  return fn;
}
