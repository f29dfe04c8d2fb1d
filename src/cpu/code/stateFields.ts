// Where the fields of the state block are that semantics ask for by name.

import type { StateField } from '../../x86/backEnd.ts';
import { SEGMENT } from '../../x86/names/registers.ts';
import { FIELDS, OFFSET, SEGMENT_SIZE, type FieldName } from '../state.ts';

interface Place {
  /** Bytes from the beginning of the state block. */
  readonly offset: number;
  readonly bytes: number;
}

const inSegment = (segment: number, offset: number, bytes: number): Place => ({
  offset: OFFSET.segments + SEGMENT_SIZE * segment + offset,
  bytes,
});
const base = (segment: number): Place => inSegment(segment, 0, 8);
const limit = (segment: number): Place => inSegment(segment, 8, 4);
const attributes = (segment: number): Place => inSegment(segment, 12, 2);
const selector = (segment: number): Place => inSegment(segment, 14, 2);
const field = (name: FieldName): Place => ({ offset: OFFSET[name], bytes: FIELDS[name].stride });

export const STATE_FIELDS: Readonly<Record<StateField, Place>> = {
  tscAux: field('tscAux'),
  cr4: field('cr4'),
  cpl: field('cpl'),
  rvi: field('rvi'),
  nmiBlocked: field('nmiBlocked'),
  gdtrBase: field('gdtrBase'),
  gdtrLimit: field('gdtrLimit'),
  csBase: base(SEGMENT.CS),
  csLimit: limit(SEGMENT.CS),
  csAttributes: attributes(SEGMENT.CS),
  csSelector: selector(SEGMENT.CS),
  ssBase: base(SEGMENT.SS),
  ssLimit: limit(SEGMENT.SS),
  ssAttributes: attributes(SEGMENT.SS),
  ssSelector: selector(SEGMENT.SS),
  fsBase: base(SEGMENT.FS),
  gsBase: base(SEGMENT.GS),
  kernelGsBase: field('kernelGsBase'),
  dr7: { offset: OFFSET.dr + 7 * FIELDS.dr.stride, bytes: 8 },
  processorControls: field('processorControls'),
};
