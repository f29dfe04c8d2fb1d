// The alternative to the transform: re-execution against a log of accesses. Cells become accessors on the instances, atomic methods are
// wrapped; to stop before access k the body is run from its start with the first k results replayed, and thrown out of.
// Costs k accesses for the k-th step, and every effect that is not a cell happens again each time.
import type { Activity, Step } from './explorer.ts';

const PREEMPTED = { toString: () => 'preempted' };
const SLEPT = Symbol('slept');

/** The activity being executed: what it has done so far, where in that log it stands. Null: accesses go straight through. */
let log: unknown[] | null = null;
let position = 0;
let target = 0;
let announced = '';

function perform<T>(name: string, access: () => T): T {
  if (log === null) return access();
  if (position < log.length) return log[position++] as T;
  announced = name;
  if (position === target) throw PREEMPTED;
  const current = log;
  log = null;
  try {
    current.push(access());
  } finally {
    log = current;
  }
  return current[position++] as T;
}

/** Makes the named fields of one object accessors, and the named methods single accesses. */
export function instrument(object: object, cells: readonly string[], atomics: readonly string[]): void {
  const fields = object as Record<string, unknown>;
  for (const cell of cells) {
    let value = fields[cell];
    Object.defineProperty(object, cell, {
      get: () => perform(cell, () => value),
      set: (to) => {
        perform(cell + ' =', () => {
          value = to;
        });
      },
    });
  }
  for (const name of atomics) {
    const method = fields[name] as (...args: unknown[]) => unknown;
    fields[name] = (...args: unknown[]) => perform(name + '()', () => method.apply(object, args));
  }
}

export class RerunActivity implements Activity {
  readonly name: string;
  readonly #body: () => unknown;
  readonly #log: unknown[] = [];
  #started = false;
  #pending = '';

  constructor(name: string, body: () => unknown) {
    this.name = name;
    this.#body = body;
  }

  pending = (): string => this.#pending;

  step(): Step {
    log = this.#log;
    position = 0;
    target = this.#started ? log.length + 1 : 0;
    this.#started = true;
    let asleep = false;
    try {
      const result = this.#body();
      if (typeof result !== 'object' || result === null || !('next' in result)) return 'done';
      for (const body = result as Generator; ; ) {
        if (body.next().done) return 'done';
        if (position === log.length) {
          log.push(SLEPT);
          target++;
          asleep = true;
        }
        position++;
      }
    } catch (thrown) {
      if (thrown !== PREEMPTED) throw thrown;
      return asleep ? 'asleep' : 'access';
    } finally {
      this.#pending = announced;
      log = null;
    }
  }
}
