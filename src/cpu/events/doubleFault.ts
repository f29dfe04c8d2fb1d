// What happens when an exception is raised while an event is being delivered (SDM vol. 3, tables 6-4 and 6-5).

import { VECTOR } from '../../x86/names/vectors.ts';
import { EVENT_TYPE, typeOf, vectorOf } from './interruption.ts';

export type ExceptionClass = 'benign' | 'contributory' | 'page fault' | 'double fault';

const CONTRIBUTORY: ReadonlySet<number> = new Set([VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP, VECTOR.CP]);

/** The class of an exception, by its vector. */
export function exceptionClass(vector: number): ExceptionClass {
  if (vector === VECTOR.PF) return 'page fault';
  if (vector === VECTOR.DF) return 'double fault';
  return CONTRIBUTORY.has(vector) ? 'contributory' : 'benign';
}

/** The class of an event: interrupts, NMIs and software interrupts are benign whatever their vector. */
export const eventClass = (info: number): ExceptionClass =>
  typeOf(info) === EVENT_TYPE.EXCEPTION ? exceptionClass(vectorOf(info)) : 'benign';

/**
 * What follows when `second` is raised while `first` is being delivered: the second is delivered instead (`serial`), a
 * double fault, or shutdown (`triple`).
 */
export function escalate(first: ExceptionClass, second: ExceptionClass): 'serial' | 'double' | 'triple' {
  if (second === 'benign' || first === 'benign') return 'serial';
  if (first === 'double fault') return 'triple';
  if (first === 'contributory') return second === 'contributory' ? 'double' : 'serial';
  return 'double';
}
