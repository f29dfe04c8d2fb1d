// An entry of the IOAPIC's redirection table: 64 bits that say what message a pin sends (82093AA data sheet, 3.2.4).

import { SHORTHAND, type Irq } from '../lapic/icr.ts';

/** Bits of the low word. */
export const REDIRECTION = {
  VECTOR: 0xff,
  MODE_SHIFT: 8,
  LOGICAL: 1 << 11,
  /** Read-only; always 0, as messages are sent at once. */
  DELIVERY_STATUS: 1 << 12,
  /** Read-only: a level-triggered interrupt was accepted and not ended yet. */
  REMOTE_IRR: 1 << 14,
  LEVEL_TRIGGER: 1 << 15,
  MASKED: 1 << 16,
} as const;
/** The destination stands in bits 31:24 of the high word. */
const DEST_SHIFT = 24;

/** The message that an entry describes: the first half of ioapic_service(). */
export const messageOf = (low: number, high: number): Irq => ({
  vector: low & REDIRECTION.VECTOR,
  deliveryMode: (low >>> REDIRECTION.MODE_SHIFT) & 7,
  logical: (low & REDIRECTION.LOGICAL) !== 0,
  assert: true,
  levelTriggered: (low & REDIRECTION.LEVEL_TRIGGER) !== 0,
  shorthand: SHORTHAND.NONE,
  dest: high >>> DEST_SHIFT,
  redirectionHint: false,
});
