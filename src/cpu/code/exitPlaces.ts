// Where an exit's question and its answer stand: the registers that its row names.

import { operandsOf, type Form } from '../../x86/forms.ts';
import type { AnswerRegister } from '../../x86/row.ts';
import { registerOffset, SLOT_OFFSETS } from './records.ts';

/** Registers that tell a question, and that get an answer: state offsets, or below 0: in the record at minus this. */
export interface Places {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/** Null: the instruction's exit is always served. */
export function placesOfForm(form: Form | null): Places | null {
  const answer = form?.row.answer;
  if (!form || answer === undefined) return null;
  const operand = operandsOf(form).find(({ operand: { file } }) => file === 'gpr');
  const place = (register: AnswerRegister): number =>
    register === 'operand' ? -SLOT_OFFSETS[operand!.slot]! : registerOffset(register);
  const narrow = form.width < 32 ? (answer.within ?? []) : [];
  return { from: [...answer.from, ...narrow].map(place), to: answer.to.map(place) };
}
