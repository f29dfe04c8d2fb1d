// Text substitution of .macro, .irp and .irpc: formal parameters, arguments, and a body with them put in. Knows nothing of
// what the statements mean.

import { type Place, reject } from './problem.ts';
import { splitAtCommas, type Statement } from './source.ts';

interface Parameter {
  name: string;
  /** What stands in for a missing argument; null: `:req`. */
  fallback: string | null;
  /** `:vararg`: takes all remaining arguments, commas included. */
  takesRest: boolean;
}

export interface Macro {
  name: string;
  parameters: Parameter[];
  body: Statement[];
  place: Place;
}

/** `name a, b=5, c:req, d:vararg` behind .macro; parameters may also be separated by blanks. */
export function parseMacroHead(text: string): { name: string; parameters: Parameter[] } {
  const head = /^([A-Za-z_.$][\w.$]*)[\s,]*(.*)$/.exec(text);
  if (head === null) return reject('expected the name of the macro', '.macro name first, second=default');
  const parameters: Parameter[] = [];
  for (const part of splitAtCommas(
    head[2].replace(/\s*([=:])\s*/g, '$1').replace(/([^,\s])\s+(?=[A-Za-z_])/g, '$1,'),
  )) {
    if (part === '') continue;
    const match = /^([A-Za-z_][\w.$]*)(?::(req|vararg))?(?:=(.*))?$/.exec(part);
    if (match === null)
      return reject(`"${part}" is no macro parameter`, 'forms: name, name=default, name:req, name:vararg');
    const [, name, kind, fallback] = match;
    parameters.push({ name, fallback: kind === 'req' ? null : (fallback ?? ''), takesRest: kind === 'vararg' });
  }
  return { name: head[1], parameters };
}

const unquote = (text: string): string => (/^"(?:[^"\\]|\\.)*"$/.test(text) ? text.slice(1, -1) : text);

/** Arguments of a call: separated by commas, or by blanks where there are no commas and no operators. */
function splitArguments(text: string, count: number): string[] {
  if (text === '') return [];
  const byComma = splitAtCommas(text);
  if (byComma.length > 1 || count < 2) return byComma;
  const byBlank = text.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
  return byBlank.length <= count && !/(^|\s)[-+*/|&^<>=]|[-+*/|&^<>=](\s|$)/.test(text) ? byBlank : byComma;
}

/** Binds a call's arguments to the macro's parameters. */
export function bindArguments(macro: Macro, text: string): Map<string, string> {
  const { parameters } = macro;
  const given = splitArguments(text, parameters.length);
  const bound = new Map<string, string>();
  let position = 0;
  for (let i = 0; i < given.length; i++) {
    const keyword = /^([A-Za-z_][\w.$]*)=(.*)$/.exec(given[i]);
    const named = keyword === null ? undefined : parameters.find(({ name }) => name === keyword[1]);
    if (named !== undefined && keyword !== null) {
      bound.set(named.name, unquote(keyword[2]));
      continue;
    }
    const parameter = parameters[position++];
    if (parameter === undefined) {
      return reject(
        `macro ${macro.name} takes ${parameters.length} arguments, and this is number ${position}`,
        `it is defined at ${macro.place.file}:${macro.place.line}`,
      );
    }
    if (parameter.takesRest) {
      bound.set(parameter.name, given.slice(i).join(', '));
      break;
    }
    if (given[i] !== '') bound.set(parameter.name, unquote(given[i]));
  }
  for (const { name, fallback } of parameters) {
    if (bound.has(name)) continue;
    if (fallback === null)
      reject(
        `macro ${macro.name} needs its argument ${name}`,
        `it is defined at ${macro.place.file}:${macro.place.line}`,
      );
    bound.set(name, fallback ?? '');
  }
  return bound;
}

/** One statement with `\name`, `\@` (the number of this expansion) and `\()` (nothing) replaced. */
function substituteText(text: string, values: ReadonlyMap<string, string>, serial: number): string {
  return text.replace(/\\(\(\)|@|[A-Za-z_][\w$]*)/g, (whole, name: string) => {
    if (name === '()') return '';
    if (name === '@') return String(serial);
    const value = values.get(name);
    if (value !== undefined) return value;
    // `\names` may be the parameter `name` only if GNU as says so, and it does not.
    return whole;
  });
}

/** A body with its parameters put in; every statement remembers the call that it comes from. */
export function expandBody(
  body: readonly Statement[],
  values: ReadonlyMap<string, string>,
  serial: number,
  call: Place,
): Statement[] {
  return body.map(({ text, place }) => ({
    text: substituteText(text, values, serial),
    place: { ...place, text: substituteText(place.text, values, serial), within: call },
  }));
}
