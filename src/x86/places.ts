// What a form tells its semantics: where each operand is found, at which width. The bridge from rows to `Op`.

import type { Width } from './flags.ts';
import { operandsOf, type Form, type FormOperand } from './forms.ts';
import type { BackEnd, Place } from './backEnd.ts';
import { Op, type OpShape } from './semantics.ts';

function placeOf({ operand, kind, slot, width }: FormOperand): Place {
  switch (kind) {
    case 'register':
      return { kind: 'register', register: { slot }, width: width as Width };
    case 'memory': {
      const address = { '': 'modrm', offset: 'immediate', si: 'rsi', di: 'rdi', vector: 'modrm' } as const;
      return { kind: 'memory', width: width as Width, address: address[operand.addressing] };
    }
    case 'immediate':
      return { kind: 'immediate' };
    case 'implicit':
      if (operand.file === 'gpr')
        return { kind: 'register', register: { fixed: operand.fixed }, width: width as Width };
      return { kind: 'immediate', value: BigInt(Number(operand.notation) || 0) };
  }
}

const REPEATS = { '': 'none', rep: 'rep', repz: 'rep', repnz: 'repne' } as const;

function shapeOf(form: Form): OpShape {
  const operands = operandsOf(form);
  return {
    width: (form.width || 32) as Width,
    cc: form.row.condition,
    rep: REPEATS[form.rep],
    places: operands.map(placeOf),
    writes: new Set(operands.flatMap(({ operand }, i) => (operand.access.includes('w') ? [i] : []))),
  };
}

/** Bits of the addresses that a form uses by itself: strings, counts, the ModRM operand where the form fixes it. */
export const addressWidthOf = (form: Form): Width => form.addressSize || (form.memory === 'm32' ? 32 : 64);

/** Describes a form to a back end: runs its semantics. The form's row must have some. */
export function describe(form: Form, backEnd: BackEnd): void {
  const shape = shapeOf(form);
  const semantics = form.row.semantics!;
  if (shape.width === 64) semantics(new Op('i64', shape, backEnd));
  else semantics(new Op('i32', shape, backEnd));
}
