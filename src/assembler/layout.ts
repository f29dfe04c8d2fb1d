// From sections to addresses and bytes: places items, lengthens branches until every target is in reach, fills fixups in.
// The image is flat: .text at the origin, then .rodata, .data and .bss, each on a page of its own.

import { branchLength, encodeBranch, fitsSigned } from './branch.ts';
import { addressWeight, evaluate, type Expression, symbolsOf } from './expression.ts';
import type { Fixup } from './fields.ts';
import { NOP, nops } from './padding.ts';
import { type Problems, reject } from './problem.ts';
import type { Scope } from './scope.ts';
import type { Item, Section, SectionKind } from './section.ts';

/** Each kind of section but the first starts on a page, so that code and data never share one. */
const PAGE = 4096n;
/** What one section may hold: a slip in a .skip count should be an error, not an exhausted host. `.bss` costs nothing here. */
const MIB = 1 << 20;
const MAX_CONTENTS = 64 * MIB;
const MAX_BSS = 4096 * MIB;
/** Passes that move something although no branch grew. Branches grow once; alignments and .org may chase each other for ever. */
const MAX_RESTLESS = 100;

const alignUp = (address: bigint, alignment: bigint): bigint => ((address + alignment - 1n) / alignment) * alignment;

export class Layout {
  readonly #sections: readonly Section[];
  readonly #scope: Scope;
  readonly #problems: Problems;
  #changed = false;
  #grew = false;
  /** Items whose size changed in the last pass. */
  #unsettled: Item[] = [];
  /** In the first pass no label has an address yet: nothing may grow by it. */
  #isFirst = true;
  /** The first passes see labels that have not settled: what looks impossible then may become right. */
  #isFinal = false;

  constructor(sections: readonly Section[], scope: Scope, problems: Problems) {
    this.#sections = sections;
    this.#scope = scope;
    this.#problems = problems;
  }

  /** Gives every item its address and size. False: problems were reported. */
  place(origin: bigint): boolean {
    if (!this.#everySymbolIsDefined()) return false;
    for (const label of this.#scope.labels.values()) label.address = origin;
    this.#pass(origin);
    this.#isFirst = false;
    let restless = 0;
    do {
      this.#changed = this.#grew = false;
      this.#pass(origin);
      if (this.#problems.list.length > 0) return false;
      restless = this.#grew ? 0 : restless + 1;
      if (restless > MAX_RESTLESS) {
        const [item] = this.#unsettled;
        const hint = 'an alignment, .org or .fill here depends on what comes behind it';
        this.#problems.report(item.place, 'the addresses never settle', hint);
        return false;
      }
    } while (this.#changed);
    this.#isFinal = true;
    this.#pass(origin);
    return this.#problems.list.length === 0;
  }

  /** Reports all undefined symbols of the source at once. */
  #everySymbolIsDefined(): boolean {
    for (const item of this.#sections.flatMap((section) => section.items)) {
      for (const expression of expressionsOf(item)) {
        for (const name of symbolsOf(expression))
          this.#problems.guard(item.place, () => void this.#scope.valueOf(name));
      }
    }
    return this.#problems.list.length === 0;
  }

  #pass(origin: bigint): void {
    this.#unsettled = [];
    let end = origin;
    let kind: SectionKind | null = null;
    for (const section of this.#sections) {
      if (!section.items.some(({ kind }) => kind !== 'label')) {
        // Labels of an empty section: at the current end.
        this.#place(section, end);
        continue;
      }
      const startsPage = kind !== null && kind !== section.kind;
      kind = section.kind;
      end = this.#place(section, startsPage ? alignUp(end, PAGE) : end);
    }
  }

  #place(section: Section, start: bigint): bigint {
    section.address = start;
    let address = start;
    for (const item of section.items) {
      if (item.address !== address) {
        item.address = address;
        this.#changed = true;
      }
      if (item.kind === 'label') item.label.address = address;
      this.#problems.guard(item.place, () => {
        const size = this.#sizeOf(item, section);
        const limit = section.kind === '.bss' ? MAX_BSS : MAX_CONTENTS;
        if (!this.#isFirst && size > limit - Number(address - start)) {
          reject(`section ${section.name} would exceed ${limit / MIB} MiB`, 'reserve large memory in .bss');
        }
        if (size !== item.size) {
          this.#changed = true;
          this.#unsettled.push(item);
        }
        item.size = size;
      });
      address += BigInt(item.size);
    }
    section.size = Number(address - start);
    return address;
  }

  #value(expression: Expression): bigint {
    return evaluate(expression, (name) => this.#scope.valueOf(name));
  }

  /** A value for a size; what is absurd counts as nothing until the layout is final. */
  #extent(value: bigint, complaint: () => string, hint: string): number {
    if (value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    return this.#isFinal ? reject(complaint(), hint) : 0;
  }

  #sizeOf(item: Item, section: Section): number {
    switch (item.kind) {
      case 'label':
        return 0;
      case 'bytes':
        return item.bytes.length;
      case 'branch': {
        const { branch } = item;
        // Never back to short: a branch that shrank could push another one out of reach.
        if (
          !item.isNear &&
          branch.near !== null &&
          (branch.short === null || (!this.#isFirst && !this.#inReach(item)))
        ) {
          item.isNear = this.#grew = true;
        }
        return branchLength(branch, item.isNear);
      }
      case 'align': {
        const gap = alignUp(item.address, item.alignment) - item.address;
        return item.limit !== null && gap > item.limit ? 0 : Number(gap);
      }
      case 'fill': {
        const count = this.#value(item.count);
        return (
          item.unit *
          this.#extent(
            count,
            () => `the repeat count is ${count}`,
            'the contents before this line are already longer than wanted',
          )
        );
      }
      case 'org': {
        const isAbsolute =
          addressWeight(this.#scope.resolve(item.target), (name) => this.#scope.labels.has(name)) === 0;
        const target = this.#value(item.target) + (isAbsolute ? section.address : 0n);
        return this.#extent(
          target - item.address,
          () => `.org moves back by ${item.address - target} bytes`,
          'what stands before this line is longer than the place it should end at',
        );
      }
    }
  }

  #inReach(item: Extract<Item, { kind: 'branch' }>): boolean {
    const target = this.#value(item.branch.target);
    return fitsSigned(BigInt.asIntN(64, target - item.address - BigInt(branchLength(item.branch, false))), 1);
  }

  /** The contents of a placed section; none for `.bss`. */
  emit(section: Section): Uint8Array {
    const isBss = section.kind === '.bss';
    const bytes = new Uint8Array(isBss ? 0 : section.size);
    for (const item of section.items) {
      this.#problems.guard(item.place, () => {
        if (!isBss) bytes.set(this.contents(item, section), Number(item.address - section.address));
        else if (!this.#isZero(item, section)) reject('.bss cannot hold contents', 'put initialised data in .data');
      });
    }
    return bytes;
  }

  #isZero(item: Item, section: Section): boolean {
    switch (item.kind) {
      case 'fill':
        return this.#value(item.value) === 0n;
      case 'align':
        return item.fill === null || item.fill.every((byte) => byte === 0);
      case 'org':
        return item.fill === 0;
      default:
        return this.contents(item, section).every((byte) => byte === 0);
    }
  }

  /** The bytes of one placed item. */
  contents(item: Item, section: Section): Uint8Array {
    switch (item.kind) {
      case 'label':
        return new Uint8Array(0);
      case 'bytes': {
        if (item.fixups.length === 0) return item.bytes;
        const bytes = item.bytes.slice();
        for (const fixup of item.fixups) this.#apply(fixup, bytes, item.address + BigInt(bytes.length));
        return bytes;
      }
      case 'branch':
        return encodeBranch(item.branch, item.address, this.#value(item.branch.target), item.isNear);
      case 'align':
        // As in GNU as, a NOP as fill asks for as few NOPs as possible.
        if (item.fill === null || (section.isCode && item.fill.length === 1 && item.fill[0] === NOP))
          return section.isCode ? nops(item.size, item.mode) : new Uint8Array(item.size);
        return repeat(item.fill, item.size);
      case 'fill': {
        const unit = new Uint8Array(item.unit);
        const value = this.#value(item.value);
        if (item.unit === 8 && BigInt.asUintN(32, value) !== value) {
          reject('the value of .fill has 32 bits', 'GNU as would cut it off; repeat a .quad with .rept');
        }
        writeField(unit, 0, item.unit, value);
        return unit.every((byte) => byte === 0) ? new Uint8Array(item.size) : repeat(unit, item.size);
      }
      case 'org':
        return new Uint8Array(item.size).fill(item.fill);
    }
  }

  #apply(fixup: Fixup, bytes: Uint8Array, end: bigint): void {
    const value = this.#value(fixup.value);
    const field = fixup.kind === 'relative' ? BigInt.asIntN(64, value - end) : value;
    const bits = BigInt(8 * fixup.size);
    const isSigned = fixup.kind !== 'absolute';
    const low = fixup.size === 4 && !isSigned ? -(1n << bits) : -(1n << (bits - 1n));
    const high = isSigned ? (1n << (bits - 1n)) - 1n : (1n << bits) - 1n;
    if (fixup.size < 8 && (field < low || field > high)) {
      const shown = `${field < 0n ? '-' : ''}0x${(field < 0n ? -field : field).toString(16)}`;
      const what = fixup.kind === 'relative' ? `the distance ${shown}` : `the value ${shown}`;
      reject(
        `${what} does not fit in ${isSigned ? 'a signed ' : ''}${bits}-bit field`,
        fixup.kind === 'extended' ? 'load the address with movabs, or use label(%rip)' : null,
      );
    }
    writeField(bytes, fixup.offset, fixup.size, field);
  }
}

function expressionsOf(item: Item): Expression[] {
  switch (item.kind) {
    case 'bytes':
      return item.fixups.map(({ value }) => value);
    case 'branch':
      return [item.branch.target];
    case 'fill':
      return [item.count, item.value];
    case 'org':
      return [item.target];
    default:
      return [];
  }
}

function repeat(unit: Uint8Array, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) bytes[at] = unit[at % unit.length];
  return bytes;
}

/** Little-endian. */
function writeField(bytes: Uint8Array, offset: number, size: number, value: bigint): void {
  for (let i = 0; i < size; i++) bytes[offset + i] = Number((value >> BigInt(8 * i)) & 255n);
}
