// A stack as microcode meets it: SS and rSP, or those that a change of privilege is about to load. Offsets wrap at
// the stack's width (SS.B; 64 bits in 64-bit mode). Nothing is written to registers but by `commit`.

import { GPR, SEGMENT, SEGMENT_ATTRIBUTE } from '../../x86/names/registers.ts';
import type { AccessKind } from '../memory/access.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { is64BitMode } from './codeMode.ts';
import { raise } from '../fault.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { admits } from './segmentation.ts';
import { readSegment, type Segment } from './segments.ts';

const MASK64 = 0xffff_ffff_ffff_ffffn;
const MASK32 = 0xffff_ffffn;
const MASK16 = 0xffffn;

export class Stack {
  /** Offset of the top. */
  #pointer: bigint;
  readonly #cpu: MicrocodeCpu;
  /** Null in 64-bit mode: no base, no limit. */
  readonly #segment: Segment | null;
  readonly #mask: bigint;
  readonly #access: AccessKind;
  readonly #error: number;

  private constructor(cpu: MicrocodeCpu, segment: Segment | null, pointer: bigint, access: AccessKind, error: number) {
    this.#cpu = cpu;
    this.#segment = segment;
    this.#mask = segment === null ? MASK64 : (segment.attributes & SEGMENT_ATTRIBUTE.DB) !== 0 ? MASK32 : MASK16;
    this.#pointer = pointer & this.#mask;
    this.#access = access;
    this.#error = error;
  }

  /** The stack in use, or the part of it that another register than RSP points to. */
  static current(cpu: MicrocodeCpu, register: number = GPR.RSP): Stack {
    const { state } = cpu;
    const segment = is64BitMode(state) ? null : readSegment(state, SEGMENT.SS);
    return new Stack(cpu, segment, state.gpr(register), 'stack', 0);
  }

  /** The stack in use, as code of the other kind sees it that is about to run on it. Beyond its limit is #SS(error). */
  static seenBy(cpu: MicrocodeCpu, is64Bit: boolean, error = 0): Stack {
    const { state } = cpu;
    return new Stack(cpu, is64Bit ? null : readSegment(state, SEGMENT.SS), state.gpr(GPR.RSP), 'stack', error);
  }

  /**
   * Another stack: of a segment that is not loaded yet, or (null) of 64-bit mode. Its memory is accessed with supervisor
   * rights; beyond its limit is #SS(error).
   */
  static other(cpu: MicrocodeCpu, segment: Segment | null, pointer: bigint, error: number): Stack {
    return new Stack(cpu, segment, pointer, 'system', error);
  }

  /** Linear address of a word `distance` bytes from the top (negative: below it), for a read or a write. */
  #at(distance: number, width: number, intent: 'read' | 'write'): bigint {
    const offset = (this.#pointer + BigInt(distance)) & this.#mask;
    if (this.#segment === null) {
      const last = (offset + BigInt(width - 1)) & MASK64;
      return isCanonicalAddress(offset) && isCanonicalAddress(last) ? offset : raise.ss(this.#error);
    }
    if (!admits(this.#cpu.state, this.#segment, Number(offset), width, intent)) raise.ss(this.#error);
    return (this.#segment.base + offset) & MASK32;
  }

  /** The word `distance` bytes above the top. */
  peek(distance: number, width: number): bigint {
    return this.#cpu.mmu.read(this.#at(distance, width, 'read'), width, this.#access);
  }
  pop(width: number): bigint {
    const value = this.peek(0, width);
    this.release(width);
    return value;
  }
  /** Moves the top up. */
  release(bytes: number): void {
    this.#pointer = (this.#pointer + BigInt(bytes)) & this.#mask;
  }

  /** Raises what reading or writing the word `distance` bytes from the top would raise. */
  probeAt(distance: number, width: number, intent: 'read' | 'write'): void {
    this.#cpu.mmu.probe(this.#at(distance, width, intent), width, intent, this.#access);
  }
  /** Raises what pushing `count` words would raise, in the order of the pushes. */
  probe(count: number, width: number): void {
    for (let i = 1; i <= count; i++) this.probeAt(-i * width, width, 'write');
  }
  /** Pushes a word of which only the first `written` bytes are written. */
  push(width: number, value: bigint, written = width): void {
    const at = this.#at(-width, written, 'write');
    this.#cpu.mmu.write(at, written, value & (MASK64 >> BigInt(64 - 8 * written)), this.#access);
    this.#pointer = (this.#pointer - BigInt(width)) & this.#mask;
  }

  /** RSP with the top in its low bits: what the stack's width does not reach stays. */
  get rsp(): bigint {
    return this.#mask === MASK16 ? (this.#cpu.state.gpr(GPR.RSP) & ~MASK16) | this.#pointer : this.#pointer;
  }
  /** Writes RSP. */
  commit(): void {
    this.#cpu.state.setGpr(GPR.RSP, this.rsp);
  }
}
