// What some instructions must find in registers and memory to do anything but fault: pointers, selectors, far pointers, stack frames, a value
// that compares equal.
import type { Decoded } from '../../src/x86/decoder.ts';
import type { Row } from '../../src/x86/row.ts';
import { NATIVE } from './nativeCase.ts';
import type { Random } from './random.ts';

const U64 = (1n << 64n) - 1n;
const LOW_WORD = 0xffffn;
const TF = 0x100n;
const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7];
const FRAME_BYTES = 48;

/** Segment registers by number. */
export type SegmentNumber = 0 | 1 | 2 | 3 | 4 | 5;
export const [ES, SS, DS] = [0, 2, 3] as const;

/** Selectors that are worth trying. */
export interface Selectors {
  readonly all: readonly number[];
  /** For CS. */
  readonly code: readonly number[];
  /** For SS, when all is to go well. */
  readonly stack: number;
}

/** A case in the making, as far as its state goes. */
export interface Stage {
  readonly row: Row;
  readonly random: Random;
  readonly gpr: bigint[];
  readonly window: Uint8Array;
  /** Registers whose value must stay: the stack pointer of a push, the pointers of a string. */
  readonly reserved: Set<number>;
  readonly selectors: Selectors;
  /** An address worth accessing, as an offset in a segment. */
  pointer(segment: SegmentNumber): bigint;
  /** One for the stack or frame pointer. */
  stackAddress(): bigint;
  linear(segment: SegmentNumber, offset: bigint): bigint;
  /** Where code may go on in the code segment of a selector, as an offset in it. */
  codeTarget(selector: number): bigint;
}

/** Branches and whatever else may leave the place behind the instruction. */
export const isBranch = (row: Row): boolean => /^(j|call|ret|loop)/.test(row.mnemonic);
export const isStack = (row: Row): boolean =>
  row.stack === true || /^(push|pop|call|ret|enter|leave)/.test(row.mnemonic);

const takesFarPointer = ({ mnemonic }: Row): boolean => /^(l[defgs]s|jmpf|callf)$/.test(mnemonic);
const takesSelector = (row: Row): boolean =>
  /^(loadSegment|lar|lsl|verr|verw|lldt|ltr|arpl)$/.test(row.microcode ?? '') && !takesFarPointer(row);

/** Registers that the row uses without naming them; `data`: the segment of strings and XLAT. */
export function pinRegisters(stage: Stage, isMemory: boolean, data: SegmentNumber = DS): void {
  const { row, random, gpr, reserved } = stage;
  const { mnemonic, operands } = row;
  const pin = (register: number, value: bigint) => {
    gpr[register] = value & U64;
    reserved.add(register);
  };
  if (isStack(row)) {
    pin(RSP, stackPointer(stage));
    pin(RBP, stage.stackAddress());
  }
  if (row.addressed || operands.some((o) => o.addressing === 'si' || o.addressing === 'di')) {
    pin(RSI, stage.pointer(data));
    pin(RDI, stage.pointer(ES));
    pin(RCX, random.oneIn(6) ? random.value() : BigInt(random.below(6)));
  }
  if (mnemonic === 'xlat') pin(RBX, stage.pointer(data) - (gpr[RAX]! & 0xffn));
  if (/^(loop|jcxz)/.test(mnemonic))
    gpr[RCX] = random.oneIn(3) ? random.value() : BigInt(random.below(3)) | (BigInt(random.u32()) << 32n);
  if (/^i?div$/.test(mnemonic) && !random.oneIn(3)) {
    gpr[RDX] = mnemonic === 'div' || random.oneIn(2) ? BigInt(random.below(4)) : U64;
    if (mnemonic === 'idiv' && random.oneIn(2)) gpr[RAX] = BigInt.asUintN(64, BigInt(random.below(4000) - 2000));
  }
  if (/^bt/.test(mnemonic) && isMemory)
    for (let i = 8; i < 16; i++) gpr[i] = BigInt.asUintN(64, BigInt(random.below(1024) - 512));
  // XGETBV of 1 tells what this process has in use.
  if (mnemonic === 'xgetbv')
    gpr[RCX] = (BigInt(random.u32()) << 32n) | (random.oneIn(2) ? 0n : 2n + BigInt(random.below(99)));
  if (takesSelector(row))
    gpr.forEach((value, i) => (gpr[i] = (value & ~LOW_WORD) | BigInt(random.pick(stage.selectors.all))));
}

function stackPointer(stage: Stage): bigint {
  const { row, random } = stage;
  if (/^(farReturn|iret)$/.test(row.microcode ?? '') && !random.oneIn(8))
    return BigInt(NATIVE.WINDOW + random.below(NATIVE.WINDOW_SIZE - FRAME_BYTES));
  return stage.stackAddress() + (random.oneIn(8) ? 0n : 24n);
}

/** Once the encoding is known: what its memory operand at `operand` (linear; null: none) and its stack hold, and what is compared with it. */
export function arrangeMemory(stage: Stage, decoded: Decoded, operand: bigint | null): void {
  const { row, random, selectors } = stage;
  const size = (decoded.width || 32) / 8;
  const takesAny = takesSelector(row) || /^l[defgs]s$/.test(row.mnemonic) || row.microcode === 'popSegment';
  const selector = random.pick(takesAny ? selectors.all : selectors.code);
  if (operand !== null && takesSelector(row)) put(stage, operand, 2, BigInt(selector));
  if (operand !== null && takesFarPointer(row))
    [stage.codeTarget(selector), BigInt(selector)].forEach((word, i) =>
      put(stage, operand + BigInt(i * size), size, word),
    );
  if (row.microcode === 'popSegment') putOnStack(stage, 2, [BigInt(selector)]);
  if (row.microcode === 'farReturn') putOnStack(stage, size, [stage.codeTarget(selector), BigInt(selector)]);
  if (row.microcode === 'iret') {
    const stack = BigInt(random.oneIn(6) ? random.pick(selectors.all) : selectors.stack);
    const frame = [stage.codeTarget(selector), BigInt(selector), random.u64() & ~TF, random.value(), stack];
    putOnStack(stage, size, frame);
  }
  if (/^cmpxchg/.test(row.mnemonic) && random.oneIn(2)) compareEqual(stage, decoded, operand, size);
}

/** CMPXCHG finds in the accumulator what the destination holds. */
function compareEqual({ row, gpr, window }: Stage, decoded: Decoded, operand: bigint | null, size: number): void {
  const isPair = row.mnemonic !== 'cmpxchg';
  const half = row.mnemonic === 'cmpxchg16b' ? 8 : isPair ? 4 : size;
  if (operand === null) {
    if (decoded.reg0 < 16 && decoded.reg0 !== RAX) gpr[RAX] = gpr[decoded.reg0]!;
    return;
  }
  const at = Number(operand - BigInt(NATIVE.WINDOW));
  if (at < 0 || at + 2 * half > window.length) return;
  const read = (from: number): bigint =>
    window.subarray(from, from + half).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  gpr[RAX] = read(at);
  if (isPair) gpr[RDX] = read(at + half);
}

/** Words from the stack pointer upwards. */
export const putOnStack = (stage: Stage, size: number, values: readonly bigint[]): void =>
  values.forEach((value, i) => put(stage, stage.linear(SS, stage.gpr[RSP]! + BigInt(i * size)), size, value));

/** Writes into the window what falls into it. */
export function put({ window }: Stage, address: bigint, size: number, value: bigint): void {
  const at = Number(address - BigInt(NATIVE.WINDOW));
  for (let i = 0; i < size; i++)
    if (at + i >= 0 && at + i < window.length) window[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}
