// A case of 16- or 32-bit code in the making: segments count, and addresses are offsets in them.
import { MAP } from '../../src/x86/encoding.ts';
import type { Decoded } from '../../src/x86/decoder.ts';
import type { Row } from '../../src/x86/row.ts';
import { DS, SS, isStack, pinRegisters, type SegmentNumber, type Selectors } from './arrangement.ts';
import { Draft, MAP_BYTES, NO_STATE, SIB, VEX_PREFIX, type ImmediateKind } from './draft.ts';
import { hasOperandSize } from './formOf.ts';
import { arrangeBounds, arrangeTarget } from './legacyArrangement.ts';
import { CS, segmentAt, type CaseSegment } from './localSegments.ts';
import { NATIVE, type NativeCase } from './nativeCase.ts';
import { ADDRESS_SIZE, drawPrefixes, type Override } from './prefixes.ts';
import type { Random } from './random.ts';
import { CODE_SELECTORS, drawScene, nearSegment, plainScene, SELECTORS } from './scene.ts';
import { seededState32 } from './seededState.ts';

const U32 = 0xffff_ffffn;
const U16 = 0xffffn;
const [RCX, RBX, RSP, RBP, RSI, RDI] = [1, 3, 4, 5, 6, 7];
const VISIBLE_REGISTERS = 8;
const DISPLACEMENT16 = 6;
const DISPLACEMENT32 = 5;
const ONLY_DISPLACEMENT = 0x25;
/** 16-bit addressing: base and index by rm (SDM vol. 2, table 2-1). */
const BASE16 = [RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX] as const;
const INDEX16 = [RSI, RDI, RSI, RDI, -1, -1, -1, -1] as const;
const FS = 4;
/** Of an instruction: ENTER's frame and displays. */
const LARGEST_ACCESS = 256n;

/** Mostly anywhere in the segment, now and then at the end of a page, or of the segment. */
function drawOffset(scene: readonly number[], random: Random): number {
  const { base, limit } = segmentAt(scene[CS]!)!;
  const end = Math.min(NATIVE.CODE_SIZE, base + limit + 1 - NATIVE.CODE);
  if (random.oneIn(8)) return Math.min(end, 0x1000) - 1 - random.below(16);
  return random.oneIn(10) ? end - 1 - random.below(16) : random.below(end - 32);
}

export class LegacyDraft extends Draft {
  readonly bits: 16 | 32;
  readonly selectors: Selectors;
  readonly #scene: number[];
  #addressSize: 16 | 32;
  #override: Override | null = null;

  /** With a `place` it is for a sequence, in the plain segments. */
  constructor(row: Row, bits: 16 | 32, random: Random, seed: number, place: number | null = null) {
    const scene = place === null ? drawScene(bits, random) : plainScene(bits);
    const state = place === null ? seededState32(seed) : NO_STATE;
    super(row, random, seed, state, place ?? drawOffset(scene, random), place !== null);
    this.bits = bits;
    this.#addressSize = bits;
    this.#scene = [...scene];
    this.selectors = { all: SELECTORS, code: CODE_SELECTORS, stack: scene[SS]! };
  }

  protected begin(isMemory: boolean): void {
    const { bytes, otherAddress, override } = drawPrefixes(this.row, this.bits, this.random, isMemory, this.free);
    this.#override = override;
    const isHopeless = this.free && this.bits === 32 && (override?.segment ?? DS) < FS;
    if (otherAddress && !isHopeless) this.#addressSize = this.bits === 32 ? 16 : 32;
    this.push(...bytes.filter((byte) => !isHopeless || byte !== ADDRESS_SIZE), ...this.#opcode());
    if (this.#addressSize === 16 && !this.free) this.#comeNear();
    pinRegisters(this, isMemory, override?.segment ?? DS);
    this.#fitRegisters();
  }

  /** VEX or map bytes, and the opcode. */
  #opcode(): number[] {
    const { encoding, operands } = this.row;
    const { random } = this;
    const opcode = encoding.opcode + (encoding.opcodes === 8 ? random.below(8) : 0);
    if (!encoding.vex) return [...MAP_BYTES[encoding.map]!, opcode];
    const vvvv = operands.some((o) => o.place === 'vvvv') ? random.below(8) : 0;
    const w = encoding.w >= 0 ? encoding.w : random.below(2);
    const map = encoding.map - MAP.VEX_0F + 1;
    const pp = VEX_PREFIX[encoding.prefixes] ?? 0;
    return [0xc4, 0xe0 | map, (w << 7) | ((~vvvv & 15) << 3) | (encoding.l === 1 ? 4 : 0) | pp, opcode];
  }

  /** Mostly takes segments that 16-bit addresses reach something in. */
  #comeNear(): void {
    const { random } = this;
    this.#scene.forEach((selector, segment) => {
      const base = segmentAt(selector)?.base ?? 0;
      const isFar = NATIVE.DATA + NATIVE.DATA_SIZE - base > 0x1_0000 || base > NATIVE.DATA + NATIVE.DATA_SIZE;
      if (segment === CS || !isFar || (segment === SS && isStack(this.row)) || random.oneIn(6)) return;
      this.#scene[segment] = nearSegment(random);
    });
  }

  /** Cuts registers to what code sees; where only 16 bits of a pointer or counter count, the others are anything. */
  #fitRegisters(): void {
    const { gpr, random } = this;
    const isNarrow = (register: number): boolean =>
      register === RSP || register === RBP ? !this.#segment(SS)!.big : this.#addressSize === 16;
    gpr.forEach((value, i) => {
      gpr[i] = i < VISIBLE_REGISTERS ? value & U32 : 0n;
      const counts = this.reserved.has(i) || (i === RCX && this.row.addressed !== undefined);
      if (counts && isNarrow(i)) gpr[i] = this.#withAnyTop(value, random);
    });
  }
  #withAnyTop(value: bigint, random: Random): bigint {
    return (value & U16) | (random.oneIn(2) ? BigInt(random.u32()) & ~U16 : 0n);
  }

  #segment(segment: SegmentNumber): CaseSegment | null {
    return segmentAt(this.#scene[segment]!);
  }

  pointer(segment: SegmentNumber): bigint {
    return this.#offsetIn(segment, this.#addressSize);
  }

  stackAddress(): bigint {
    const { random } = this;
    const { big } = this.#segment(SS)!;
    if (!big && random.oneIn(10)) return (BigInt(random.below(6)) - 3n) & U16; // around the end of 64 KiB
    return this.#offsetIn(SS, big ? 32 : 16);
  }

  linear(segment: SegmentNumber, offset: bigint): bigint {
    const { base, big } = this.#segment(segment)!;
    return (BigInt(base) + (offset & (big ? U32 : U16))) & U32;
  }

  /** Mostly in the window, sometimes at its page boundary, beyond the data, or around the segment's end. */
  #offsetIn(segment: SegmentNumber, size: 16 | 32): bigint {
    const { random } = this;
    const found = this.#segment(segment);
    if (!found) return BigInt(random.u32());
    const offset = !this.free && random.oneIn(10) ? edgeOf(found, random) : this.#target() - BigInt(found.base);
    const wanted = BigInt.asUintN(32, offset);
    return size === 32 || wanted <= U16 ? wanted : BigInt(random.below(0x1_0000));
  }

  #target(): bigint {
    const { random } = this;
    const at = (offset: number) => BigInt(NATIVE.DATA + offset);
    if (random.oneIn(this.free ? 200 : 24)) return at(NATIVE.DATA_SIZE - random.below(9));
    if (random.oneIn(4)) return at(0x1000 - random.below(9));
    return BigInt(NATIVE.WINDOW + random.below(NATIVE.WINDOW_SIZE - 16));
  }

  /** Some INT3, or where nothing is, or around the end of the segment. */
  codeTarget(selector: number): bigint {
    const { random } = this;
    const found = segmentAt(selector);
    if (found && random.oneIn(8)) return BigInt.asUintN(32, edgeOf(found, random));
    const linear = NATIVE.CODE + (random.oneIn(10) ? 0x10_0000 : 0) + random.below(NATIVE.CODE_SIZE);
    return BigInt((linear - (found?.base ?? 0)) >>> 0);
  }
  /** The same in the segment that the case begins in. */
  nearTarget(): bigint {
    return this.codeTarget(this.#scene[CS]!);
  }

  protected memoryOperand(): void {
    if (this.#addressSize === 16) this.#memory16();
    else this.#memory32();
  }

  #memory16(): void {
    const { random } = this;
    const rm = this.free ? DISPLACEMENT16 : random.below(8);
    const mod = this.free ? 0 : random.pick([0, 1, 2]);
    if (rm === DISPLACEMENT16 && mod === 0) {
      this.modrm(0, rm);
      this.little(this.#operandIn(DS), 2);
      return;
    }
    const base = BASE16[rm]!;
    const index = INDEX16[rm]!;
    this.#addressed({ rm, mod, base, others: index < 0 ? 0n : this.gpr[index]!, sib: null });
  }

  #memory32(): void {
    const { random } = this;
    const rm = random.below(8);
    if (this.free || (rm === DISPLACEMENT32 && random.oneIn(2))) {
      const withSib = random.oneIn(2);
      this.modrm(0, withSib ? SIB : DISPLACEMENT32);
      if (withSib) this.push(ONLY_DISPLACEMENT);
      this.little(this.#operandIn(DS), 4);
      return;
    }
    const base = rm === SIB ? random.below(8) : rm;
    const drawn = random.below(8);
    const index = drawn === base ? RSP : drawn; // RSP: none
    const scale = random.below(4);
    let mod = random.pick([0, 1, 2]);
    if (mod === 0 && base === RBP) mod = 1;
    const others = rm !== SIB || index === RSP ? 0n : this.gpr[index]! << BigInt(scale);
    this.#addressed({ rm, mod, base, others, sib: rm === SIB ? (scale << 6) | (index << 3) | base : null });
  }

  /** ModRM, SIB and displacement of an operand whose base register, or else its displacement, is made to lead to the target. */
  #addressed(way: { rm: number; mod: number; base: number; others: bigint; sib: number | null }): void {
    const { gpr, random } = this;
    const { base, others, rm, sib } = way;
    const isWide = this.#addressSize === 32;
    const target = this.#operandIn(base === RBP || (base === RSP && isWide) ? SS : DS);
    const mod = this.reserved.has(base) ? 2 : way.mod;
    const size = mod === 0 ? 0 : mod === 1 ? 1 : this.#addressSize / 8;
    const displacement = this.reserved.has(base)
      ? target - gpr[base]! - others
      : BigInt.asIntN(8 * size, random.value());
    if (!this.reserved.has(base)) {
      const value = target - displacement - others;
      gpr[base] = isWide ? value & U32 : this.#withAnyTop(value & U16, random);
    }
    this.modrm(mod, rm);
    if (sib !== null) this.push(sib);
    this.little(displacement, size);
  }

  /** Draws the memory operand's place. */
  #operandIn(usual: SegmentNumber): bigint {
    const segment = this.#override?.segment ?? usual;
    const offset = this.pointer(segment);
    this.operand = (BigInt(this.#segment(segment)?.base ?? 0) + offset) & U32;
    return offset;
  }

  protected memoryOffset(): void {
    this.little(this.#operandIn(DS), this.#addressSize / 8);
  }

  get #operandSize(): 2 | 4 {
    return hasOperandSize(Uint8Array.from(this.bytes)) === (this.bits === 32) ? 2 : 4;
  }

  protected override immediate(kind: ImmediateKind): void {
    if (kind === 'p') {
      const selector = this.random.pick(this.selectors.code);
      this.little(this.codeTarget(selector), this.#operandSize);
      this.little(BigInt(selector), 2);
    } else if (kind === 'jz' && this.random.oneIn(2))
      this.little(BigInt(this.random.below(0x400) - 0x200), this.#operandSize);
    else super.immediate(kind);
  }

  protected immediateSize(kind: ImmediateKind): number {
    const operandSize = this.#operandSize;
    return { b: 1, bs: 1, jb: 1, w: 2, z: operandSize, v: operandSize, jz: operandSize, p: operandSize + 2 }[kind];
  }

  protected override arrange(decoded: Decoded): void {
    super.arrange(decoded);
    arrangeTarget(this, decoded, this.operand);
    arrangeBounds(this, decoded, this.operand);
  }

  protected override begins(): Pick<NativeCase, 'selectors'> {
    return { selectors: this.#scene };
  }
}

/**
 * Around the limit of a segment, or where its offsets end that count from above; but not at 4 GiB, where an implementation may do as it likes
 * (SDM vol. 3, 5.3).
 */
function edgeOf({ kind, limit, big }: CaseSegment, random: Random): bigint {
  const top = kind === 'expand-down' && random.oneIn(3) ? (big ? U32 : U16) : BigInt(limit);
  return (top === U32 ? U32 - LARGEST_ACCESS : top) + 2n - BigInt(random.below(12));
}
