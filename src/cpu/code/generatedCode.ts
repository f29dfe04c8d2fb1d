// The generated code of one VM: instances of the dispatchers over its linear memory, and of each handler that its guests have
// met so far. Compiled modules are shared by all VMs of the process.

import type { Environment } from '../segments/codeMode.ts';
import { HANDLERS } from './handlers.ts';
import { HOT_FORMS } from './hot.ts';
import type { InterpreterImports } from './imports.ts';
import { buildDispatcher, buildHandlerModule, buildTable } from './interpreter.ts';

/** By the name of the handler or dispatcher. */
const modules = new Map<string, WebAssembly.Module>();

/** Compiles once what `build` gives. */
function compiled(name: string, build: () => BufferSource): WebAssembly.Module {
  let module = modules.get(name);
  if (!module) modules.set(name, (module = new WebAssembly.Module(build())));
  return module;
}

/**
 * Executes from a record on, until a handler leaves; `state` is the byte address of the CPU's state block. What the code
 * throws comes from `imports`.
 */
export type Run = (record: number, state: number) => void;

/** The dispatchers of each environment over one memory, each made when code of its kind is first met. */
export class GeneratedCode {
  readonly #host: WebAssembly.ModuleImports;
  readonly #noHot: boolean;
  readonly #runs = new Map<Environment, Run>();

  /** `noHot`: no form is inlined in the dispatchers. */
  constructor(memory: WebAssembly.Memory, imports: InterpreterImports, noHot: boolean) {
    this.#noHot = noHot;
    const link = (index: number): void => {
      const module = compiled(HANDLERS[index]!.name, () => buildHandlerModule(HANDLERS[index]!));
      const instance = new WebAssembly.Instance(module, { host });
      handlers.set(index, instance.exports[HANDLERS[index]!.name] as () => number);
    };
    const host: WebAssembly.ModuleImports = { memory, link, ...imports };
    const table = compiled('handlers', () => buildTable(HANDLERS));
    const handlers = new WebAssembly.Instance(table, { host }).exports.handlers as WebAssembly.Table;
    host.handlers = handlers;
    this.#host = host;
  }

  run(environment: Environment): Run {
    let run = this.#runs.get(environment);
    if (!run) this.#runs.set(environment, (run = this.#makeRun(environment)));
    return run;
  }

  #makeRun(environment: Environment): Run {
    const hot = new Set(this.#noHot ? [] : HOT_FORMS[environment]);
    const name = `run.${environment}${this.#noHot ? ' without hot forms' : ''}`;
    const module = compiled(name, () => buildDispatcher(HANDLERS, hot));
    return new WebAssembly.Instance(module, { host: this.#host }).exports.run as Run;
  }
}
