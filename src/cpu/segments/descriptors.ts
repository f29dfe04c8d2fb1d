// Segment and system descriptors and gates: finding them in the GDT and LDT, and taking them apart (SDM vol. 3, 3.4.5, 3.5
// and 6.14.1). Which ones an instruction may load, and what it raises otherwise, is said where the instruction is.

import { DPL_SHIFT, SEGMENT, SEGMENT_ATTRIBUTE, SEGMENT_TYPE, SELECTOR } from '../../x86/names/registers.ts';
import { isLongMode } from './codeMode.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { isUsable, segmentAttributes, segmentLimit, writeSegmentWords, type Segment } from './segments.ts';
import { OFFSET, SEGMENT_SIZE, type CpuState } from '../state.ts';
import { joinWords } from '../words.ts';

/** Bit of the type that tells 32-bit gates from 16-bit ones. */
const GATE32 = 8;
const PARAMETERS = 0x1f;

export const isNull = (selector: number): boolean => (selector & ~SELECTOR.RPL) === 0;
export const rplOf = (selector: number): number => selector & SELECTOR.RPL;
/** A selector as an error code: without RPL; EXT is the caller's to add. */
export const selectorError = (selector: number): number => selector & ~SELECTOR.RPL;

/** A descriptor of code, data, LDT or TSS. */
export interface Descriptor {
  /** Linear address of its first byte, in halves. */
  readonly low: number;
  readonly high: number;
  readonly base: bigint;
  /** Bytes, inclusive. */
  readonly limit: number;
  readonly attributes: number;
}

/** A gate of an IDT, or a call gate. */
export interface Gate {
  readonly selector: number;
  readonly offset: bigint;
  /** Of an interrupt or trap gate in IA-32e mode: the stack to switch to; 0 for none. */
  readonly ist: number;
  /** Of a call gate outside of it: how many words are copied to the stack of more privilege. */
  readonly parameters: number;
  /** Type, DPL and P as in SEGMENT_ATTRIBUTE. */
  readonly attributes: number;
  /** Bytes of what is pushed through it. */
  readonly width: 2 | 4 | 8;
  /** The upper half is well-formed: the type bits of its second word are zero. */
  readonly wellFormed: boolean;
}

/** Reads the `words` 64-bit words of an entry of a descriptor table, which begins at a field of the state block. */
export function readEntry(cpu: MicrocodeCpu, table: number, offset: number, words: 1 | 2): TableEntry {
  const { state, mmu } = cpu;
  const base = state.low(table) + offset;
  entry.low = base >>> 0;
  entry.high = (state.low(table + 4) + (base > 0xffff_ffff ? 1 : 0)) >>> 0;
  mmu.readWords(entry.low, entry.high, 8, 'system');
  entry.first = mmu.low;
  entry.second = mmu.high;
  if (words === 1) return entry;
  const behind = entry.low + 8;
  mmu.readWords(behind >>> 0, (entry.high + (behind > 0xffff_ffff ? 1 : 0)) >>> 0, 8, 'system');
  entry.third = mmu.low;
  entry.fourth = mmu.high;
  return entry;
}

/** An entry of a descriptor table as it stands in memory: its linear address in halves, and two or four words of 32 bits. */
interface TableEntry {
  low: number;
  high: number;
  first: number;
  second: number;
  third: number;
  fourth: number;
}
/** One object, overwritten by each: whoever reads an entry decodes it at once. */
const entry: TableEntry = { low: 0, high: 0, first: 0, second: 0, third: 0, fourth: 0 };

const LDT = OFFSET.segments + SEGMENT_SIZE * SEGMENT.LDTR;

/** The entry of a selector, of 8 or 16 bytes; null if it lies beyond the table's limit or there is no LDT. */
function lookUp(cpu: MicrocodeCpu, selector: number, words: 1 | 2): TableEntry | null {
  const { state } = cpu;
  const offset = selector & SELECTOR.INDEX;
  const last = offset + 8 * words - 1;
  if ((selector & SELECTOR.TI) === 0) {
    return last > state.gdtrLimit ? null : readEntry(cpu, OFFSET.gdtrBase, offset, words);
  }
  if (!isUsable(segmentAttributes(state, SEGMENT.LDTR)) || last > segmentLimit(state, SEGMENT.LDTR)) return null;
  return readEntry(cpu, LDT, offset, words);
}

/** The 8-byte descriptor that a selector names; null beyond the limit. The selector must not be null. */
export function readDescriptor(cpu: MicrocodeCpu, selector: number): Descriptor | null {
  const found = lookUp(cpu, selector, 1);
  return found === null ? null : decodeDescriptor(found);
}

/** The system descriptor (LDT, TSS) that a selector names, in IA-32e mode with its 64-bit base; null beyond the limit. */
export function readSystemDescriptor(cpu: MicrocodeCpu, selector: number): Descriptor | null {
  if (!isLongMode(cpu.state)) return readDescriptor(cpu, selector);
  const found = lookUp(cpu, selector, 2);
  if (found === null) return null;
  const { third } = found;
  const descriptor = decodeDescriptor(found);
  return { ...descriptor, base: (BigInt(third) << 32n) | descriptor.base };
}

/** The call gate that a selector names; null beyond the limit. */
export function readCallGate(cpu: MicrocodeCpu, selector: number): Gate | null {
  const long = isLongMode(cpu.state);
  const found = lookUp(cpu, selector, long ? 2 : 1);
  if (found === null) return null;
  return long ? decodeLongGate(found) : decodeGate(found);
}

/** A gate of 8 bytes. */
export function decodeGate({ first, second }: TableEntry): Gate {
  const attributes = (second >>> 8) & 0xff;
  const wide = (attributes & GATE32) !== 0;
  return {
    selector: first >>> 16,
    offset: BigInt(((first & 0xffff) | (wide ? second & 0xffff_0000 : 0)) >>> 0),
    ist: 0,
    parameters: second & PARAMETERS,
    attributes,
    width: wide ? 4 : 2,
    wellFormed: true,
  };
}

/** A gate of 16 bytes. */
export const decodeLongGate = ({ first, second, third, fourth }: TableEntry): Gate => ({
  selector: first >>> 16,
  offset: joinWords((first & 0xffff) | (second & 0xffff_0000), third),
  ist: second & 7,
  parameters: 0,
  attributes: (second >>> 8) & 0xff,
  width: 8,
  wellFormed: (fourth & 0x1f00) === 0,
});

// What the two words of a descriptor say.

const attributesIn = (second: number): number => (second >>> 8) & 0xf0ff;
/** Bytes, inclusive; signed, as the base. */
function limitIn(first: number, second: number): number {
  const limit = (first & 0xffff) | (second & 0xf_0000);
  return attributesIn(second) & SEGMENT_ATTRIBUTE.G ? (limit << 12) | 0xfff : limit;
}
const baseIn = (first: number, second: number): number =>
  (second & 0xff00_0000) | ((second & 0xff) << 16) | (first >>> 16);

const decodeDescriptor = ({ low, high, first, second }: TableEntry): Descriptor => ({
  low,
  high,
  base: joinWords(baseIn(first, second), 0),
  limit: limitIn(first, second) >>> 0,
  attributes: attributesIn(second),
});

/** Loads a segment register from the two words of a descriptor that is marked as accessed. */
export function writeDescribed(
  state: CpuState,
  segment: number,
  selector: number,
  first: number,
  second: number,
): void {
  const attributes = attributesIn(second);
  writeSegmentWords(state, segment, selector, baseIn(first, second), limitIn(first, second), attributes);
}

/** The segment register that a code or data descriptor makes, with the selector's RPL replaced by `rpl`. */
export const segmentOf = (descriptor: Descriptor, selector: number, rpl = rplOf(selector)): Segment => ({
  selector: (selector & ~SELECTOR.RPL) | rpl,
  base: descriptor.base,
  limit: descriptor.limit,
  attributes: descriptor.attributes | SEGMENT_TYPE.ACCESSED,
});

const TYPE_BYTE = 5n;

/** Sets the accessed bit of a code or data descriptor in memory. First of all commits, since it may fault. */
export function markAccessed(cpu: MicrocodeCpu, descriptor: Descriptor): void {
  if ((descriptor.attributes & SEGMENT_TYPE.ACCESSED) === 0) setType(cpu, descriptor, SEGMENT_TYPE.ACCESSED);
}

function setType({ mmu }: MicrocodeCpu, { low, high, attributes }: Descriptor, bit: number): void {
  const at = BigInt.asUintN(64, joinWords(low, high) + TYPE_BYTE);
  mmu.write(at, 1, BigInt((attributes & 0xff) | bit), 'system');
}

const BUSY = 2;

/** Makes an available TSS descriptor in memory busy. First of all commits, since it may fault. */
export function markBusy(cpu: MicrocodeCpu, descriptor: Descriptor): void {
  setType(cpu, descriptor, BUSY);
}

/** The same segment, busy. */
export const busy = (attributes: number): number => attributes | BUSY;

export const gateDpl = (gate: Gate): number => (gate.attributes & SEGMENT_ATTRIBUTE.DPL) >> DPL_SHIFT;
