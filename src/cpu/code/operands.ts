// The operands of a microcoded instruction, read back from its record. What is fixed for a form is worked out once.

import { operandsOf, type FormOperand } from '../../x86/forms.ts';
import { SEGMENT } from '../../x86/names/registers.ts';
import { RDI, RSI } from '../../x86/semantics.ts';
import { is64BitMode } from '../segments/codeMode.ts';
import { HANDLERS } from './handlers.ts';
import type { Microcode, Operands } from '../microcode/microcode.ts';
import { MICROCODE, type MicrocodeName } from '../microcode/table.ts';
import { RECORD, SLOT_OFFSETS, registerOf } from './records.ts';
import { segmentBase } from '../segments/segments.ts';
import { OFFSET, SEGMENT_SIZE, type CpuState } from '../state.ts';

/** What is the same in all records of a handler. */
export interface MicrocodeShape {
  readonly run: Microcode;
  readonly observesTime: boolean;
  readonly width: number;
  readonly memory: 'modrm' | 'rsi' | 'rdi' | null;
  readonly reg0: RegisterSource;
  readonly reg1: RegisterSource;
  readonly hasImmediate: boolean;
  readonly rep: boolean;
  readonly hasOperands: boolean;
}

/** Where a register operand's number is: at a byte of the record (as a state offset if `general`), or, where that is -1, `fixed`. */
interface RegisterSource {
  readonly offset: number;
  readonly general: boolean;
  readonly fixed: number;
}
const NO_REGISTER: RegisterSource = { offset: -1, general: false, fixed: -1 };

const shapes = new Array<MicrocodeShape | null | undefined>(HANDLERS.length).fill(undefined);

/** The microcode of a handler; null for handlers that have none. */
export function microcodeShape(handler: number): MicrocodeShape | null {
  const known = shapes[handler];
  return known !== undefined ? known : (shapes[handler] = describe(handler));
}

function registerSource({ operand, kind, slot }: FormOperand): RegisterSource[] {
  if (kind === 'register') return [{ offset: SLOT_OFFSETS[slot]!, general: operand.file === 'gpr', fixed: -1 }];
  return kind === 'implicit' && operand.file !== null ? [{ ...NO_REGISTER, fixed: operand.fixed }] : [];
}

function describe(handler: number): MicrocodeShape | null {
  const form = HANDLERS[handler]?.form;
  if (!form?.row.microcode) return null;
  const operands = operandsOf(form);
  const memory = operands.find((o) => o.kind === 'memory');
  const addressing = memory?.operand.addressing;
  const [reg0 = NO_REGISTER, reg1 = NO_REGISTER] = operands.flatMap(registerSource);
  return {
    run: MICROCODE[form.row.microcode as MicrocodeName],
    observesTime: form.row.observesTime === true,
    width: (form.width || 32) / 8,
    memory: memory === undefined ? null : addressing === 'si' ? 'rsi' : addressing === 'di' ? 'rdi' : 'modrm',
    reg0,
    reg1,
    hasImmediate: operands.some((o) => o.kind === 'immediate'),
    rep: form.rep !== '',
    hasOperands: operands.length > 0 || form.row.addressed !== undefined,
  };
}

/** Address sizes in bytes, as records number them. */
const ADDRESS_SIZES = [8, 4, 2] as const;

/** Fills `out` from the record at byte `at`; `state.rip` is that of the instruction. */
export function readOperands(state: CpuState, at: number, shape: MicrocodeShape, out: RecordOperands): Operands {
  const { u8, u16, i32, u64 } = state.views;
  out.length = u8[at + RECORD.length]!;
  out.width = shape.width;
  out.addressSize = ADDRESS_SIZES[u8[at + RECORD.scale]! >> 6]!;
  out.rep = shape.rep;
  out.hasImmediate = shape.hasImmediate;
  if (!shape.hasOperands) return out;
  out.reg0 = registerNumber(u16, at, shape.reg0);
  out.reg1 = registerNumber(u16, at, shape.reg1);
  out.isMemory = shape.memory !== null;
  out.segment = ((u16[(at + RECORD.segment) >> 1]! - OFFSET.segments) / SEGMENT_SIZE) | 0;
  if (shape.memory !== null) {
    out.offset = effectiveAddress(state, at, shape.memory);
    out.address = linear(state, out);
  }
  if (shape.hasImmediate) {
    out.immediate = u64[(at + RECORD.imm) >> 3]!;
    out.immediateNumber = i32[(at + RECORD.imm) >> 2]!;
    out.immediate2 = u16[(at + RECORD.slot2) >> 1]!;
  }
  return out;
}

/** Operands to be filled, of instructions of one CPU. */
export class RecordOperands implements Operands {
  length = 0;
  width = 0;
  addressSize = 8;
  reg0 = -1;
  reg1 = -1;
  isMemory = false;
  offset = 0n;
  address = 0n;
  segment = 0;
  hasImmediate = false;
  immediate = 0n;
  immediateNumber = 0;
  immediate2 = 0;
  rep = false;
  readonly #state: CpuState;

  constructor(state: CpuState) {
    this.#state = state;
  }

  /** Seldom wanted, and a bigint each time. */
  get rip(): bigint {
    return this.#state.rip;
  }
}

function registerNumber(u16: Uint16Array, at: number, { offset, general, fixed }: RegisterSource): number {
  if (offset < 0) return fixed;
  const stored = u16[(at + offset) >> 1]!;
  return general ? registerOf(stored) : stored;
}

function effectiveAddress(state: CpuState, at: number, memory: 'modrm' | 'rsi' | 'rdi'): bigint {
  const { u8, u16, i32, u64 } = state.views;
  const field = (offset: number): bigint => u64[(state.base + offset) >> 3]!;
  const scale = u8[at + RECORD.scale]!;
  let offset: bigint;
  if (memory === 'modrm') {
    const index = field(u16[(at + RECORD.index) >> 1]!) << BigInt(scale & 3);
    offset = field(u16[(at + RECORD.base) >> 1]!) + index + BigInt(i32[(at + RECORD.disp) >> 2]!);
  } else offset = state.gpr(memory === 'rsi' ? RSI : RDI);
  return offset & field(OFFSET.addressMask + (scale >> 6) * 8);
}

/** In 64-bit mode, only FS and GS have bases. */
function linear(state: CpuState, { offset, segment }: Operands): bigint {
  if (!is64BitMode(state)) return BigInt.asUintN(32, offset + segmentBase(state, segment));
  return segment >= SEGMENT.FS ? BigInt.asUintN(64, offset + segmentBase(state, segment)) : offset;
}
