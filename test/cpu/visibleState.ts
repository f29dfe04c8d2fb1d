// Everything that a guest or its hypervisor can see of a test system, for tests that compare two ways of doing the same.

import { SAVED_STATE } from '../../src/cpu/savedState.ts';
import { FIELDS, TLB_ENTRIES, TLB_ENTRY_SIZE } from '../../src/cpu/state.ts';
import type { TestSystem } from './system.ts';

/** Fields of the state block as they are saved, and what is derived from them; the TLB and memory as numbers. */
export function visibleState(system: TestSystem) {
  const { state } = system;
  const fields = SAVED_STATE.filter((name) => name !== 'ripPage').map((name) => {
    const at = state.at(name);
    const bytes = FIELDS[name].stride * FIELDS[name].count;
    return [name, Buffer.from(state.views.u8.slice(at, at + bytes)).toString('hex')];
  });
  const tlb = state.at('tlb');
  const memory = system.memory();
  return {
    ...(Object.fromEntries(fields) as Record<string, string>),
    cpl: state.cpl,
    mode: state.mode,
    view: state.dataView,
    tlb: hash(state.views.u8.subarray(tlb, tlb + TLB_ENTRIES * TLB_ENTRY_SIZE)),
    memory: hash(memory),
  };
}
const hash = (bytes: Uint8Array): number => bytes.reduce((sum, byte) => Math.imul(sum ^ byte, 0x01000193), 0x811c9dc5);
