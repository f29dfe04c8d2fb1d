// Where the fields of the state block are that semantics ask for by name.

import type { StateField } from '../../x86/backEnd.ts';
import { SEGMENT } from '../../x86/names/registers.ts';
import { FIELDS, OFFSET, SEGMENT_SIZE, type FieldName } from '../state.ts';

interface Place {
  /** Bytes from the beginning of the state block. */
  readonly offset: number;
  readonly bytes: number;
}

const base = (segment: number): Place => ({ offset: OFFSET.segments + SEGMENT_SIZE * segment, bytes: 8 });
const field = (name: FieldName): Place => ({ offset: OFFSET[name], bytes: FIELDS[name].stride });

export const STATE_FIELDS: Readonly<Record<StateField, Place>> = {
  tscAux: field('tscAux'),
  cr4: field('cr4'),
  cpl: field('cpl'),
  rvi: field('rvi'),
  fsBase: base(SEGMENT.FS),
  gsBase: base(SEGMENT.GS),
  kernelGsBase: field('kernelGsBase'),
  dr7: { offset: OFFSET.dr + 7 * FIELDS.dr.stride, bytes: 8 },
  processorControls: field('processorControls'),
};
