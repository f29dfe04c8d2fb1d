// Runs the experiment: how does generated code find the state block, and how large is a record? Interleaved rounds in one process.
//   npx tsx bench/experiments/state-addressing/main.ts
import { ARCHITECTURAL_SIZE } from '../../../src/cpu/state.ts';
import { build, FIELD, FORMS, RECORD, REGION, VIEW_ENTRIES, type Addressing, type Form } from './interpreter.ts';

interface Wasm {
  readonly Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
}
const { Memory, Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;

const DATA = 16 << 20;
const PAGES = (DATA >> 16) + 64;
/** The second region, so that `masked` and `parameter` do not profit from an address of zero; absolute addresses must fit u16. */
const VIEW = 4096;
const UNITS = 200_000;

/** One instruction of a loop: form, destination, source, base and index registers, scale, displacement or immediate. */
type Line = readonly [form: Form, dst: number, src?: number, base?: number, index?: number, value?: number];

const RSI = 6, RDI = 7, RCX = 1, NONE = 16; // prettier-ignore

function loops(): Record<string, Line[]> {
  const xorshift: Line[] = [
    ['mov.r.r', 2, 0], ['shl.r.i', 2, 0, NONE, NONE, 13], ['xor.r.r', 0, 2],
    ['mov.r.r', 2, 0], ['shr.r.i', 2, 0, NONE, NONE, 7], ['xor.r.r', 0, 2],
    ['mov.r.r', 2, 0], ['shl.r.i', 2, 0, NONE, NONE, 17], ['xor.r.r', 0, 2],
    ['dec.r', RCX], ['jnz', 0],
  ]; // prettier-ignore
  const copy: Line[] = [
    ['mov.r.m', 0, 0, RSI, NONE, 8], ['mov.m.r', 0, 0, RDI, NONE, 0x3008], ['add.r.m', 2, 0, RSI, NONE, 16],
    ['add.r.i', 3, 0, NONE, NONE, 8], ['dec.r', RCX], ['jnz', 0],
  ]; // prettier-ignore
  let seed = 12345;
  const random = (n: number) => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % n;
  const mix: Line[] = [];
  while (mix.length < 3000) {
    const form = FORMS[random(10) < 9 ? random(11) : 12 + random(4)]!;
    const memory = form.endsWith('.m') || form.includes('.m.');
    const free = [0, 2, 3, 8, 9, 10, 11, 12];
    mix.push([
      form,
      free[random(8)]!,
      free[random(8)]!,
      memory ? RSI : NONE,
      NONE,
      memory ? random(4000) * 4 : 1 + random(60),
    ]);
  }
  mix.push(['dec.r', RCX], ['jnz', 0]);
  return { xorshift, copy, mix };
}

/** A machine of one addressing and record size, with one loop loaded. */
function load(addressing: Addressing, size: 32 | 64, lines: readonly Line[]): () => number {
  const memory = new Memory({ initial: PAGES });
  const [i32, u64, u16] = [
    new Int32Array(memory.buffer),
    new BigUint64Array(memory.buffer),
    new Uint16Array(memory.buffer),
  ];
  const state = addressing === 'absolute' ? 0 : REGION;
  const view = state + VIEW;
  const slow = (address: number, entry: number): number => {
    const page = BigInt(address & -4096);
    u64[entry >> 3] = page;
    u64[(entry >> 3) + 1] = page;
    i32[(entry >> 2) + 6] = DATA;
    return address + DATA;
  };
  const instance = new Instance(new Module(build(addressing, size)), {
    host: { memory, slow },
  });
  const { run, state: global } = instance.exports as {
    run: (record: number, state?: number) => void;
    state?: { value: number };
  };
  if (global) global.value = state;
  for (let i = 0; i < VIEW_ENTRIES; i++) u64.fill(~0n, (view + i * 32) >> 3, (view + i * 32 + 16) >> 3);
  i32[(state + FIELD.dataView) >> 2] = view;
  u64[(state + FIELD.gpr) / 8 + RSI] = 0x10_0000n;
  u64[(state + FIELD.gpr) / 8 + RDI] = 0x20_0000n;
  u64[(state + FIELD.gpr) / 8] = 88172645463325252n;
  const first = state + VIEW + VIEW_ENTRIES * 32;
  const register = (n: number) => (n === NONE ? FIELD.zero : FIELD.gpr + 8 * n);
  lines.forEach(([form, dst, src = 0, base = NONE, index = NONE, value = 0], i) => {
    const at = first + i * size;
    u16[(at + RECORD.handler) >> 1] = FORMS.indexOf(form);
    u16[(at + RECORD.remaining) >> 1] = lines.length - i;
    u16[(at + RECORD.dst) >> 1] = register(dst);
    u16[(at + RECORD.src) >> 1] = register(src);
    u16[(at + RECORD.base) >> 1] = register(base);
    u16[(at + RECORD.index) >> 1] = register(index);
    i32[(at + RECORD.disp) >> 2] = value;
    i32[(at + RECORD.imm) >> 2] = value;
    if (form === 'jnz') i32[(at + RECORD.taken) >> 2] = i32[(at + RECORD.fallThrough) >> 2] = first;
  });
  return () => {
    const budget = Math.ceil(UNITS / lines.length) * lines.length;
    u64[(state + FIELD.gpr) / 8 + RCX] = 1n << 40n;
    i32[(state + FIELD.budget) >> 2] = budget;
    run(first, state);
    return budget;
  };
}

const variants: [string, Addressing, 32 | 64][] = [
  ['absolute addresses (or a window with copies)', 'absolute', 32],
  ['function parameter', 'parameter', 32],
  ['mutable global', 'global', 32],
  ['masked from the record address', 'masked', 32],
  ['function parameter, 64-byte records', 'parameter', 64],
];
const middle = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

const table = variants.map(([name]) => ({ name }) as Record<string, string | number>);
for (const [loop, lines] of Object.entries(loops())) {
  const machines = variants.map(([, addressing, size]) => load(addressing, size, lines));
  const mips = variants.map((): number[] => []);
  for (const run of machines) for (let i = 0; i < 40; i++) run();
  for (let round = 0; round < 41; round++) {
    machines.forEach((run, i) => {
      const from = performance.now();
      let units = 0;
      for (let k = 0; k < 20; k++) units += run();
      mips[i]!.push(units / (performance.now() - from) / 1000);
    });
  }
  const medians = mips.map(middle);
  table.forEach((row, i) => (row[loop] = Math.round(medians[i]!)));
  table.forEach((row, i) => (row[`${loop} / param`] = (medians[i]! / medians[1]!).toFixed(2)));
}
for (const row of table) {
  const ratios = ['xorshift', 'copy', 'mix'].map((loop) => Number(row[loop]));
  row['geomean'] = Math.round(Math.cbrt(ratios[0]! * ratios[1]! * ratios[2]!));
}
console.table(Object.fromEntries(table.map(({ name, ...row }) => [name, row])));

const from = new Uint8Array(1 << 20);
const copies = Array.from({ length: 41 }, () => {
  const start = performance.now();
  for (let k = 0; k < 1000; k++) from.copyWithin(1 << 19, 0, ARCHITECTURAL_SIZE);
  return (performance.now() - start) * 1000;
});
console.log(
  `a window costs ${(middle(copies) / 1000).toFixed(2)} us for each copy of ${ARCHITECTURAL_SIZE} bytes of state, and two copies a switch`,
);
