// The directives that are one statement each. Those that hold other statements (.macro, .rept, .if, .include) are the
// expander's; a directive in neither list is an error, never skipped.

import type { Assembly } from './assembly.ts';
import { DATA_DIRECTIVES } from './data.ts';
import type { Mode } from './encoder.ts';
import { parseExpression } from './expression.ts';
import { reject } from './problem.ts';
import type { Cursor } from './token.ts';

export type Directive = (assembly: Assembly, cursor: Cursor, word: string) => void;

function skipRest(_assembly: Assembly, cursor: Cursor): void {
  while (!cursor.done) cursor.next();
}

/** Takes the name of a section: `.text.boot`, `.note.GNU-stack`, `".text"`. */
function sectionName(cursor: Cursor): string {
  const token = cursor.next();
  if (token?.kind === 'string') return new TextDecoder().decode(token.bytes);
  if (token?.kind === 'name') {
    let name = token.text;
    while (cursor.accept('-')) name += `-${cursor.name('the rest of the name')}`;
    return name;
  }
  return reject('expected the name of a section', 'for example .section .rodata');
}

const section: Directive = (assembly, cursor) => {
  const name = sectionName(cursor);
  // Flags and types speak to a linker; here the name alone decides.
  if (cursor.accept(',')) skipRest(assembly, cursor);
  assembly.enter(assembly.sections.get(name));
};

const fixedSection: Directive = (assembly, _cursor, word) => assembly.enter(assembly.sections.get(word));

const pushSection: Directive = (assembly, cursor, word) => {
  assembly.sectionStack.push(assembly.section);
  section(assembly, cursor, word);
};

const popSection: Directive = (assembly) => {
  const last = assembly.sectionStack.pop();
  if (last === undefined) return reject('.popsection without .pushsection');
  assembly.enter(last);
};

const previous: Directive = (assembly) => assembly.enter(assembly.previousSection);

const globl: Directive = (assembly, cursor) => {
  do assembly.scope.globals.add(cursor.name('a symbol'));
  while (cursor.accept(','));
};

/** `.type name, @function`: also `%function`, `"function"`, `STT_FUNC`. */
const type: Directive = (assembly, cursor) => {
  const name = cursor.name('a symbol');
  cursor.accept(',');
  if (!cursor.accept('@')) cursor.accept('%');
  const token = cursor.next();
  const word =
    token?.kind === 'string'
      ? new TextDecoder().decode(token.bytes)
      : token !== undefined && 'text' in token
        ? token.text
        : '';
  if (/^(function|stt_func)$/i.test(word)) assembly.scope.types.set(name, 'function');
  else if (/^(object|stt_object)$/i.test(word)) assembly.scope.types.set(name, 'object');
  else if (!/^notype$/i.test(word)) reject(`unknown symbol type ${word}`, '@function, @object or @notype');
};

const size: Directive = (assembly, cursor) => {
  const name = cursor.name('a symbol');
  cursor.expect(',');
  assembly.scope.sizes.set(name, assembly.expression(cursor));
};

const set: Directive = (assembly, cursor, word) => {
  const name = cursor.name('a symbol');
  cursor.expect(',');
  const value = parseExpression(cursor, assembly.position);
  assembly.scope.assign(name, value, assembly.place, word === '.equiv');
};

/** `.align 16`, `.balign 16, 0x90, 8`, `.p2align 4`: on x86 ELF `.align` counts bytes. */
const align: Directive = (assembly, cursor, word) => {
  const isPower = word.startsWith('.p2');
  const written = assembly.numberNow(cursor, 'an alignment');
  if (isPower && (written < 0n || written > 31n))
    reject(`an alignment of 2^${written} is out of range`, 'the limit is 2^31');
  const alignment = isPower ? 1n << written : written === 0n ? 1n : written;
  if (alignment <= 0n || (alignment & (alignment - 1n)) !== 0n)
    reject(`an alignment of ${alignment} is not a power of two`);
  let fill: Uint8Array | null = null;
  let limit: bigint | null = null;
  if (cursor.accept(',')) {
    if (!cursor.isOperator(',') && !cursor.done) {
      const value = assembly.numberNow(cursor, 'a fill value');
      const width = word.endsWith('w') ? 2 : word.endsWith('l') ? 4 : 1;
      fill = Uint8Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
    }
    if (cursor.accept(',')) limit = assembly.numberNow(cursor, 'a maximum');
  }
  assembly.emit({ kind: 'align', alignment, fill, limit, mode: assembly.mode });
};

const org: Directive = (assembly, cursor) => {
  const target = assembly.expression(cursor);
  const fill = cursor.accept(',') ? Number(assembly.numberNow(cursor, 'a fill value') & 255n) : 0;
  assembly.emit({ kind: 'org', target, fill });
};

const code: Directive = (assembly, _cursor, word) => {
  assembly.mode = Number(word.slice('.code'.length)) as Mode;
};

/** `.comm name, size, alignment`: zeroed memory of its own. */
const common: Directive = (assembly, cursor, word) => {
  const name = cursor.name('a symbol');
  cursor.expect(',');
  const count = assembly.expression(cursor);
  const alignment = cursor.accept(',') ? assembly.numberNow(cursor, 'an alignment') : 1n;
  const back = assembly.section;
  assembly.section = assembly.sections.get('.bss');
  assembly.emit({ kind: 'align', alignment, fill: null, limit: null, mode: assembly.mode });
  assembly.scope.define(name, assembly.section, assembly.place);
  assembly.emit({ kind: 'fill', count, unit: 1, value: { kind: 'number', value: 0n } });
  assembly.section = back;
  if (word === '.comm') assembly.scope.globals.add(name);
};

const error: Directive = (_assembly, cursor) => {
  const token = cursor.next();
  reject(token?.kind === 'string' ? new TextDecoder().decode(token.bytes) : '.err was reached');
};

const unsupported =
  (why: string, hint: string): Directive =>
  () =>
    reject(why, hint);

/** Every directive of one statement. Those given `skipRest` describe the object file to a linker or debugger, and a flat image has neither. */
// prettier-ignore
export const DIRECTIVES: Record<string, Directive> = {
  ...DATA_DIRECTIVES,
  '.section': section, '.pushsection': pushSection, '.popsection': popSection, '.previous': previous,
  '.text': fixedSection, '.rodata': fixedSection, '.data': fixedSection, '.bss': fixedSection,
  '.globl': globl, '.global': globl, '.weak': globl,
  '.type': type, '.size': size, '.set': set, '.equ': set, '.equiv': set, '.comm': common, '.lcomm': common,
  '.align': align, '.balign': align, '.balignw': align, '.balignl': align, '.p2align': align, '.p2alignw': align, '.p2alignl': align,
  '.org': org, '.code16': code, '.code32': code, '.code64': code,
  '.err': error, '.error': error,
  '.att_syntax': skipRest, '.file': skipRest, '.loc': skipRest, '.ident': skipRest, '.arch': skipRest, '.local': skipRest,
  '.hidden': skipRest, '.protected': skipRest, '.internal': skipRest, '.extern': skipRest, '.addrsig': skipRest,
  '.cfi_startproc': skipRest, '.cfi_endproc': skipRest, '.cfi_def_cfa': skipRest, '.cfi_def_cfa_offset': skipRest,
  '.cfi_def_cfa_register': skipRest, '.cfi_adjust_cfa_offset': skipRest, '.cfi_offset': skipRest, '.cfi_rel_offset': skipRest,
  '.cfi_restore': skipRest, '.cfi_undefined': skipRest, '.cfi_remember_state': skipRest, '.cfi_restore_state': skipRest,
  '.cfi_sections': skipRest, '.cfi_signal_frame': skipRest, '.cfi_personality': skipRest, '.cfi_lsda': skipRest, '.cfi_escape': skipRest,
  '.intel_syntax': unsupported('only AT&T syntax is supported', 'source, destination; %rax, $1, 8(%rax)'),
  '.incbin': unsupported('.incbin is not supported', 'turn the file into .byte lines, or link it with ld and load the ELF file'),
  '.altmacro': unsupported('.altmacro is not supported', 'use \\name and \\@ in ordinary macros'),
};
