// A small interpreter that is generated once for each way to address the state block. Its forms are few, its dispatcher and its TLB check are
// those of the real one; only the question of the experiment varies.
import { Expr, i32, i64, load, select } from '../../../src/wasm/expr.ts';
import { FunctionBuilder, type Label } from '../../../src/wasm/function.ts';
import { call, ModuleBuilder, type Callable } from '../../../src/wasm/module.ts';
import type { Int } from '../../../src/wasm/types.ts';

/** Where generated code takes the state block's address from. */
export type Addressing = 'absolute' | 'parameter' | 'global' | 'masked';

/** The state block of this experiment: a few fields at fixed offsets. */
export const FIELD = {
  gpr: 0,
  zero: 128,
  flagResult: 136,
  flagAux: 144,
  flagCarry: 152,
  budget: 156,
  dataView: 160,
} as const;
/** With `masked`, the state block stands at the start of the 1 MiB region that holds its records. */
export const REGION = 1 << 20;
export const VIEW_ENTRIES = 1024;

/** A record's fields, as in the real interpreter. `state` says what the slots hold: offsets, or with `absolute` addresses. */
export const RECORD = {
  handler: 0,
  remaining: 2,
  dst: 4,
  src: 6,
  base: 8,
  index: 10,
  scale: 12,
  disp: 16,
  imm: 24,
  taken: 16,
  fallThrough: 28,
} as const;

const BYTES = 8;
const PAGE = -4096n;

export const FORMS = [
  'mov.r.r', 'mov.r.i', 'mov.r.m', 'mov.m.r', 'add.r.r', 'add.r.i', 'add.r.m', 'xor.r.r', 'shl.r.i', 'shr.r.i', 'dec.r', 'jnz', // hot
  'sub.r.r', 'and.r.i', 'lea.r.m', 'not.r', // reached by call_indirect
] as const; // prettier-ignore
export type Form = (typeof FORMS)[number];
export const HOT = 12;

interface Flow {
  go(record: Expr<'i32'>): void;
  leave(): void;
}

class Emitter {
  readonly fn: FunctionBuilder;
  readonly flow: Flow;
  readonly record: Expr<'i32'>;
  readonly state: Expr<'i32'>;
  readonly slow: Callable;
  readonly size: number;

  constructor(fn: FunctionBuilder, flow: Flow, record: Expr<'i32'>, state: Expr<'i32'>, slow: Callable, size: number) {
    this.fn = fn;
    this.flow = flow;
    this.record = record;
    this.state = state;
    this.slow = slow;
    this.size = size;
  }
  at(slot: number): Expr<'i32'> {
    const offset = load('i32', 2, this.record, slot);
    return this.state.node.kind === 'const' && this.state.node.value === 0n ? offset : this.state.add(offset);
  }
  get(slot: number): Expr<'i64'> {
    return this.fn.let(load('i64', BYTES, this.at(slot)));
  }
  set(slot: number, value: Expr<'i64'>): void {
    this.fn.store(BYTES, this.at(slot), value);
  }
  field<T extends Int>(type: T, bytes: number, offset: number): Expr<T> {
    return load(type, bytes, this.state, offset);
  }
  imm(): Expr<'i64'> {
    return load('i32', 4, this.record, RECORD.imm).sext();
  }
  flags(result: Expr<'i64'>, carry: Expr<'i32'>, aux: Expr<'i64'>): void {
    this.fn.store(4, this.state, carry, FIELD.flagCarry);
    this.fn.store(8, this.state, result, FIELD.flagResult);
    this.fn.store(8, this.state, aux, FIELD.flagAux);
  }
  address(): Expr<'i64'> {
    const scaled = load('i64', BYTES, this.at(RECORD.index)).shl(load('i64', 1, this.record, RECORD.scale));
    return this.fn.let(
      load('i64', BYTES, this.at(RECORD.base))
        .add(scaled)
        .add(load('i32', 4, this.record, RECORD.disp).sext()),
    );
  }
  host(address: Expr<'i64'>, tag: number): Expr<'i32'> {
    const slot = address
      .shrU(i64(7))
      .wrap()
      .and(i32((VIEW_ENTRIES - 1) << 5));
    const entry = this.fn.let(this.field('i32', 4, FIELD.dataView).add(slot));
    const host = this.fn.local('i32');
    this.fn.if(
      address
        .add(i64(BYTES - 1))
        .and(i64(PAGE))
        .eq(load('i64', 8, entry, tag)),
      () => this.fn.set(host, address.wrap().add(load('i32', 4, entry, 24))),
      () => this.fn.set(host, call(this.slow, 'i32', [address.wrap(), entry])),
    );
    return host;
  }
  read(): Expr<'i64'> {
    return this.fn.let(load('i64', BYTES, this.host(this.address(), 0)));
  }
  next(): void {
    this.flow.go(this.record.add(i32(this.size)));
  }
  alu(op: 'add' | 'sub' | 'xor' | 'and', b: Expr<'i64'>): void {
    const a = this.get(RECORD.dst);
    const r = this.fn.let(op === 'add' ? a.add(b) : op === 'sub' ? a.sub(b) : op === 'xor' ? a.xor(b) : a.and(b));
    this.set(RECORD.dst, r);
    if (op === 'add') this.flags(r, r.ltU(a), a.xor(b).xor(r));
    else if (op === 'sub') this.flags(r, a.ltU(b), a.xor(b).xor(r));
    else this.flags(r, i32(0), i64(0));
  }
  shift(left: boolean): void {
    const a = this.get(RECORD.dst);
    const count = this.fn.let(this.imm());
    const r = this.fn.let(left ? a.shl(count) : a.shrU(count));
    const out = left ? a.shrU(i64(64).sub(count)) : a.shrU(count.sub(i64(1)));
    this.set(RECORD.dst, r);
    this.flags(r, out.wrap().and(i32(1)), r);
  }
  branch(): void {
    const taken = this.field('i64', 8, FIELD.flagResult).ne(i64(0));
    const block = this.fn.let(
      select(taken, load('i32', 4, this.record, RECORD.taken), load('i32', 4, this.record, RECORD.fallThrough)),
    );
    const left = this.fn.let(this.field('i32', 4, FIELD.budget).sub(load('i32', 2, block, RECORD.remaining)));
    this.fn.if(left.ltS(i32(0)), () => this.flow.leave());
    this.fn.store(4, this.state, left, FIELD.budget);
    this.flow.go(block);
  }
  emit(form: Form): void {
    const semantics: Record<Form, () => void> = {
      'mov.r.r': () => this.set(RECORD.dst, this.get(RECORD.src)),
      'mov.r.i': () => this.set(RECORD.dst, this.imm()),
      'mov.r.m': () => this.set(RECORD.dst, this.read()),
      'mov.m.r': () => this.fn.store(BYTES, this.host(this.address(), 8), this.get(RECORD.src)),
      'add.r.r': () => this.alu('add', this.get(RECORD.src)),
      'add.r.i': () => this.alu('add', this.fn.let(this.imm())),
      'add.r.m': () => this.alu('add', this.read()),
      'xor.r.r': () => this.alu('xor', this.get(RECORD.src)),
      'shl.r.i': () => this.shift(true),
      'shr.r.i': () => this.shift(false),
      'dec.r': () => {
        const a = this.get(RECORD.dst);
        const r = this.fn.let(a.sub(i64(1)));
        this.set(RECORD.dst, r);
        this.flags(r, this.field('i32', 4, FIELD.flagCarry), a.xor(r));
      },
      jnz: () => this.branch(),
      'sub.r.r': () => this.alu('sub', this.get(RECORD.src)),
      'and.r.i': () => this.alu('and', this.fn.let(this.imm())),
      'lea.r.m': () => this.set(RECORD.dst, this.address()),
      'not.r': () => this.set(RECORD.dst, this.get(RECORD.dst).xor(i64(-1))),
    };
    semantics[form]();
    if (form !== 'jnz') this.next();
  }
}

/** Builds the module for one way of addressing and one record size. */
export function build(addressing: Addressing, recordSize: 32 | 64): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const slow = module.import('host', 'slow', ['i32', 'i32'], 'i32');
  module.importMemory('host', 'memory', 1);
  const params = addressing === 'parameter' ? (['i32', 'i32'] as const) : (['i32'] as const);
  const global = addressing === 'global' ? module.global('i32', 0, 'state') : null;
  const stateOf = (fn: FunctionBuilder): Expr<'i32'> => {
    if (addressing === 'parameter') return fn.param(1, 'i32');
    if (global) return global;
    return addressing === 'absolute' ? i32(0) : fn.param(0, 'i32').and(i32(-REGION));
  };
  const emit = (form: Form, fn: FunctionBuilder, flow: Flow): void => {
    const record = fn.param(0, 'i32');
    const state = addressing === 'masked' ? fn.let(stateOf(fn)) : stateOf(fn);
    new Emitter(fn, flow, record, state, slow, recordSize).emit(form);
  };
  for (const form of FORMS) {
    const fn = new FunctionBuilder(form, params, 'i32');
    emit(form, fn, { go: (next) => fn.return(next), leave: () => fn.return(i32(0)) });
    fn.unreachable();
    module.addToTable(module.add(fn));
  }
  const fn = new FunctionBuilder('run', params, null);
  const record = fn.param(0, 'i32');
  const type = module.type(params, 'i32');
  fn.block('leave', (leave) => {
    fn.loop('dispatch', (dispatch) => {
      const flow: Flow = {
        go: (next) => {
          fn.set(record, next);
          fn.br(dispatch);
        },
        leave: () => fn.br(leave),
      };
      const index = load('i32', 2, record, RECORD.handler);
      const nest = (depth: number, labels: Label[]): void => {
        if (depth < 0) {
          const [byCall, ...hot] = labels;
          fn.brTable(
            index,
            FORMS.map((_, i) => (i < HOT ? hot[HOT - 1 - i]! : byCall!)),
            byCall!,
          );
          return;
        }
        fn.block(FORMS[depth]!, (label) => nest(depth - 1, [...labels, label]));
        fn.scope(() => emit(FORMS[depth]!, fn, flow));
      };
      fn.block('byCall', (byCall) => nest(HOT - 1, [byCall]));
      const args = addressing === 'parameter' ? [record, fn.param(1, 'i32')] : [record];
      fn.set(record, new Expr('i32', { kind: 'callIndirect', type, callee: index, args }));
      fn.brIf(record, dispatch);
    });
  });
  module.add(fn, true);
  return module.toUint8Array();
}
