// A case of 64-bit code in the making.
import { MAP } from '../../src/x86/encoding.ts';
import type { Row } from '../../src/x86/row.ts';
import { pinRegisters, type Selectors } from './arrangement.ts';
import { Draft, MAP_BYTES, NO_STATE, SIB, VEX_PREFIX, type ImmediateKind } from './draft.ts';
import { hasOperandSize } from './formOf.ts';
import { ALL_SELECTORS, CODE_SELECTORS, USER_SS } from './linuxSegments.ts';
import { NATIVE } from './nativeCase.ts';
import { drawPrefixes } from './prefixes.ts';
import type { Random } from './random.ts';
import { seededState } from './seededState.ts';

const U64 = (1n << 64n) - 1n;
const [RBX, RSP, RBP, RSI] = [3, 4, 5, 6];
const RIP_RELATIVE = 5;
const FS = 4;
const LARGEST_OFFSET = NATIVE.CODE_SIZE - 32;
const SELECTORS: Selectors = { all: ALL_SELECTORS, code: CODE_SELECTORS, stack: USER_SS };

export class LongDraft extends Draft {
  readonly bits = 64;
  readonly selectors = SELECTORS;
  #wrap = false;
  #segmentBase = 0n;
  #rex = 0;
  #ripRelative: { at: number; target: bigint } | null = null;

  /** With a `place` it is for a sequence. */
  constructor(row: Row, random: Random, seed: number, place: number | null = null) {
    const state = place === null ? seededState(seed) : NO_STATE;
    const offset = place ?? (random.oneIn(8) ? 0x1000 - random.below(16) : random.below(LARGEST_OFFSET));
    super(row, random, seed, state, offset, place !== null);
  }

  protected begin(isMemory: boolean): void {
    pinRegisters(this, isMemory);
    this.#prefixes(isMemory);
    if (!isMemory) for (const pointer of [RSI, RBX]) if (this.reserved.has(pointer)) this.#moveBySegment(pointer);
  }

  /** Of the registers that address memory by themselves, RSI (strings) and RBX (XLAT) go through an overridden segment. */
  #moveBySegment(pointer: number): void {
    this.gpr[pointer] = (this.gpr[pointer]! - this.#segmentBase) & U64;
  }

  /** Mostly in the window, sometimes at its page boundary, beyond the data, or not canonical. */
  pointer(): bigint {
    const { random } = this;
    const at = (offset: number) => BigInt(NATIVE.DATA + offset);
    if (random.oneIn(this.free ? 200 : 24)) return at(NATIVE.DATA_SIZE - random.below(9));
    if (random.oneIn(this.free ? 300 : 40)) return 0x8000_0000_0000n + BigInt(random.below(1 << 20));
    const wanted = random.oneIn(4)
      ? at(0x1000 - random.below(9))
      : BigInt(NATIVE.WINDOW + random.below(NATIVE.WINDOW_SIZE - 16));
    return this.row.mnemonic === 'cmpxchg16b' && !random.oneIn(8) ? wanted & ~15n : wanted;
  }

  stackAddress(): bigint {
    return this.pointer();
  }

  linear(_segment: number, offset: bigint): bigint {
    return offset;
  }

  /** Where code may go on: to some INT3, where nothing is, or where nothing can be. */
  codeTarget(): bigint {
    const { random } = this;
    if (random.oneIn(10)) return 0x8000_0000_0000n + BigInt(random.below(1 << 20));
    if (random.oneIn(10)) return BigInt(NATIVE.CODE + 0x10_0000 + random.below(1 << 16));
    return BigInt(NATIVE.CODE + random.below(NATIVE.CODE_SIZE));
  }

  #prefixes(isMemory: boolean): void {
    const { encoding, mnemonic } = this.row;
    const { random } = this;
    const { bytes, otherAddress, override } = drawPrefixes(this.row, 64, random, isMemory, this.free);
    this.#wrap = otherAddress;
    if (override) this.#segmentBase = BigInt(override.segment === FS ? NATIVE.FS_BASE : NATIVE.GS_BASE);
    this.push(...bytes);
    const w = encoding.w >= 0 ? encoding.w : random.below(2);
    this.#rex = (w << 3) | random.below(8);
    const isBitTest = /^bt/.test(mnemonic);
    if (isBitTest && isMemory) this.#rex |= 4;
    if (encoding.b === 0) this.#rex &= ~1;
    if (encoding.vex) this.#vex();
    else {
      if (random.oneIn(4) && encoding.w !== 1 && !isBitTest) this.#rex = 0;
      else this.push(0x40 | this.#rex);
      this.push(...MAP_BYTES[encoding.map]!);
    }
    this.push(encoding.opcode + (encoding.opcodes === 8 ? random.below(8) : 0));
  }

  #vex(): void {
    const { encoding, operands } = this.row;
    const vvvv = operands.some((o) => o.place === 'vvvv') ? this.random.below(16) : 0;
    const inverted = ~this.#rex & 7;
    const map = encoding.map - MAP.VEX_0F + 1;
    const pp = VEX_PREFIX[encoding.prefixes] ?? 0;
    this.push(
      0xc4,
      (inverted << 5) | map,
      ((this.#rex & 8) << 4) | ((~vvvv & 15) << 3) | (encoding.l === 1 ? 4 : 0) | pp,
    );
  }

  /** ModRM, SIB and displacement; then the base register gets the value that leads to the target. */
  protected memoryOperand(): void {
    const { random, gpr } = this;
    this.operand = this.pointer();
    const target = (this.operand - this.#segmentBase) & U64;
    if (this.free) return this.#absolute(target);
    const b = (this.#rex & 1) << 3;
    const rm = random.below(8);
    if (rm === RIP_RELATIVE && random.oneIn(2)) return this.#absolute(target);
    const withSib = rm === SIB;
    const base = (withSib ? random.below(8) : rm) | b;
    let index = -1;
    let scale = 0;
    if (withSib) {
      index = random.below(8) | ((this.#rex & 2) << 2);
      scale = random.below(4);
      if (index === base) index = RSP; // none
    }
    const indexed = index < 0 || index === RSP ? 0n : gpr[index]! << BigInt(scale);
    const reserved = this.reserved.has(base);
    let mod = random.pick([0, 1, 2]);
    if (mod === 0 && (base & 7) === RBP) mod = 1;
    if (reserved) mod = 2;
    const disp = reserved
      ? BigInt.asIntN(64, target - gpr[base]! - indexed)
      : mod === 0
        ? 0n
        : BigInt.asIntN(mod === 1 ? 8 : 32, random.value());
    if (!reserved) {
      gpr[base] = (target - disp - indexed) & U64;
      if (this.#wrap && random.oneIn(2)) gpr[base] = (gpr[base]! & 0xffff_ffffn) | (BigInt(random.u32()) << 32n);
    }
    this.modrm(mod, withSib ? SIB : rm);
    if (withSib) this.push((scale << 6) | ((index & 7) << 3) | (base & 7));
    if (mod === 1) this.little(disp, 1);
    if (mod === 2) this.little(disp, 4);
  }

  /** RIP-relative, or an absolute address of 32 bits. */
  #absolute(target: bigint): void {
    // With REX.X the index that means none would be R12.
    if (!(this.#rex & 2) && this.random.oneIn(2)) {
      this.modrm(0, SIB);
      this.push(0x25);
      this.little(target, 4);
      return;
    }
    this.modrm(0, RIP_RELATIVE);
    this.#ripRelative = { at: this.bytes.length, target };
    this.little(0n, 4);
  }

  protected memoryOffset(): void {
    this.little(this.pointer() - this.#segmentBase, this.#wrap ? 4 : 8);
  }

  protected immediateSize(kind: ImmediateKind): number {
    const operandSize = this.#rex & 8 ? 8 : hasOperandSize(Uint8Array.from(this.bytes)) ? 2 : 4;
    return { b: 1, bs: 1, jb: 1, w: 2, z: Math.min(4, operandSize), v: operandSize, jz: 4, p: 0 }[kind];
  }

  protected override complete(): Uint8Array {
    const bytes = super.complete();
    if (this.#ripRelative === null) return bytes;
    const { at, target } = this.#ripRelative;
    const end = NATIVE.CODE + this.offset + bytes.length;
    new DataView(bytes.buffer).setInt32(at, Number(BigInt.asIntN(32, target - BigInt(end))), true);
    return bytes;
  }
}
