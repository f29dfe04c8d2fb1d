// What of a logical CPU belongs to a snapshot: the architectural part of its state block, by field name, so that blocks may
// be laid out anew; and the execution controls. Views, decoded code and whatever else is derived follow by themselves.

import type { Cpu } from './cpu.ts';
import type { SavedFields } from './savedFields.ts';
import {
  ARCHITECTURAL_SIZE,
  FIELDS,
  OFFSET,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  type CpuState,
  type FieldName,
} from './state.ts';

/** Set by the constructor and never written. */
const CONSTANT: readonly FieldName[] = ['zero', 'pageUnit', 'addressMask'];
const TLB_WORDS = TLB_ENTRY_SIZE / 4;
const ELEMENT_BYTES = { u8: 1, u16: 2, i32: 4, u32: 4, u64: 8 } as const;

/** Fields of the state block that a snapshot keeps, but for the TLB. */
export const SAVED_STATE: readonly FieldName[] = (Object.keys(FIELDS) as FieldName[]).filter(
  (name) => OFFSET[name] < ARCHITECTURAL_SIZE && !CONSTANT.includes(name) && name !== 'tlb',
);

/** The guest's processor. While restoring, call it once guest memory and the second stage are what they were. */
export function transferCpu(fields: SavedFields, { state, controls, mmu }: Cpu): void {
  const registers = fields.part('state');
  for (const name of SAVED_STATE) registers.elements(name, bytesOf(state, name));
  transferTlb(fields, state);
  controls.transfer(fields.part('controls'));
  if (fields.restoring) mmu.translation.restored();
}

function bytesOf(state: CpuState, name: FieldName): Uint8Array {
  const { type, count, stride } = FIELDS[name];
  const at = state.at(name);
  return state.views.u8.subarray(at, at + (count === 1 ? ELEMENT_BYTES[type] : count * stride));
}

/** The entries of the TLB that are in use: slot and words of each. */
function transferTlb(fields: SavedFields, state: CpuState): void {
  const base = state.at('tlb') >>> 2;
  const words = state.views.u32.subarray(base, base + TLB_ENTRIES * TLB_WORDS);
  const used: number[][] = [];
  for (let slot = 0; slot < TLB_ENTRIES; slot++) {
    const entry = words.subarray(slot * TLB_WORDS, (slot + 1) * TLB_WORDS);
    if (entry[0] !== 0) used.push([slot, ...entry]);
  }
  const saved = fields.data('tlb', used);
  if (!fields.restoring) return;
  words.fill(0);
  for (const [slot, ...entry] of saved) words.set(entry, slot! * TLB_WORDS);
}
