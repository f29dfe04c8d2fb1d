// Turns a row of the instruction set into test cases: an encoding at random (prefixes, registers, addressing, immediates) and the state it
// runs in, arranged so that most memory operands lie in the window. The inverse of the decoder, for rows of general registers in 64-bit mode.
import { Decoded, decode, MODE } from '../../src/x86/decoder.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { MAP, PREFIX } from '../../src/x86/encoding.ts';
import type { Form } from '../../src/x86/forms.ts';
import { WIDTH_RULE, shapeOf } from '../../src/x86/shapes.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { NATIVE, type NativeCase } from './native.ts';
import type { Random } from './random.ts';

export interface FormCase extends NativeCase {
  readonly form: Form;
}

const U64 = (1n << 64n) - 1n;
const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7];
const RIP_RELATIVE = 5;
const SIB = 4;
const ARITHMETIC = 0x8d5n;
const DF = 0x400n;
/** Repeats times segments times address sizes: strings have so many more forms. */
const STRING_VARIETY = 6;
const LARGEST_OFFSET = NATIVE.CODE_SIZE - 32;

/** Microcode that user mode may run without seeing or changing what belongs to the system underneath. */
const HARMLESS_MICROCODE = new Set(['popf', 'ud']);
/** Microcode that user mode may not run: it raises #GP(0), or #UD. I/O is at IOPL 0. */
const FORBIDDEN_MICROCODE = new Set(['in', 'out', 'ins', 'outs', 'cli', 'sti']);
/** Of the privileged instructions, those of features that every processor has that runs Linux in a virtual machine. */
const COMMON_FEATURES: readonly (string | undefined)[] = [
  undefined,
  'SMAP',
  'XSAVE',
  'INVPCID',
  'SYSCALL',
  'SEP',
  'MONITOR',
];

/** Whether the row is one that user mode must not execute. */
export const isForbidden = (row: Row): boolean =>
  row.modes !== 'no64' &&
  row.microcode !== undefined &&
  (FORBIDDEN_MICROCODE.has(row.microcode) ||
    (row.cpl0 === true && COMMON_FEATURES.includes(row.cpuid) && row.microcode !== 'vmx'));

/** Whether user mode may execute the row and this file can encode it. */
export function isTestable(row: Row): boolean {
  return (
    (row.semantics !== undefined || HARMLESS_MICROCODE.has(row.microcode ?? '')) &&
    row.modes !== 'no64' &&
    !row.cpl0 &&
    !row.exits &&
    !row.observesTime &&
    row.mnemonic !== 'rdpid' && // tells the number of the processor underneath
    row.operands.every((o) => (o.file === null || o.file === 'gpr') && o.notation !== 'Ap')
  );
}

/** Branches and whatever else may leave the place behind the instruction. */
const isBranch = (row: Row): boolean => /^(j|call|ret|loop)/.test(row.mnemonic);
const isStack = (row: Row): boolean => row.stack === true || /^(push|pop|call|ret|enter|leave)/.test(row.mnemonic);

/** Needs registers arranged for it: cannot stand among others. */
const isArranged = (row: Row): boolean =>
  isBranch(row) || isStack(row) || row.addressed !== undefined || row.rep !== undefined || row.mnemonic === 'xlat';

/** Whether the row may stand in a sequence. */
export const isFree = (row: Row): boolean => isTestable(row) && !isArranged(row) && row.semantics !== undefined;

/** Encodes a row for a place within a sequence, where memory is addressed without registers. */
export function encodeFree(row: Row, random: Random, offset: number): Uint8Array {
  for (;;) {
    const made = new Draft(row, random, offset).make();
    if (made) return made.bytes;
  }
}

/** Cases for every form of the rows that can be met in 64-bit mode: `perForm` each, as far as `tries` a row find them. */
export function casesOfForms(rows: readonly Row[], perForm: number, tries: number, random: Random): FormCase[] {
  const found = new Map<Form, FormCase[]>();
  for (const row of rows) {
    const variety = row.rep ? STRING_VARIETY : 1;
    for (let i = 0; i < tries * variety; i++) {
      const made = makeCase(row, random);
      const list = found.get(made.form) ?? [];
      if (list.length < perForm) found.set(made.form, [...list, made]);
    }
  }
  return [...found.values()].flat();
}

/** One case of a row. */
export function makeCase(row: Row, random: Random): FormCase {
  for (;;) {
    const made = new Draft(row, random).make();
    if (made) return made;
  }
}

class Draft {
  readonly #row: Row;
  readonly #random: Random;
  readonly #gpr: bigint[];
  /** Registers whose value must stay: the stack pointer of a push, the pointers of a string. */
  readonly #reserved = new Set<number>();
  readonly #bytes: number[] = [];
  readonly #window: Uint8Array;
  readonly #offset: number;
  readonly #free: boolean;
  /** Address size is 32 bits (67); GS is the segment. */
  #wrap = false;
  #gs = false;

  constructor(row: Row, random: Random, place: number | null = null) {
    this.#row = row;
    this.#free = place !== null;
    this.#random = random;
    this.#gpr = Array.from({ length: 16 }, () => random.value());
    this.#window = random.bytes(NATIVE.WINDOW_SIZE);
    this.#offset = place ?? (random.oneIn(8) ? 0x1000 - random.below(16) : random.below(LARGEST_OFFSET));
  }

  make(): FormCase | null {
    const { encoding, operands } = this.#row;
    const isMemory =
      encoding.modrm &&
      !this.#row.ignoresMod &&
      operands.some((o) => o.addressing === '' && o.memory !== 'no') &&
      this.#wantsMemory();
    this.#pinRegisters(isMemory);
    this.#prefixes(isMemory);
    if (this.#gs && !isMemory)
      for (const pointer of [RSI, RBX]) if (this.#reserved.has(pointer)) this.#moveByGs(pointer);
    if (encoding.modrm) {
      if (isMemory) this.#memoryOperand();
      else this.#modrm(3, encoding.rm >= 0 ? encoding.rm : this.#random.below(8));
    }
    this.#immediates();
    return this.#finish();
  }

  /** Of the registers that address memory by themselves, RSI (strings) and RBX (XLAT) go through an overridden segment. */
  #moveByGs(pointer: number): void {
    this.#gpr[pointer] = (this.#gpr[pointer]! - BigInt(NATIVE.GS_BASE)) & U64;
  }

  #wantsMemory(): boolean {
    const only = this.#row.operands.some((o) => o.memory === 'only' && o.addressing === '');
    if (this.#free && /^bt/.test(this.#row.mnemonic)) return false; // the bit offset is anything
    return only || (!this.#row.encoding.registerOnly && this.#random.oneIn(2));
  }

  /** An address of the operand: mostly in the window, sometimes at its page boundary, beyond the data, or not canonical. */
  #target(size = 8): bigint {
    const random = this.#random;
    const at = (offset: number) => BigInt(NATIVE.DATA + offset);
    if (random.oneIn(this.#free ? 200 : 24)) return at(NATIVE.DATA_SIZE - random.below(9));
    if (random.oneIn(this.#free ? 300 : 40)) return 0x8000_0000_0000n + BigInt(random.below(1 << 20));
    if (random.oneIn(4)) return at(0x1000 - random.below(size + 1));
    return BigInt(NATIVE.WINDOW + random.below(NATIVE.WINDOW_SIZE - 16));
  }

  #pinRegisters(isMemory: boolean): void {
    const random = this.#random;
    const gpr = this.#gpr;
    const { mnemonic, operands } = this.#row;
    const pin = (register: number, value: bigint) => {
      gpr[register] = value & U64;
      this.#reserved.add(register);
    };
    if (isStack(this.#row)) {
      pin(RSP, this.#target() + (random.oneIn(8) ? 0n : 24n));
      pin(RBP, this.#target());
    }
    if (this.#row.addressed || operands.some((o) => o.addressing === 'si' || o.addressing === 'di')) {
      pin(RSI, this.#target());
      pin(RDI, this.#target());
      pin(RCX, random.oneIn(6) ? random.value() : BigInt(random.below(6)));
    }
    if (mnemonic === 'xlat') pin(RBX, this.#target() - (gpr[RAX]! & 0xffn));
    if (/^(loop|jcxz)/.test(mnemonic))
      gpr[RCX] = random.oneIn(3) ? random.value() : BigInt(random.below(3)) | (BigInt(random.u32()) << 32n);
    if (/^i?div$/.test(mnemonic) && !random.oneIn(3)) {
      gpr[RDX] = mnemonic === 'div' || random.oneIn(2) ? BigInt(random.below(4)) : U64;
      if (mnemonic === 'idiv' && random.oneIn(2)) gpr[RAX] = BigInt.asUintN(64, BigInt(random.below(4000) - 2000));
    }
    if (/^bt/.test(mnemonic) && isMemory)
      for (let i = 8; i < 16; i++) gpr[i] = BigInt.asUintN(64, BigInt(random.below(1024) - 512));
  }

  #push(...bytes: number[]): void {
    this.#bytes.push(...bytes);
  }
  #little(value: bigint, size: number): void {
    for (let i = 0; i < size; i++) this.#push(Number((value >> BigInt(8 * i)) & 0xffn));
  }

  #rex = 0;

  #prefixes(isMemory: boolean): void {
    const { encoding, addressed, operands } = this.#row;
    const random = this.#random;
    const addresses = isMemory || addressed !== undefined || operands.some((o) => o.addressing !== '');
    const { rule } = shapeOf(this.#row);
    const sized = rule === WIDTH_RULE.V || rule === WIDTH_RULE.Z;
    const any = encoding.prefixes === PREFIX.ANY;
    const legacy: number[] = [];
    if (addresses && random.oneIn(3)) legacy.push(0x67);
    if (addresses && addressed !== 'count' && random.oneIn(3)) legacy.push(0x65);
    if (!encoding.vex) {
      if (encoding.prefixes === PREFIX.X66) legacy.push(0x66);
      else if (sized && (any || encoding.prefixes & PREFIX.X66 || encoding.prefixes === PREFIX.F3) && random.oneIn(2))
        legacy.push(0x66);
      if (encoding.prefixes === PREFIX.F3) legacy.push(0xf3);
      if (encoding.prefixes === PREFIX.F2) legacy.push(0xf2);
      if (this.#row.lock && isMemory && random.oneIn(4)) legacy.push(0xf0);
      if (this.#row.rep && !random.oneIn(3)) legacy.push(random.pick([0xf3, 0xf2]));
    }
    this.#wrap = legacy.includes(0x67);
    this.#gs = legacy.includes(0x65);
    this.#push(...legacy);
    const w = encoding.w >= 0 ? encoding.w : random.oneIn(3) ? 1 : 0;
    this.#rex = (w << 3) | random.below(8);
    if (/^bt/.test(this.#row.mnemonic) && isMemory) this.#rex |= 4;
    if (encoding.b === 0) this.#rex &= ~1;
    const maps: Record<number, number[]> = {
      [MAP.ONE]: [],
      [MAP.X0F]: [0x0f],
      [MAP.X0F38]: [0x0f, 0x38],
      [MAP.X0F3A]: [0x0f, 0x3a],
    };
    if (encoding.vex) this.#vex();
    else {
      if (random.oneIn(3) && encoding.w !== 1 && !/^bt/.test(this.#row.mnemonic)) this.#rex = 0;
      else this.#push(0x40 | this.#rex);
      this.#push(...maps[encoding.map]!);
    }
    this.#push(encoding.opcode + (encoding.opcodes === 8 ? random.below(8) : 0));
  }

  #vex(): void {
    const { encoding, operands } = this.#row;
    const pp = { [PREFIX.NP]: 0, [PREFIX.X66]: 1, [PREFIX.F3]: 2, [PREFIX.F2]: 3 }[encoding.prefixes] ?? 0;
    const vvvv = operands.some((o) => o.place === 'vvvv') ? this.#random.below(16) : 0;
    const inverted = ~this.#rex & 7;
    const map = encoding.map - MAP.VEX_0F + 1;
    this.#push(
      0xc4,
      (inverted << 5) | map,
      ((this.#rex & 8) << 4) | ((~vvvv & 15) << 3) | (encoding.l === 1 ? 4 : 0) | pp,
    );
  }

  #modrm(mod: number, rm: number): void {
    const { reg } = this.#row.encoding;
    this.#push((mod << 6) | ((reg >= 0 ? reg : this.#random.below(8)) << 3) | rm);
  }

  /** ModRM, SIB and displacement; then the base register gets the value that leads to the target. */
  #memoryOperand(): void {
    const random = this.#random;
    const target = (this.#gs ? this.#target() - BigInt(NATIVE.GS_BASE) : this.#target()) & U64;
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
    const indexed = index < 0 || index === RSP ? 0n : this.#gpr[index]! << BigInt(scale);
    const reserved = this.#reserved.has(base);
    let mod = random.pick([0, 1, 2]);
    if (mod === 0 && (base & 7) === RBP) mod = 1;
    if (reserved) mod = 2;
    const disp = reserved
      ? BigInt.asIntN(64, target - this.#gpr[base]! - indexed)
      : mod === 0
        ? 0n
        : BigInt.asIntN(mod === 1 ? 8 : 32, random.value());
    if (!reserved) {
      this.#gpr[base] = (target - disp - indexed) & U64;
      if (this.#wrap && random.oneIn(2))
        this.#gpr[base] = (this.#gpr[base]! & 0xffff_ffffn) | (BigInt(random.u32()) << 32n);
    }
    this.#modrm(mod, withSib ? SIB : rm);
    if (withSib) this.#push((scale << 6) | ((index & 7) << 3) | (base & 7));
    if (mod === 1) this.#little(disp, 1);
    if (mod === 2) this.#little(disp, 4);
  }

  /** RIP-relative, or an absolute address of 32 bits. */
  #absolute(target: bigint): void {
    // With REX.X the index that means none would be R12.
    if (!(this.#rex & 2) && this.#random.oneIn(2)) {
      this.#modrm(0, SIB);
      this.#push(0x25);
      this.#little(target, 4);
      return;
    }
    this.#modrm(0, RIP_RELATIVE);
    this.#ripRelative = { at: this.#bytes.length, target };
    this.#little(0n, 4);
  }
  #ripRelative: { at: number; target: bigint } | null = null;

  #immediates(): void {
    const random = this.#random;
    const { operands, mnemonic } = this.#row;
    const size66 = this.#bytes.indexOf(0x66) >= 0 && this.#bytes.indexOf(0x66) < 4;
    const operandSize = this.#rex & 8 ? 8 : size66 ? 2 : 4;
    for (const { immediate, notation } of operands) {
      if (immediate === '' || immediate === 'is4') continue;
      if (immediate === 'o')
        this.#little(this.#target() - (this.#gs ? BigInt(NATIVE.GS_BASE) : 0n), this.#wrap ? 4 : 8);
      else if (mnemonic === 'enter')
        this.#little(
          BigInt(notation === 'Ib' ? random.pick([0, 1, 2, 3, 33]) : random.below(64)),
          notation === 'Ib' ? 1 : 2,
        );
      else if (mnemonic === 'ret') this.#little(BigInt(random.below(64)), 2);
      else {
        const sizes = { b: 1, bs: 1, jb: 1, w: 2, z: Math.min(4, operandSize), v: operandSize, jz: 4, p: 0 } as const;
        this.#little(random.value(), sizes[immediate]);
      }
    }
  }

  #finish(): FormCase | null {
    const bytes = Uint8Array.from(this.#bytes);
    if (this.#ripRelative) {
      const { at, target } = this.#ripRelative;
      const end = NATIVE.CODE + this.#offset + bytes.length;
      new DataView(bytes.buffer).setInt32(at, Number(BigInt.asIntN(32, target - BigInt(end))), true);
    }
    const decoded = new Decoded();
    if (decode(bytes, 0, bytes.length, MODE.CODE64, decoded) !== bytes.length) return null;
    const form = FORMS[decoded.form]!;
    const row = ROWS[decoded.row]!;
    if (!isTestable(row) && !isForbidden(row) && row !== this.#row) return null;
    const random = this.#random;
    const usesDirection = this.#row.rep !== undefined || random.oneIn(8);
    return {
      form,
      bytes,
      offset: this.#offset,
      step: isBranch(this.#row),
      gpr: this.#gpr,
      rflags: (random.u64() & ARITHMETIC) | (usesDirection ? random.u64() & DF : 0n) | 2n,
      window: this.#window,
    };
  }
}
