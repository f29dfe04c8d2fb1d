// One case in the making: an encoding of a row at random (prefixes, registers, addressing, immediates), and the state it runs in, arranged so that
// most memory operands lie in the window. The inverse of the decoder, for 64-bit mode.
import { MAP, PREFIX } from '../../src/x86/encoding.ts';
import type { Form } from '../../src/x86/forms.ts';
import type { Row } from '../../src/x86/row.ts';
import { arrangeMemory, isBranch, pinRegisters, type Stage } from './arrangement.ts';
import { formOf, hasOperandSize } from './formOf.ts';
import { OPEN_GATES } from './linuxSegments.ts';
import { NATIVE, type NativeCase } from './native.ts';
import { drawPrefixes } from './prefixes.ts';
import type { Random } from './random.ts';
import { seededState, type SeededState } from './seededState.ts';

export interface FormCase extends NativeCase {
  readonly row: Row;
  readonly form: Form;
  /** `seededState` of it is what the state was before anything was arranged. */
  readonly seed: number;
}

const U64 = (1n << 64n) - 1n;
const [RBX, RSP, RBP, RSI] = [3, 4, 5, 6];
const RIP_RELATIVE = 5;
const SIB = 4;
const DF = 0x400n;
const AC = 0x4_0000n;
const LARGEST_OFFSET = NATIVE.CODE_SIZE - 32;
const NO_STATE: SeededState = {
  gpr: new Array<bigint>(16).fill(0n),
  rflags: 2n,
  window: new Uint8Array(NATIVE.WINDOW_SIZE),
};
const MAP_BYTES: Readonly<Record<number, readonly number[]>> = {
  [MAP.ONE]: [],
  [MAP.X0F]: [0x0f],
  [MAP.X0F38]: [0x0f, 0x38],
  [MAP.X0F3A]: [0x0f, 0x3a],
};
const VEX_PREFIX: Readonly<Record<number, number>> = {
  [PREFIX.NP]: 0,
  [PREFIX.X66]: 1,
  [PREFIX.F3]: 2,
  [PREFIX.F2]: 3,
};

export class Draft implements Stage {
  readonly row: Row;
  readonly random: Random;
  readonly gpr: bigint[];
  readonly window: Uint8Array;
  readonly reserved = new Set<number>();
  readonly #seed: number;
  readonly #rflags: bigint;
  readonly #bytes: number[] = [];
  readonly #offset: number;
  readonly #free: boolean;
  #wrap = false;
  #segmentBase = 0n;
  #rex = 0;
  /** Linear address of the memory operand. */
  #operand: bigint | null = null;
  #ripRelative: { at: number; target: bigint } | null = null;

  /** With a `place` it is for a sequence: only the bytes count, memory is addressed without registers. */
  constructor(row: Row, random: Random, seed: number, place: number | null = null) {
    this.row = row;
    this.random = random;
    this.#seed = seed;
    this.#free = place !== null;
    const { gpr, rflags, window } = this.#free ? NO_STATE : seededState(seed);
    this.gpr = [...gpr];
    this.window = Uint8Array.from(window);
    this.#rflags = rflags;
    this.#offset = place ?? (random.oneIn(8) ? 0x1000 - random.below(16) : random.below(LARGEST_OFFSET));
  }

  /** Null if what came out is another row, or none. */
  make(): FormCase | null {
    const { encoding, operands } = this.row;
    const isMemory =
      encoding.modrm &&
      !this.row.ignoresMod &&
      operands.some((o) => o.addressing === '' && o.memory !== 'no') &&
      this.#wantsMemory();
    pinRegisters(this, isMemory);
    this.#prefixes(isMemory);
    if (!isMemory) for (const pointer of [RSI, RBX]) if (this.reserved.has(pointer)) this.#moveBySegment(pointer);
    if (encoding.modrm) {
      if (isMemory) this.#memoryOperand();
      else this.#modrm(3, encoding.rm >= 0 ? encoding.rm : this.random.below(8));
    }
    this.#immediates();
    return this.#finish();
  }

  /** Of the registers that address memory by themselves, RSI (strings) and RBX (XLAT) go through an overridden segment. */
  #moveBySegment(pointer: number): void {
    this.gpr[pointer] = (this.gpr[pointer]! - this.#segmentBase) & U64;
  }

  #wantsMemory(): boolean {
    const only = this.row.operands.some((o) => o.memory === 'only' && o.addressing === '');
    if (this.#free && /^bt/.test(this.row.mnemonic)) return false; // the bit offset is anything
    return only || (!this.row.encoding.registerOnly && this.random.oneIn(2));
  }

  /** Mostly in the window, sometimes at its page boundary, beyond the data, or not canonical. */
  target(): bigint {
    const { random } = this;
    const at = (offset: number) => BigInt(NATIVE.DATA + offset);
    if (random.oneIn(this.#free ? 200 : 24)) return at(NATIVE.DATA_SIZE - random.below(9));
    if (random.oneIn(this.#free ? 300 : 40)) return 0x8000_0000_0000n + BigInt(random.below(1 << 20));
    const wanted = random.oneIn(4)
      ? at(0x1000 - random.below(9))
      : BigInt(NATIVE.WINDOW + random.below(NATIVE.WINDOW_SIZE - 16));
    return this.row.mnemonic === 'cmpxchg16b' && !random.oneIn(8) ? wanted & ~15n : wanted;
  }

  #push(...bytes: number[]): void {
    this.#bytes.push(...bytes);
  }
  #little(value: bigint, size: number): void {
    for (let i = 0; i < size; i++) this.#push(Number((value >> BigInt(8 * i)) & 0xffn));
  }

  #prefixes(isMemory: boolean): void {
    const { encoding, mnemonic } = this.row;
    const { random } = this;
    const { bytes, wrap, segmentBase } = drawPrefixes(this.row, random, isMemory, this.#free);
    this.#wrap = wrap;
    this.#segmentBase = BigInt(segmentBase);
    this.#push(...bytes);
    const w = encoding.w >= 0 ? encoding.w : random.below(2);
    this.#rex = (w << 3) | random.below(8);
    const isBitTest = /^bt/.test(mnemonic);
    if (isBitTest && isMemory) this.#rex |= 4;
    if (encoding.b === 0) this.#rex &= ~1;
    if (encoding.vex) this.#vex();
    else {
      if (random.oneIn(4) && encoding.w !== 1 && !isBitTest) this.#rex = 0;
      else this.#push(0x40 | this.#rex);
      this.#push(...MAP_BYTES[encoding.map]!);
    }
    this.#push(encoding.opcode + (encoding.opcodes === 8 ? random.below(8) : 0));
  }

  #vex(): void {
    const { encoding, operands } = this.row;
    const vvvv = operands.some((o) => o.place === 'vvvv') ? this.random.below(16) : 0;
    const inverted = ~this.#rex & 7;
    const map = encoding.map - MAP.VEX_0F + 1;
    const pp = VEX_PREFIX[encoding.prefixes] ?? 0;
    this.#push(
      0xc4,
      (inverted << 5) | map,
      ((this.#rex & 8) << 4) | ((~vvvv & 15) << 3) | (encoding.l === 1 ? 4 : 0) | pp,
    );
  }

  #modrm(mod: number, rm: number): void {
    const { reg } = this.row.encoding;
    this.#push((mod << 6) | ((reg >= 0 ? reg : this.random.below(8)) << 3) | rm);
  }

  /** ModRM, SIB and displacement; then the base register gets the value that leads to the target. */
  #memoryOperand(): void {
    const { random, gpr } = this;
    this.#operand = this.target();
    const target = (this.#operand - this.#segmentBase) & U64;
    if (this.#free) return this.#absolute(target);
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
    this.#modrm(mod, withSib ? SIB : rm);
    if (withSib) this.#push((scale << 6) | ((index & 7) << 3) | (base & 7));
    if (mod === 1) this.#little(disp, 1);
    if (mod === 2) this.#little(disp, 4);
  }

  /** RIP-relative, or an absolute address of 32 bits. */
  #absolute(target: bigint): void {
    // With REX.X the index that means none would be R12.
    if (!(this.#rex & 2) && this.random.oneIn(2)) {
      this.#modrm(0, SIB);
      this.#push(0x25);
      this.#little(target, 4);
      return;
    }
    this.#modrm(0, RIP_RELATIVE);
    this.#ripRelative = { at: this.#bytes.length, target };
    this.#little(0n, 4);
  }

  #immediates(): void {
    const { random } = this;
    const { operands, mnemonic } = this.row;
    const operandSize = this.#rex & 8 ? 8 : hasOperandSize(Uint8Array.from(this.#bytes)) ? 2 : 4;
    for (const { immediate, notation } of operands) {
      if (immediate === '' || immediate === 'is4') continue;
      if (immediate === 'o') this.#little(this.target() - this.#segmentBase, this.#wrap ? 4 : 8);
      else if (mnemonic === 'enter')
        this.#little(
          BigInt(notation === 'Ib' ? random.pick([0, 1, 2, 3, 33]) : random.below(64)),
          notation === 'Ib' ? 1 : 2,
        );
      else if (/^retf?$/.test(mnemonic)) this.#little(BigInt(random.below(64)), 2);
      else if (mnemonic === 'int') this.#push(this.#interruptVector());
      else {
        const sizes = { b: 1, bs: 1, jb: 1, w: 2, z: Math.min(4, operandSize), v: operandSize, jz: 4, p: 0 } as const;
        this.#little(random.value(), sizes[immediate]);
      }
    }
  }

  #interruptVector(): number {
    for (;;) {
      const vector = this.random.below(256);
      if (!OPEN_GATES.includes(vector)) return vector;
    }
  }

  #finish(): FormCase | null {
    const bytes = Uint8Array.from(this.#bytes);
    if (this.#ripRelative) {
      const { at, target } = this.#ripRelative;
      const end = NATIVE.CODE + this.#offset + bytes.length;
      new DataView(bytes.buffer).setInt32(at, Number(BigInt.asIntN(32, target - BigInt(end))), true);
    }
    const found = formOf(bytes);
    if (found?.row !== this.row) return null;
    arrangeMemory(this, found.decoded, this.#operand);
    const usesDirection = this.row.rep !== undefined || this.random.oneIn(8);
    return {
      row: this.row,
      form: found.form,
      seed: this.#seed,
      bytes,
      offset: this.#offset,
      step: isBranch(this.row) || this.row.mnemonic === 'int3', // whose own trap would be taken for the end
      gpr: this.gpr,
      rflags: this.#rflags | (usesDirection ? this.random.u64() & DF : 0n) | (this.random.oneIn(10) ? AC : 0n),
      window: this.window,
    };
  }
}
