// Segment and system descriptors and gates: finding them in the GDT and LDT, and taking them apart (SDM vol. 3, 3.4.5, 3.5
// and 6.14.1). Which ones an instruction may load, and what it raises otherwise, is said where the instruction is.

import { DPL_SHIFT, SEGMENT, SEGMENT_ATTRIBUTE, SEGMENT_TYPE, SELECTOR } from '../../x86/names/registers.ts';
import { isLongMode } from './codeMode.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { isUsable, segmentAttributes, segmentBase, segmentLimit, type Segment } from './segments.ts';
import type { CpuState } from '../state.ts';

/** Bit of the type that tells 32-bit gates from 16-bit ones. */
const GATE32 = 8;
const PARAMETERS = 0x1f;
const DESCRIPTOR_BYTES = 8;
/** LDT, TSS and gate descriptors have 16 bytes in IA-32e mode. */
const LONG_DESCRIPTOR_BYTES = 16;

export const isNull = (selector: number): boolean => (selector & ~SELECTOR.RPL) === 0;
export const rplOf = (selector: number): number => selector & SELECTOR.RPL;
/** A selector as an error code: without RPL; EXT is the caller's to add. */
export const selectorError = (selector: number): number => selector & ~SELECTOR.RPL;

/** A descriptor of code, data, LDT or TSS. */
export interface Descriptor {
  /** Linear address of its first byte. */
  readonly address: bigint;
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

/** Linear address of a selector's descriptor, null if it lies beyond the table's limit or there is no LDT. */
function locate(state: CpuState, selector: number, bytes: number): bigint | null {
  const offset = selector & SELECTOR.INDEX;
  const last = offset + bytes - 1;
  if ((selector & SELECTOR.TI) === 0) return last > state.gdtrLimit ? null : state.gdtrBase + BigInt(offset);
  if (!isUsable(segmentAttributes(state, SEGMENT.LDTR)) || last > segmentLimit(state, SEGMENT.LDTR)) return null;
  return segmentBase(state, SEGMENT.LDTR) + BigInt(offset);
}

/** The 8-byte descriptor that a selector names; null beyond the limit. The selector must not be null. */
export function readDescriptor(cpu: MicrocodeCpu, selector: number): Descriptor | null {
  const address = locate(cpu.state, selector, DESCRIPTOR_BYTES);
  return address === null ? null : decodeDescriptor(address, cpu.mmu.read(address, 8, 'system'));
}

/** The system descriptor (LDT, TSS) that a selector names, in IA-32e mode with its 64-bit base; null beyond the limit. */
export function readSystemDescriptor(cpu: MicrocodeCpu, selector: number): Descriptor | null {
  if (!isLongMode(cpu.state)) return readDescriptor(cpu, selector);
  const address = locate(cpu.state, selector, LONG_DESCRIPTOR_BYTES);
  if (address === null) return null;
  const low = decodeDescriptor(address, cpu.mmu.read(address, 8, 'system'));
  const high = cpu.mmu.read(address + 8n, 8, 'system');
  return { ...low, base: ((high & 0xffff_ffffn) << 32n) | low.base };
}

/** The call gate that a selector names; null beyond the limit. */
export function readCallGate(cpu: MicrocodeCpu, selector: number): Gate | null {
  const long = isLongMode(cpu.state);
  const address = locate(cpu.state, selector, long ? LONG_DESCRIPTOR_BYTES : DESCRIPTOR_BYTES);
  if (address === null) return null;
  return long ? readLongGate(cpu, address) : readGate(cpu, address);
}

/** The 8-byte gate at a linear address. */
export function readGate(cpu: MicrocodeCpu, address: bigint): Gate {
  const raw = cpu.mmu.read(address, 8, 'system');
  const middle = Number((raw >> 32n) & 0xffffn);
  const attributes = middle >> 8;
  const wide = (attributes & GATE32) !== 0;
  return {
    selector: Number((raw >> 16n) & 0xffffn),
    offset: wide ? (raw & 0xffffn) | ((raw >> 32n) & 0xffff_0000n) : raw & 0xffffn,
    ist: 0,
    parameters: middle & PARAMETERS,
    attributes,
    width: wide ? 4 : 2,
    wellFormed: true,
  };
}

/** The 16-byte gate at a linear address. */
export function readLongGate(cpu: MicrocodeCpu, address: bigint): Gate {
  const low = cpu.mmu.read(address, 8, 'system');
  const high = cpu.mmu.read(address + 8n, 8, 'system');
  const middle = Number((low >> 32n) & 0xffffn);
  return {
    selector: Number((low >> 16n) & 0xffffn),
    offset: (low & 0xffffn) | ((low >> 32n) & 0xffff_0000n) | ((high & 0xffff_ffffn) << 32n),
    ist: middle & 7,
    parameters: 0,
    attributes: middle >> 8,
    width: 8,
    wellFormed: (high & 0x1f00_0000_0000n) === 0n,
  };
}

function decodeDescriptor(address: bigint, raw: bigint): Descriptor {
  const low = Number(raw & 0xffff_ffffn);
  const high = Number(raw >> 32n);
  const attributes = ((high >>> 8) & 0xff) | ((high >>> 8) & 0xf000);
  const limit = (low & 0xffff) | (high & 0xf_0000);
  return {
    address,
    base: BigInt((((high & 0xff00_0000) | ((high & 0xff) << 16) | (low >>> 16)) >>> 0)), // prettier-ignore
    limit: attributes & SEGMENT_ATTRIBUTE.G ? ((limit << 12) | 0xfff) >>> 0 : limit,
    attributes,
  };
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
export function markAccessed(cpu: MicrocodeCpu, { address, attributes }: Descriptor): void {
  if (attributes & SEGMENT_TYPE.ACCESSED) return;
  cpu.mmu.write(address + TYPE_BYTE, 1, BigInt((attributes & 0xff) | SEGMENT_TYPE.ACCESSED), 'system');
}

const BUSY = 2;

/** Makes an available TSS descriptor in memory busy. First of all commits, since it may fault. */
export function markBusy(cpu: MicrocodeCpu, { address, attributes }: Descriptor): void {
  cpu.mmu.write(address + TYPE_BYTE, 1, BigInt((attributes & 0xff) | BUSY), 'system');
}

/** The same segment, busy. */
export const busy = (attributes: number): number => attributes | BUSY;

export const gateDpl = (gate: Gate): number => (gate.attributes & SEGMENT_ATTRIBUTE.DPL) >> DPL_SHIFT;
