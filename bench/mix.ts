// The random loop: 3000 instructions of the kinds that compilers write, in proportions like theirs, with forward branches, loads and
// stores all over 64 KiB and a stack. It is long: 13 KB of code, so that caches of code and predictors of branches count.

import { Random } from '../test/hardware/random.ts';

const INSTRUCTIONS = 3000;
const ROUNDS = 2000;
const DATA = 0x400000;
const DATA_SIZE = 0x10000;
const SEED = 2026;

const NAMES = ['ax', 'cx', 'dx', 'bx', 'si', 'bp'];
const NUMBERED = [8, 9, 10, 11, 12, 13, 14];
const CONDITIONS = ['e', 'ne', 'b', 'ae', 's', 'ns', 'l', 'ge', 'le', 'g', 'be', 'a'];
const OPERATIONS = ['add', 'sub', 'xor', 'or', 'and'];

/** Chance (Marsaglia's xorshift) all over the data, so that what is loaded is something, and every call does the same. */
const FILL = [
  'mov $0x9e3779b97f4a7c15, %rax', `mov $${DATA_SIZE / 8}, %ecx`,
  'fill:', 'mov %rax, %rdx', 'shl $13, %rdx', 'xor %rdx, %rax', 'mov %rax, %rdx', 'shr $7, %rdx', 'xor %rdx, %rax',
  'mov %rax, %rdx', 'shl $17, %rdx', 'xor %rdx, %rax', 'mov %rax, -8(%rdi,%rcx,8)', 'dec %ecx', 'jnz fill',
]; // prettier-ignore

interface Register {
  readonly q: string;
  readonly d: string;
  readonly b: string;
}
// prettier-ignore
const REGISTERS: readonly Register[] = [
  ...NAMES.map((name) => ({ q: `%r${name}`, d: `%e${name}`, b: name.endsWith('x') ? `%${name[0]}l` : `%${name}l` })),
  ...NUMBERED.map((n) => ({ q: `%r${n}`, d: `%r${n}d`, b: `%r${n}b` })),
];

class Mix {
  readonly lines: string[] = [];
  instructions = 0;
  readonly #random = new Random(SEED);
  #label = 0;
  /** Labels that are still to come, and how many instructions before. */
  #open: { name: string; left: number }[] = [];

  /** One instruction, or a pair that belongs together. */
  next(): void {
    const random = this.#random;
    const a = random.pick(REGISTERS);
    const b = random.pick(REGISTERS);
    const wide = random.oneIn(2);
    const [to, from] = wide ? [a.q, b.q] : [a.d, b.d];
    const suffix = wide ? 'q' : 'l';
    switch (random.below(20)) {
      case 0: case 1: case 2: case 3:
        return this.#add(`mov${suffix} ${this.#place()}, ${to}`);
      case 4: case 5:
        return this.#add(`mov${suffix} ${from}, ${this.#place()}`);
      case 6: case 7:
        return this.#add(`mov${suffix} ${from}, ${to}`);
      case 8: case 9: case 10:
        return this.#add(`${random.pick(OPERATIONS)}${suffix} ${from}, ${to}`);
      case 11:
        return this.#add(`${random.pick(OPERATIONS)}${suffix} $${random.below(100_000)}, ${to}`);
      case 12:
        return this.#add(`lea${suffix} ${random.below(1000)}(${a.q},${b.q},${1 << random.below(4)}), ${to}`);
      case 13:
        return this.#add(`${random.pick(['shl', 'shr', 'sar'])}${suffix} $${1 + random.below(15)}, ${to}`);
      case 14:
        return this.#add(`${random.pick(['inc', 'dec', 'neg', 'not'])}${suffix} ${to}`);
      case 15:
        return this.#add(random.oneIn(2) ? `imul${suffix} ${from}, ${to}` : `movzbl ${this.#place()}, ${a.d}`);
      case 16:
        return this.#add(`pushq ${b.q}`, `popq ${a.q}`);
      case 17:
        return this.#add(`test${suffix} ${from}, ${to}`, `set${random.pick(CONDITIONS)} ${a.b}`);
      default:
        return this.#branch(`${random.oneIn(2) ? 'cmp' : 'test'}${suffix} ${from}, ${to}`);
    }
  } // prettier-ignore

  #place = (): string => `${8 * this.#random.below(DATA_SIZE / 8)}(%rdi)`;

  /** Instructions between which no branch leads. */
  #add(...instructions: string[]): void {
    this.lines.push(...instructions);
    this.instructions += instructions.length;
    for (const label of this.#open) label.left -= instructions.length;
    for (const { name } of this.#open.filter(({ left }) => left <= 0)) this.lines.push(`${name}:`);
    this.#open = this.#open.filter(({ left }) => left > 0);
  }
  /** Sets the labels that are still open. */
  close(): void {
    for (const { name } of this.#open) this.lines.push(`${name}:`);
  }
  #branch(compare: string): void {
    const name = `over${this.#label++}`;
    this.#add(compare, `j${this.#random.pick(CONDITIONS)} ${name}`);
    this.#open.push({ name, left: 1 + this.#random.below(3) });
  }
}

/** The loop as assembler source. Result in RAX. */
export function mixSource(): string {
  const mix = new Mix();
  while (mix.instructions < INSTRUCTIONS) mix.next();
  mix.close();
  const start = REGISTERS.map(({ q }, i) => `mov $${(i + 3) * 0x9e3779b1}, ${q}`);
  const sum = REGISTERS.slice(1).map(({ q }) => `add ${q}, %rax`);
  // prettier-ignore
  return [`mov $${DATA}, %edi`, ...FILL, `mov $${ROUNDS}, %r15d`, ...start, 'round:', ...mix.lines, 'dec %r15d', 'jnz round', ...sum, 'ret', ''].join('\n');
}
