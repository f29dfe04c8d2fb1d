// The handler table: for each form that is executed, what to emit; in front of them the handlers that are no instruction.

import { VECTOR } from '../x86/names/vectors.ts';
import type { Form } from '../x86/forms.ts';
import { FORMS } from '../x86/tables.ts';
import { addressWidthOf, describe } from '../x86/places.ts';
import type { Width } from '../x86/flags.ts';
import type { HandlerBackEnd, MemoryShape } from './emit.ts';

export interface Handler {
  readonly name: string;
  readonly memory: MemoryShape;
  readonly addressWidth: Width;
  readonly emit: (backEnd: HandlerBackEnd) => void;
  /** The form that it executes; null for those that are no instruction. */
  readonly form: Form | null;
}

const special = (name: string, emit: (backEnd: HandlerBackEnd) => void): Handler => ({
  name,
  memory: 'm',
  addressWidth: 64,
  emit,
  form: null,
});

/** Handler indices of records that are no instruction. */
export const SPECIAL = {
  /** In place of records whose block is no longer valid: look RIP up again. */
  RESYNC: 0,
  /** Behind the last record of a block that no branch ends. */
  FALL_THROUGH: 1,
  /** Behind the last record of an exact stop. */
  STOP: 2,
  INVALID_OPCODE: 3,
  TOO_LONG: 4,
  /** Decoded, but not executed by trapline: stops the machine by name. */
  NOT_IMPLEMENTED: 5,
} as const;

const SPECIALS: readonly Handler[] = [
  special('resync', (b) => b.resync()),
  special('fallThrough', (b) => b.fallThrough()),
  special('stop', (b) => b.stopHere()),
  special('invalidOpcode', (b) => b.raise(VECTOR.UD)),
  special('tooLong', (b) => b.raise(VECTOR.GP)),
  special('notImplemented', (b) => b.microcode()),
];

/** Whether 64-bit code can reach a form that is executed at all. (Its first row may be one of other modes.) */
function isExecuted({ row, width, segmentedStack, addressSize }: Form): boolean {
  if (row.semantics === undefined && row.microcode === undefined) return false;
  if (segmentedStack || addressSize === 16) return false;
  return row.f64 ? width === 64 : !(row.d64 && width === 32);
}

function handlerOf(form: Form): Handler {
  return {
    name: form.name,
    memory: form.memory === '' ? 'm' : form.memory,
    addressWidth: addressWidthOf(form),
    form,
    emit: (backEnd) => {
      if (form.row.observesTime) backEnd.leaveIfAhead();
      if (form.row.semantics) describe(form, backEnd);
      else backEnd.microcode();
    },
  };
}

/** All handlers in the order of the function table. */
export const HANDLERS: readonly Handler[] = [...SPECIALS, ...FORMS.filter(isExecuted).map(handlerOf)];

/** Handler index by form index; NOT_IMPLEMENTED for forms that are only decoded. */
export const HANDLER_OF_FORM: Uint16Array = new Uint16Array(FORMS.length).fill(SPECIAL.NOT_IMPLEMENTED);
HANDLERS.forEach((handler, index) => {
  if (handler.form) HANDLER_OF_FORM[handler.form.index] = index;
});
