// Interruption information: how an event (interrupt, NMI, exception, software interrupt) is written in one 32-bit word,
// in VMX's layout (SDM vol. 3, 24.8.3 and 24.9.3). Entry events, vectoring events and exception exits all use it.

/** What kind of event it is: bits 8 to 10. */
export const EVENT_TYPE = {
  EXTERNAL: 0,
  NMI: 2,
  /** A hardware exception, #BP and #OF excepted. */
  EXCEPTION: 3,
  /** INT n. */
  SOFT_INTERRUPT: 4,
  /** INT1. */
  PRIVILEGED_SOFT_EXCEPTION: 5,
  /** INT3 and INTO. */
  SOFT_EXCEPTION: 6,
} as const;
export type EventType = (typeof EVENT_TYPE)[keyof typeof EVENT_TYPE];

const TYPE_SHIFT = 8;
const HAS_ERROR_CODE = 1 << 11;
const VALID = 2 ** 31;

/** Puts an event into a word. */
export const interruption = (type: EventType, vector: number, hasErrorCode = false): number =>
  (VALID | (hasErrorCode ? HAS_ERROR_CODE : 0) | (type << TYPE_SHIFT) | vector) >>> 0;

/** False for a word that holds no event. */
export const isValid = (info: number): boolean => info >>> 0 >= VALID;
export const vectorOf = (info: number): number => info & 0xff;
export const typeOf = (info: number): EventType => ((info >> TYPE_SHIFT) & 7) as EventType;
export const hasErrorCode = (info: number): boolean => (info & HAS_ERROR_CODE) !== 0;

/** The error code that goes with an event, null when it has none. */
export const errorCodeOf = (info: number, errorCode: number | bigint): number | null =>
  hasErrorCode(info) ? Number(errorCode) : null;

/** INT n, INT3, INTO and INT1: the saved RIP is behind the instruction, which the hypervisor must know the length of. */
export const isSoftware = (info: number): boolean => typeOf(info) >= EVENT_TYPE.SOFT_INTERRUPT;
