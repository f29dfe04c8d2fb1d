// Every construct of the language that host code may put around a cell. Each case returns a value; the transform must not change it.
import type { Atomic, Cell, Cells } from '../../src/host/cells.ts';

interface Shape {
  area(): number;
}

class Box implements Shape {
  a: Cell<number> = 1;
  list: Cell<readonly number[]> = [3, 1, 2];
  maybe: Cell<number | undefined> = undefined;
  readonly words: Cells<Uint32Array> = new Uint32Array(4);
  readonly map: Cells<Map<string, number>> = new Map<string, number>();
  next: Box | null = null;
  readonly #hidden: Cell<number> = 7;

  get double(): number {
    return this.a * 2;
  }
  area(): number {
    return this.a * this.#hidden;
  }
  add(n = 1): number {
    return (this.a += n);
  }
  exchange(n: number): Atomic<number> {
    const was = this.a;
    this.a = n;
    return was;
  }
  static twice(box: Box): number {
    return box.a + box.a;
  }
}

class Big extends Box {
  override area(): number {
    return super.area() + 100;
  }
}

function helper(box: Box): number {
  return box.a + 1;
}

const arrow = (box: Box, k: number) => box.a * k;

export const cases = {
  read: (b: Box) => b.a + b.a * 2,
  compound: (b: Box) => [(b.a += 2), (b.a <<= 3), b.a++, ++b.a, b.a--, b.a],
  logical: (b: Box) => [(b.maybe ??= 4), (b.maybe &&= 0), (b.maybe ||= 9)],
  getter: (b: Box) => b.double + b.double,
  method: (b: Box) => b.add() + b.add(3),
  staticMethod: (b: Box) => Box.twice(b),
  function: (b: Box) => helper(b) * helper(b),
  arrow: (b: Box) => arrow(b, 3),
  closure: (b: Box) => {
    const sum = () => b.a + 5;
    return sum() + sum();
  },
  interface: (b: Box) => [b, new Big()].map((s: Shape) => s.area()),
  override: () => new Big().area(),
  callbacks: (b: Box) => [
    [1, 2, 3].map((n) => n * b.a),
    [1, 2, 3].filter((n) => n > b.a),
    [1, 2].reduce((sum, n) => sum + n * b.a, 10),
    [1, 2].some((n) => n === b.a),
    b.list.find((n) => n > b.a),
  ],
  atomic: (b: Box) => [b.exchange(b.a + 4), b.a],
  container: (b: Box) => {
    b.words[1] |= 6;
    b.words[b.a + 1] = b.words[1]! + 1;
    b.map.set('x', b.a);
    return [b.words[1], b.words[2], b.map.get('x')];
  },
  exception: (b: Box) => {
    try {
      if (b.add(5) > 3) throw new Error(`a is ${b.a}`);
      return 0;
    } catch (error) {
      return (error as Error).message + b.a;
    } finally {
      b.a = 40;
    }
  },
  loop: (b: Box) => {
    let n = 0;
    while (b.a < 5) n += b.a++;
    for (const x of b.list) n += x;
    for (b.a = 0; b.a < 3; b.a++) n++;
    return n;
  },
  optional: (b: Box) => {
    const none = null as Box | null;
    const some = b as Box | null;
    const f = (some ? () => b.a : undefined) as (() => number) | undefined;
    const g = (none ? () => b.a : undefined) as (() => number) | undefined;
    return [none?.a, some?.a, none?.add(2), some?.add(2), f?.(), g?.()];
  },
  conditional: (b: Box) => (b.a > 0 && b.maybe === undefined ? `${b.a}` : -b.a),
  chain: (b: Box) => {
    b.next = new Big();
    b.next.a = b.a + 1;
    return b.next.a + b.next.double;
  },
  destructureWhole: (b: Box) => {
    const [first, ...rest] = b.list;
    return [first, rest];
  },
  literal: (b: Box) => ({ a: b.a, f: b.double, [`k${b.a}`]: 1 }),
};

export type Case = (box: Box) => unknown;
export const newBox = () => new Box();
