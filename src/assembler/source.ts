// From text to statements: comments removed, strings and character literals untouched, `;` splits, every statement knows
// its file and line. Knows nothing of directives or instructions.

import type { Place, Problems } from './problem.ts';

/** One statement: no comment, no separator, blanks trimmed, never empty. */
export interface Statement {
  text: string;
  place: Place;
}

/** Scans one line from `at` over a string or character literal that opens there; returns the index behind it. */
function skipLiteral(line: string, at: number): number {
  const quote = line[at];
  if (quote === "'") {
    // GNU as: a quote, one character (or escape), and a closing quote that may be missing.
    const behind = at + (line[at + 1] === '\\' ? 3 : 2);
    return line[behind] === "'" ? behind + 1 : Math.min(behind, line.length);
  }
  for (let i = at + 1; i < line.length; i++) {
    if (line[i] === '\\') i++;
    else if (line[i] === quote) return i + 1;
  }
  return -1;
}

interface Scan {
  pieces: string[];
  /** A block comment is open at the end of the line. */
  inComment: boolean;
  unterminated: boolean;
}

/** One physical line, its comments replaced by a blank, split at `;`. */
function scanLine(line: string, inComment: boolean): Scan {
  const pieces: string[] = [];
  let piece = '';
  let i = 0;
  while (i < line.length) {
    if (inComment) {
      const close = line.indexOf('*/', i);
      if (close < 0) break;
      inComment = false;
      i = close + 2;
      piece += ' ';
      continue;
    }
    const two = line.slice(i, i + 2);
    if (line[i] === '#' || two === '//') break;
    if (two === '/*') {
      inComment = true;
      i += 2;
    } else if (line[i] === ';') {
      pieces.push(piece);
      piece = '';
      i++;
    } else if (line[i] === '"' || line[i] === "'") {
      const behind = skipLiteral(line, i);
      if (behind < 0) return { pieces: [], inComment, unterminated: true };
      piece += line.slice(i, behind);
      i = behind;
    } else {
      piece += line[i++];
    }
  }
  pieces.push(piece);
  return { pieces, inComment, unterminated: false };
}

/** The statements of one file. */
export function readStatements(source: string, file: string, within: Place | null, problems: Problems): Statement[] {
  const statements: Statement[] = [];
  let inComment = false;
  let opened: Place | null = null;
  source.split(/\r\n|\n|\r/).forEach((line, index) => {
    const place: Place = { file, line: index + 1, text: line.trim(), within };
    const wasInComment = inComment;
    const scan = scanLine(line, inComment);
    inComment = scan.inComment;
    if (inComment && (!wasInComment || scan.pieces.length > 1)) opened = place;
    if (scan.unterminated) problems.report(place, 'this string has no end', 'close it with " on the same line');
    for (const piece of scan.pieces) {
      const text = piece.trim();
      if (text !== '') statements.push({ text, place });
    }
  });
  if (inComment && opened !== null) problems.report(opened, 'this comment has no end', 'close it with */');
  return statements;
}

/** Splits a macro's arguments or a statement's operands at commas outside of quotes, parentheses and braces. */
export function splitAtCommas(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"' || c === "'") {
      const behind = skipLiteral(text, i);
      i = (behind < 0 ? text.length : behind) - 1;
    } else if (c === '(' || c === '{') depth++;
    else if (c === ')' || c === '}') depth--;
    else if (c === ',' && depth === 0) {
      parts.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  parts.push(text.slice(start).trim());
  return parts;
}

const LABEL = /^([A-Za-z_.$][\w.$]*|\d+)[ \t]*:(?!:)[ \t]*/;

/** A label at the start of a statement and what follows it, or null. */
export function splitLabel(text: string): { label: string; rest: string } | null {
  const match = LABEL.exec(text);
  return match === null ? null : { label: match[1], rest: text.slice(match[0].length) };
}

/** The first word behind any labels, in lower case when it is a directive: what decides who handles the statement. */
export function headWord(text: string): string {
  let rest = text;
  for (let split = splitLabel(rest); split !== null; split = splitLabel(rest)) rest = split.rest;
  const word = /^[^\s,]+/.exec(rest)?.[0] ?? '';
  return word.startsWith('.') ? word.toLowerCase() : word;
}
