// One case in the making: an encoding of a row at random (prefixes, registers, addressing, immediates), and the state it runs in, arranged so that
// most memory operands lie in the window. The inverse of the decoder. What 64-bit code does in its own way is in longDraft.ts, the ways of 16- and
// 32-bit code in legacyDraft.ts.
import { MAP, PREFIX } from '../../src/x86/encoding.ts';
import type { Decoded } from '../../src/x86/decoder.ts';
import type { Form } from '../../src/x86/forms.ts';
import type { Row } from '../../src/x86/row.ts';
import { arrangeMemory, isBranch, type Selectors, type SegmentNumber, type Stage } from './arrangement.ts';
import type { Bits } from './bits.ts';
import { formOf } from './formOf.ts';
import { OPEN_GATES } from './linuxSegments.ts';
import { NATIVE, type NativeCase } from './nativeCase.ts';
import type { Random } from './random.ts';
import type { SeededState } from './seededState.ts';

export interface FormCase extends NativeCase {
  readonly row: Row;
  readonly form: Form;
  /** `seededState` of it is what the state was before anything was arranged. */
  readonly seed: number;
}

export const SIB = 4;
const DF = 0x400n;
const AC = 0x4_0000n;
export const NO_STATE: SeededState = {
  gpr: new Array<bigint>(16).fill(0n),
  rflags: 2n,
  window: new Uint8Array(NATIVE.WINDOW_SIZE),
};
export const MAP_BYTES: Readonly<Record<number, readonly number[]>> = {
  [MAP.ONE]: [],
  [MAP.X0F]: [0x0f],
  [MAP.X0F38]: [0x0f, 0x38],
  [MAP.X0F3A]: [0x0f, 0x3a],
};
/** VEX.pp of a mandatory prefix. */
export const VEX_PREFIX: Readonly<Record<number, number>> = {
  [PREFIX.NP]: 0,
  [PREFIX.X66]: 1,
  [PREFIX.F3]: 2,
  [PREFIX.F2]: 3,
};

export abstract class Draft implements Stage {
  readonly row: Row;
  readonly random: Random;
  readonly gpr: bigint[];
  readonly window: Uint8Array;
  readonly reserved = new Set<number>();
  abstract readonly bits: Bits;
  abstract readonly selectors: Selectors;
  protected readonly offset: number;
  protected readonly bytes: number[] = [];
  /** For a sequence: only the bytes count, memory is addressed without registers. */
  protected readonly free: boolean;
  /** Linear address of the memory operand. */
  protected operand: bigint | null = null;
  readonly #seed: number;
  readonly #rflags: bigint;

  protected constructor(row: Row, random: Random, seed: number, state: SeededState, offset: number, free: boolean) {
    this.row = row;
    this.random = random;
    this.#seed = seed;
    this.gpr = [...state.gpr];
    this.window = Uint8Array.from(state.window);
    this.#rflags = state.rflags;
    this.offset = offset;
    this.free = free;
  }

  abstract pointer(segment: SegmentNumber): bigint;
  abstract stackAddress(): bigint;
  abstract linear(segment: SegmentNumber, offset: bigint): bigint;
  abstract codeTarget(selector: number): bigint;
  /** Prefixes and opcode, and the registers that the row uses without naming them. */
  protected abstract begin(isMemory: boolean): void;
  /** ModRM, SIB and displacement of a memory operand, and the register that leads to it. */
  protected abstract memoryOperand(): void;
  /** Bytes of an immediate operand. */
  protected abstract immediateSize(kind: ImmediateKind): number;
  /** The memory operand at an offset in the instruction: A0 to A3. */
  protected abstract memoryOffset(): void;

  /** Null if what came out is another row, or none. */
  make(): FormCase | null {
    const { encoding, operands } = this.row;
    const isMemory =
      encoding.modrm &&
      !this.row.ignoresMod &&
      operands.some((o) => o.addressing === '' && o.memory !== 'no') &&
      this.#wantsMemory();
    this.begin(isMemory);
    if (encoding.modrm) {
      if (isMemory) this.memoryOperand();
      else this.modrm(3, encoding.rm >= 0 ? encoding.rm : this.random.below(8));
    }
    this.#immediates();
    return this.#finish();
  }

  #wantsMemory(): boolean {
    const only = this.row.operands.some((o) => o.memory === 'only' && o.addressing === '');
    if (this.free && /^bt/.test(this.row.mnemonic)) return false; // the bit offset is anything
    return only || (!this.row.encoding.registerOnly && this.random.oneIn(2));
  }

  protected push(...bytes: number[]): void {
    this.bytes.push(...bytes);
  }
  protected little(value: bigint, size: number): void {
    for (let i = 0; i < size; i++) this.push(Number((value >> BigInt(8 * i)) & 0xffn));
  }

  protected modrm(mod: number, rm: number): void {
    const { reg } = this.row.encoding;
    this.push((mod << 6) | ((reg >= 0 ? reg : this.random.below(8)) << 3) | rm);
  }

  #immediates(): void {
    const { random } = this;
    const { operands, mnemonic } = this.row;
    for (const { immediate, notation } of operands) {
      if (immediate === '' || immediate === 'is4') continue;
      if (immediate === 'o') this.memoryOffset();
      else if (mnemonic === 'enter')
        this.little(
          BigInt(notation === 'Ib' ? random.pick([0, 1, 2, 3, 33]) : random.below(64)),
          notation === 'Ib' ? 1 : 2,
        );
      else if (/^retf?$/.test(mnemonic)) this.little(BigInt(random.below(64)), 2);
      else if (mnemonic === 'int') this.push(this.#interruptVector());
      else this.immediate(immediate);
    }
  }

  protected immediate(kind: ImmediateKind): void {
    this.little(this.random.value(), this.immediateSize(kind));
  }

  #interruptVector(): number {
    for (;;) {
      const vector = this.random.below(256);
      if (!OPEN_GATES.includes(vector)) return vector;
    }
  }

  /** The bytes, once all are there. */
  protected complete(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }

  #finish(): FormCase | null {
    const bytes = this.complete();
    const found = formOf(bytes, this.bits);
    if (found?.row !== this.row || this.offset + bytes.length > NATIVE.CODE_SIZE) return null;
    this.arrange(found.decoded);
    const usesDirection = this.row.rep !== undefined || this.random.oneIn(8);
    return {
      row: this.row,
      form: found.form,
      seed: this.#seed,
      bytes,
      offset: this.offset,
      step: isBranch(this.row) || this.row.mnemonic === 'int3', // whose own trap would be taken for the end
      gpr: this.gpr,
      rflags: this.#rflags | (usesDirection ? this.random.u64() & DF : 0n) | (this.random.oneIn(10) ? AC : 0n),
      window: this.window,
      ...this.begins(),
    };
  }

  /** What must stand in registers and memory. */
  protected arrange(decoded: Decoded): void {
    arrangeMemory(this, decoded, this.operand);
  }

  /** The segments that it begins with, if they are not Linux's. */
  protected begins(): Pick<NativeCase, 'selectors'> {
    return {};
  }
}

export type ImmediateKind = Exclude<Row['operands'][number]['immediate'], '' | 'is4' | 'o'>;
