// The processors of one VM: its linear memory, the generated code over it, the arena, the second stage, the code cache and
// the logical CPUs.

import { Arena } from './memory/arena.ts';
import { Blocks } from './code/blocks.ts';
import { Cpu, type Shared } from './cpu.ts';
import { evaluateRun } from './code/evaluator.ts';
import { ENVIRONMENT_OF } from './segments/codeMode.ts';
import { GeneratedCode, type Run } from './code/generatedCode.ts';
import type { InterpreterImports } from './code/imports.ts';
import { Views } from './layout.ts';
import { CODE_BITMAP, memoryMap, type MemoryMap } from './memory/memoryMap.ts';
import { SecondStage } from './memory/secondStage.ts';
import { STATE_SIZE } from './state.ts';

export interface ProcessorOptions {
  /** Logical CPUs. */
  readonly cpus: number;
  /** Bytes of guest memory that can be handed out to slots. */
  readonly arenaBytes: number;
  /** Run every form by call, none inlined in the dispatcher: slower, and every handler is on the stack under its name. */
  readonly noHot?: boolean;
  /** What executes the semantics: generated WebAssembly, or the slow evaluator that checks it. */
  readonly engine?: 'wasm' | 'bigint';
}

const PAGE_64K = 0x1_0000;

export class Processor implements Shared {
  readonly map: MemoryMap;
  readonly views: Views;
  readonly arena: Arena;
  readonly secondStage: SecondStage;
  readonly blocks: Blocks;
  readonly cpus: readonly Cpu[];
  readonly #generated: GeneratedCode | null;
  /** The dispatcher of each mode of code that was met. */
  readonly #runs: Run[] = [];
  /** The CPU that runs: generated code calls back into it. A plain object, which imports reach faster than a private field. */
  readonly #running: { cpu: Cpu };

  constructor(options: ProcessorOptions) {
    this.map = memoryMap(options.cpus, options.arenaBytes);
    const pages = this.map.end / PAGE_64K;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.views = new Views(memory.buffer);
    this.blocks = new Blocks(this.views, this.map, () => this.cpus[0]!.features);
    this.arena = new Arena(this.views, this.map.arena, this.map.end, CODE_BITMAP, this.blocks);
    this.blocks.attach(this.arena);
    this.secondStage = new SecondStage(this.arena);
    this.cpus = Array.from({ length: options.cpus }, (_, id) => new Cpu(id, this.map.states + id * STATE_SIZE, this));
    this.#running = { cpu: this.cpus[0]! };
    const generates = options.engine !== 'bigint';
    this.#generated = generates ? new GeneratedCode(memory, importsOf(this.#running), options.noHot ?? false) : null;
  }

  run(cpu: Cpu, record: number): void {
    this.#running.cpu = cpu;
    if (this.#generated === null) evaluateRun(cpu, record);
    else {
      const { mode } = cpu.state;
      const run = (this.#runs[mode] ??= this.#generated.run(ENVIRONMENT_OF[mode]!));
      run(record, cpu.state.base);
    }
  }
}

/**
 * Generated code calls the CPU that is running. Nothing is thrown through WebAssembly, which costs more than the rest of an
 * exit: the CPU keeps what a call throws, and the answer 0 makes generated code leave.
 */
function importsOf(running: { readonly cpu: Cpu }): InterpreterImports {
  return {
    slowRead(low, high, access, record) {
      for (;;) {
        try {
          return running.cpu.mmu.slowRead(low, high, access, record);
        } catch (thrown) {
          if (!running.cpu.guestMode.calls.triesAgain(thrown, access, record)) return 0;
        }
      }
    },
    slowOpen(low, high, access, record) {
      for (;;) {
        try {
          return running.cpu.mmu.slowOpen(low, high, access, record);
        } catch (thrown) {
          if (!running.cpu.guestMode.calls.triesAgain(thrown, access, record)) return 0;
        }
      }
    },
    slowWrite(low, high, access, record, valueLow, valueHigh) {
      for (;;) {
        try {
          running.cpu.mmu.slowWrite(low, high, access, record, valueLow, valueHigh);
          return 1;
        } catch (thrown) {
          if (!running.cpu.guestMode.calls.triesAgain(thrown, access, record)) return 0;
        }
      }
    },
    checkSegment(register, offset, access, record) {
      try {
        return running.cpu.checkSegment(register, offset, access, record);
      } catch (thrown) {
        return running.cpu.guestMode.calls.keep(thrown);
      }
    },
    raise: (vector, record) => running.cpu.guestMode.calls.raise(vector, record),
    microcode: (record) => running.cpu.guestMode.calls.microcode(record),
    attend: (record) => running.cpu.guestMode.calls.attend(record),
    ahead: (record) => running.cpu.guestMode.calls.ahead(record),
  };
}
