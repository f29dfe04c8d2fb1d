// The handler table: for each form that is executed, what to emit, once for each environment in which that differs; in front of
// them the handlers that are no instruction.

import { VECTOR } from '../../x86/names/vectors.ts';
import type { Form } from '../../x86/forms.ts';
import { FORMS } from '../../x86/tables.ts';
import { addressWidthOf, describe } from '../../x86/places.ts';
import type { Width } from '../../x86/flags.ts';
import type { Environment } from '../segments/codeMode.ts';
import type { HandlerBackEnd } from './emit.ts';
import type { MemoryShape } from './emitAddress.ts';

export interface Handler {
  readonly name: string;
  readonly environment: Environment;
  readonly memory: MemoryShape;
  readonly addressWidth: Width;
  readonly emit: (backEnd: HandlerBackEnd) => void;
  /** The form that it executes; null for those that are no instruction. */
  readonly form: Form | null;
}

const special = (
  name: string,
  emit: (backEnd: HandlerBackEnd) => void,
  environment: Environment = 'long',
): Handler => ({
  name: nameIn(environment, name),
  environment,
  memory: 'm',
  addressWidth: 64,
  emit,
  form: null,
});
/** Names of 64-bit code are those of the forms. */
const nameIn = (environment: Environment, name: string): string =>
  environment === 'long' ? name : `${name}.${environment}`;

/** Handler indices of records that are no instruction. */
export const SPECIAL = {
  /** In place of records whose block is no longer valid: look RIP up again. */
  RESYNC: 0,
  INVALID_OPCODE: 1,
  TOO_LONG: 2,
  /** Decoded, but not executed by trapline: stops the machine by name. */
  NOT_IMPLEMENTED: 3,
  /** At the head of a loop that waits (spin.ts). */
  SPIN: 4,
} as const;

export type Closing = 'FALL_THROUGH' | 'STOP' | 'ATTEND';
/**
 * Behind the last record of a block that no branch ends, behind that of an exact stop, and behind the instruction that the shadow of
 * STI covers: if a window is awaited, it opens here.
 */
export const CLOSING: Readonly<Record<Environment, Readonly<Record<Closing, number>>>> = {
  long: { FALL_THROUGH: 5, STOP: 6, ATTEND: 7 },
  flat: { FALL_THROUGH: 8, STOP: 9, ATTEND: 10 },
  segmented: { FALL_THROUGH: 11, STOP: 12, ATTEND: 13 },
};
const ENVIRONMENTS = ['long', 'flat', 'segmented'] as const;

const SPECIALS: readonly Handler[] = [
  special('resync', (b) => b.resync()),
  special('invalidOpcode', (b) => b.raise(VECTOR.UD)),
  special('tooLong', (b) => b.raise(VECTOR.GP)),
  special('notImplemented', (b) => b.microcode()),
  special('spin', (b) => b.spin()),
  ...ENVIRONMENTS.flatMap((environment) => [
    special('fallThrough', (b) => b.fallThrough(), environment),
    special('stop', (b) => b.stopHere(), environment),
    special('attend', (b) => b.attendOrFallThrough(), environment),
  ]),
];

const isExecuted = ({ row }: Form): boolean => row.semantics !== undefined || row.microcode !== undefined;

/** Whether a form's generated code depends on the environment: it accesses memory, says where RIP goes, or is not for real mode. */
const isEnvironmental = ({ row, memory }: Form): boolean =>
  row.semantics !== undefined && (memory !== '' || row.stack === true || row.endsBlock === true || row.encoding.vex);

function handlerOf(form: Form, environment: Environment): Handler {
  const memory = form.memory === '' ? 'm' : form.memory;
  return {
    name: nameIn(environment, form.name),
    environment,
    memory: environment === 'flat' ? 'm32' : memory,
    addressWidth: addressWidthOf(form),
    form,
    emit: (backEnd) => {
      if (form.row.observesTime) backEnd.leaveIfAhead();
      if (form.row.encoding.vex && environment !== 'long') backEnd.requireProtectedMode();
      backEnd.recur(form);
      if (form.row.semantics) describe(form, backEnd);
      else backEnd.microcode();
    },
  };
}

const handlers: Handler[] = [...SPECIALS];
const byForm = (): Uint16Array => new Uint16Array(FORMS.length).fill(SPECIAL.NOT_IMPLEMENTED);

/** Handler index by form index; NOT_IMPLEMENTED for forms that are only decoded, or that the code cannot reach. */
export const HANDLER_OF_FORM: Readonly<Record<Environment, Uint16Array>> = {
  long: byForm(),
  flat: byForm(),
  segmented: byForm(),
};

for (const form of FORMS.filter(isExecuted)) {
  const reachedBy = ENVIRONMENTS.filter((environment) => (environment === 'long' ? form.in64 : form.outside64));
  let index = -1;
  for (const environment of reachedBy) {
    if (index < 0 || isEnvironmental(form)) index = handlers.push(handlerOf(form, environment)) - 1;
    HANDLER_OF_FORM[environment][form.index] = index;
  }
}

/** All handlers in the order of the function table. */
export const HANDLERS: readonly Handler[] = handlers;
