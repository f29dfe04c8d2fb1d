// Forms that 64-bit code can reach among those that have a handler: some exist for 16- and 32-bit code alone.
import { WIDTH_RULE, shapeOf } from '../../src/x86/shapes.ts';
import type { Form } from '../../src/x86/forms.ts';

/** STOS, SCAS and INS write through ES, which no prefix overrides. */
const ONLY_ES = /(stos|scas|ins)\.\d+\.s/;

export function isReachable({ row, width, name }: Form): boolean {
  const always64 = row.f64 === true || shapeOf(row).rule === WIDTH_RULE.N;
  return !(always64 && width !== 64) && !ONLY_ES.test(name);
}
