// A TestSystem's CPU in 16- or 32-bit code without paging: segments begin at 0; those of 16 bits end at 64 KiB.

import { selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { Controls } from '../../src/cpu/controls.ts';
import { readSegment, realModeSegment, writeSegment } from '../../src/cpu/segments/segments.ts';
import { CR0, SEGMENT, SEGMENT_ATTRIBUTE } from '../../src/x86/names/registers.ts';
import type { TestSystem } from './system.ts';

const FOUR_GIB = 0xffff_ffff;

/** Real mode, protected mode with 16- or 32-bit segments, or 32-bit segments that outlived protected mode. No hypervisor controls but those of the caller. */
export function unpaged(system: TestSystem, mode: 'real' | 'protected', bits: 16 | 32): void {
  const { cpu, state } = system.reset();
  cpu.controls = new Controls();
  state.cr0 = mode === 'real' ? CR0.ET : CR0.ET | CR0.PE;
  state.efer = 0n;
  for (let segment = SEGMENT.ES; segment <= SEGMENT.GS; segment++) {
    const loaded = realModeSegment(readSegment(state, segment), 0);
    const { L, DB, G } = SEGMENT_ATTRIBUTE;
    const attributes = loaded.attributes & ~(L | DB | G);
    const wide = { limit: FOUR_GIB, attributes: attributes | DB | G };
    writeSegment(state, segment, { ...loaded, ...(bits === 32 ? wide : { limit: 0xffff, attributes }) });
  }
  selectCodeMode(state);
  cpu.mmu.translation.flushAll(false);
  cpu.mmu.translation.restored();
}
