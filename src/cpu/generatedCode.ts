// The generated code of one VM: an instance of the dispatcher over its linear memory, and one of each handler that its
// guests have met so far. Compiled modules are shared by all VMs of the process.

import { HANDLERS } from './handlers.ts';
import { HOT_FORMS } from './hot.ts';
import type { InterpreterImports } from './imports.ts';
import { buildHandlerModule, buildInterpreter } from './interpreter.ts';

const dispatchers = new Map<boolean, WebAssembly.Module>();
const handlers = new Map<number, WebAssembly.Module>();

/** Compiles once what `build` gives. */
function compiled<K>(cache: Map<K, WebAssembly.Module>, key: K, build: () => BufferSource): WebAssembly.Module {
  let module = cache.get(key);
  if (!module) cache.set(key, (module = new WebAssembly.Module(build())));
  return module;
}

/**
 * Executes from a record on, until a handler leaves; `state` is the byte address of the CPU's state block. What the code
 * throws comes from `imports`.
 */
export type Run = (record: number, state: number) => void;

/** Instantiates the interpreter over a memory. `noHot`: no form is inlined in the dispatcher. */
export function generatedCode(memory: WebAssembly.Memory, imports: InterpreterImports, noHot: boolean): Run {
  const link = (index: number): void => {
    const module = compiled(handlers, index, () => buildHandlerModule(HANDLERS[index]!));
    const instance = new WebAssembly.Instance(module, { host });
    table.set(index, instance.exports[HANDLERS[index]!.name] as () => number);
  };
  const host = { memory, link, ...imports };
  const hot = new Set(noHot ? [] : HOT_FORMS);
  const dispatcher = compiled(dispatchers, noHot, () => buildInterpreter(HANDLERS, hot));
  const { exports } = new WebAssembly.Instance(dispatcher, { host });
  const table = exports.handlers as WebAssembly.Table;
  return exports.run as Run;
}
